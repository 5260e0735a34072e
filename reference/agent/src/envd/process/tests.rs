use std::path::Path as FilePath;
use std::time::Duration;

use axum::body::to_bytes;
use torpor_runtime::Exit;

use super::*;
use crate::fake::Serving;

fn asking_for(milliseconds: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("connect-timeout-ms", milliseconds.parse().expect("a value"));
    headers
}

fn framed(message: &Value) -> Bytes {
    crate::connect::message_frame(message)
}

async fn started(serving: &Serving, program: &str, timeout: &str) -> Response {
    let message = framed(&json!({ "process": { "cmd": program } }));
    start(State(serving.workload.clone()), asking_for(timeout), message).await
}

async fn said(response: Response) -> String {
    let body = to_bytes(response.into_body(), usize::MAX).await.expect("a body");
    String::from_utf8_lossy(&body).into_owned()
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_who_listens_leaves_the_process_alone() {
    let serving = Serving::below(FilePath::new("/"));
    drop(started(&serving, "server", "0").await);
    let message = framed(&json!({ "process": { "pid": 100 } }));
    let response = connect(State(serving.workload.clone()), asking_for("60000"), message).await;
    let said = said(response).await;
    assert!(
        said.ends_with(r#""message":"the call took longer than its timeout"}}"#),
        "{said}"
    );
    assert_eq!(serving.sandbox.runs(), ["server"]);
}

#[tokio::test(start_paused = true)]
async fn a_process_ends_at_the_deadline_of_its_start_whoever_listens() {
    let serving = Serving::below(FilePath::new("/"));
    let heard = started(&serving, "heard", "5000").await;
    drop(started(&serving, "unheard", "5000").await);
    drop(started(&serving, "unbounded", "0").await);
    let unread = started(&serving, "unread", "5000").await;
    tokio::time::sleep(Duration::from_millis(4999)).await;
    assert_eq!(serving.sandbox.runs(), ["heard", "unheard", "unbounded", "unread"]);
    let said = said(heard).await;
    assert!(said.contains("deadline_exceeded"), "{said}");
    assert!(
        !serving.sandbox.runs().contains(&"heard".to_owned()),
        "it has ended when that is told"
    );
    tokio::time::sleep(Duration::from_hours(24)).await;
    assert_eq!(serving.sandbox.runs(), ["unbounded"]);
    drop(unread);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_is_not_for_the_next_process_with_the_pid() {
    let serving = Serving::below(FilePath::new("/"));
    for heard in [true, false] {
        let first = started(&serving, "first", "5000").await;
        let first = if heard {
            Some(first)
        } else {
            drop(first);
            None
        };
        serving.sandbox.end(100, Exit::Code(0)).expect("it runs");
        if let Some(first) = first {
            let said = said(first).await;
            assert!(said.contains("exit status 0"), "{said}");
        }
        drop(started(&serving, "next", "0").await);
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert_eq!(serving.sandbox.runs(), ["next"]);
        serving.sandbox.end(100, Exit::Code(0)).expect("it runs");
    }
}

#[test]
fn a_process_begins_without_an_input_unless_it_is_to_have_one() {
    let no_input = |asked: Value| {
        let request: StartRequest = serde_json::from_value(asked).expect("a request");
        spec(&request).no_input
    };
    assert!(no_input(json!({ "process": { "cmd": "cat" } })));
    assert!(no_input(json!({ "process": { "cmd": "cat" }, "stdin": false })));
    assert!(!no_input(json!({ "process": { "cmd": "cat" }, "stdin": true })));
    assert!(!no_input(
        json!({ "process": { "cmd": "cat" }, "pty": { "size": { "cols": 80, "rows": 24 } } })
    ));
}
