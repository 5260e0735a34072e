//! The code interpreter API of E2B: run code in contexts, with the events of a run as JSON lines.
//!
//! Follows E2B's `code-interpreter` server. Python is the only language here; whoever asks for
//! another is told so.

mod events;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::JsonRejection;
use axum::extract::{Json, Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use futures::Stream;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio_util::sync::{CancellationToken, DropGuard};
use torpor_runtime::{ContextInfo, ExecutionEvent, ExecutionSink, Sandbox, SandboxError};

use crate::supervisor::{Workload, to_its_end};
use events::{event_lines, line};
use torpor_runtime::chain;

/// A sign of life while code prints nothing.
const KEEPALIVE: Duration = Duration::from_secs(5);

/// Bytes of output that may wait for a client; one that lets more than this wait has its code interrupted.
const WAITING: usize = 32 << 20;

#[derive(Debug, Deserialize)]
struct ExecuteRequest {
    code: String,
    context_id: Option<String>,
    language: Option<String>,
    env_vars: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Default, Deserialize)]
struct ContextRequest {
    language: Option<String>,
    cwd: Option<String>,
}

/// Why a request is refused.
#[derive(Debug)]
enum Refused {
    NotServing,
    Body(JsonRejection),
    ContextAndLanguage,
    Language(String),
    Sandbox(SandboxError),
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, message) = match self {
            Self::NotServing => (StatusCode::SERVICE_UNAVAILABLE, "the sandbox is not running".to_owned()),
            Self::Body(rejection) => (rejection.status(), rejection.body_text()),
            Self::ContextAndLanguage => (
                StatusCode::BAD_REQUEST,
                "context_id and language exclude each other; give one of them".to_owned(),
            ),
            Self::Language(language) => (
                StatusCode::BAD_REQUEST,
                format!("language {language} is not supported by this sandbox; it runs python"),
            ),
            Self::Sandbox(error @ SandboxError::NoContext(_)) => (StatusCode::NOT_FOUND, error.to_string()),
            Self::Sandbox(error @ SandboxError::Ended) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
            Self::Sandbox(error) => (StatusCode::INTERNAL_SERVER_ERROR, chain(&error)),
        };
        (status, message).into_response()
    }
}

impl From<SandboxError> for Refused {
    fn from(error: SandboxError) -> Self {
        Self::Sandbox(error)
    }
}

pub(crate) fn router(workload: Workload) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/execute", post(execute))
        .route("/contexts", get(list).post(create))
        .route("/contexts/{id}", delete(remove))
        .route("/contexts/{id}/restart", post(restart))
        .with_state(workload)
}

async fn health(State(workload): State<Workload>) -> Result<Json<&'static str>, Refused> {
    serving(&workload).map(|_| Json("OK"))
}

fn serving(workload: &Workload) -> Result<Arc<dyn Sandbox>, Refused> {
    workload.serving().ok_or(Refused::NotServing)
}

async fn execute(
    State(workload): State<Workload>,
    request: Result<Json<ExecuteRequest>, JsonRejection>,
) -> Result<Response, Refused> {
    let Json(request) = request.map_err(Refused::Body)?;
    let sandbox = serving(&workload)?;
    if request.context_id.is_some() && request.language.is_some() {
        return Err(Refused::ContextAndLanguage);
    }
    python_only(request.language.as_deref())?;
    let (sender, events) = mpsc::unbounded_channel();
    let interrupt = CancellationToken::new();
    let sink = ExecutionSink {
        events: sender,
        interrupt: interrupt.clone(),
    };
    let env = request.env_vars.unwrap_or_default();
    // From here on: a client may go before the code is taken.
    let running = Running::begun(events, interrupt, WAITING);
    to_the_end(async move {
        let interpreter = sandbox.interpreter();
        interpreter.execute(request.context_id, request.code, env, sink).await
    })
    .await?;
    let body = Body::from_stream(output(running));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

/// What `asked` of the sandbox gives. It is done to its end, whether or not the client waits for it: nothing of it is to be left
/// half-way.
async fn to_the_end<T: Send + 'static>(
    asked: impl Future<Output = Result<T, SandboxError>> + Send + 'static,
) -> Result<T, Refused> {
    Ok(to_its_end(asked).await.unwrap_or(Err(SandboxError::Ended))?)
}

