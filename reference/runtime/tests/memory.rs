//! What executions add to the memory of their process is measured. In a process of its own, because all of it is measured.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a fixture that cannot be set up fails the test")]

#[path = "sandbox/driver.rs"]
#[expect(dead_code, reason = "shared with tests that use more of it")]
mod driver;

use std::path::Path;

use driver::{run, sink, value, without_history};
use torpor_runtime::{Clock, ExecutionEvent, ExecutionLimits, MemoryGauge, SandboxProcess};

/// An execution may add so much.
const LIMIT: usize = 32 << 20;
/// Adds three times as much, bit by bit.
const GREEDY: &str = "all = []\nfor i in range(100_000):\n    all.append('x' * 1000 + str(i))\nlen(all)";

/// The same, with a sleep after each thirtieth of it.
const RESTFUL: &str = "from time import sleep\nall = []\nfor i in range(100_000):\n    all.append('x' * 1000 + str(i))\n    if i % 3_000 == 0:\n        sleep(0.001)\nlen(all)";

async fn limited(root: &Path, gauge: Option<MemoryGauge>) -> SandboxProcess {
    let limits = ExecutionLimits {
        memory: Some(LIMIT),
        ..ExecutionLimits::default()
    };
    let (program_sink, _output) = sink();
    let origin = without_history(None);
    let sandbox = SandboxProcess::start_limited(root.to_owned(), origin, program_sink, Clock::system(), limits, gauge);
    sandbox.await.unwrap()
}

#[tokio::test]
async fn what_grows_beyond_the_limit_ends_with_an_error_where_it_is_measured_and_only_there() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let sandbox = limited(dir.path(), Some(MemoryGauge::start(None).unwrap())).await;
    run(&sandbox, None, "x = 41").await;
    for greedy in [GREEDY, RESTFUL] {
        let events = run(&sandbox, None, greedy).await;
        let Some(ExecutionEvent::Error {
            name, value: message, ..
        }) = events.first()
        else {
            panic!("no error: {events:?}")
        };
        assert_eq!(name, "MemoryError");
        assert!(message.contains(&format!("{LIMIT} bytes")), "{message}");
        // The next execution has its whole limit, and what was taken can be given back.
        assert_eq!(value(&sandbox, "all = None\nx + 1").await, "42");
    }
    assert_eq!(value(&sandbox, "len('x' * 20_000_000)").await, "20000000");
    sandbox.stop().await;

    let unmeasured = limited(other.path(), None).await;
    assert_eq!(value(&unmeasured, GREEDY).await, "100000");
}
