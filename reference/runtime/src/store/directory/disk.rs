//! The system calls that change a store on disk, one by one, each told to whoever wants to know, and refused by whoever
//! was asked first: what a failing machine may leave, and what a failing call, is tried by tests that know all of them.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{CWD, RenameFlags, renameat_with};

/// One change of what is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Change<'a> {
    /// A folder is there, empty.
    Folder(&'a Path),
    /// A file is there, empty.
    File(&'a Path),
    /// A file has these bytes from a place on.
    Bytes(&'a Path, u64, &'a [u8]),
    /// A file has a second name.
    Linked(&'a Path, &'a Path),
    /// A file has another name, and replaced what had it.
    Renamed(&'a Path, &'a Path),
    /// Two names have changed what they name.
    Exchanged(&'a Path, &'a Path),
    /// A name is gone.
    Removed(&'a Path),
    /// What a file holds would survive a failure of the machine.
    FileSynced(&'a Path),
    /// So would the names in a folder.
    FolderSynced(&'a Path),
    /// Nothing has changed, but what a file holds is known, and a change depends on it.
    Read(&'a Path),
}

type Listener = dyn Fn(Change<'_>) + Send + Sync;
type Guard = dyn Fn(Change<'_>) -> io::Result<()> + Send + Sync;

/// Makes changes, and tells of them.
#[derive(Clone, Default)]
pub(in crate::store) struct Disk {
    listener: Option<Arc<Listener>>,
    guard: Option<Arc<Guard>>,
}

impl Disk {
    /// Tells `listener` of each change after it was made.
    #[cfg(test)]
    pub(in crate::store) fn told_to(listener: impl Fn(Change<'_>) + Send + Sync + 'static) -> Self {
        Self {
            listener: Some(Arc::new(listener)),
            guard: None,
        }
    }

    /// Asks `guard` before each change, which is not made when that gives an error, and fails with it.
    #[cfg(test)]
    pub(in crate::store) fn guarded_by(guard: impl Fn(Change<'_>) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self {
            listener: None,
            guard: Some(Arc::new(guard)),
        }
    }

    fn make<T>(&self, change: Change<'_>, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.guard.as_ref().map_or(Ok(()), |guard| guard(change))?;
        let made = call()?;
        if let Some(listener) = &self.listener {
            listener(change);
        }
        Ok(made)
    }

    /// Makes a folder unless it is there.
    pub(super) fn make_folder(&self, path: &Path) -> io::Result<()> {
        match self.make(Change::Folder(path), || fs::create_dir(path)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made,
        }
    }

    /// Makes a file that was not there.
    pub(super) fn create(&self, path: &Path) -> io::Result<File> {
        let create = || File::options().write(true).create_new(true).open(path);
        self.make(Change::File(path), create)
    }

    pub(super) fn write_at(&self, file: &File, path: &Path, bytes: &[u8], at: u64) -> io::Result<()> {
        self.make(Change::Bytes(path, at, bytes), || file.write_all_at(bytes, at))
    }

    /// Asks for the disk to begin with these bytes of a file, so that a sync finds less to wait for. Nothing is promised.
    pub(super) fn begin_with(file: &File, at: u64, bytes: u64) {
        // The one safe call that starts writing and does not wait. What it does not do, or cannot, the sync does.
        #[cfg(target_os = "linux")]
        let _ = rustix::fs::fadvise(file, at, std::num::NonZeroU64::new(bytes), rustix::fs::Advice::DontNeed);
        #[cfg(not(target_os = "linux"))]
        let _ = (file, at, bytes);
    }

    /// Takes room for so many bytes of a file that is not longer for it, so that to write them does not look for room block
    /// by block. Nothing is promised: what has no room yet gets it when it is written, and that fails if there is none.
    pub(super) fn take_room(file: &File, at: u64, bytes: u64) {
        #[cfg(target_os = "linux")]
        let _ = rustix::fs::fallocate(file, rustix::fs::FallocateFlags::KEEP_SIZE, at, bytes);
        #[cfg(not(target_os = "linux"))]
        let _ = (file, at, bytes);
    }

    /// Gives back the room behind the end of a file.
    pub(super) fn give_room_back(file: &File) -> io::Result<()> {
        file.set_len(file.metadata()?.len())
    }

    /// Fails when `to` is there.
    pub(super) fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.make(Change::Linked(from, to), || fs::hard_link(from, to))
    }

    pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.make(Change::Renamed(from, to), || fs::rename(from, to))
    }

    /// Fails when one of them is not there, or the file system cannot do it at once.
    pub(super) fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        let exchange = || Ok(renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?);
        self.make(Change::Exchanged(one, other), exchange)
    }

    pub(super) fn remove(&self, path: &Path) -> io::Result<()> {
        self.make(Change::Removed(path), || fs::remove_file(path))
    }

    /// Its times may be lost, its bytes and their number not.
    pub(super) fn sync_file(&self, file: &File, path: &Path) -> io::Result<()> {
        self.make(Change::FileSynced(path), || file.sync_data())
    }

    pub(super) fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.make(Change::FolderSynced(path), || File::open(path)?.sync_all())
    }

    pub(super) fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.make(Change::Read(path), || fs::read(path))
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk")
            .field("is_told", &self.listener.is_some())
            .field("is_guarded", &self.guard.is_some())
            .finish()
    }
}