fn python_only(language: Option<&str>) -> Result<(), Refused> {
    match language {
        None | Some("python" | "python3" | "py") => Ok(()),
        Some(other) => Err(Refused::Language(other.to_owned())),
    }
}

/// Passes the events of a run on as lines, as long as the client takes them: code does not wait for whoever listens.
struct Passing {
    lines: UnboundedSender<io::Result<Bytes>>,
    /// Bytes that the client has not taken.
    waiting: Arc<AtomicUsize>,
    limit: usize,
    interrupt: CancellationToken,
}

impl Passing {
    async fn run(self, mut events: UnboundedReceiver<ExecutionEvent>) {
        let why = loop {
            let Some(event) = events.recv().await else {
                break "the sandbox ended during the execution";
            };
            let ended = matches!(event, ExecutionEvent::Ended { .. });
            // However much is in one event: it is there already.
            if !ended && self.waiting.load(Ordering::Relaxed) > self.limit {
                self.interrupt.cancel();
                break "the output was not read, and the execution was interrupted";
            }
            let line = event_lines(event);
            self.waiting.fetch_add(line.len(), Ordering::Relaxed);
            if self.lines.send(Ok(line)).is_err() || ended {
                return;
            }
        };
        // The client may have gone.
        let _ = self.lines.send(Err(io::Error::other(why)));
    }
}

/// A run that a client listens to. When the client goes, the code is interrupted.
struct Running {
    lines: UnboundedReceiver<io::Result<Bytes>>,
    waiting: Arc<AtomicUsize>,
    _interrupt: DropGuard,
}

impl Running {
    /// Hears of a run, which is interrupted when more than `limit` bytes wait to be taken.
    fn begun(events: UnboundedReceiver<ExecutionEvent>, interrupt: CancellationToken, limit: usize) -> Self {
        let (pass, lines) = mpsc::unbounded_channel();
        let waiting = Arc::default();
        let passing = Passing {
            lines: pass,
            waiting: Arc::clone(&waiting),
            limit,
            interrupt: interrupt.clone(),
        };
        tokio::spawn(passing.run(events));
        Self {
            lines,
            waiting,
            _interrupt: interrupt.drop_guard(),
        }
    }
}

/// The events of a run, one JSON object a line. Ends with an error when the sandbox ends before the run does.
fn output(running: Running) -> impl Stream<Item = io::Result<Bytes>> {
    futures::stream::unfold(running, |mut running| async move {
        let line = match tokio::time::timeout(KEEPALIVE, running.lines.recv()).await {
            Err(_) => Ok(line(&json!({ "type": "keepalive" }))),
            Ok(taken) => taken?.inspect(|line| {
                running.waiting.fetch_sub(line.len(), Ordering::Relaxed);
            }),
        };
        Some((line, running))
    })
}

fn context_json(context: &ContextInfo) -> Value {
    json!({ "id": context.id, "language": "python", "cwd": context.cwd })
}

async fn list(State(workload): State<Workload>) -> Result<Json<Vec<Value>>, Refused> {
    let contexts = serving(&workload)?.interpreter().contexts().await?;
    Ok(Json(contexts.iter().map(context_json).collect()))
}

async fn create(State(workload): State<Workload>, body: Bytes) -> Result<Json<Value>, Refused> {
    let request: ContextRequest = if body.is_empty() {
        ContextRequest::default()
    } else {
        Json::from_bytes(&body).map_err(Refused::Body)?.0
    };
    python_only(request.language.as_deref())?;
    let sandbox = serving(&workload)?;
    let context = to_the_end(async move { sandbox.interpreter().create_context(request.cwd).await }).await?;
    Ok(Json(context_json(&context)))
}

