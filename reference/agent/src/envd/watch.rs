//! Watches of `filesystem.Filesystem` of envd: a stream of changes, and watchers that are asked for them.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use futures::Stream;
use serde::Deserialize;
use serde_json::{Value, json};
use torpor_api::{AgentState, WorkloadState};

use super::filesystem::{connect_error, entry_json};
use super::{Refused, with_files, with_files_below};
use crate::connect::{Code, ConnectError, Pace, end_frame, message_frame, streamed_message};
use crate::files::{SandboxFiles, SandboxPath};
use crate::supervisor::Workload;
use crate::watch::{Change, ChangeKind, FolderWatch, WatchSpec};
use crate::watchers::Waiting;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WatchRequest {
    path: String,
    recursive: bool,
    include_entry: bool,
}

impl From<WatchRequest> for WatchSpec {
    fn from(request: WatchRequest) -> Self {
        Self {
            path: SandboxPath::new(&request.path),
            recursive: request.recursive,
            include_entry: request.include_entry,
        }
    }
}

/// Names a watcher.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WatcherRequest {
    watcher_id: String,
}

pub(super) async fn create(State(workload): State<Workload>, body: Bytes) -> Result<Json<Value>, ConnectError> {
    let spec = WatchSpec::from(message::<WatchRequest>(&body)?);
    let watchers = workload.watchers.clone();
    let made = with_files_below(&workload, move |root, files| {
        let path = spec.path.as_str().to_owned();
        let made = watchers.create(root, files, spec);
        made.map_err(|source| Refused::File { path, source })
    });
    let id = made.await.map_err(|refused| connect_error(&refused))?;
    Ok(Json(json!({ "watcherId": id })))
}

pub(super) async fn events(State(workload): State<Workload>, body: Bytes) -> Result<Json<Value>, ConnectError> {
    let request: WatcherRequest = message(&body)?;
    let watchers = workload.watchers.clone();
    // What is handed out is not in a checkpoint any more: a freeze waits for it.
    let told = with_files(&workload, move |files| {
        let taken = watchers.take(&request.watcher_id);
        Ok(taken
            .map(|(spec, changes)| {
                let events = changes.iter().map(|change| event_json(&spec, change, files));
                events.collect::<Vec<_>>()
            })
            .ok_or(request.watcher_id))
    });
    let events = told.await.map_err(|refused| connect_error(&refused))?;
    let events = events.map_err(|id| unknown(&id))?;
    Ok(Json(json!({ "events": events })))
}

pub(super) async fn remove(State(workload): State<Workload>, body: Bytes) -> Result<Json<Value>, ConnectError> {
    let request: WatcherRequest = message(&body)?;
    let watchers = workload.watchers.clone();
    let removed = with_files(&workload, move |_| {
        Ok(if watchers.remove(&request.watcher_id) {
            Ok(())
        } else {
            Err(request.watcher_id)
        })
    });
    let removed = removed.await.map_err(|refused| connect_error(&refused))?;
    removed.map_err(|id| unknown(&id))?;
    Ok(Json(json!({})))
}

fn unknown(id: &str) -> ConnectError {
    ConnectError::new(Code::NotFound, format!("watcher with id {id} not found"))
}

fn message<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, ConnectError> {
    serde_json::from_slice(body)
        .map_err(|error| ConnectError::new(Code::InvalidArgument, format!("read the request: {error}")))
}

pub(super) async fn stream(State(workload): State<Workload>, headers: HeaderMap, body: Bytes) -> Response {
    let opened = async {
        let spec = WatchSpec::from(streamed_message::<WatchRequest>(&body)?);
        let changes = Waiting::default();
        let (path, watched, told) = (spec.path.as_str().to_owned(), spec.clone(), changes.clone());
        let begun = with_files_below(&workload, move |root, files| {
            let begun = FolderWatch::begin(root, files, &watched, move |change| told.put(change));
            begun.map_err(|source| Refused::File { path, source })
        });
        let watch = begun.await.map_err(|refused| connect_error(&refused))?;
        Ok::<_, ConnectError>(Watching {
            pace: Pace::asked(&headers),
            stage: Stage::Opened,
            workload,
            spec,
            changes,
            _watch: watch,
        })
    };
    match opened.await {
        Err(error) => error.into_stream_response(),
        Ok(watching) => {
            let body = Body::from_stream(frames(watching));
            ([(header::CONTENT_TYPE, "application/connect+json")], body).into_response()
        }
    }
}

/// A folder whose changes a client listens to, until it goes or the sandbox stops.
struct Watching {
    workload: Workload,
    spec: WatchSpec,
    changes: Waiting,
    pace: Pace,
    stage: Stage,
    _watch: FolderWatch,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Opened,
    Running,
    Closed,
}

fn frames(watching: Watching) -> impl Stream<Item = Result<Bytes, std::io::Error>> {
    futures::stream::unfold(watching, |mut watching| async move {
        let frame = match watching.stage {
            Stage::Closed => return None,
            Stage::Opened => {
                watching.stage = Stage::Running;
                message_frame(&json!({ "start": {} }))
            }
            Stage::Running => watching.next().await,
        };
        Some((Ok(frame), watching))
    })
}

impl Watching {
    async fn next(&mut self) -> Bytes {
        let mut states = self.workload.state.clone();
        let stopped = async move {
            let serves = |state: &AgentState| state.workload == WorkloadState::Serving;
            // Who told of the state is gone as well when this fails.
            drop(states.wait_for(|state| !serves(state)).await);
        };
        tokio::select! {
            biased;
            change = self.changes.next() => {
                let spec = self.spec.clone();
                let told = with_files(&self.workload, move |files| Ok(event_json(&spec, &change, files)));
                match told.await {
                    Ok(event) => message_frame(&json!({ "filesystem": event })),
                    Err(_) => self.close(&ConnectError::stopped()),
                }
            }
            () = stopped => self.close(&ConnectError::stopped()),
            () = self.pace.deadline() => self.close(&ConnectError::too_long()),
            () = self.pace.silence() => message_frame(&json!({ "keepalive": {} })),
        }
    }

    fn close(&mut self, why: &ConnectError) -> Bytes {
        self.stage = Stage::Closed;
        end_frame(Some(why))
    }
}

/// A change as clients are told of it. What is gone has no entry.
fn event_json(spec: &WatchSpec, change: &Change, files: &SandboxFiles) -> Value {
    let kind = match change.kind {
        ChangeKind::Create => "EVENT_TYPE_CREATE",
        ChangeKind::Write => "EVENT_TYPE_WRITE",
        ChangeKind::Remove => "EVENT_TYPE_REMOVE",
        ChangeKind::Rename => "EVENT_TYPE_RENAME",
        ChangeKind::Chmod => "EVENT_TYPE_CHMOD",
    };
    let mut event = json!({ "name": change.name, "type": kind });
    if spec.include_entry
        && let Ok(info) = files.info(&SandboxPath::new(&format!("{}/{}", spec.path.as_str(), change.name)))
    {
        event["entry"] = entry_json(&info);
    }
    event
}
