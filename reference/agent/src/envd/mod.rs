//! The envd API of E2B: health, environment, files and processes; an engine without processes says so.

mod filesystem;
mod metrics;
mod process;
mod transfer;
mod watch;

use std::io;
use std::path::Path;

use axum::Json;
use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use torpor_runtime::paths;

use self::metrics::Meter;
use crate::files::SandboxFiles;
use crate::supervisor::Workload;

/// The largest file that can be sent.
const UPLOAD_LIMIT: usize = 512 << 20;

pub(crate) fn router(workload: Workload) -> Router {
    let meter = Meter::begun();
    let metrics = async |State(workload): State<Workload>| metrics::answer(workload, meter).await;
    Router::new()
        .route("/health", get(health))
        .route("/envs", get(envs))
        .route("/metrics", get(metrics))
        .route("/files", get(transfer::download).post(transfer::upload))
        .route("/filesystem.Filesystem/WatchDir", post(watch::stream))
        .route("/filesystem.Filesystem/CreateWatcher", post(watch::create))
        .route("/filesystem.Filesystem/GetWatcherEvents", post(watch::events))
        .route("/filesystem.Filesystem/RemoveWatcher", post(watch::remove))
        .route("/filesystem.Filesystem/{method}", post(filesystem::call))
        .route("/process.Process/List", post(process::list))
        .route("/process.Process/Start", post(process::start))
        .route("/process.Process/Connect", post(process::connect))
        .route("/process.Process/{method}", post(process::call))
        .layer(DefaultBodyLimit::max(UPLOAD_LIMIT))
        .with_state(workload)
}

/// Why a request is refused.
#[derive(Debug)]
pub(crate) enum Refused {
    NotServing,
    BadRequest(String),
    Unsupported(String),
    File { path: String, source: io::Error },
}

impl Refused {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::NotServing => StatusCode::SERVICE_UNAVAILABLE,
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Unsupported(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::File { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => StatusCode::NOT_FOUND,
                io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidInput => {
                    StatusCode::BAD_REQUEST
                }
                io::ErrorKind::PermissionDenied => StatusCode::FORBIDDEN,
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StatusCode::INSUFFICIENT_STORAGE,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            },
        }
    }

    pub(crate) fn message(&self) -> String {
        match self {
            Self::NotServing => "the sandbox is not running".to_owned(),
            Self::BadRequest(message) | Self::Unsupported(message) => message.clone(),
            Self::File { path, source } => format!("path '{}': {source}", paths::shown(path)),
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = self.status();
        (
            status,
            Json(json!({ "code": status.as_u16(), "message": self.message() })),
        )
            .into_response()
    }
}

/// Runs `change` on the files of a serving sandbox, off the async threads. A freeze waits for it,
/// and it waits for a freeze to end: what is acknowledged is in the checkpoint.
pub(crate) async fn with_files<T: Send + 'static>(
    workload: &Workload,
    change: impl FnOnce(&SandboxFiles) -> Result<T, Refused> + Send + 'static,
) -> Result<T, Refused> {
    with_files_below(workload, |_, files| change(files)).await
}

/// The same, for what also has to know the folder that the files are below.
pub(crate) async fn with_files_below<T: Send + 'static>(
    workload: &Workload,
    change: impl FnOnce(&Path, &SandboxFiles) -> Result<T, Refused> + Send + 'static,
) -> Result<T, Refused> {
    let Ok(guard) = workload.files.clone().try_read_owned() else {
        return Err(Refused::NotServing);
    };
    let sandbox = workload.serving().ok_or(Refused::NotServing)?;
    let done = tokio::task::spawn_blocking(move || {
        let _guard = guard;
        let files = SandboxFiles::open(sandbox.root()).map_err(|source| Refused::File {
            path: "/".to_owned(),
            source,
        })?;
        change(sandbox.root(), &files.with_fixed(sandbox.fixed_folders()))
    });
    done.await.unwrap_or(Err(Refused::NotServing))
}

async fn health(State(workload): State<Workload>) -> Result<StatusCode, Refused> {
    workload
        .serving()
        .map(|_| StatusCode::NO_CONTENT)
        .ok_or(Refused::NotServing)
}

async fn envs(State(workload): State<Workload>) -> Result<Json<Value>, Refused> {
    let sandbox = workload.serving().ok_or(Refused::NotServing)?;
    let env = sandbox.env().await.map_err(|_| Refused::NotServing)?;
    Ok(Json(json!(env)))
}
