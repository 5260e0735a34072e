//! An object store in memory that asks somebody before each operation.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Put,
    /// Of a file that is put in parts.
    Begin,
    Part,
    Complete,
    Abort,
    Read,
    List,
    Delete,
}

/// What becomes of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Proceed,
    /// It is not carried out.
    Refuse(io::ErrorKind),
    /// It is carried out, and the answer is lost.
    LoseAnswer,
    /// It is carried out, tried once more by who waited too long for the answer, and what is put is there already.
    Repeat,
    /// It is acknowledged and not carried out.
    Pretend,
    /// Half of what is put arrives, and the answer is a failure.
    Tear,
}

/// Decides on operations.
pub trait Guard: fmt::Debug + Send + Sync + 'static {
    fn ask<'a>(&'a self, kind: Kind, place: &'a Path) -> BoxFuture<'a, Verdict>;

    /// Is told of the bytes of a put that was asked about, and of a part that was carried out.
    fn arrived(&self, _place: &Path, _bytes: usize) {}
}

/// Objects in memory behind a guard.
#[derive(Debug)]
pub struct Watched<G> {
    pub objects: Arc<InMemory>,
    pub guard: Arc<G>,
}

impl<G: Guard> fmt::Display for Watched<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("objects behind a guard")
    }
}

fn failure(kind: io::ErrorKind) -> object_store::Error {
    object_store::Error::Generic {
        store: "guarded",
        source: Box::new(io::Error::from(kind)),
    }
}

/// Gives `done` on, or what the guard says instead.
fn answer<T>(verdict: Verdict, done: Result<T>) -> Result<T> {
    match verdict {
        Verdict::Proceed | Verdict::Repeat | Verdict::Pretend => done,
        Verdict::Refuse(kind) => Err(failure(kind)),
        Verdict::LoseAnswer | Verdict::Tear => Err(failure(io::ErrorKind::ConnectionReset)),
    }
}

fn nothing_known() -> PutResult {
    PutResult {
        e_tag: None,
        version: None,
        extensions: http::Extensions::default(),
    }
}

fn joined(payload: &PutPayload) -> Vec<u8> {
    payload.iter().flatten().copied().collect()
}

/// A file that is put in parts.
#[derive(Debug)]
struct InParts<G> {
    objects: Arc<InMemory>,
    guard: Arc<G>,
    place: Path,
    begun: usize,
    parts: Arc<Mutex<BTreeMap<usize, Vec<u8>>>>,
}

#[async_trait]
impl<G: Guard> MultipartUpload for InParts<G> {
    fn put_part(&mut self, part: PutPayload) -> UploadPart {
        let nth = self.begun;
        self.begun += 1;
        let (guard, place, parts) = (Arc::clone(&self.guard), self.place.clone(), Arc::clone(&self.parts));
        async move {
            let verdict = guard.ask(Kind::Part, &place).await;
            match verdict {
                Verdict::Proceed | Verdict::LoseAnswer | Verdict::Repeat => {
                    guard.arrived(&place, part.content_length());
                    parts
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .insert(nth, joined(&part));
                }
                Verdict::Refuse(_) | Verdict::Pretend | Verdict::Tear => {}
            }
            answer(verdict, Ok(()))
        }
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let verdict = self.guard.ask(Kind::Complete, &self.place).await;
        let parts = std::mem::take(&mut *self.parts.lock().unwrap_or_else(PoisonError::into_inner));
        let done = match verdict {
            Verdict::Proceed | Verdict::LoseAnswer | Verdict::Repeat if parts.len() < self.begun => {
                Err(failure(io::ErrorKind::InvalidData))
            }
            Verdict::Proceed | Verdict::LoseAnswer | Verdict::Repeat => {
                let whole = parts.into_values().collect::<Vec<_>>().concat();
                self.objects.put(&self.place, whole.into()).await
            }
            Verdict::Refuse(_) | Verdict::Pretend | Verdict::Tear => Ok(nothing_known()),
        };
        answer(verdict, done)
    }

    async fn abort(&mut self) -> Result<()> {
        let verdict = self.guard.ask(Kind::Abort, &self.place).await;
        answer(verdict, Ok(()))
    }
}

impl<G: Guard> Watched<G> {
    /// Whether an operation that only reads may be carried out.
    async fn read(&self, kind: Kind, place: &Path) -> Result<()> {
        answer(self.guard.ask(kind, place).await, Ok(()))
    }
}

#[async_trait]
impl<G: Guard> ObjectStore for Watched<G> {
    async fn put_opts(&self, place: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let verdict = self.guard.ask(Kind::Put, place).await;
        self.guard.arrived(place, payload.content_length());
        let done = match verdict {
            Verdict::Proceed | Verdict::LoseAnswer => self.objects.put_opts(place, payload, options).await,
            Verdict::Repeat => {
                self.objects.put_opts(place, payload.clone(), options.clone()).await?;
                self.objects.put_opts(place, payload, options).await
            }
            Verdict::Refuse(kind) => Err(failure(kind)),
            Verdict::Pretend => Ok(nothing_known()),
            Verdict::Tear => {
                let whole = joined(&payload);
                let half = PutPayload::from(whole[..whole.len() / 2].to_vec());
                self.objects.put_opts(place, half, options).await
            }
        };
        answer(verdict, done)
    }

    async fn put_multipart_opts(&self, place: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        answer(self.guard.ask(Kind::Begin, place).await, Ok(()))?;
        Ok(Box::new(InParts {
            objects: Arc::clone(&self.objects),
            guard: Arc::clone(&self.guard),
            place: place.clone(),
            begun: 0,
            parts: Arc::default(),
        }))
    }

    async fn get_opts(&self, place: &Path, options: GetOptions) -> Result<GetResult> {
        self.read(Kind::Read, place).await?;
        self.objects.get_opts(place, options).await
    }

    async fn get_ranges(&self, place: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.read(Kind::Read, place).await?;
        self.objects.get_ranges(place, ranges).await
    }

    fn delete_stream(&self, places: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (objects, guard) = (Arc::clone(&self.objects), Arc::clone(&self.guard));
        places
            .and_then(move |place| {
                let (objects, guard) = (Arc::clone(&objects), Arc::clone(&guard));
                async move {
                    let verdict = guard.ask(Kind::Delete, &place).await;
                    let done = match verdict {
                        Verdict::Proceed | Verdict::LoseAnswer | Verdict::Repeat => objects.delete(&place).await,
                        Verdict::Refuse(_) | Verdict::Pretend | Verdict::Tear => Ok(()),
                    };
                    answer(verdict, done).map(|()| place)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        // The store lists folder by folder; this is for measuring alone.
        self.objects.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.read(Kind::List, prefix.unwrap_or(&Path::ROOT)).await?;
        self.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(failure(io::ErrorKind::Unsupported))
    }
}
