//! What a sandbox keeps when it is frozen, written down, and read again elsewhere.

mod confinement;
mod driver;
mod limits;
mod time;

use std::collections::BTreeMap;
use std::time::Duration;

use torpor_runtime::{Clock, ExecutionEvent, MontySandbox, Origin, SandboxError, SandboxProcess};

use driver::{busy, dump, fresh, restored, run, sink, value};

#[tokio::test]
async fn variables_functions_and_contexts_survive() {
    let (here, there) = (tempfile::tempdir().expect("a dir"), tempfile::tempdir().expect("a dir"));
    let (sandbox, _) = fresh(here.path(), None).await;
    run(&sandbox, None, "import math\nx = 41\ndef double(n):\n    return 2 * n").await;
    let other = sandbox.create_context(None).await.expect("a context").id;
    run(&sandbox, Some(&other), "y = 'elsewhere'").await;
    let payload = dump(&sandbox).await;
    sandbox.stop().await;

    let (again, _) = restored(there.path(), payload).await;
    assert_eq!(value(&again, "double(x + 1), math.floor(2.5)").await, "(84, 2)");
    let events = run(&again, Some(&other), "y").await;
    assert_eq!(events[0], ExecutionEvent::Result("'elsewhere'".to_owned()));
    assert_eq!(events[1], ExecutionEvent::Ended { executions: 2 });
    assert_eq!(value(&again, "import os\nos.getenv('GREETING')").await, "'hello'");
}

#[tokio::test]
async fn files_survive_and_relative_paths_start_at_home() {
    let (here, there) = (tempfile::tempdir().expect("a dir"), tempfile::tempdir().expect("a dir"));
    let (sandbox, _) = fresh(here.path(), None).await;
    run(&sandbox, None, "with open('note.txt', 'w') as f:\n    f.write('kept')").await;
    let payload = dump(&sandbox).await;
    let (again, _) = restored(there.path(), payload).await;
    assert_eq!(value(&again, "open('/home/user/note.txt').read()").await, "'kept'");
}

#[tokio::test]
async fn code_does_not_leave_its_folders() {
    let here = tempfile::tempdir().expect("a dir");
    let (sandbox, _) = fresh(here.path(), None).await;
    for path in ["/etc/passwd", "../../../../etc/passwd", "/home/user/../../etc/passwd"] {
        let events = run(&sandbox, None, &format!("open({path:?}).read()")).await;
        assert!(matches!(events[0], ExecutionEvent::Error { .. }), "{path}: {events:?}");
    }
}

#[tokio::test]
async fn a_program_in_its_sleep_goes_on_where_it_stood() {
    let (here, there) = (tempfile::tempdir().expect("a dir"), tempfile::tempdir().expect("a dir"));
    let code = "n = 0\nwhile True:\n    n += 1\n    print('count', n)\n    sleep(0.01)";
    let (sandbox, mut output) = fresh(here.path(), Some(code)).await;
    for n in 1..=3 {
        assert_eq!(
            output.recv().await,
            Some(ExecutionEvent::Stdout(format!("count {n}\n")))
        );
    }
    let payload = dump(&sandbox).await;
    sandbox.stop().await;
    let mut last = 3;
    while let Some(ExecutionEvent::Stdout(_)) = output.recv().await {
        last += 1;
    }
    let (_again, mut output) = restored(there.path(), payload).await;
    let next = output.recv().await;
    assert_eq!(next, Some(ExecutionEvent::Stdout(format!("count {}\n", last + 1))));
}

#[tokio::test]
async fn a_frozen_sandbox_runs_nothing_until_it_is_thawed() {
    let here = tempfile::tempdir().expect("a dir");
    let (sandbox, mut output) = fresh(here.path(), Some("while True:\n    print('tick')\n    sleep(0.001)")).await;
    output.recv().await.expect("a first tick");
    sandbox.freeze(Duration::from_mins(1)).await.expect("freezes");
    while output.try_recv().is_ok() {}
    let cpu = sandbox.cpu();
    // Answered by the frozen thread: whatever it would run, it would have run by then.
    for _ in 0..50 {
        sandbox.env().await.expect("an answer");
    }
    assert!(output.try_recv().is_err(), "a frozen program printed");
    assert!(sandbox.cpu().saturating_sub(cpu) < Duration::from_secs(1));
    sandbox.thaw().await.expect("thaws");
    output.recv().await.expect("a tick after the thaw");
}

