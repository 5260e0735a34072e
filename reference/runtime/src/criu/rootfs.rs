//! The files of a container that differ from its image: how they are written down and laid out again elsewhere. Which
//! they are is found by `baseline`.
//!
//! Kept: content, owner, mode and modification time of files, folders, links and FIFOs on the root file
//! system and on every `tmpfs` for files, which names are of one file, and what was removed from the image. Left out:
//! volumes, sockets and devices (CRIU makes the sockets again).

mod names;

use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, mknodat, utimensat};
use serde::{Deserialize, Serialize};

use super::engine::blocking;
use super::error::CriuError;
use crate::payload::{Payload, PayloadCursor, PayloadReader};
pub(super) use names::Names;

/// A larger file goes from the store to its place a piece at a time.
const LARGE_FILE_BYTES: u64 = 4 << 20;

/// Seconds and nanoseconds since the epoch.
pub(super) type Time = (i64, i64);

/// The difference to the image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RootfsDiff {
    /// Parents before children.
    pub(super) changed: Vec<Entry>,
    /// Paths of the image that are gone.
    pub(super) removed: Vec<Bytes>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    path: Bytes,
    mode: u32,
    owner: u32,
    group: u32,
    modified: Time,
    node: Node,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Node {
    Directory,
    /// Its bytes are in the payload, in the order of the entries.
    File {
        bytes: u64,
    },
    Symlink(Bytes),
    Fifo,
    /// Another name of the file that an earlier entry has.
    HardLink(Bytes),
}

impl RootfsDiff {
    /// What is written again, parents before children.
    #[cfg(test)]
    pub(super) fn paths(&self) -> impl Iterator<Item = PathBuf> {
        self.changed.iter().map(|entry| path_of(&entry.path))
    }

    /// What their contents come to.
    pub(super) fn bytes(&self) -> u64 {
        let of = |entry: &Entry| match entry.node {
            Node::File { bytes } => bytes,
            Node::Directory | Node::Symlink(_) | Node::Fifo | Node::HardLink(_) => 0,
        };
        self.changed.iter().map(of).sum()
    }

    /// Makes the container's files as they were, from their bytes, which come next.
    pub(super) async fn lay_out(self, cursor: &mut PayloadCursor) -> Result<(), CriuError> {
        let mut small = Small::behind(self.removed);
        let mut made = Vec::with_capacity(self.changed.len());
        for entry in self.changed {
            match entry.node {
                Node::File { bytes } if bytes > LARGE_FILE_BYTES => {
                    made.extend(small.take().make_there().await?);
                    made.push(entry.make_large(cursor.skip(bytes)?).await?);
                }
                Node::File { bytes } => small.push(entry, cursor.take(bytes).await?),
                Node::Directory | Node::Symlink(_) | Node::Fifo | Node::HardLink(_) => small.push(entry, Bytes::new()),
            }
            if small.bytes > LARGE_FILE_BYTES {
                made.extend(small.take().make_there().await?);
            }
        }
        blocking(move || {
            made.extend(small.make()?);
            // Children first: writing them moves the time of their folder, and a read-only folder takes none.
            for entry in made.iter().rev() {
                let path = path_of(&entry.path);
                entry
                    .dress(&path)
                    .map_err(CriuError::file("set owner, mode and time of", &path))?;
            }
            Ok(())
        })
        .await
    }
}

/// What is removed and made in one go: each way to another thread and back takes longer than a small file.
#[derive(Debug, Default)]
struct Small {
    removed: Vec<Bytes>,
    /// With their contents, parents before children.
    entries: Vec<(Entry, Bytes)>,
    /// Of their contents.
    bytes: u64,
}

impl Small {
    /// Nothing but the removal of these paths.
    fn behind(removed: Vec<Bytes>) -> Self {
        Self {
            removed,
            ..Self::default()
        }
    }

    fn push(&mut self, entry: Entry, content: Bytes) {
        self.bytes += content.len() as u64;
        self.entries.push((entry, content));
    }

