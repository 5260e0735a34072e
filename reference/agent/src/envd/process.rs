//! `process.Process` of envd: start, list, reach and signal processes.
//!
//! Follows `process.proto` of E2B's envd. Left out: `StreamInput`, and users other than the container's own.

mod stream;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use torpor_runtime::{ProcessInfo, ProcessSpec, Processes, Sandbox, SandboxError, TerminalSize};

use self::stream::Listened;
use crate::connect::{Code, ConnectError, Pace, streamed_message};
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
    let pace = Pace::asked(&headers);
    // In a task of its own: whoever hangs up meanwhile leaves no process behind that nothing bounds.
    let begun = tokio::spawn(async move { begin(&workload, pace, &body).await }).await;
    stream::response(begun.unwrap_or_else(|_| Err(ConnectError::stopped())), pace)
}

async fn begin(workload: &Workload, pace: Pace, body: &[u8]) -> Result<Listened, ConnectError> {
    let request: StartRequest = streamed_message(body)?;
    let sandbox = sandbox(workload)?;
    let processes = processes(sandbox.as_ref())?;
    let spec = spec(&request);
    let started = processes.start(spec.clone()).await;
    let stream = started.map_err(|error| start_refused(&error))?;
    let pid = stream.pid;
    let bound = stream::bound(&sandbox, ProcessInfo { pid, spec }, pace);
    Ok(Listened { stream, bound })
}

fn spec(request: &StartRequest) -> ProcessSpec {
    ProcessSpec {
        program: request.process.cmd.clone(),
        args: request.process.args.clone(),
        env: request.process.envs.clone(),
        cwd: request.process.cwd.clone().filter(|cwd| !cwd.is_empty()),
        tag: request.tag.clone(),
        terminal: request.pty.as_ref().map(|pty| pty.size.into()),
        // Without the flag a command that reads finds the end of its input.
        no_input: request.pty.is_none() && request.stdin != Some(true),
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
        Ok(Listened { stream, bound: None })
    };
    stream::response(connected.await, Pace::asked(&headers))
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

#[cfg(test)]
mod tests;