#[tokio::test]
async fn a_freeze_that_cannot_be_had_leaves_the_sandbox_running() {
    let here = tempfile::tempdir().expect("a dir");
    let (sandbox, _) = fresh(here.path(), None).await;
    let (sink, mut events) = sink();
    let interrupt = sink.interrupt.clone();
    let code = "print('busy')\nwhile True:\n    pass".to_owned();
    sandbox
        .execute(None, code, BTreeMap::new(), sink)
        .await
        .expect("accepted");
    assert_eq!(events.recv().await, Some(ExecutionEvent::Stdout("busy\n".to_owned())));
    let refused = sandbox.freeze(Duration::from_millis(20)).await.expect_err("busy");
    assert!(matches!(refused, SandboxError::Busy(_)), "{refused}");

    interrupt.cancel();
    let error = events.recv().await.expect("an error");
    assert!(
        matches!(&error, ExecutionEvent::Error { name, .. } if name == "KeyboardInterrupt"),
        "{error:?}"
    );
    assert_eq!(value(&sandbox, "1 + 1").await, "2", "it was not left frozen");
}

#[test]
fn a_sleep_that_was_interrupted_ends_before_a_freeze_and_does_not_go_on_after_a_restore() {
    let here = tempfile::tempdir().expect("a dir");
    let mut sandbox = MontySandbox::fresh(here.path(), BTreeMap::new(), Clock::system()).expect("a sandbox");
    let (sink, mut events) = sink();
    let interrupt = sink.interrupt.clone();
    let code = "from time import sleep\nsleep(3600)".to_owned();
    sandbox.execute(None, code, BTreeMap::new(), sink).expect("accepted");
    sandbox.poll();
    assert!(events.try_recv().is_err(), "it sleeps");
    interrupt.cancel();
    sandbox.freeze();
    let error = events.try_recv().expect("an error");
    assert!(
        matches!(&error, ExecutionEvent::Error { name, .. } if name == "KeyboardInterrupt"),
        "{error:?}"
    );
    sandbox.thaw();
    assert_eq!(sandbox.wake_in(), None, "nothing sleeps any more");
}

#[tokio::test]
async fn what_is_interrupted_before_its_turn_does_not_begin_after_a_restore() {
    let (here, there) = (tempfile::tempdir().expect("a dir"), tempfile::tempdir().expect("a dir"));
    let (sandbox, _) = fresh(here.path(), None).await;
    let (first, mut events) = sink();
    let code = "from time import sleep\nprint('sleeps')\nsleep(1)\ndone = ['first']".to_owned();
    let accepted = sandbox.execute(None, code, BTreeMap::new(), first).await;
    accepted.expect("accepted");
    events.recv().await.expect("it sleeps");
    let (second, _nobody) = sink();
    let interrupt = second.interrupt.clone();
    let code = "done.append('second')".to_owned();
    let accepted = sandbox.execute(None, code, BTreeMap::new(), second).await;
    accepted.expect("accepted");
    interrupt.cancel();
    let payload = dump(&sandbox).await;
    sandbox.stop().await;
    let (again, _) = restored(there.path(), payload).await;
    assert_eq!(value(&again, "done").await, "['first']");
}

#[tokio::test]
async fn code_that_comes_to_a_frozen_sandbox_is_later_than_its_checkpoint_and_runs_when_it_is_thawed() {
    let (here, there) = (tempfile::tempdir().expect("a dir"), tempfile::tempdir().expect("a dir"));
    let (sandbox, _) = fresh(here.path(), None).await;
    run(&sandbox, None, "done = []").await;
    sandbox.freeze(Duration::from_mins(1)).await.expect("freezes");
    let (late, mut events) = sink();
    let code = "done.append('late')".to_owned();
    let accepted = sandbox.execute(None, code, BTreeMap::new(), late).await;
    accepted.expect("accepted");
    let payload = dump(&sandbox).await;
    let (again, _) = restored(there.path(), payload).await;
    assert_eq!(value(&again, "done").await, "[]");
    sandbox.thaw().await.expect("thaws");
    events.recv().await.expect("it runs");
    assert_eq!(value(&sandbox, "done").await, "['late']");
}

