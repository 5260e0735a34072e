//! Files by their place, in whatever keeps them: reads and writes with errors that say what was attempted.
//! Knows nothing of checkpoints.

use std::sync::Arc;
use std::thread;
use std::time::SystemTime;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::StoreError;
use super::directory::{Aside, Directory, Growing, OpenFile, Unfinished};
use super::upload::Upload;

/// Where files are kept.
#[derive(Clone, Debug)]
pub(super) struct Objects {
    store: Arc<dyn ObjectStore>,
    /// For a store on disk.
    directory: Option<Directory>,
}

/// What became of a file that must not replace another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Created {
    /// It is there now.
    New,
    /// One was there already, and is as it was.
    Existed,
}

/// What became of a file that was to replace another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exchanged {
    /// It has its place.
    Yes,
    /// Another one had it, or none, and that is as it was.
    Not,
}

/// A file that is read more than once.
#[derive(Clone, Debug)]
pub(super) enum Readable {
    /// Open, so also when it is removed.
    Open(OpenFile),
    /// By its place, with its bytes.
    At(Path, u64),
}

impl Readable {
    /// Its bytes.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Open(file) => file.bytes,
            Self::At(_, bytes) => *bytes,
        }
    }
}

/// A pack that is to be put in place.
#[derive(Debug)]
pub(super) enum NewPack {
    /// On disk, perhaps not all of it yet.
    Growing(Growing),
    /// Perhaps sent in part.
    Upload(Upload),
    /// In memory, with its place.
    Held(Path, PutPayload),
}

/// An envelope that is to be put in place, when all that it names is.
#[derive(Debug)]
pub(super) enum Staged {
    /// On disk beside its place.
    Aside(Aside),
    /// In memory, with its place.
    Held(Path, PutPayload),
}

impl Objects {
    pub(super) fn new(store: Arc<dyn ObjectStore>, directory: Option<Directory>) -> Self {
        Self { store, directory }
    }

