//! Executions are held to limits, and a context goes on after one that was over them.

#![expect(clippy::unwrap_used, reason = "a fixture that cannot be set up fails the test")]

use std::path::Path;
use std::time::Duration;

use torpor_runtime::{Clock, ExecutionEvent, ExecutionLimits, Origin, SandboxProcess};

use super::driver::{dump, run, sink, value, without_history};

async fn limited(root: &Path, origin: Origin, limits: ExecutionLimits) -> SandboxProcess {
    let (program_sink, _output) = sink();
    let clock = Clock::system();
    let sandbox = SandboxProcess::start_limited(root.to_owned(), origin, program_sink, clock, limits, None).await;
    sandbox.unwrap()
}

/// Class and message of what an execution raised.
async fn raised(sandbox: &SandboxProcess, code: &str) -> (String, String) {
    match run(sandbox, None, code).await.first() {
        Some(ExecutionEvent::Error { name, value, .. }) => (name.clone(), value.clone()),
        other => panic!("{code} raised nothing: {other:?}"),
    }
}

const DEEP: &str = "def deep(n):\n    return 0 if n == 0 else 1 + deep(n - 1)";

#[tokio::test]
async fn an_execution_that_computes_for_too_long_ends_with_an_error_and_the_next_one_has_its_whole_time() {
    let dir = tempfile::tempdir().unwrap();
    let limits = ExecutionLimits {
        time: Some(Duration::from_millis(300)),
        ..ExecutionLimits::default()
    };
    let sandbox = limited(dir.path(), without_history(None), limits).await;
    run(&sandbox, None, "x = 41").await;
    for _ in 0..3 {
        let (name, message) = raised(&sandbox, "while True:\n    pass").await;
        assert_eq!(name, "TimeoutError", "{message}");
        assert!(message.contains("limit"), "{message}");
        assert_eq!(value(&sandbox, "x + 1").await, "42");
    }
    // Sleeping is no computing.
    run(&sandbox, None, "from time import sleep\nsleep(0.5)").await;
    assert_eq!(value(&sandbox, "x + 2").await, "43");
}

#[tokio::test]
async fn calls_are_nested_as_deep_as_the_limit_and_no_deeper() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let limits = ExecutionLimits {
        recursion: 50,
        ..ExecutionLimits::default()
    };
    let sandbox = limited(dir.path(), without_history(None), limits).await;
    run(&sandbox, None, DEEP).await;
    assert_eq!(value(&sandbox, "deep(40)").await, "40");
    assert_eq!(raised(&sandbox, "deep(60)").await.0, "RecursionError");
    let usual = limited(other.path(), without_history(None), ExecutionLimits::default()).await;
    run(&usual, None, DEEP).await;
    assert_eq!(value(&usual, "deep(60)").await, "60");
}

#[tokio::test]
async fn a_limit_of_time_is_that_of_the_engine_that_runs_the_sandbox_now() {
    let (dir, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let limits = ExecutionLimits {
        time: Some(Duration::from_millis(200)),
        ..ExecutionLimits::default()
    };
    let sandbox = limited(dir.path(), without_history(None), limits).await;
    let busy = "n = 0\nwhile n < 3_000_000:\n    n += 1\nn";
    assert_eq!(raised(&sandbox, busy).await.0, "TimeoutError");
    let payload = dump(&sandbox).await;
    sandbox.stop().await;
    let origin = Origin::Checkpoint(payload.into());
    let again = limited(there.path(), origin, ExecutionLimits::default()).await;
    assert_eq!(value(&again, busy).await, "3000000");
}

#[tokio::test]
async fn a_result_larger_than_the_limit_is_refused_and_the_context_goes_on() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let limits = |memory| ExecutionLimits {
        memory,
        ..ExecutionLimits::default()
    };
    let sandbox = limited(dir.path(), without_history(None), limits(Some(1 << 20))).await;
    run(&sandbox, None, "x = 41").await;
    let large = "len('x' * 2_000_000)";
    let (name, message) = raised(&sandbox, large).await;
    assert_eq!(name, "MemoryError", "{message}");
    assert!(message.contains("1048576 bytes"), "{message}");
    assert_eq!(value(&sandbox, "x + 1").await, "42");
    let unlimited = limited(other.path(), without_history(None), limits(None)).await;
    assert_eq!(value(&unlimited, large).await, "2000000");
}

#[tokio::test]
async fn no_expression_takes_all_that_a_machine_has_unless_it_is_allowed_to() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = limited(dir.path(), without_history(None), ExecutionLimits::default()).await;
    for greedy in [
        "'x' * 10**15",
        "[0] * 10**12",
        "2 ** 10**12",
        "1 << 10**12",
        "'x'.ljust(10**13)",
    ] {
        assert_eq!(raised(&sandbox, greedy).await.0, "MemoryError", "{greedy}");
    }
}