    /// All of it; nothing is left.
    fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    async fn make_there(self) -> Result<Vec<Entry>, CriuError> {
        blocking(move || self.make()).await
    }

    fn make(self) -> Result<Vec<Entry>, CriuError> {
        for path in &self.removed {
            let path = path_of(path);
            remove(&path).map_err(CriuError::file("remove", &path))?;
        }
        let entries = self.entries.into_iter().map(|(entry, content)| {
            let path = path_of(&entry.path);
            let made = entry.make(&path, &content);
            made.map(|()| entry).map_err(CriuError::file("write", &path))
        });
        entries.collect()
    }
}

impl Entry {
    /// Makes a file of which not all is in memory.
    async fn make_large(self, content: PayloadReader) -> Result<Self, CriuError> {
        let path = path_of(&self.path);
        let new = {
            let path = path.clone();
            blocking(move || create(&path).map_err(CriuError::file("write", &path))).await?
        };
        content.copy_to(&Arc::new(new), 0, &path).await?;
        Ok(self)
    }

    fn make(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        match &self.node {
            Node::Directory => {
                if !fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir()) {
                    remove(path)?;
                    fs::create_dir(path)?;
                }
                Ok(())
            }
            Node::File { .. } => create(path)?.write_all(content),
            Node::Symlink(target) => {
                remove(path)?;
                std::os::unix::fs::symlink(path_of(target), path)
            }
            Node::HardLink(first) => {
                remove(path)?;
                fs::hard_link(path_of(first), path)
            }
            Node::Fifo => {
                remove(path)?;
                Ok(mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(self.mode), 0)?)
            }
        }
    }

    fn dress(&self, path: &Path) -> io::Result<()> {
        lchown(path, Some(self.owner), Some(self.group))?;
        if !matches!(self.node, Node::Symlink(_)) {
            fs::set_permissions(path, fs::Permissions::from_mode(self.mode))?;
        }
        let time = Timespec {
            tv_sec: self.modified.0,
            tv_nsec: self.modified.1,
        };
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    }
}

/// A file as it is now; its bytes go to `files`, unless they are there by another of its `names`. `None` for what is not kept.
pub(super) fn entry(
    path: &Path,
    meta: &fs::Metadata,
    names: &mut Names,
    files: &mut Payload,
) -> Result<Option<Entry>, CriuError> {
    let kind = meta.file_type();
    let node = if kind.is_dir() {
        Node::Directory
    } else if kind.is_symlink() {
        let target = fs::read_link(path).map_err(CriuError::file("read the link", path))?;
        Node::Symlink(bytes_of(&target))
    } else if kind.is_file() {
        match names.another(path, meta) {
            Some(first) => Node::HardLink(first),
            None => Node::File {
                bytes: files.push_file(path)?,
            },
        }
    } else if kind.is_fifo() {
        Node::Fifo
    } else {
        return Ok(None);
    };
    Ok(Some(Entry {
        path: bytes_of(path),
        mode: meta.mode() & 0o7777,
        owner: meta.uid(),
        group: meta.gid(),
        modified: (meta.mtime(), meta.mtime_nsec()),
        node,
    }))
}

pub(super) fn bytes_of(path: &Path) -> Bytes {
    Bytes::copy_from_slice(path.as_os_str().as_bytes())
}

fn path_of(bytes: &Bytes) -> PathBuf {
    std::ffi::OsString::from_vec(bytes.to_vec()).into()
}