#[tokio::test]
async fn a_context_is_listed_emptied_and_removed_whatever_runs_in_it() {
    let here = tempfile::tempdir().expect("a dir");
    let (sandbox, _) = fresh(here.path(), None).await;
    let other = sandbox.create_context(None).await.expect("a context").id;
    let limit = Duration::from_secs(20);
    let soon = async {
        for remove in [false, true] {
            run(&sandbox, Some(&other), "x = 41").await;
            let mut begun = busy(&sandbox, &other).await;
            let (waiting, mut never) = sink();
            let code = "print('never')".to_owned();
            assert_eq!(sandbox.contexts().await.expect("listed").len(), 2);
            // Taken by the thread in this order, when what runs has ended.
            let waits = sandbox.execute(Some(other.clone()), code, BTreeMap::new(), waiting);
            if remove {
                let (_, removed) = tokio::join!(waits, sandbox.remove_context(other.clone()));
                removed.expect("removed");
            } else {
                let (_, emptied) = tokio::join!(waits, sandbox.restart_context(other.clone()));
                emptied.expect("emptied");
                let events = run(&sandbox, Some(&other), "x").await;
                assert!(matches!(&events[0], ExecutionEvent::Error { name, .. } if name == "NameError"));
            }
            assert_eq!(
                (begun.recv().await, never.recv().await),
                (None, None),
                "without an answer"
            );
        }
        assert_eq!(sandbox.contexts().await.expect("listed").len(), 1);
        assert_eq!(value(&sandbox, "1 + 1").await, "2", "the others go on");
    };
    tokio::time::timeout(limit, soon).await.expect("nothing waits for code");
    sandbox.stop().await;
    assert!(matches!(sandbox.contexts().await, Err(SandboxError::Ended)));
}

#[tokio::test]
async fn output_without_line_breaks_is_sent_on_before_its_end() {
    let here = tempfile::tempdir().expect("a dir");
    let (sandbox, mut output) = fresh(here.path(), Some("while True:\n    print('x' * 1000, end='')")).await;
    let piece = tokio::time::timeout(Duration::from_secs(20), output.recv()).await;
    assert!(matches!(piece, Ok(Some(ExecutionEvent::Stdout(_)))), "{piece:?}");
    sandbox.stop().await;
}

#[tokio::test]
async fn code_makes_no_path_that_cannot_be_written_down() {
    let (here, there) = (tempfile::tempdir().expect("a dir"), tempfile::tempdir().expect("a dir"));
    let (sandbox, _) = fresh(here.path(), None).await;
    // Each move makes it deeper by fifty folders.
    let nests = "
from pathlib import Path
deep = '/tmp' + '/d' * 50
for i in range(100):
    Path('/tmp/new' + '/d' * 50).mkdir(parents=True)
    if i > 0:
        Path('/tmp/old').rename('/tmp/new' + '/d' * 50 + '/d')
    Path('/tmp/new').rename('/tmp/old')";
    let long = "
from pathlib import Path
Path('/'.join(['/tmp'] + ['n' * 200] * 18)).mkdir(parents=True)";
    for code in [nests, long] {
        let events = run(&sandbox, None, code).await;
        let ExecutionEvent::Error { name, value, .. } = &events[0] else {
            panic!("{events:?}")
        };
        assert_eq!(name, "OSError", "{value}");
        assert!(value.contains("are the most"), "{value}");
    }
    let (again, _) = restored(there.path(), dump(&sandbox).await).await;
    assert_eq!(
        value(&again, "from pathlib import Path\nPath('/tmp/old').is_dir()").await,
        "True"
    );
}

#[tokio::test]
async fn errors_come_with_name_message_and_traceback() {
    let here = tempfile::tempdir().expect("a dir");
    let (sandbox, _) = fresh(here.path(), None).await;
    let events = run(&sandbox, None, "1 / 0").await;
    let ExecutionEvent::Error { name, value, traceback } = &events[0] else {
        panic!("{events:?}")
    };
    assert_eq!(
        (name.as_str(), value.as_str()),
        ("ZeroDivisionError", "division by zero")
    );
    assert!(
        traceback.starts_with("Traceback (most recent call last):"),
        "{traceback}"
    );
    let events = run(&sandbox, None, "def broken(:").await;
    assert!(
        matches!(&events[0], ExecutionEvent::Error { name, .. } if name == "SyntaxError"),
        "{events:?}"
    );
}

#[tokio::test]
async fn a_damaged_payload_is_refused() {
    let (here, there) = (tempfile::tempdir().expect("a dir"), tempfile::tempdir().expect("a dir"));
    let (sandbox, _) = fresh(here.path(), None).await;
    let mut payload = dump(&sandbox).await;
    payload.truncate(payload.len() / 2);
    let (program_sink, _) = sink();
    let origin = Origin::Checkpoint(payload.into());
    let refused = SandboxProcess::start(there.path().to_owned(), origin, program_sink, Clock::system()).await;
    assert!(refused.is_err());
}

#[tokio::test]
async fn an_unknown_context_is_named() {
    let here = tempfile::tempdir().expect("a dir");
    let (sandbox, _) = fresh(here.path(), None).await;
    let (sink, _) = sink();
    let refused = sandbox
        .execute(Some("nobody".to_owned()), "1".to_owned(), BTreeMap::new(), sink)
        .await;
    assert_eq!(refused.expect_err("refused").to_string(), "context nobody not found");
}
