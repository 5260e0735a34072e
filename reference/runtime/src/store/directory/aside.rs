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
use std::sync::Arc;

use rustix::io::Errno;
use uuid::Uuid;

use super::growing::Growing;
use super::{Directory, Disk};
use crate::store::objects::{Created, Exchanged};

/// NFS, for one.
const CANNOT_EXCHANGE: &str = "the file system cannot exchange two names (renameat2 with RENAME_EXCHANGE); \
                               checkpoints on it stay as large as they were written";

/// A file beside its place. When dropped it is gone.
#[derive(Debug)]
pub(in crate::store) struct Aside {
    directory: Directory,
    pub(super) file: Arc<File>,
    pub(super) path: PathBuf,
    place: PathBuf,
}

impl Aside {
    /// An empty file beside `place`, which is in the directory; makes the folders above. `writer` tells it from
    /// those of others.
    pub(super) fn create(directory: &Directory, place: &Path, writer: Uuid) -> io::Result<Self> {
        let mut name = place.as_os_str().to_owned();
        name.push(format!("#{}", number_of(writer)));
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
    /// Should another one take it between the look and the exchange, this one has the place for a moment.
    ///
    /// # Errors
    /// It may have its place or not: what it names has to stay.
    pub(super) fn exchange(self, expected: &[u8]) -> io::Result<Exchanged> {
        let disk = &self.directory.disk;
        // Whoever sees it in its place takes what only the other one names for garbage, until it is put back.
        match disk.read(&self.place) {
            Ok(there) if there == expected => {}
            Ok(_) => return Ok(Exchanged::Not),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Exchanged::Not),
            Err(error) => return Err(error),
        }
        match disk.exchange(&self.path, &self.place) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Exchanged::Not),
            Err(error) if is_unknown(&error) => {
                return Err(io::Error::new(ErrorKind::Unsupported, CANNOT_EXCHANGE));
            }
            Err(error) => return Err(error),
        }
        // What cannot be read goes back, as what was not expected does.
        let replaced = disk.read(&self.path);
        if replaced.as_ref().is_ok_and(|replaced| replaced == expected) {
            sync_folder_of(&self.directory, &self.place)?;
            return Ok(Exchanged::Yes);
        }
        disk.exchange(&self.path, &self.place)?;
        replaced.map(|_| Exchanged::Not)
    }

    pub(super) fn remove(&self) {
        // Gone already when it took its place by a rename; what a failure leaves is found by the next removal.
        let _ = self.directory.disk.remove(&self.path);
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Digits: object stores on disk take no other name for that of an upload.
pub(super) fn number_of(writer: Uuid) -> String {
    writer.as_u128().to_string()
}

/// Whether the file system, or the kernel, does not know what it was asked for.
fn is_unknown(error: &io::Error) -> bool {
    let unknown = [Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP];
    Errno::from_io_error(error).is_some_and(|errno| unknown.contains(&errno))
}

pub(super) fn sync_folder_of(directory: &Directory, path: &Path) -> io::Result<()> {
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
pub(super) fn sync_root(directory: &Directory) -> io::Result<()> {
    directory.disk.sync_folder(&directory.root)
}
