//! The system calls that change a store on disk, one by one, each told to whoever wants to know: what a failing
//! machine may leave is tried by tests that know all of them.

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
}

type Listener = dyn Fn(Change<'_>) + Send + Sync;

/// Makes changes, and tells of them.
#[derive(Clone, Default)]
pub(in crate::store) struct Disk(Option<Arc<Listener>>);

impl Disk {
    /// Tells `listener` of each change after it was made.
    #[cfg(test)]
    pub(in crate::store) fn told_to(listener: impl Fn(Change<'_>) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(listener)))
    }

    fn tell(&self, change: Change<'_>) {
        if let Some(listener) = &self.0 {
            listener(change);
        }
    }

    /// Makes a folder unless it is there.
    pub(super) fn make_folder(&self, path: &Path) -> io::Result<()> {
        match fs::create_dir(path) {
            Ok(()) => self.tell(Change::Folder(path)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Makes a file that was not there.
    pub(super) fn create(&self, path: &Path) -> io::Result<File> {
        let file = File::options().write(true).create_new(true).open(path)?;
        self.tell(Change::File(path));
        Ok(file)
    }

    pub(super) fn write_at(&self, file: &File, path: &Path, bytes: &[u8], at: u64) -> io::Result<()> {
        file.write_all_at(bytes, at)?;
        self.tell(Change::Bytes(path, at, bytes));
        Ok(())
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
        fs::hard_link(from, to)?;
        self.tell(Change::Linked(from, to));
        Ok(())
    }

    pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)?;
        self.tell(Change::Renamed(from, to));
        Ok(())
    }

    /// Fails when one of them is not there, or the file system cannot do it at once.
    pub(super) fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?;
        self.tell(Change::Exchanged(one, other));
        Ok(())
    }

    pub(super) fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)?;
        self.tell(Change::Removed(path));
        Ok(())
    }

    /// Its times may be lost, its bytes and their number not.
    pub(super) fn sync_file(&self, file: &File, path: &Path) -> io::Result<()> {
        file.sync_data()?;
        self.tell(Change::FileSynced(path));
        Ok(())
    }

    pub(super) fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()?;
        self.tell(Change::FolderSynced(path));
        Ok(())
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Disk").field(&self.0.is_some()).finish()
    }
}
