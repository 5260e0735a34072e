//! `process.Process` of envd: start, list, reach and signal processes.
//!
//! Follows `process.proto` of E2B's envd. Left out: `StreamInput`, and users other than the container's own.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::Stream;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use torpor_runtime::{
    Exit, ProcessEvent, ProcessInfo, ProcessSpec, ProcessStream, Processes, Sandbox, SandboxError, TerminalSize,
};

use crate::connect::{Code, ConnectError, Pace, end_frame, message_frame, streamed_message};
use crate::supervisor::Workload;
use torpor_runtime::chain;

const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;

#[derive(Debug, Deserialize)]
struct StartRequest {
    process: ProcessConfig,
    pty: Option<Pty>,
    tag: Option<String>,
    stdin: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ProcessConfig {
    cmd: String,
    args: Vec<String>,
    envs: BTreeMap<String, String>,
    cwd: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Pty {
    size: Size,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct Size {
    cols: u16,
    rows: u16,
}

impl From<Size> for TerminalSize {
    fn from(size: Size) -> Self {
        Self {
            columns: size.cols,
            rows: size.rows,
        }
    }
}

/// A process by its pid or by the tag it was started with.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Selector {
    Pid(u32),
    Tag(String),
}

#[derive(Debug, Deserialize)]
struct ConnectRequest {
    process: Selector,
}

#[derive(Debug, Deserialize)]
struct CallRequest {
    process: Selector,
    input: Option<Input>,
    signal: Option<String>,
    pty: Option<Pty>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Input {
    Stdin(String),
    Pty(String),
}

/// A call that is answered at once.
#[derive(Clone, Copy, Debug)]
enum Method {
    SendInput,
    SendSignal,
    CloseStdin,
    Update,
}

/// The sandbox that serves, if its engine has processes.
fn sandbox(workload: &Workload) -> Result<Arc<dyn Sandbox>, ConnectError> {
    let sandbox = workload.serving();
    let sandbox = sandbox.ok_or_else(|| ConnectError::new(Code::Unavailable, "the sandbox is not running"))?;
    if sandbox.processes().is_none() {
        let why = "this sandbox runs Python code and no other processes; use run_code instead";
        return Err(ConnectError::new(Code::Unimplemented, why));
    }
    Ok(sandbox)
}

fn processes(sandbox: &dyn Sandbox) -> Result<&dyn Processes, ConnectError> {
    sandbox
        .processes()
        .ok_or_else(|| ConnectError::new(Code::Unimplemented, "no processes"))
}

pub(super) async fn list(State(workload): State<Workload>) -> Result<Json<Value>, ConnectError> {
    let Some(sandbox) = workload.serving() else {
        return Err(ConnectError::new(Code::Unavailable, "the sandbox is not running"));
    };
    let running = match sandbox.processes() {
        Some(processes) => processes.list().await.map_err(|error| refused(&error))?,
        None => Vec::new(),
    };
    let listed: Vec<Value> = running.iter().map(info_json).collect();
    Ok(Json(json!({ "processes": listed })))
}

fn info_json(info: &ProcessInfo) -> Value {
    let mut listed = json!({ "pid": info.pid, "config": {
        "cmd": info.spec.program, "args": info.spec.args, "envs": info.spec.env, "cwd": info.spec.cwd,
    } });
    if let Some(tag) = &info.spec.tag {
        listed["tag"] = json!(tag);
    }
    listed
}

pub(super) async fn start(State(workload): State<Workload>, headers: HeaderMap, body: Bytes) -> Response {
    let started = async {
        let request: StartRequest = streamed_message(&body)?;
        let sandbox = sandbox(&workload)?;
        let processes = processes(sandbox.as_ref())?;
        let stream = processes
            .start(spec(&request))
            .await
            .map_err(|error| start_refused(&error))?;
        // Without the flag a command that reads finds the end of its input.
        if request.pty.is_none() && request.stdin != Some(true) {
            match processes.close_stdin(stream.pid).await {
                Ok(()) | Err(SandboxError::NoProcess(_)) => {}
                Err(error) => return Err(refused(&error)),
            }
        }
        Ok((Arc::clone(&sandbox), stream))
    };
    stream_response(started.await, &headers)
}

fn spec(request: &StartRequest) -> ProcessSpec {
    ProcessSpec {
        program: request.process.cmd.clone(),
        args: request.process.args.clone(),
        env: request.process.envs.clone(),
        cwd: request.process.cwd.clone().filter(|cwd| !cwd.is_empty()),
        tag: request.tag.clone(),
        terminal: request.pty.as_ref().map(|pty| pty.size.into()),
        keep_output: false,
    }
}

pub(super) async fn connect(State(workload): State<Workload>, headers: HeaderMap, body: Bytes) -> Response {
    let connected = async {
        let request: ConnectRequest = streamed_message(&body)?;
        let sandbox = sandbox(&workload)?;
        let processes = processes(sandbox.as_ref())?;
        let pid = find(processes, request.process).await?;
        let stream = processes.connect(pid).await.map_err(|error| refused(&error))?;
        Ok((Arc::clone(&sandbox), stream))
    };
    stream_response(connected.await, &headers)
}

pub(super) async fn call(
    State(workload): State<Workload>,
    Path(method): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, ConnectError> {
    let method = match method.as_str() {
        "SendInput" => Method::SendInput,
        "SendSignal" => Method::SendSignal,
        "CloseStdin" => Method::CloseStdin,
        "Update" => Method::Update,
        other => return Err(ConnectError::new(Code::Unimplemented, format!("no method {other}"))),
    };
    let sandbox = sandbox(&workload)?;
    let processes = processes(sandbox.as_ref())?;
    let request: CallRequest = message(&body)?;
    let pid = find(processes, request.process).await?;
    let missing = |field| ConnectError::new(Code::InvalidArgument, format!("{field} is missing"));
    match method {
        Method::SendInput => {
            let (Input::Stdin(text) | Input::Pty(text)) = request.input.ok_or_else(|| missing("input"))?;
            let input = STANDARD.decode(text);
            let input = input.map_err(|error| ConnectError::new(Code::InvalidArgument, format!("input: {error}")))?;
            processes.send_input(pid, input).await
        }
        Method::SendSignal => {
            let signal = match request.signal.as_deref() {
                Some("SIGNAL_SIGTERM") => SIGTERM,
                Some("SIGNAL_SIGKILL") => SIGKILL,
                Some(other) => return Err(ConnectError::new(Code::InvalidArgument, format!("no signal {other}"))),
                None => return Err(missing("signal")),
            };
            processes.signal(pid, signal).await
        }
        Method::CloseStdin => processes.close_stdin(pid).await,
        Method::Update => {
            let pty = request.pty.ok_or_else(|| missing("pty"))?;
            processes.resize(pid, pty.size.into()).await
        }
    }
    .map_err(|error| refused(&error))?;
    Ok(Json(json!({})))
}

fn message<T: DeserializeOwned>(body: &[u8]) -> Result<T, ConnectError> {
    serde_json::from_slice(body)
        .map_err(|error| ConnectError::new(Code::InvalidArgument, format!("read the request: {error}")))
}

async fn find(processes: &dyn Processes, selector: Selector) -> Result<u32, ConnectError> {
    let tag = match selector {
        Selector::Pid(pid) => return Ok(pid),
        Selector::Tag(tag) => tag,
    };
    let running = processes.list().await.map_err(|error| refused(&error))?;
    let found = running.into_iter().find(|info| info.spec.tag.as_ref() == Some(&tag));
    let pid = found.map(|info| info.pid);
    pid.ok_or_else(|| ConnectError::new(Code::NotFound, format!("process with tag {tag} not found")))
}

fn refused(error: &SandboxError) -> ConnectError {
    let code = match error {
        SandboxError::NoProcess(_) | SandboxError::NoContext(_) => Code::NotFound,
        SandboxError::NoSuchStream { .. } => Code::InvalidArgument,
        SandboxError::Ended => Code::Unavailable,
        _ => Code::Internal,
    };
    ConnectError::new(code, chain(error))
}

/// What cannot be started is the client's mistake, as far as can be told.
fn start_refused(error: &SandboxError) -> ConnectError {
    match refused(error) {
        ConnectError {
            code: Code::Internal,
            message,
        } => ConnectError::new(Code::InvalidArgument, message),
        other => other,
    }
}

type Opened = Result<(Arc<dyn Sandbox>, ProcessStream), ConnectError>;

fn stream_response(opened: Opened, headers: &HeaderMap) -> Response {
    match opened {
        Err(error) => error.into_stream_response(),
        Ok((sandbox, stream)) => {
            let running = Running {
                sandbox,
                pace: Pace::asked(headers),
                stage: StreamStage::Opened,
                stream,
            };
            let body = Body::from_stream(frames(running));
            ([(header::CONTENT_TYPE, "application/connect+json")], body).into_response()
        }
    }
}

/// A process that a client listens to. When the client goes, the process stays; the call's deadline ends it.
struct Running {
    sandbox: Arc<dyn Sandbox>,
    stream: ProcessStream,
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
                if let Some(processes) = self.sandbox.processes()
                    && let Err(error) = processes.signal(self.stream.pid, SIGKILL).await
                {
                    tracing::debug!(%error, pid = self.stream.pid, "end a process at its deadline");
                }
                end_frame(Some(&ConnectError::too_long()))
            }
            event = self.stream.events.recv() => if let Some(event) = event {
                if let ProcessEvent::Exited(_) = event {
                    self.stage = StreamStage::Ended;
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
