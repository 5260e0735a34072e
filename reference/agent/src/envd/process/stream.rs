//! What a client hears of a process, and the deadline of the call that started it.

use std::sync::{Arc, Weak};

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::Stream;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use torpor_runtime::{Exit, ProcessEvent, ProcessInfo, ProcessStream, Sandbox, SandboxError};

use super::SIGKILL;
use crate::connect::{ConnectError, Pace, end_frame, message_frame};

/// A process that a client is to hear of.
#[derive(Debug)]
pub(super) struct Listened {
    pub(super) stream: ProcessStream,
    /// What ends the process at the deadline of this call, if it started it and has one. It goes on without this.
    pub(super) bound: Option<JoinHandle<()>>,
}

/// Ends a process at the deadline of the call that started it, whether or not anybody listens then.
pub(super) fn bound(sandbox: &Arc<dyn Sandbox>, started: ProcessInfo, pace: Pace) -> Option<JoinHandle<()>> {
    let sandbox = Arc::downgrade(sandbox);
    pace.ends().then(|| tokio::spawn(end_in_time(sandbox, started, pace)))
}

async fn end_in_time(sandbox: Weak<dyn Sandbox>, started: ProcessInfo, pace: Pace) {
    pace.deadline().await;
    let Some(sandbox) = sandbox.upgrade() else { return };
    let Some(processes) = sandbox.processes() else { return };
    let ended = async {
        // The pid may be another process's by now.
        if processes.list().await?.contains(&started) {
            processes.signal(started.pid, SIGKILL).await?;
        }
        Ok::<_, SandboxError>(())
    };
    if let Err(error) = ended.await {
        tracing::debug!(%error, pid = started.pid, "end a process at its deadline");
    }
}

pub(super) fn response(opened: Result<Listened, ConnectError>, pace: Pace) -> Response {
    match opened {
        Err(error) => error.into_stream_response(),
        Ok(Listened { stream, bound }) => {
            let running = Running {
                stream,
                bound,
                pace,
                stage: StreamStage::Opened,
            };
            let body = Body::from_stream(frames(running));
            ([(header::CONTENT_TYPE, "application/connect+json")], body).into_response()
        }
    }
}

/// A process that a client listens to. When the client goes, or its call is over, the process stays.
struct Running {
    stream: ProcessStream,
    bound: Option<JoinHandle<()>>,
    pace: Pace,
    stage: StreamStage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum StreamStage {
    Opened,
    Running,
    Ended,
    Closed,
}

fn frames(running: Running) -> impl Stream<Item = Result<Bytes, std::io::Error>> {
    futures::stream::unfold(running, |mut running| async move {
        let frame = match running.stage {
            StreamStage::Closed => return None,
            StreamStage::Opened => {
                running.stage = StreamStage::Running;
                message_frame(&json!({ "event": { "start": { "pid": running.stream.pid } } }))
            }
            StreamStage::Ended => {
                running.stage = StreamStage::Closed;
                end_frame(None)
            }
            StreamStage::Running => running.next().await,
        };
        Some((Ok(frame), running))
    })
}

impl Running {
    async fn next(&mut self) -> Bytes {
        tokio::select! {
            biased;
            // Before the output: there may always be some.
            () = self.pace.deadline() => {
                self.stage = StreamStage::Closed;
                // Whoever hears of the end finds the process ended.
                if let Some(bound) = self.bound.take() && let Err(error) = bound.await {
                    tracing::error!(%error, pid = self.stream.pid, "end a process at its deadline");
                }
                end_frame(Some(&ConnectError::too_long()))
            }
            event = self.stream.events.recv() => if let Some(event) = event {
                if let ProcessEvent::Exited(_) = event {
                    self.stage = StreamStage::Ended;
                    if let Some(bound) = self.bound.take() {
                        bound.abort();
                    }
                }
                message_frame(&json!({ "event": event_json(&event) }))
            } else {
                self.stage = StreamStage::Closed;
                end_frame(Some(&ConnectError::stopped()))
            },
            () = self.pace.silence() => message_frame(&json!({ "event": { "keepalive": {} } })),
        }
    }
}

fn event_json(event: &ProcessEvent) -> Value {
    match event {
        ProcessEvent::Stdout(bytes) => json!({ "data": { "stdout": STANDARD.encode(bytes) } }),
        ProcessEvent::Stderr(bytes) => json!({ "data": { "stderr": STANDARD.encode(bytes) } }),
        ProcessEvent::Terminal(bytes) => json!({ "data": { "pty": STANDARD.encode(bytes) } }),
        // A code of zero is left out by protobuf's JSON, and understood as zero.
        ProcessEvent::Exited(Exit::Code(code)) => {
            json!({ "end": { "exitCode": code, "exited": true, "status": format!("exit status {code}") } })
        }
        ProcessEvent::Exited(Exit::Signal(signal)) => {
            let status = format!("signal: {signal}");
            json!({ "end": { "exitCode": -1, "exited": false, "status": status, "error": status } })
        }
    }
}
