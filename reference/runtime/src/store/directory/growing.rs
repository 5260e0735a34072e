//! A pack that grows: several threads write it, and it is synced meanwhile, since somebody will wait for its end.
//!
//! ```text
//!  written ──a few megabytes──▶ synced, again and again ──complete──▶ in its place, the last of it not synced yet
//! ```
//!
//! Left out: what has to be on disk before what (`aside`).

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use uuid::Uuid;

use super::aside::{Aside, sync_folder_of, sync_root};
use super::{Directory, Disk};

/// With so many bytes that are not on disk a file that grows is synced, while it does: what waits for the end is waited for.
const EARLY_SYNC_BYTES: u64 = 2 << 20;
/// A file that grows takes room on disk by so many bytes.
const ROOM_BYTES: u64 = 8 << 20;
/// With so many bytes that are not on disk it is the disk that everything waits for.
const LAG_BYTES: u64 = 32 << 20;

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
    /// Whoever syncs is to end.
    settling: bool,
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

    pub(super) fn has_folders(&self) -> bool {
        self.has_folders.load(Ordering::Acquire)
    }

    /// Writes `bytes` where nobody else does.
    pub(in crate::store) fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let file = self.file_with_room_for(at + bytes.len() as u64)?;
        file.write_at(bytes, at)?;
        let mut progress = self.progress.lock();
        progress.written += bytes.len() as u64;
        if progress.is_behind() && !progress.syncing {
            let shared = Arc::clone(&self.progress);
            let thread = thread::Builder::new().name("store-sync".to_owned());
            // Without it the sync at the end does all.
            progress.syncing = thread.spawn(move || shared.sync(&file)).is_ok();
        }
        drop(progress);
        self.progress.changed.notify_all();
        Ok(())
    }

    /// Has all that was written on disk, and leaves nobody who syncs: whoever writes next may be in more of a hurry than the
    /// one who began to. Nobody writes meanwhile.
    pub(in crate::store) fn settle(&self) -> io::Result<()> {
        let aside = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let aside = aside.as_ref().map(|begun| Arc::clone(&begun.aside));
        aside.map_or(Ok(()), |file| self.progress.settle(&file))
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
    pub(super) fn complete(&self) -> io::Result<Option<(Arc<File>, PathBuf)>> {
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
        while !bytes.complete && !bytes.settling && bytes.failed.is_none() {
            if !bytes.is_behind() {
                bytes = self.changed.wait(bytes).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            bytes = self.sync_once(bytes, file);
        }
        bytes.syncing = false;
        drop(bytes);
        self.changed.notify_all();
    }

    /// Has what is written by now on disk, while others write more.
    fn sync_once<'a>(&'a self, bytes: MutexGuard<'a, Bytes>, file: &Aside) -> MutexGuard<'a, Bytes> {
        let written = bytes.written;
        drop(bytes);
        let done = file.sync();
        let mut bytes = self.lock();
        bytes.synced = written;
        bytes.failed = done.err();
        bytes
    }

    /// Returns when nobody syncs any more and all that was written is on disk.
    fn settle(&self, file: &Aside) -> io::Result<()> {
        let mut bytes = self.lock();
        bytes.settling = true;
        self.changed.notify_all();
        while bytes.syncing {
            bytes = self.changed.wait(bytes).unwrap_or_else(PoisonError::into_inner);
        }
        bytes.settling = false;
        if bytes.failed.is_none() && bytes.synced < bytes.written {
            bytes = self.sync_once(bytes, file);
        }
        // Kept as well: a pack of which it is true never takes its place.
        let failed = bytes.failed.as_ref();
        failed.map_or(Ok(()), |error| Err(io::Error::new(error.kind(), error.to_string())))
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

#[cfg(test)]
mod tests {
    use super::super::Change;
    use super::*;

    #[test]
    fn what_has_settled_is_on_disk_with_nobody_who_syncs_and_goes_on_to_grow() {
        let folder = tempfile::tempdir().expect("a directory");
        let (tell, told) = std::sync::mpsc::channel();
        let disk = Disk::told_to(move |change| {
            if let Change::FileSynced(_) = change {
                // Who listens may have gone.
                let _ = tell.send(());
            }
        });
        let directory = Directory::with_disk(folder.path().to_owned(), disk);
        let pack = Growing::new(&directory, folder.path().join("pack"), Uuid::new_v4());
        pack.settle().expect("nothing to do");
        for (bytes, at) in [(vec![1; 5 << 20], 0), (vec![2; 10], 5 << 20)] {
            pack.write_at(&bytes, at).expect("written");
            pack.settle().expect("on disk");
            assert!(told.try_iter().count() > 0, "synced");
            let progress = pack.progress.lock();
            assert_eq!((progress.syncing, progress.synced), (false, at + bytes.len() as u64));
        }
        pack.write_at(&vec![3; 5 << 20], 6 << 20).expect("written");
        told.recv().expect("somebody syncs again");
        let (file, _) = pack.complete().expect("complete").expect("a file");
        assert_eq!(file.metadata().expect("its length").len(), 11 << 20);
    }

    #[test]
    fn a_pack_of_which_a_sync_failed_does_not_take_its_place() {
        let folder = tempfile::tempdir().expect("a directory");
        let directory = Directory::with_disk(folder.path().to_owned(), Disk::default());
        let pack = Growing::new(&directory, folder.path().join("pack"), Uuid::new_v4());
        pack.write_at(b"some", 0).expect("written");
        pack.progress.lock().failed = Some(io::Error::other("lost by the disk"));
        pack.settle().expect_err("told to whoever waits for the disk");
        let failed = pack.complete().expect_err("told");
        assert_eq!(failed.to_string(), "lost by the disk");
        assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 0);
    }
}
