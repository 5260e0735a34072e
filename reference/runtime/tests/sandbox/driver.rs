//! Runs sandboxes for the tests.

#![expect(clippy::unwrap_used, reason = "a sandbox that cannot be set up fails the test")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_util::sync::CancellationToken;
use torpor_runtime::{Clock, ExecutionEvent, ExecutionSink, Origin, SandboxProcess};

pub(crate) fn sink() -> (ExecutionSink, UnboundedReceiver<ExecutionEvent>) {
    let (events, receiver) = unbounded_channel();
    (
        ExecutionSink {
            events,
            interrupt: CancellationToken::new(),
        },
        receiver,
    )
}

/// A sandbox without history, by the machine's clocks.
pub(crate) async fn fresh(root: &Path, program: Option<&str>) -> (SandboxProcess, UnboundedReceiver<ExecutionEvent>) {
    start(root, without_history(program), Clock::system()).await
}

pub(crate) fn without_history(program: Option<&str>) -> Origin {
    Origin::Fresh {
        env: BTreeMap::from([("GREETING".to_owned(), "hello".to_owned())]),
        program: program.map(str::to_owned),
    }
}

pub(crate) async fn restored(root: &Path, payload: Vec<u8>) -> (SandboxProcess, UnboundedReceiver<ExecutionEvent>) {
    start(root, Origin::Checkpoint(payload.into()), Clock::system()).await
}

/// A sandbox, and what its program writes.
pub(crate) async fn start(
    root: &Path,
    origin: Origin,
    clock: Clock,
) -> (SandboxProcess, UnboundedReceiver<ExecutionEvent>) {
    let (program_sink, output) = sink();
    let sandbox = SandboxProcess::start(root.to_owned(), origin, program_sink, clock).await;
    (sandbox.unwrap(), output)
}

pub(crate) async fn run(sandbox: &SandboxProcess, context: Option<&str>, code: &str) -> Vec<ExecutionEvent> {
    let (sink, mut events) = sink();
    sandbox
        .execute(context.map(str::to_owned), code.to_owned(), BTreeMap::new(), sink)
        .await
        .unwrap();
    let mut seen = Vec::new();
    while let Some(event) = events.recv().await {
        let ended = matches!(event, ExecutionEvent::Ended { .. });
        seen.push(event);
        if ended {
            return seen;
        }
    }
    panic!("the execution never ended: {seen:?}")
}

pub(crate) async fn value(sandbox: &SandboxProcess, code: &str) -> String {
    match run(sandbox, None, code).await.as_slice() {
        [ExecutionEvent::Result(value), ExecutionEvent::Ended { .. }] => value.clone(),
        other => panic!("no value: {other:?}"),
    }
}

pub(crate) async fn dump(sandbox: &SandboxProcess) -> Vec<u8> {
    sandbox.freeze(Duration::from_mins(1)).await.unwrap();
    sandbox.dump().unwrap().into_bytes().unwrap().to_vec()
}

/// Runs what does not end by itself; gives its events from when it has begun.
pub(crate) async fn busy(sandbox: &SandboxProcess, context: &str) -> UnboundedReceiver<ExecutionEvent> {
    let (sink, mut events) = sink();
    let code = "print('busy')\nwhile True:\n    pass".to_owned();
    let accepted = sandbox.execute(Some(context.to_owned()), code, BTreeMap::new(), sink);
    accepted.await.unwrap();
    assert_eq!(events.recv().await, Some(ExecutionEvent::Stdout("busy\n".to_owned())));
    events
}
