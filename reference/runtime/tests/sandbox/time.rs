//! Python's `time` in a sandbox, by a clock that stands until a test moves it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use torpor_runtime::{Clock, ExecutionEvent};

use super::driver::{dump, fresh, restored, run, start, value, without_history};
use torpor_runtime::Origin;

/// The seconds that its monotonic clock shows; the wall clock stands at 1 000 000 s and a half.
fn clock(seconds: &Arc<AtomicU64>) -> Clock {
    let seconds = Arc::clone(seconds);
    Clock::new(
        || Timestamp::from_millisecond(1_000_000_500).unwrap_or_default(),
        move || Duration::from_secs(seconds.load(Ordering::Relaxed)),
    )
}

#[tokio::test]
async fn every_form_of_import_gives_the_same_functions() {
    let here = tempfile::tempdir().expect("a dir");
    let seconds = Arc::new(AtomicU64::new(5));
    let (sandbox, _) = start(here.path(), without_history(None), clock(&seconds)).await;
    seconds.store(7, Ordering::Relaxed);
    for code in [
        "import time\n(time.time(), time.time_ns(), time.monotonic(), time.monotonic_ns(), time.perf_counter())",
        "import time as t, os\n(t.time(), t.time_ns(), t.monotonic(), t.monotonic_ns(), t.perf_counter())",
        "from time import (time, time_ns as ns,\n monotonic, monotonic_ns, perf_counter)\n(time(), ns(), monotonic(), monotonic_ns(), perf_counter())",
        "def f():\n    from time import time, time_ns, monotonic, monotonic_ns, perf_counter\n    return time(), time_ns(), monotonic(), monotonic_ns(), perf_counter()\nf()",
    ] {
        let expected = "(1000000.5, 1000000500000000, 2.0, 2000000000, 2.0)";
        assert_eq!(value(&sandbox, code).await, expected, "{code}");
    }
    let formatted = value(&sandbox, "import time\ntime.strftime('%Y-%m-%d %H:%M:%S')").await;
    assert_eq!(formatted, "'1970-01-12 13:46:40'");
}

#[tokio::test]
async fn a_sleep_by_any_name_sleeps() {
    let here = tempfile::tempdir().expect("a dir");
    let (sandbox, _) = fresh(here.path(), None).await;
    for code in [
        "sleep(0.002)",
        "import time\ntime.sleep(0.002)",
        "import time as t\nt.sleep(0.002)",
        "from time import sleep as nap\nnap(0.002)",
        "from time import *\nsleep(0.002)",
    ] {
        let timed =
            format!("import time as clock\nstart = clock.monotonic()\n{code}\nclock.monotonic() - start >= 0.002");
        assert_eq!(value(&sandbox, &timed).await, "True", "{code}");
    }
}

#[tokio::test]
async fn code_that_computes_sees_time_pass() {
    let here = tempfile::tempdir().expect("a dir");
    let (sandbox, _) = fresh(here.path(), None).await;
    let code = "import time\nend = time.monotonic() + 0.01\nwhile time.monotonic() < end:\n    pass\n'over'";
    assert_eq!(value(&sandbox, code).await, "'over'");
}

#[tokio::test]
async fn monotonic_time_leaves_out_the_freeze_and_goes_on_after_a_checkpoint() {
    let (here, there) = (tempfile::tempdir().expect("a dir"), tempfile::tempdir().expect("a dir"));
    let seconds = Arc::new(AtomicU64::new(50));
    let (sandbox, _) = start(here.path(), without_history(None), clock(&seconds)).await;
    seconds.store(60, Ordering::Relaxed);
    assert_eq!(value(&sandbox, "import time\ntime.monotonic()").await, "10.0");
    sandbox.freeze(Duration::from_mins(1)).await.expect("freezes");
    seconds.store(1000, Ordering::Relaxed);
    sandbox.thaw().await.expect("thaws");
    seconds.store(1003, Ordering::Relaxed);
    assert_eq!(value(&sandbox, "time.monotonic()").await, "13.0");
    let payload = dump(&sandbox).await;

    let elsewhere = Arc::new(AtomicU64::new(2));
    let (again, _) = start(there.path(), Origin::Checkpoint(payload.into()), clock(&elsewhere)).await;
    elsewhere.store(4, Ordering::Relaxed);
    assert_eq!(value(&again, "time.monotonic()").await, "15.0");
}

