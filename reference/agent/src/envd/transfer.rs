//! Whole files in and out, over HTTP.

use std::fs::File;
use std::io::{self, Read as _};

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Multipart, Query, Request, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use futures::{Stream, StreamExt as _};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Refused, with_files};
use crate::files::SandboxPath;
use crate::supervisor::Workload;

#[derive(Debug, Deserialize)]
pub(super) struct FileQuery {
    path: Option<String>,
}

/// Bytes of a file that are read at once.
const PIECE: usize = 256 << 10;

/// Answers with the content of a file. A small one is read with what else there is to it; the rest of a larger one is
/// read as the client takes it.
pub(super) async fn download(
    State(workload): State<Workload>,
    Query(query): Query<FileQuery>,
) -> Result<Response, Refused> {
    let path = SandboxPath::new(
        &query
            .path
            .ok_or_else(|| Refused::BadRequest("query parameter path is missing".to_owned()))?,
    );
    let begun = with_files(&workload, move |files| {
        let begun = files
            .open_file(&path)
            .and_then(|file| piece(&file).map(|first| (file, first)));
        begun.map_err(|source| Refused::File {
            path: path.as_str().to_owned(),
            source,
        })
    });
    let (file, first) = begun.await?;
    let content = if first.len() < PIECE {
        Body::from(first)
    } else {
        Body::from_stream(futures::stream::iter([Ok(first)]).chain(rest(workload, file)))
    };
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], content).into_response())
}

/// What follows in a file. A pause does not wait for whoever takes it slowly: it ends with an error then.
fn rest(workload: Workload, file: File) -> impl Stream<Item = io::Result<Bytes>> {
    futures::stream::unfold(Some(file), move |file| {
        let workload = workload.clone();
        async move {
            let file = file?;
            let next = with_files(&workload, move |_| Ok(piece(&file).map(|piece| (file, piece))));
            match next.await {
                Ok(Ok((file, piece))) if piece.len() < PIECE => {
                    drop(file);
                    Some((Ok(piece), None))
                }
                Ok(Ok((file, piece))) => Some((Ok(piece), Some(file))),
                Ok(Err(error)) => Some((Err(error), None)),
                Err(refused) => Some((Err(io::Error::other(refused.message())), None)),
            }
        }
    })
}

/// The next bytes of a file; fewer than [`PIECE`] are its last.
fn piece(file: &File) -> io::Result<Bytes> {
    let mut piece = Vec::new();
    file.take(PIECE as u64).read_to_end(&mut piece)?;
    Ok(piece.into())
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

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use torpor_api::WorkloadState;

    use super::*;
    use crate::fake::Serving;

    async fn downloaded(serving: &Serving, path: &str) -> Body {
        let path = Some(path.to_owned());
        let answer = download(State(serving.workload.clone()), Query(FileQuery { path })).await;
        let answer = answer.expect("it is there");
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/octet-stream");
        answer.into_body()
    }

    #[tokio::test]
    async fn a_file_of_any_size_comes_whole() {
        let root = tempfile::tempdir().expect("a directory");
        let serving = Serving::below(root.path());
        for size in [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 3 * PIECE + 7] {
            let content: Vec<u8> = (0..=250).cycle().take(size).collect();
            std::fs::write(root.path().join("file"), &content).expect("written");
            let body = downloaded(&serving, "/file").await;
            assert!(
                to_bytes(body, usize::MAX).await.expect("whole") == content,
                "{size} bytes"
            );
        }
    }

    #[tokio::test]
    async fn a_file_is_sent_in_pieces_that_no_pause_waits_for() {
        let root = tempfile::tempdir().expect("a directory");
        let serving = Serving::below(root.path());
        std::fs::write(root.path().join("file"), vec![1; 4 * PIECE]).expect("written");
        let mut pieces = downloaded(&serving, "/file").await.into_data_stream();
        for _ in 0..2 {
            let piece = pieces.next().await.expect("more").expect("a piece");
            assert_eq!(piece.len(), PIECE);
        }
        let frozen = serving.workload.files.try_write().expect("nobody reads");
        serving
            .state
            .send_modify(|state| state.workload = WorkloadState::Frozen);
        let ended = pieces.next().await.expect("it says why");
        assert!(ended.expect_err("it is cut").to_string().contains("not running"));
        assert!(pieces.next().await.is_none());
        drop(frozen);
    }
}
