//! What a store on disk needs beyond an object store: folders, unfinished uploads, and order on disk.
//!
//! `object_store` knows no folders and does not list the files of uploads that a crash cut short
//! (`name#1`), though they take up space, and syncs after each write. What a seal writes is written here, with as few
//! syncs as its order needs (see [`aside`]); removals are synced here, too.

mod aside;
mod disk;
#[cfg(test)]
mod failing_calls;
#[cfg(test)]
mod failing_machine;
mod growing;

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use uuid::Uuid;

use super::StoreError;
#[cfg(test)]
use super::objects::Objects;
use super::objects::{Created, Exchanged};
pub(super) use aside::Aside;
#[cfg(test)]
pub(super) use disk::Change;
pub(super) use disk::Disk;
pub(super) use growing::Growing;

/// The directory of a store.
#[derive(Clone, Debug)]
pub(super) struct Directory {
    root: PathBuf,
    disk: Disk,
}

/// A file that stays readable when it is removed.
#[derive(Clone, Debug)]
pub(super) struct OpenFile {
    file: Arc<fs::File>,
    path: PathBuf,
    /// Its bytes.
    pub(super) bytes: u64,
}

impl OpenFile {
    /// Fills `bytes` with what it has from `offset` on. Blocks.
    pub(super) fn read_into(&self, offset: u64, bytes: &mut [u8]) -> Result<(), StoreError> {
        let read = self.file.read_exact_at(bytes, offset);
        read.map_err(|source| StoreError::Directory {
            attempt: "read",
            path: self.path.clone(),
            source,
        })
    }
}

/// The file of an upload that has not ended, and perhaps never will.
#[derive(Clone, Debug)]
pub(super) struct Unfinished {
    /// Name of the file that it was to become.
    pub(super) target: String,
    pub(super) bytes: u64,
    /// What tells it from those of others.
    writer: String,
    path: PathBuf,
    /// When something was written to it last, by the clock of its disk.
    written: SystemTime,
}

impl Unfinished {
    /// Whether nothing was written to it since that.
    pub(super) fn is_older_than(&self, written: SystemTime) -> bool {
        self.written < written
    }

    /// Whether that attempt began it.
    pub(super) fn is_by(&self, writer: Uuid) -> bool {
        self.writer == aside::number_of(writer)
    }
}

impl Directory {
    /// Makes the directory when it is not there yet.
    pub(super) fn create(root: PathBuf) -> Result<Self, StoreError> {
        let attempt = "create the checkpoint store's directory";
        fs::create_dir_all(&root).map_err(|source| StoreError::Directory {
            attempt,
            path: root.clone(),
            source,
        })?;
        Ok(Self {
            root,
            disk: Disk::default(),
        })
    }

    /// One whose changes are told.
    #[cfg(test)]
    pub(super) fn with_disk(root: PathBuf, disk: Disk) -> Self {
        Self { root, disk }
    }

    /// Where it is.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Fails when the directory is gone. Listing and removing in a directory that is not there would
    /// succeed and mean nothing.
    pub(super) async fn check(&self) -> Result<(), StoreError> {
        let attempt = "look at the checkpoint store's directory";
        let is_there = self.blocking(attempt, PathBuf::new(), is_folder).await?;
        self.expect_there(is_there)
    }

    /// As [`check`](Self::check). Blocks.
    pub(super) fn check_now(&self) -> Result<(), StoreError> {
        let is_there = is_folder(&self.root).map_err(|source| StoreError::Directory {
            attempt: "look at the checkpoint store's directory",
            path: self.root.clone(),
            source,
        })?;
        self.expect_there(is_there)
    }

    fn expect_there(&self, is_there: bool) -> Result<(), StoreError> {
        is_there.then_some(()).ok_or_else(|| StoreError::DirectoryGone {
            path: self.root.clone(),
        })
    }

    /// Bytes of all files below `folder`, unfinished uploads included; 0 when it is not there.
    pub(super) async fn bytes(&self, folder: &object_store::path::Path) -> Result<u64, StoreError> {
        self.blocking("measure", folder.as_ref().into(), |path| {
            let mut bytes = 0;
            walk(path, &mut |_, metadata| {
                bytes += metadata.len();
                Ok(())
            })?;
            Ok(bytes)
        })
        .await
    }

