//! Files that are written beside the place that they are meant for, and take it at once.
//!
//! ```text
//!  pack      written, while it grows, and synced on the way ──renamed──> synced ┐
//!  envelope  written ──────────────────────────────────────────────────> synced ┴> folders above synced
//!                                                           ──linked, if there is none──> its folder synced
//! ```
//!
//! Before an envelope is linked all that it names is on disk, and the names of all that; when it is on disk
//! itself the checkpoint is sealed. Each sync waits for the disk, and there is none that this order does not need:
//! a pack that nothing names yet may take its place before it is synced, and folders that are there before anybody waits
//! are synced then.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::io::Errno;
use uuid::Uuid;

use super::{Directory, Disk};
use crate::store::objects::{Created, Exchanged};

/// With so many bytes that are not on disk a file that grows is synced, while it does.
const EARLY_SYNC_BYTES: u64 = 4 << 20;
/// A file that grows takes room on disk by so many bytes.
const ROOM_BYTES: u64 = 8 << 20;
/// With so many bytes that are not on disk it is the disk that everything waits for.
const LAG_BYTES: u64 = 32 << 20;

/// NFS, for one.
const CANNOT_EXCHANGE: &str = "the file system cannot exchange two names (renameat2 with RENAME_EXCHANGE); \
                               checkpoints on it stay as large as they were written";

/// A file beside its place. When dropped it is gone.
#[derive(Debug)]
pub(in crate::store) struct Aside {
    directory: Directory,
    file: Arc<File>,
    path: PathBuf,
    place: PathBuf,
}

impl Aside {
    /// An empty file beside `place`, which is in the directory; makes the folders above. `writer` tells it from
    /// those of others.
    pub(super) fn create(directory: &Directory, place: &Path, writer: Uuid) -> io::Result<Self> {
        let mut name = place.as_os_str().to_owned();
        // Digits: object stores on disk take no other name for that of an upload.
        name.push(format!("#{}", writer.as_u128()));
        let path = PathBuf::from(name);
        let file = loop {
            match directory.disk.create(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => directory.make_folders_of(&path)?,
                done => break done?,
            }
        };
        Ok(Self {
            directory: directory.clone(),
            file: Arc::new(file),
            path,
            place: place.to_owned(),
        })
    }

    /// The place that it is meant for.
    pub(super) fn place(&self) -> &Path {
        &self.place
    }