async fn restart(State(workload): State<Workload>, Path(id): Path<String>) -> Result<Json<Value>, Refused> {
    let sandbox = serving(&workload)?;
    to_the_end(async move { sandbox.interpreter().restart_context(id).await }).await?;
    Ok(Json(Value::Null))
}

async fn remove(State(workload): State<Workload>, Path(id): Path<String>) -> Result<Json<Value>, Refused> {
    let sandbox = serving(&workload)?;
    to_the_end(async move { sandbox.interpreter().remove_context(id).await }).await?;
    Ok(Json(Value::Null))
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::StreamExt as _;

    use super::*;
    use crate::fake::Serving;

    const LIMIT: usize = 8 << 10;
    const LINE: usize = 1 << 10;

    fn begun() -> (UnboundedSender<ExecutionEvent>, CancellationToken, Running) {
        let (sender, events) = mpsc::unbounded_channel();
        let interrupt = CancellationToken::new();
        let running = Running::begun(events, interrupt.clone(), LIMIT);
        (sender, interrupt, running)
    }

    fn printed() -> ExecutionEvent {
        ExecutionEvent::Stdout("x".repeat(LINE))
    }

    /// The output ends here, and says why.
    async fn is_cut_since(mut output: impl Stream<Item = io::Result<Bytes>> + Unpin, says: &str) {
        let last = output.next().await.expect("it says why");
        let why = last.expect_err("it is cut").to_string();
        assert!(why.contains(says), "{why}");
        assert!(output.next().await.is_none());
    }

    #[tokio::test]
    async fn code_whose_client_goes_before_it_is_taken_is_taken_and_interrupted() {
        let serving = Serving::below(std::path::Path::new("/"));
        let go_on = serving.sandbox.hold_code();
        let request = Json::from_bytes(br#"{"code": "while True: pass"}"#);
        let mut executing = Box::pin(execute(State(serving.workload.clone()), request));
        assert!(futures::poll!(&mut executing).is_pending());
        // The sandbox hears of it.
        tokio::task::yield_now().await;
        assert!(futures::poll!(&mut executing).is_pending());
        drop(executing);
        go_on.notify_one();
        let taken = tokio::time::timeout(Duration::from_secs(20), serving.sandbox.code());
        let taken = taken.await.expect("in time");
        assert!(taken.interrupt.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn code_whose_output_nobody_takes_is_interrupted() {
        let (events, interrupt, running) = begun();
        for _ in 0..=LIMIT / LINE {
            events.send(printed()).expect("it is taken");
        }
        let interrupted = tokio::time::timeout(Duration::from_mins(1), interrupt.cancelled());
        interrupted.await.expect("it is interrupted");
        events.closed().await;
        let mut output = pin!(output(running));
        for _ in 0..LIMIT / LINE {
            let line = output.next().await.expect("a line");
            assert!(line.expect("what waited is told").len() > LINE);
        }
        is_cut_since(output, "was not read").await;
    }

    #[tokio::test(start_paused = true)]
    async fn code_whose_output_is_taken_prints_as_much_as_it_likes() {
        let (events, interrupt, running) = begun();
        let mut output = pin!(output(running));
        for _ in 0..3 * LIMIT / LINE {
            events.send(printed()).expect("it is taken");
            let line = output.next().await.expect("a line");
            assert!(line.expect("it runs").len() > LINE);
        }
        events
            .send(ExecutionEvent::Ended { executions: 7 })
            .expect("it is taken");
        let last = output.next().await.expect("a line").expect("it has ended");
        let count = "{\"execution_count\":7,\"type\":\"number_of_executions\"}\n";
        assert_eq!(last, format!("{count}{{\"type\":\"end_of_execution\"}}\n"));
        assert!(!interrupt.is_cancelled());
        assert!(output.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_whose_sandbox_ends_says_so() {
        let (events, _, running) = begun();
        drop(events);
        let output = pin!(output(running));
        is_cut_since(output, "the sandbox ended").await;
    }
}