#[tokio::test]
async fn a_program_checkpointed_in_time_sleep_goes_on_with_what_was_left() {
    let (here, there) = (tempfile::tempdir().expect("a dir"), tempfile::tempdir().expect("a dir"));
    let code = "import time\nprint('before', time.monotonic())\ntime.sleep(100)\nprint('after', time.monotonic())";
    let seconds = Arc::new(AtomicU64::new(0));
    let (sandbox, mut output) = start(here.path(), without_history(Some(code)), clock(&seconds)).await;
    assert_eq!(
        output.recv().await,
        Some(ExecutionEvent::Stdout("before 0.0\n".to_owned()))
    );
    // The sandbox answers once nothing of it runs: its program sleeps by then.
    sandbox.env().await.expect("an answer");
    seconds.store(40, Ordering::Relaxed);
    let payload = dump(&sandbox).await;
    sandbox.stop().await;

    let elsewhere = Arc::new(AtomicU64::new(1000));
    let (again, mut output) = start(there.path(), Origin::Checkpoint(payload.into()), clock(&elsewhere)).await;
    elsewhere.store(1059, Ordering::Relaxed);
    // Any message makes the sandbox look at its clock.
    again.env().await.expect("an answer");
    again.env().await.expect("an answer");
    assert!(output.try_recv().is_err(), "a second of the sleep is left");
    elsewhere.store(1060, Ordering::Relaxed);
    again.env().await.expect("an answer");
    assert_eq!(
        output.recv().await,
        Some(ExecutionEvent::Stdout("after 100.0\n".to_owned()))
    );
}

#[tokio::test]
async fn a_wrong_use_of_time_raises_what_python_raises() {
    let here = tempfile::tempdir().expect("a dir");
    let (sandbox, _) = fresh(here.path(), None).await;
    for (code, kind, message) in [
        (
            "import time\ntime.sleep(-1)",
            "ValueError",
            "sleep length must be non-negative",
        ),
        (
            "import time\ntime.sleep()",
            "TypeError",
            "sleep() takes exactly one argument (0 given)",
        ),
        (
            "import time\ntime.sleep('1')",
            "TypeError",
            "'str' object cannot be interpreted as an integer",
        ),
        (
            "import time\ntime.sleep(1e300)",
            "OverflowError",
            "timestamp too large to convert to a duration",
        ),
        (
            "import time\ntime.time(1)",
            "TypeError",
            "time.time() takes no arguments (1 given)",
        ),
        (
            "import time\ntime.strptime('', '')",
            "AttributeError",
            "module 'time' has no attribute 'strptime'",
        ),
        (
            "from time import nap",
            "ImportError",
            "cannot import name 'nap' from 'time' (unknown location)",
        ),
        ("time", "NameError", "name 'time' is not defined"),
    ] {
        let context = sandbox.create_context(None).await.expect("a context").id;
        let events = run(&sandbox, Some(&context), code).await;
        let ExecutionEvent::Error { name, value, .. } = &events[0] else {
            panic!("{code}: {events:?}")
        };
        assert_eq!((name.as_str(), value.as_str()), (kind, message), "{code}");
    }
}

async fn traceback(sandbox: &torpor_runtime::SandboxProcess, code: &str) -> String {
    match run(sandbox, None, code).await.as_slice() {
        [ExecutionEvent::Error { traceback, .. }, ..] => traceback.clone(),
        other => panic!("no error: {other:?}"),
    }
}

#[tokio::test]
async fn a_traceback_shows_the_code_as_it_was_written() {
    let (here, there) = (tempfile::tempdir().expect("a dir"), tempfile::tempdir().expect("a dir"));
    let (sandbox, _) = fresh(here.path(), None).await;
    let code = "def f():\n    from time import (\n        sleep,\n        time,\n    ); 1 / 0\ndef g():\n    import time; 1 / 0\n";
    run(&sandbox, None, code).await;
    let g = traceback(&sandbox, "import time; g()").await;
    assert!(
        g.contains("line 1, in <module>\n    import time; g()\n                 ~~~\n"),
        "{g}"
    );
    assert!(
        g.contains("line 7, in g\n    import time; 1 / 0\n                 ~~~~~\n"),
        "{g}"
    );
    let import = traceback(&sandbox, "\n\nx = 1; from time import nap").await;
    assert!(
        import.contains("line 3, in <module>\n    x = 1; from time import nap\nImportError"),
        "{import}"
    );

    let (again, _) = restored(there.path(), dump(&sandbox).await).await;
    assert_eq!(
        traceback(&again, "import time; g()").await,
        g.replace("input-1", "input-3")
    );
    let f = traceback(&again, "f()").await;
    assert!(f.contains("line 5, in f\n    ); 1 / 0\n       ~~~~~\n"), "{f}");
}

#[tokio::test]
async fn print_takes_flush() {
    let here = tempfile::tempdir().expect("a dir");
    let (sandbox, _) = fresh(here.path(), None).await;
    let events = run(&sandbox, None, "print('a', 'b', sep='-', end='.\\n', flush=True)").await;
    assert_eq!(events[0], ExecutionEvent::Stdout("a-b.\n".to_owned()));
}
