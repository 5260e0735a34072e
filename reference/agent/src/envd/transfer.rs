//! Whole files in and out, over HTTP.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, Multipart, Query, Request, State};
use axum::http::{HeaderMap, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Refused, with_files};
use crate::files::SandboxPath;
use crate::supervisor::Workload;

#[derive(Debug, Deserialize)]
pub(super) struct FileQuery {
    path: Option<String>,
}

pub(super) async fn download(
    State(workload): State<Workload>,
    Query(query): Query<FileQuery>,
) -> Result<Vec<u8>, Refused> {
    let path = SandboxPath::new(
        &query
            .path
            .ok_or_else(|| Refused::BadRequest("query parameter path is missing".to_owned()))?,
    );
    with_files(&workload, move |files| {
        files.read(&path).map_err(|source| Refused::File {
            path: path.as_str().to_owned(),
            source,
        })
    })
    .await
}

pub(super) async fn upload(
    State(workload): State<Workload>,
    Query(query): Query<FileQuery>,
    request: Request,
) -> Result<Json<Value>, Refused> {
    let received = if is_multipart(request.headers()) {
        multipart(request, query.path).await?
    } else {
        vec![(octets_path(request.headers(), query.path)?, body(request).await?)]
    };
    with_files(&workload, move |files| {
        let mut written = Vec::new();
        for (path, content) in received {
            files.write(&path, &content).map_err(|source| Refused::File {
                path: path.as_str().to_owned(),
                source,
            })?;
            written.push(json!({ "path": path.as_str(), "name": path.name(), "type": "file" }));
        }
        Ok(Json(Value::Array(written)))
    })
    .await
}

fn is_multipart(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.is_some_and(|value| value.starts_with("multipart/form-data"))
}

fn octets_path(headers: &HeaderMap, path: Option<String>) -> Result<SandboxPath, Refused> {
    if let Some(encoding) = headers.get(header::CONTENT_ENCODING) {
        return Err(Refused::Unsupported(format!(
            "content encoding {encoding:?} is not supported; send the file as it is"
        )));
    }
    let path = path.ok_or_else(|| Refused::BadRequest("query parameter path is missing".to_owned()))?;
    Ok(SandboxPath::new(&path))
}

async fn body(request: Request) -> Result<Bytes, Refused> {
    Bytes::from_request(request, &())
        .await
        .map_err(|rejection| Refused::BadRequest(rejection.body_text()))
}

/// The files of a form: to `path` when there is one, else each to its own file name.
async fn multipart(request: Request, path: Option<String>) -> Result<Vec<(SandboxPath, Bytes)>, Refused> {
    let bad = |what: String| Refused::BadRequest(format!("read the form: {what}"));
    let mut form = Multipart::from_request(request, &())
        .await
        .map_err(|rejection| bad(rejection.body_text()))?;
    let mut files = Vec::new();
    while let Some(field) = form.next_field().await.map_err(|error| bad(error.body_text()))? {
        if field.name() != Some("file") {
            continue;
        }
        let target = path.clone().or_else(|| field.file_name().map(str::to_owned));
        let target = target.ok_or_else(|| bad("a file has neither a name nor a path".to_owned()))?;
        let content = field.bytes().await.map_err(|error| bad(error.body_text()))?;
        files.push((SandboxPath::new(&target), content));
    }
    if path.is_some() && files.len() > 1 {
        return Err(bad("several files cannot go to one path; leave the path out".to_owned()));
    }
    Ok(files)
}