    pub(super) fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.directory.disk.write_at(&self.file, &self.path, bytes, at)
    }

    /// As [`write_at`](Self::write_at), for what there is time to write until the sync.
    pub(super) fn write_early(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.write_at(bytes, at)?;
        Disk::begin_with(&self.file, at, bytes.len() as u64);
        Ok(())
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.directory.disk.sync_file(&self.file, &self.path)
    }

    /// Takes its place, or that of the file that has it. Nothing is synced.
    pub(super) fn replace(self) -> io::Result<()> {
        self.directory.disk.rename(&self.path, &self.place)
    }

    /// Takes its place unless somebody has it; its folder is on disk when this returns.
    pub(super) fn publish(self) -> io::Result<Created> {
        match self.directory.disk.link(&self.path, &self.place) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(Created::Existed),
            Err(error) => return Err(error),
        }
        sync_folder_of(&self.directory, &self.place)?;
        Ok(Created::New)
    }

    /// Takes the place of the file that has it, if that holds `expected`. Its folder is on disk when this returns.
    /// For a moment it has the place in any case, unless there is no file.
    pub(super) fn exchange(self, expected: &[u8]) -> io::Result<Exchanged> {
        let disk = &self.directory.disk;
        match disk.exchange(&self.path, &self.place) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Exchanged::Not),
            Err(error) if is_unknown(&error) => {
                return Err(io::Error::new(ErrorKind::Unsupported, CANNOT_EXCHANGE));
            }
            Err(error) => return Err(error),
        }
        if std::fs::read(&self.path)? == expected {
            sync_folder_of(&self.directory, &self.place)?;
            return Ok(Exchanged::Yes);
        }
        disk.exchange(&self.path, &self.place)?;
        Ok(Exchanged::Not)
    }

    fn remove(&self) {
        // Gone already when it took its place by a rename; what a failure leaves is found by the next removal.
        let _ = self.directory.disk.remove(&self.path);
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Whether the file system, or the kernel, does not know what it was asked for.
fn is_unknown(error: &io::Error) -> bool {
    let unknown = [Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP];
    Errno::from_io_error(error).is_some_and(|errno| unknown.contains(&errno))
}

fn sync_folder_of(directory: &Directory, path: &Path) -> io::Result<()> {
    path.parent()
        .map_or(Ok(()), |folder| directory.disk.sync_folder(folder))
}

/// An envelope with all that it names on disk.
///
/// # Errors
/// Something cannot be written; then nothing is left but a pack in its place, which nothing names.
pub(super) fn stage(
    directory: &Directory,
    pack: Option<Growing>,
    envelope: &Path,
    writer: Uuid,
    contents: &[bytes::Bytes],
) -> io::Result<Aside> {
    let are_known = pack.as_ref().is_some_and(Growing::has_folders);
    let pack = pack.map(|pack| pack.complete()).transpose()?.flatten();
    let staged = Aside::create(directory, envelope, writer)?;
    write_all(&staged, contents)?;
    if let Some((file, place)) = pack {
        directory.disk.sync_file(&file, &place)?;
        sync_folder_of(directory, &place)?;
        // Its entry for the folder of packs, which may be new.
        if !are_known {
            sync_folder_of(directory, envelope)?;
        }
    }
    staged.sync()?;
    if !are_known {
        sync_root(directory)?;
    }
    Ok(staged)
}

/// Writes parts one after the other, from the beginning on.
pub(super) fn write_all(aside: &Aside, parts: &[bytes::Bytes]) -> io::Result<()> {
    let mut written = 0;
    for part in parts {
        aside.write_at(part, written)?;
        written += part.len() as u64;
    }
    Ok(())
}

/// Puts an envelope that was written on disk, and its folder.
pub(super) fn settle(staged: &Aside) -> io::Result<()> {
    staged.sync()?;
    sync_root(&staged.directory)
}

/// The folder of the sandbox may be new.
fn sync_root(directory: &Directory) -> io::Result<()> {
    directory.disk.sync_folder(&directory.root)
}

/// A file that several threads write, synced while it grows. There is none as long as nothing was written.
#[derive(Debug)]
pub(in crate::store) struct Growing {
    directory: Directory,
    place: PathBuf,
    writer: Uuid,
    file: Mutex<Option<Begun>>,
    progress: Arc<Progress>,
    has_folders: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Begun {
    aside: Arc<Aside>,
    /// Bytes from the beginning that have room on disk.
    roomy: u64,
}

#[derive(Debug, Default)]
struct Progress {
    bytes: Mutex<Bytes>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Bytes {
    written: u64,
    synced: u64,
    /// Somebody syncs while others write.
    syncing: bool,
    /// So many bytes are synced however few they are.
    hurried: u64,
    complete: bool,
    failed: Option<io::Error>,
}

impl Growing {
    pub(super) fn new(directory: &Directory, place: PathBuf, writer: Uuid) -> Self {
        Self {
            directory: directory.clone(),
            place,
            writer,
            file: Mutex::default(),
            progress: Arc::default(),
            has_folders: Arc::default(),
        }
    }

    /// What has the folders above it on disk, for as long as nobody waits for that. Whoever removes them removes the note
    /// on this seal as well, which then does not come.
    pub(in crate::store) fn maker_of_folders(&self) -> impl FnOnce() -> io::Result<()> + Send + use<> {
        let (directory, place, has_folders) = (
            self.directory.clone(),
            self.place.clone(),
            Arc::clone(&self.has_folders),
        );
        move || {
            directory.make_folders_of(&place)?;
            sync_root(&directory)?;
            if let Some(packs) = place.parent() {
                sync_folder_of(&directory, packs)?;
            }
            has_folders.store(true, Ordering::Release);
            Ok(())
        }
    }

    fn has_folders(&self) -> bool {
        self.has_folders.load(Ordering::Acquire)
    }

    /// Writes `bytes` where nobody else does.
    pub(in crate::store) fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let file = self.file_with_room_for(at + bytes.len() as u64)?;
        file.write_at(bytes, at)?;
        let mut progress = self.progress.lock();
        progress.written += bytes.len() as u64;
        if progress.is_behind() && !progress.syncing {
            progress.syncing = true;
            let shared = Arc::clone(&self.progress);
            thread::Builder::new()
                .name("store-sync".to_owned())
                .spawn(move || shared.sync(&file))?;
        }
        drop(progress);
        self.progress.changed.notify_all();
        Ok(())
    }

    /// Has what was written synced soon, if somebody syncs.
    pub(in crate::store) fn hurry(&self) {
        let mut progress = self.progress.lock();
        progress.hurried = progress.written;
        drop(progress);
        self.progress.changed.notify_all();
    }

    /// Whether the disk is slower than those who write.
    pub(in crate::store) fn lags(&self) -> bool {
        let progress = self.progress.lock();
        progress.written - progress.synced > LAG_BYTES
    }

    fn file_with_room_for(&self, bytes: u64) -> io::Result<Arc<Aside>> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = match &mut *file {
            Some(begun) => begun,
            none => none.insert(Begun {
                aside: Arc::new(Aside::create(&self.directory, &self.place, self.writer)?),
                roomy: 0,
            }),
        };
        if bytes > begun.roomy {
            let end = bytes.next_multiple_of(ROOM_BYTES);
            Disk::take_room(&begun.aside.file, begun.roomy, end - begun.roomy);
            begun.roomy = end;
        }
        Ok(Arc::clone(&begun.aside))
    }

    /// The file, which has its place now and is not synced; none when nothing was written.
    fn complete(&self) -> io::Result<Option<(Arc<File>, PathBuf)>> {
        let Some(Begun { aside, .. }) = self.file.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return Ok(None);
        };
        self.progress.complete()?;
        Disk::give_room_back(&aside.file)?;
        self.directory.disk.rename(&aside.path, &self.place)?;
        Ok(Some((Arc::clone(&aside.file), self.place.clone())))
    }
}

