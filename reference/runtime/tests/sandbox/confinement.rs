//! What code in a sandbox cannot do: leave its folders, or hold up the process that runs it.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::time::Duration;

use torpor_runtime::ExecutionEvent;

use super::driver::{fresh, run, sink, value};

#[tokio::test]
async fn a_link_out_of_the_folders_is_not_followed() {
    let (here, outside) = (tempfile::tempdir().expect("a dir"), tempfile::tempdir().expect("a dir"));
    let secret = outside.path().join("secret");
    std::fs::write(&secret, "secret").expect("a file outside");
    let (sandbox, _) = fresh(here.path(), None).await;
    let home = here.path().join("home/user");
    symlink(&secret, home.join("link")).expect("a link to a file");
    symlink(outside.path(), home.join("folder")).expect("a link to a folder");
    for code in [
        "open('link').read()",
        "open('folder/secret').read()",
        "open('link', 'w').write('changed')",
        "open('folder/new', 'w').write('new')",
    ] {
        let events = run(&sandbox, None, code).await;
        assert!(matches!(events[0], ExecutionEvent::Error { .. }), "{code}: {events:?}");
    }
    assert_eq!(std::fs::read_to_string(&secret).expect("still there"), "secret");
    assert!(!outside.path().join("new").exists());
}

#[tokio::test]
async fn endless_recursion_ends_in_an_error_and_the_sandbox_goes_on() {
    let here = tempfile::tempdir().expect("a dir");
    let (sandbox, _) = fresh(here.path(), None).await;
    let events = run(&sandbox, None, "def f(n):\n    return f(n + 1)\nf(0)").await;
    assert!(
        matches!(&events[0], ExecutionEvent::Error { name, .. } if name == "RecursionError"),
        "{events:?}"
    );
    assert_eq!(value(&sandbox, "1 + 1").await, "2");
}

#[tokio::test]
async fn a_stop_ends_code_that_does_not_end() {
    let here = tempfile::tempdir().expect("a dir");
    let (sandbox, _) = fresh(here.path(), None).await;
    let (sink, mut events) = sink();
    let code = "print('busy')\nwhile True:\n    pass".to_owned();
    let accepted = sandbox.execute(None, code, BTreeMap::new(), sink).await;
    accepted.expect("accepted");
    assert_eq!(events.recv().await, Some(ExecutionEvent::Stdout("busy\n".to_owned())));
    let stopped = tokio::time::timeout(Duration::from_mins(1), sandbox.stop()).await;
    assert!(stopped.is_ok(), "the code was interrupted and the thread has ended");
    assert!(sandbox.contexts().await.is_err());
}