    /// Whether both are the same files.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.store, &other.store)
    }

    /// Whether the files are on a disk of this machine: read at no cost, and trusted no further than read.
    pub(super) fn on_disk(&self) -> bool {
        self.directory.is_some()
    }

    /// The directory of a store on disk, for those who may block.
    pub(super) fn directory(&self) -> Option<&Directory> {
        self.directory.as_ref()
    }

    /// Fails when the place of all files is gone.
    pub(super) async fn check(&self) -> Result<(), StoreError> {
        match &self.directory {
            Some(directory) => directory.check().await,
            None => Ok(()),
        }
    }

    /// Bytes of a file; `None` when there is none.
    pub(super) async fn size(&self, place: &Path) -> Result<Option<u64>, StoreError> {
        found("look at", place, self.store.head(place).await).map(|meta| meta.map(|meta| meta.size))
    }

    /// When a file was written, by the clock of where it is; `None` when there is none.
    pub(super) async fn written(&self, place: &Path) -> Result<Option<SystemTime>, StoreError> {
        let meta = found("look at", place, self.store.head(place).await)?;
        Ok(meta.map(|meta| meta.last_modified.into()))
    }

    /// A whole file; `None` when there is none.
    pub(super) async fn read(&self, place: &Path) -> Result<Option<Bytes>, StoreError> {
        let read = async { self.store.get(place).await?.bytes().await };
        found("read", place, read.await)
    }

    /// Some bytes of a file that has as many; `None` when there is no file.
    pub(super) async fn read_range(
        &self,
        place: &Path,
        range: std::ops::Range<u64>,
    ) -> Result<Option<Bytes>, StoreError> {
        if range.is_empty() {
            return Ok(Some(Bytes::new()));
        }
        found("read", place, self.store.get_range(place, range).await)
    }

    /// A file to read from; `None` when there is none.
    pub(super) async fn open(&self, place: &Path) -> Result<Option<Readable>, StoreError> {
        match &self.directory {
            Some(directory) => Ok(directory.open(place).await?.map(Readable::Open)),
            None => Ok(self.size(place).await?.map(|bytes| Readable::At(place.clone(), bytes))),
        }
    }

    /// Some bytes of a file that has as many; `None` when it is gone.
    pub(super) async fn read_from(
        &self,
        file: &Readable,
        range: std::ops::Range<u64>,
    ) -> Result<Option<Bytes>, StoreError> {
        match (file, &self.directory) {
            (Readable::Open(file), Some(directory)) => directory.read(file, range).await.map(Some),
            // Nobody opens files without a directory.
            (Readable::Open(_), None) => Ok(None),
            (Readable::At(place, _), _) => self.read_range(place, range).await,
        }
    }

    /// Writes a file, or replaces it, atomically. It is on disk when this returns.
    pub(super) async fn replace(&self, place: &Path, contents: PutPayload) -> Result<(), StoreError> {
        let put = self.store.put(place, contents).await;
        put.map(drop).map_err(|source| backend("write", place, source))
    }

    /// A small file that is to be written, where there is a disk: there beside its place, and empty.
    pub(super) async fn begin_note(&self, place: &Path, writer: Uuid) -> Result<Option<Aside>, StoreError> {
        match &self.directory {
            Some(directory) => directory.begin_note(place, writer).await.map(Some),
            None => Ok(None),
        }
    }

    /// Writes a small file, which was begun where there is a disk, or replaces it, atomically. A failing machine may lose
    /// it, but not tear it.
    pub(super) async fn note(&self, place: &Path, begun: Option<Aside>, contents: Bytes) -> Result<(), StoreError> {
        match (begun, &self.directory) {
            (Some(begun), Some(directory)) => directory.note(begun, contents).await,
            (Some(_) | None, _) => self.replace(place, contents.into()).await,
        }
    }

    /// A file that is on disk as it grows, where there is a disk.
    pub(super) fn growing(&self, place: &Path, writer: Uuid) -> Option<Growing> {
        Some(self.directory.as_ref()?.growing(place, writer))
    }

    /// A file that is sent as it grows, where there is no disk.
    pub(super) fn upload(&self, place: Path) -> Upload {
        Upload::new(Arc::clone(&self.store), place)
    }

    /// Puts a pack in its place, if there is one, and gets an envelope ready that names it. When this returns all but
    /// the envelope is on disk.
    pub(super) async fn stage(
        &self,
        pack: Option<NewPack>,
        envelope: &Path,
        writer: Uuid,
        contents: Vec<Bytes>,
    ) -> Result<Staged, StoreError> {
        let growing = match pack {
            Some(NewPack::Growing(growing)) => Some(growing),
            Some(NewPack::Upload(upload)) => {
                let failed = |source| StoreError::Backend {
                    attempt: "write",
                    place: upload.place().to_string(),
                    source,
                };
                upload.complete().await.map_err(failed)?;
                None
            }
            Some(NewPack::Held(place, contents)) => {
                self.replace(&place, contents).await?;
                None
            }
            None => None,
        };
        match &self.directory {
            Some(directory) => Ok(Staged::Aside(
                directory.stage(growing, envelope, writer, contents).await?,
            )),
            None => Ok(Staged::Held(envelope.clone(), contents.into_iter().collect())),
        }
    }

    /// Puts an envelope in its place unless there is one, atomically. It is on disk when this returns.
    pub(super) async fn publish(&self, staged: Staged) -> Result<Created, StoreError> {
        let (place, contents) = match (staged, &self.directory) {
            (Staged::Aside(aside), Some(directory)) => return directory.publish(aside).await,
            // Nobody stages on disk without one.
            (Staged::Aside(_), None) => return Ok(Created::Existed),
            (Staged::Held(place, contents), _) => (place, contents),
        };
        match self.store.put_opts(&place, contents, PutMode::Create.into()).await {
            Ok(_) => Ok(Created::New),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(Created::Existed),
            Err(source) => Err(backend("write", &place, source)),
        }
    }

    /// Puts an envelope in the place of another one that is `expected`, atomically, where there is a disk. It is on disk
    /// when this returns.
    pub(super) async fn exchange(&self, staged: Staged, expected: Bytes) -> Result<Exchanged, StoreError> {
        match (staged, &self.directory) {
            (Staged::Aside(aside), Some(directory)) => directory.exchange(aside, expected).await,
            (Staged::Aside(_), None) | (Staged::Held(..), _) => Ok(Exchanged::Not),
        }
    }

    /// Returns when the names in a folder are on disk, where there is one; there need not be such a folder.
    pub(super) async fn sync_folder(&self, folder: &Path) -> Result<(), StoreError> {
        match &self.directory {
            Some(directory) => directory.sync_folder(folder).await,
            None => Ok(()),
        }
    }

    /// The files in a folder, and its folders. Both are empty when there is no such folder.
    pub(super) async fn children(&self, folder: &Path) -> Result<object_store::ListResult, StoreError> {
        self.store
            .list_with_delimiter(Some(folder))
            .await
            .map_err(|source| backend("list", folder, source))
    }

    /// The files in a folder.
    pub(super) async fn files(&self, folder: &Path) -> Result<Vec<ObjectMeta>, StoreError> {
        Ok(self.children(folder).await?.objects)
    }

    /// Removes files of one folder; returns when that is on disk. They may be gone already.
    pub(super) async fn remove_files(&self, folder: &Path, places: Vec<Path>) -> Result<(), StoreError> {
        if places.is_empty() {
            return Ok(());
        }
        if let Some(directory) = &self.directory {
            return directory.remove_files(folder, places).await;
        }
        for place in places {
            found("remove", &place, self.store.delete(&place).await)?;
        }
        Ok(())
    }

    /// Removes one file; it may be gone already, and may come back when the machine fails right now.
    pub(super) async fn discard(&self, place: &Path) -> Result<(), StoreError> {
        found("remove", place, self.store.delete(place).await).map(drop)
    }

    /// What uploads that have not ended have left in a folder.
    pub(super) async fn unfinished(&self, folder: &Path) -> Result<Vec<Unfinished>, StoreError> {
        match &self.directory {
            Some(directory) => directory.unfinished(folder).await,
            None => Ok(Vec::new()),
        }
    }

    /// Removes what uploads that will never end have left.
    pub(super) async fn remove_unfinished(&self, uploads: Vec<Unfinished>) -> Result<(), StoreError> {
        match &self.directory {
            Some(directory) => directory.remove_unfinished(uploads).await,
            None => Ok(()),
        }
    }

    /// Removes a folder with all that is in it. It may be gone already.
    pub(super) async fn remove_folder(&self, folder: &Path) -> Result<(), StoreError> {
        if let Some(directory) = &self.directory {
            return directory.remove(folder).await;
        }
        let places = self.store.list(Some(folder)).map_ok(|meta| meta.location);
        let places: Vec<Path> = places
            .try_collect()
            .await
            .map_err(|source| backend("list", folder, source))?;
        self.remove_files(folder, places).await
    }

    /// Bytes of all that is in a folder.
    pub(super) async fn folder_bytes(&self, folder: &Path) -> Result<u64, StoreError> {
        if let Some(directory) = &self.directory {
            return directory.bytes(folder).await;
        }
        let sizes = self.store.list(Some(folder)).map(|meta| meta.map(|meta| meta.size));
        let sum = sizes.try_fold(0, |sum, size| async move { Ok(sum + size) });
        sum.await.map_err(|source| backend("list", folder, source))
    }
}

