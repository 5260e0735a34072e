//! The files of a container that differ from its image: how they are written down and laid out again elsewhere. Which
//! they are is found by `baseline`.
//!
//! Kept: content, owner, mode and modification time of files, folders, links and FIFOs on the root file
//! system and on every `tmpfs` for files, and what was removed from the image. Left out: volumes, hard
//! links as links, sockets and devices (CRIU makes the sockets again).

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
use crate::payload::{Payload, PayloadCursor};

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
}

impl RootfsDiff {
    /// What is written again, parents before children.
    #[cfg(test)]
    pub(super) fn paths(&self) -> impl Iterator<Item = PathBuf> {
        self.changed.iter().map(|entry| path_of(&entry.path))
    }

    /// Makes the container's files as they were, from their bytes, which come next.
    pub(super) async fn lay_out(self, cursor: &mut PayloadCursor) -> Result<(), CriuError> {
        let removed = self.removed;
        blocking(move || {
            for path in &removed {
                let path = path_of(path);
                remove(&path).map_err(CriuError::file("remove", &path))?;
            }
            Ok(())
        })
        .await?;
        let mut made = Vec::with_capacity(self.changed.len());
        for entry in self.changed {
            made.push(entry.make(cursor).await?);
        }
        blocking(move || {
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

impl Entry {
    async fn make(self, cursor: &mut PayloadCursor) -> Result<Self, CriuError> {
        let path = path_of(&self.path);
        let failed = CriuError::file("write", &path);
        let Node::File { bytes } = self.node else {
            return blocking(move || self.make_empty(&path).map(|()| self).map_err(failed)).await;
        };
        // Made anew and not written over: the old one may be a program that runs.
        let new = {
            let path = path.clone();
            blocking(move || remove(&path).and_then(|()| fs::File::create(&path)).map_err(failed)).await?
        };
        if bytes > LARGE_FILE_BYTES {
            cursor.skip(bytes)?.copy_to(&Arc::new(new), 0, &path).await?;
        } else {
            let content = cursor.take(bytes).await?;
            blocking(move || (&new).write_all(&content).map_err(CriuError::file("write", &path))).await?;
        }
        Ok(self)
    }

    /// Makes what has no content.
    fn make_empty(&self, path: &Path) -> io::Result<()> {
        match &self.node {
            Node::Directory => {
                if !fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir()) {
                    remove(path)?;
                    fs::create_dir(path)?;
                }
                Ok(())
            }
            Node::File { .. } => remove(path).and_then(|()| fs::File::create(path).map(drop)),
            Node::Symlink(target) => {
                remove(path)?;
                std::os::unix::fs::symlink(path_of(target), path)
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

/// A file as it is now; its bytes go to `files`. `None` for what is not kept.
pub(super) fn entry(path: &Path, meta: &fs::Metadata, files: &mut Payload) -> Result<Option<Entry>, CriuError> {
    let kind = meta.file_type();
    let node = if kind.is_dir() {
        Node::Directory
    } else if kind.is_symlink() {
        let target = fs::read_link(path).map_err(CriuError::file("read the link", path))?;
        Node::Symlink(bytes_of(&target))
    } else if kind.is_file() {
        Node::File {
            bytes: files.push_file(path)?,
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

fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