/// A new file, which is not the old one written over: that may be a program that runs.
fn create(path: &Path) -> io::Result<fs::File> {
    remove(path)?;
    fs::File::create(path)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is below `root`: paths, modes and contents.
    fn tree(root: &Path) -> Vec<(PathBuf, u32, Vec<u8>)> {
        let mut found = Vec::new();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("listed").flatten() {
                let (path, meta) = (entry.path(), entry.metadata().expect("its metadata"));
                let content = if meta.is_file() {
                    fs::read(&path).expect("read")
                } else if meta.is_symlink() {
                    fs::read_link(&path).expect("read").into_os_string().into_vec()
                } else {
                    Vec::new()
                };
                if meta.is_dir() {
                    folders.push(path.clone());
                }
                found.push((path, meta.mode(), content));
            }
        }
        found.sort();
        found
    }

    #[tokio::test]
    async fn files_of_all_sizes_are_laid_out_in_their_order_and_what_was_removed_is_gone() {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().join("root");
        let large = usize::try_from(LARGE_FILE_BYTES).expect("fits") + 1;
        let middling = large / 2;
        let contents = [
            ("a-small", 3),
            ("closed/large", large),
            ("closed/small", 5),
            ("m-1", middling),
            ("m-2", middling),
            ("m-3", middling),
            ("z-empty", 0),
        ];
        fs::create_dir_all(root.join("closed")).expect("made");
        for (name, bytes) in contents {
            let content: Vec<u8> = (0..bytes)
                .map(|nth: usize| nth.to_le_bytes()[0] ^ name.as_bytes()[0])
                .collect();
            fs::write(root.join(name), content).expect("written");
        }
        std::os::unix::fs::symlink("a-small", root.join("link")).expect("a link");
        fs::set_permissions(root.join("closed"), fs::Permissions::from_mode(0o555)).expect("closed");
        let before = tree(&root);

        let (mut payload, mut bytes) = (Payload::default(), Vec::new());
        let (mut changed, mut names) = (Vec::new(), Names::default());
        for (path, _, content) in &before {
            let meta = fs::symlink_metadata(path).expect("its metadata");
            changed.extend(entry(path, &meta, &mut names, &mut payload).expect("readable"));
            if payload.len() > bytes.len() as u64 {
                bytes.extend(content);
            }
        }
        fs::remove_dir_all(&root).expect("removed");
        fs::create_dir_all(root.join("a-small/is a folder now")).expect("made");
        let gone = dir.path().join("gone");
        fs::write(&gone, "of the image").expect("written");
        let diff = RootfsDiff {
            changed,
            removed: vec![bytes_of(&gone)],
        };
        assert_eq!(diff.bytes(), bytes.len() as u64);
        let mut cursor = PayloadCursor::new(PayloadReader::from(bytes));
        diff.lay_out(&mut cursor).await.expect("laid out");
        assert_eq!(cursor.remaining(), 0);
        assert!(tree(&root) == before, "everything is as it was");
        assert!(!gone.exists());
    }

    #[tokio::test]
    async fn names_of_one_file_are_laid_out_as_such_and_its_bytes_are_kept_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let large = usize::try_from(LARGE_FILE_BYTES).expect("fits") + 1;
        let path = |name: &str| dir.path().join(name);
        for (name, bytes) in [("1-small", 3), ("2-large", large), ("3-alone", 3)] {
            fs::write(path(name), vec![1; bytes]).expect("written");
        }
        fs::hard_link(path("1-small"), path("4-small")).expect("a hard link");
        fs::hard_link(path("2-large"), path("5-large")).expect("a hard link");
        let (mut payload, mut changed, mut names) = (Payload::default(), Vec::new(), Names::default());
        for (path, _, _) in tree(dir.path()) {
            let meta = fs::symlink_metadata(&path).expect("its metadata");
            changed.extend(entry(&path, &meta, &mut names, &mut payload).expect("readable"));
        }
        let bytes = payload.into_bytes().expect("read");
        assert_eq!(bytes.len(), large + 6);
        for (path, _, _) in tree(dir.path()) {
            fs::remove_file(path).expect("removed");
        }
        let diff = RootfsDiff {
            changed,
            removed: Vec::new(),
        };
        diff.lay_out(&mut PayloadCursor::new(PayloadReader::from(bytes)))
            .await
            .expect("laid out");
        let number = |name: &str| fs::metadata(path(name)).expect("its metadata").ino();
        assert_eq!(number("1-small"), number("4-small"));
        assert_eq!(number("2-large"), number("5-large"));
        assert_ne!(number("1-small"), number("3-alone"));
        assert_eq!(fs::read(path("5-large")).expect("read"), vec![1; large]);
    }
}
