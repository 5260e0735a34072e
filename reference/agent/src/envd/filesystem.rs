//! `filesystem.Filesystem` of envd: stat, list, make, move and remove.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Refused, with_files};
use crate::connect::{Code, ConnectError};
use crate::files::{FileInfo, FileKind, SandboxFiles, SandboxPath};
use crate::supervisor::Workload;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Request {
    path: String,
    depth: u32,
    source: String,
    destination: String,
}

/// A method of the service.
#[derive(Clone, Copy, Debug)]
enum Method {
    Stat,
    MakeDir,
    Move,
    ListDir,
    Remove,
}

pub(super) async fn call(State(workload): State<Workload>, Path(method): Path<String>, body: Bytes) -> Response {
    let method = match method.as_str() {
        "Stat" => Method::Stat,
        "MakeDir" => Method::MakeDir,
        "Move" => Method::Move,
        "ListDir" => Method::ListDir,
        "Remove" => Method::Remove,
        other => return ConnectError::new(Code::Unimplemented, format!("no method {other}")).into_response(),
    };
    let request: Request = match serde_json::from_slice(&body) {
        Ok(request) => request,
        Err(error) => {
            return ConnectError::new(Code::InvalidArgument, format!("read the request: {error}")).into_response();
        }
    };
    match with_files(&workload, move |files| run(files, method, &request)).await {
        Ok(answer) => Json(answer).into_response(),
        Err(refused) => connect_error(&refused).into_response(),
    }
}

fn run(files: &SandboxFiles, method: Method, request: &Request) -> Result<Value, Refused> {
    let path = SandboxPath::new(&request.path);
    let failed = |path: &SandboxPath| {
        let path = path.as_str().to_owned();
        move |source| Refused::File { path, source }
    };
    let entry = |path: &SandboxPath| {
        files
            .info(path)
            .map(|info| json!({ "entry": entry_json(&info) }))
            .map_err(failed(path))
    };
    match method {
        Method::Stat => entry(&path),
        Method::MakeDir => {
            files.make_dir(&path).map_err(failed(&path))?;
            entry(&path)
        }
        Method::Move => {
            let (from, to) = (
                SandboxPath::new(&request.source),
                SandboxPath::new(&request.destination),
            );
            files.rename(&from, &to).map_err(failed(&from))?;
            entry(&to)
        }
        Method::ListDir => {
            let found = files.list(&path, request.depth.max(1)).map_err(failed(&path))?;
            Ok(json!({ "entries": found.iter().map(entry_json).collect::<Vec<_>>() }))
        }
        Method::Remove => {
            files.remove(&path).map_err(failed(&path))?;
            Ok(json!({}))
        }
    }
}

pub(super) fn connect_error(refused: &Refused) -> ConnectError {
    let code = match refused {
        Refused::File { source, .. } if source.kind() == std::io::ErrorKind::AlreadyExists => Code::AlreadyExists,
        refused => match refused.status() {
            StatusCode::NOT_FOUND => Code::NotFound,
            StatusCode::BAD_REQUEST => Code::InvalidArgument,
            StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
            _ => Code::Internal,
        },
    };
    ConnectError::new(code, refused.message())
}

pub(super) fn entry_json(info: &FileInfo) -> Value {
    let (kind, letter) = match &info.kind {
        FileKind::File => ("FILE_TYPE_FILE", '-'),
        FileKind::Directory => ("FILE_TYPE_DIRECTORY", 'd'),
        FileKind::Symlink { .. } => ("FILE_TYPE_SYMLINK", 'l'),
    };
    let mut entry = json!({
        "name": info.path.name(),
        "type": kind,
        "path": info.path.as_str(),
        "size": info.size.to_string(),
        "mode": info.mode,
        "permissions": permissions(letter, info.mode),
        "owner": "user",
        "group": "user",
    });
    if let Some(time) = info.modified.and_then(|time| Timestamp::try_from(time).ok()) {
        entry["modifiedTime"] = json!(time.to_string());
    }
    if let FileKind::Symlink { target } = &info.kind {
        entry["symlinkTarget"] = json!(target);
    }
    entry
}

/// As `ls -l` prints it.
fn permissions(letter: char, mode: u32) -> String {
    let bits = (0..9).rev().zip("rwxrwxrwx".chars());
    std::iter::once(letter)
        .chain(bits.map(|(bit, flag)| if mode >> bit & 1 == 1 { flag } else { '-' }))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn permissions_read_as_ls_prints_them() {
        assert_eq!(permissions('-', 0o640), "-rw-r-----");
        assert_eq!(permissions('d', 0o755), "drwxr-xr-x");
    }

    #[test]
    fn an_entry_names_its_kind_size_and_time() {
        let info = FileInfo {
            path: SandboxPath::new("note.txt"),
            kind: FileKind::File,
            size: 5,
            mode: 0o644,
            modified: Some(SystemTime::UNIX_EPOCH),
        };
        let entry = entry_json(&info);
        assert_eq!(entry["type"], "FILE_TYPE_FILE");
        assert_eq!(entry["size"], "5", "64-bit numbers are strings in this protocol");
        assert_eq!(entry["modifiedTime"], "1970-01-01T00:00:00Z");
    }
}