impl Drop for Growing {
    fn drop(&mut self) {
        // Now, and not when whoever syncs it has ended.
        if let Some(begun) = self.file.lock().unwrap_or_else(PoisonError::into_inner).take() {
            begun.aside.remove();
        }
        self.progress.lock().complete = true;
        self.progress.changed.notify_all();
    }
}

impl Bytes {
    fn is_behind(&self) -> bool {
        self.written - self.synced >= EARLY_SYNC_BYTES || self.hurried > self.synced
    }
}

impl Progress {
    fn lock(&self) -> MutexGuard<'_, Bytes> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Syncs whenever there is enough to, until the file is complete.
    fn sync(&self, file: &Aside) {
        let mut bytes = self.lock();
        while !bytes.complete && bytes.failed.is_none() {
            if !bytes.is_behind() {
                bytes = self.changed.wait(bytes).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let written = bytes.written;
            drop(bytes);
            let done = file.sync();
            bytes = self.lock();
            bytes.synced = written;
            bytes.failed = done.err();
        }
        bytes.syncing = false;
        drop(bytes);
        self.changed.notify_all();
    }

    /// Returns when nobody syncs any more. A failed sync is told once only by the system, so it is kept until here.
    fn complete(&self) -> io::Result<()> {
        let mut bytes = self.lock();
        bytes.complete = true;
        self.changed.notify_all();
        while bytes.syncing {
            bytes = self.changed.wait(bytes).unwrap_or_else(PoisonError::into_inner);
        }
        bytes.failed.take().map_or(Ok(()), Err)
    }
}