/// Runs `work` on a task of its own, which goes on to its end when the caller is dropped: what touches files
/// does so on threads that nobody can stop, and whatever lock `work` holds has to outlast that.
pub(super) async fn to_the_end<T: Send + 'static>(
    attempt: &'static str,
    place: &Path,
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::spawn(work).await {
        Ok(done) => done,
        Err(source) => Err(backend(attempt, place, source.into())),
    }
}

/// Runs `work`, which waits for another thread that is at work meanwhile, on a thread of its own. The scheduler begins
/// a new thread on a core that has nothing to do; one that it wakes it leaves where it ran last, often behind the very
/// thread that woke it.
pub(super) async fn beside<T: Send + 'static>(
    attempt: &'static str,
    place: &Path,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StoreError> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| {
        let store = "threads";
        backend(attempt, place, object_store::Error::Generic { store, source })
    };
    let (done, result) = oneshot::channel();
    thread::Builder::new()
        .name("store".to_owned())
        .spawn(move || {
            // Who waited may have gone.
            let _ = done.send(work());
        })
        .map_err(|source| failed(source.into()))?;
    result.await.map_err(|source| failed(source.into()))
}

/// Runs `work`, which needs the cores for long, where it keeps no task waiting.
pub(super) async fn on_the_cores<T: Send + 'static>(
    attempt: &'static str,
    place: &Path,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|source| backend(attempt, place, source.into()))
}

fn found<T>(attempt: &'static str, place: &Path, done: object_store::Result<T>) -> Result<Option<T>, StoreError> {
    match done {
        Ok(value) => Ok(Some(value)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(source) => Err(backend(attempt, place, source)),
    }
}

pub(super) fn backend(attempt: &'static str, place: &Path, source: object_store::Error) -> StoreError {
    StoreError::Backend {
        attempt,
        place: place.to_string(),
        source: source.into(),
    }
}