    /// Removes `folder` with all that is in it, durably. It may be gone already.
    pub(super) async fn remove(&self, folder: &object_store::path::Path) -> Result<(), StoreError> {
        self.blocking("remove", folder.as_ref().into(), |path| {
            gone_is_fine(fs::remove_dir_all(path))?;
            path.parent().map_or(Ok(()), sync)
        })
        .await
    }

    /// The unfinished uploads below `folder`, by the files they were to become; live ones are among them.
    pub(super) async fn unfinished(&self, folder: &object_store::path::Path) -> Result<Vec<Unfinished>, StoreError> {
        self.blocking("look for unfinished uploads in", folder.as_ref().into(), |path| {
            let mut found = Vec::new();
            walk(path, &mut |file, metadata| {
                let target = file.file_name().and_then(|name| name.to_str()?.split_once('#'));
                if let Some((target, writer)) = target {
                    found.push(Unfinished {
                        target: target.to_owned(),
                        bytes: metadata.len(),
                        writer: writer.to_owned(),
                        path: file.to_owned(),
                        written: metadata.modified()?,
                    });
                }
                Ok(())
            })?;
            Ok(found)
        })
        .await
    }

    /// Removes what unfinished uploads left.
    pub(super) async fn remove_unfinished(&self, uploads: Vec<Unfinished>) -> Result<(), StoreError> {
        self.blocking("remove unfinished uploads in", PathBuf::new(), move |_| {
            uploads
                .iter()
                .try_for_each(|upload| gone_is_fine(fs::remove_file(&upload.path)))
        })
        .await
    }

    /// A small file beside its place, empty, until [`note`](Self::note).
    pub(super) async fn begin_note(&self, place: &object_store::path::Path, writer: Uuid) -> Result<Aside, StoreError> {
        let directory = self.clone();
        self.blocking("write", place.as_ref().into(), move |path| {
            Aside::create(&directory, path, writer)
        })
        .await
    }

    /// Writes a small file, which takes its place, or replaces what has it, at once. A failing machine may lose it, but not
    /// tear it.
    pub(super) async fn note(&self, begun: Aside, contents: Bytes) -> Result<(), StoreError> {
        self.blocking("write", begun.place().to_owned(), move |_| {
            begun.write_at(&contents, 0)?;
            begun.sync()?;
            begun.replace()
        })
        .await
    }

    /// A file that grows until [`stage`](Self::stage) gives it its place.
    pub(super) fn growing(&self, place: &object_store::path::Path, writer: Uuid) -> Growing {
        Growing::new(self, self.root.join(place.as_ref()), writer)
    }

    /// Writes an envelope beside its place, and the pack in its own. When this returns all but the envelope's
    /// own name is on disk.
    pub(super) async fn stage(
        &self,
        pack: Option<Growing>,
        envelope: &object_store::path::Path,
        writer: Uuid,
        contents: Vec<Bytes>,
    ) -> Result<Aside, StoreError> {
        let directory = self.clone();
        self.blocking("write", envelope.as_ref().into(), move |path| {
            aside::stage(&directory, pack, path, writer, &contents)
        })
        .await
    }

    /// An envelope beside its place, empty. Blocks.
    pub(super) fn begin_now(&self, envelope: &object_store::path::Path, writer: Uuid) -> Result<Aside, StoreError> {
        let path = self.root.join(envelope.as_ref());
        let begun = Aside::create(self, &path, writer);
        begun.map_err(|source| StoreError::Directory {
            attempt: "write",
            path,
            source,
        })
    }

    /// Writes parts of an envelope one after the other; more of it follows later. Blocks.
    pub(super) fn write_early_now(aside: &Aside, parts: &[Bytes], mut at: u64) -> Result<(), StoreError> {
        for part in parts {
            aside.write_early(part, at).map_err(failed_with(aside, "write"))?;
            at += part.len() as u64;
        }
        Ok(())
    }

    /// Writes the rest of an envelope without packs, from its beginning on. When this returns all but its own name is on
    /// disk. Blocks.
    pub(super) fn stage_now(aside: &Aside, parts: &[Bytes]) -> Result<(), StoreError> {
        let written = aside::write_all(aside, parts).and_then(|()| aside::settle(aside));
        written.map_err(failed_with(aside, "write"))
    }

    /// As [`publish`](Self::publish). Blocks.
    pub(super) fn publish_now(aside: Aside) -> Result<Created, StoreError> {
        let failed = failed_with(&aside, "put in place");
        aside.publish().map_err(failed)
    }

    /// Puts a file in its place unless there is one. It is on disk when this returns.
    pub(super) async fn publish(&self, aside: Aside) -> Result<Created, StoreError> {
        self.blocking("put in place", aside.place().to_owned(), move |_| aside.publish())
            .await
    }

    /// Puts a file in the place of another that holds `expected`. It is on disk when this returns.
    pub(super) async fn exchange(&self, aside: Aside, expected: Bytes) -> Result<Exchanged, StoreError> {
        self.blocking("replace", aside.place().to_owned(), move |_| aside.exchange(&expected))
            .await
    }

    /// A file, open for reading, and its bytes; `None` when there is none.
    pub(super) async fn open(&self, place: &object_store::path::Path) -> Result<Option<OpenFile>, StoreError> {
        self.blocking("open", place.as_ref().into(), |path| match fs::File::open(path) {
            Ok(file) => Ok(Some(OpenFile {
                bytes: file.metadata()?.len(),
                file: Arc::new(file),
                path: path.to_owned(),
            })),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        })
        .await
    }

    /// Some bytes of an open file, also when it was removed since.
    pub(super) async fn read(&self, file: &OpenFile, range: std::ops::Range<u64>) -> Result<Bytes, StoreError> {
        let open = Arc::clone(&file.file);
        self.blocking("read", file.path.clone(), move |_| {
            let mut bytes = vec![0; usize::try_from(range.end - range.start).map_err(io::Error::other)?];
            open.read_exact_at(&mut bytes, range.start)?;
            Ok(bytes.into())
        })
        .await
    }

    /// Removes files of one folder; returns when that is on disk. They may be gone already.
    pub(super) async fn remove_files(
        &self,
        folder: &object_store::path::Path,
        places: Vec<object_store::path::Path>,
    ) -> Result<(), StoreError> {
        let directory = self.clone();
        self.blocking("remove files in", folder.as_ref().into(), move |folder| {
            for place in places {
                gone_is_fine(directory.disk.remove(&directory.root.join(place.as_ref())))?;
            }
            gone_is_fine(directory.disk.sync_folder(folder))
        })
        .await
    }

    /// Returns when the names in a folder are on disk; it may be gone.
    pub(super) async fn sync_folder(&self, folder: &object_store::path::Path) -> Result<(), StoreError> {
        let disk = self.disk.clone();
        self.blocking("sync", folder.as_ref().into(), move |folder| {
            gone_is_fine(disk.sync_folder(folder))
        })
        .await
    }

    /// Makes the folders above `path`, but not the store's own: it may be gone because its disk is.
    fn make_folders_of(&self, path: &Path) -> io::Result<()> {
        let above = path.strip_prefix(&self.root).ok().and_then(Path::parent);
        let mut folder = self.root.clone();
        for name in above.into_iter().flatten() {
            folder.push(name);
            self.disk.make_folder(&folder)?;
        }
        Ok(())
    }

    /// Runs `work` on a path below the root, on a thread that may block.
    async fn blocking<T: Send + 'static>(
        &self,
        attempt: &'static str,
        below: PathBuf,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let path = self.root.join(below);
        let on = path.clone();
        let done = tokio::task::spawn_blocking(move || work(&on))
            .await
            .map_err(io::Error::other);
        done.flatten()
            .map_err(|source| StoreError::Directory { attempt, path, source })
    }
}

fn failed_with(aside: &Aside, attempt: &'static str) -> impl FnOnce(io::Error) -> StoreError + use<> {
    let path = aside.place().to_owned();
    move |source| StoreError::Directory { attempt, path, source }
}

fn is_folder(path: &Path) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(metadata.is_dir()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Visits each file below `folder`. What vanishes meanwhile is skipped; links are not followed.
fn walk(folder: &Path, visit: &mut dyn FnMut(&Path, &fs::Metadata) -> io::Result<()>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => return gone_is_fine(Err(error)),
    };
    for entry in entries {
        let entry = entry?;
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => walk(&entry.path(), visit)?,
            Ok(metadata) => visit(&entry.path(), &metadata)?,
            Err(error) => gone_is_fine(Err(error))?,
        }
    }
    Ok(())
}

fn gone_is_fine(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}
