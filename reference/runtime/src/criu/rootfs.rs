//! The files of a container that differ from its image: found by their change time, laid out again elsewhere.
//!
//! Kept: content, owner, mode and modification time of files, folders, links and FIFOs on the root file
//! system and on every `tmpfs` for files, and what was removed from the image. Left out: volumes, hard
//! links as links, sockets and devices (CRIU makes the sockets again).

use std::collections::BTreeSet;
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
use super::system;
use crate::payload::{Payload, PayloadCursor};

/// A larger file goes from the store to its place a piece at a time.
const LARGE_FILE_BYTES: u64 = 4 << 20;

/// Seconds and nanoseconds since the epoch.
type Time = (i64, i64);

/// What was in the container before anything of the sandbox ran.
#[derive(Debug)]
pub(super) struct Baseline {
    roots: Vec<PathBuf>,
    excluded: Vec<PathBuf>,
    since: Time,
    paths: BTreeSet<PathBuf>,
}

/// The difference to the image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RootfsDiff {
    /// Parents before children.
    changed: Vec<Entry>,
    /// Paths of the image that are gone.
    removed: Vec<Bytes>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
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

impl Baseline {
    /// Looks at the whole container. What is below `excluded` is the agent's and not looked at; the first is a directory.
    pub(super) fn take(excluded: Vec<PathBuf>) -> Result<Self, CriuError> {
        let mounts = system::mounts().map_err(CriuError::file("read", Path::new("/proc/self/mountinfo")))?;
        let holds_files = |mount: &system::Mount| {
            let at = &mount.at;
            let of_the_system = ["/dev", "/proc", "/sys"].iter().any(|dir| at == Path::new(dir));
            let below = at.starts_with("/proc") || at.starts_with("/sys");
            mount.kind == "tmpfs" && at.is_dir() && !of_the_system && !below
        };
        let further = mounts.into_iter().filter(holds_files).map(|mount| mount.at);
        Self::of(std::iter::once(PathBuf::from("/")).chain(further).collect(), excluded)
    }

    fn of(roots: Vec<PathBuf>, excluded: Vec<PathBuf>) -> Result<Self, CriuError> {
        let marker = excluded.first().map(|dir| dir.join("baseline")).unwrap_or_default();
        fs::write(&marker, "").map_err(CriuError::file("write", &marker))?;
        let meta = fs::symlink_metadata(&marker).map_err(CriuError::file("look at", &marker))?;
        let mut baseline = Self {
            roots,
            excluded,
            since: changed_at(&meta),
            paths: BTreeSet::new(),
        };
        let mut paths = BTreeSet::new();
        baseline.walk(|path, _| {
            paths.insert(path.to_owned());
            Ok(())
        })?;
        baseline.paths = paths;
        Ok(baseline)
    }

    /// What has changed since, and the bytes of the files in it.
    pub(super) fn diff(&self) -> Result<(RootfsDiff, Payload), CriuError> {
        let (mut diff, mut files) = (RootfsDiff::default(), Payload::default());
        let mut seen = BTreeSet::new();
        self.walk(|path, meta| {
            seen.insert(path.to_owned());
            if changed_at(meta) >= self.since {
                diff.changed.extend(entry(path, meta, &mut files)?);
            }
            Ok(())
        })?;
        let gone = |path: &&PathBuf| !seen.contains(*path);
        let parent_is_there = |path: &&PathBuf| path.parent().is_none_or(|parent| seen.contains(parent));
        let removed = self.paths.iter().filter(gone).filter(parent_is_there);
        diff.removed = removed.map(|path| bytes_of(path)).collect();
        Ok((diff, files))
    }

    fn walk(&self, mut see: impl FnMut(&Path, &fs::Metadata) -> Result<(), CriuError>) -> Result<(), CriuError> {
        let mounts = system::mounts().map_err(CriuError::file("read", Path::new("/proc/self/mountinfo")))?;
        let mounted: BTreeSet<PathBuf> = mounts.into_iter().map(|mount| mount.at).collect();
        for root in &self.roots {
            let mut folders = vec![root.clone()];
            while let Some(folder) = folders.pop() {
                for entry in fs::read_dir(&folder).map_err(CriuError::file("list", &folder))? {
                    let path = entry.map_err(CriuError::file("list", &folder))?.path();
                    if self.excluded.iter().any(|excluded| path.starts_with(excluded)) || mounted.contains(&path) {
                        continue;
                    }
                    let meta = fs::symlink_metadata(&path).map_err(CriuError::file("look at", &path))?;
                    see(&path, &meta)?;
                    if meta.is_dir() {
                        folders.push(path);
                    }
                }
            }
        }
        Ok(())
    }
}

impl RootfsDiff {
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

fn entry(path: &Path, meta: &fs::Metadata, files: &mut Payload) -> Result<Option<Entry>, CriuError> {
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

fn changed_at(meta: &fs::Metadata) -> Time {
    (meta.ctime(), meta.ctime_nsec())
}

fn bytes_of(path: &Path) -> Bytes {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A container's files in a directory, taken in before the test changes them.
    fn image(dir: &Path) -> (PathBuf, Baseline) {
        let (root, agent) = (dir.join("root"), dir.join("agent"));
        fs::create_dir_all(root.join("etc/old")).expect("folders");
        fs::create_dir_all(&agent).expect("the agent's folder");
        fs::write(root.join("etc/motd"), "hello").expect("a file");
        fs::write(root.join("etc/old/a"), "a").expect("a file");
        // Change times have the granularity of the kernel's tick.
        let marker = root.join("etc/motd");
        let made = changed_at(&fs::symlink_metadata(&marker).expect("a file"));
        let later = dir.join("later");
        while {
            fs::write(&later, "").expect("a file");
            changed_at(&fs::symlink_metadata(&later).expect("a file")) == made
        } {}
        let baseline = Baseline::of(vec![root.clone()], vec![agent]).expect("a baseline");
        (root, baseline)
    }

    #[tokio::test]
    async fn what_was_written_changed_and_removed_comes_back() {
        let dir = tempfile::tempdir().expect("a directory");
        let (root, baseline) = image(dir.path());
        assert_eq!(baseline.diff().expect("a difference").0, RootfsDiff::default());
        fs::remove_dir_all(root.join("etc/old")).expect("removed");
        fs::create_dir(root.join("home")).expect("a folder");
        fs::write(root.join("home/note"), "kept").expect("a file");
        let large: Vec<u8> = (0..251_u8).cycle().take((5 << 20) + 5).collect();
        fs::write(root.join("home/large"), &large).expect("a file");
        fs::set_permissions(root.join("home/note"), fs::Permissions::from_mode(0o640)).expect("a mode");
        std::os::unix::fs::symlink("note", root.join("home/link")).expect("a link");
        let before = fs::symlink_metadata(root.join("home/note")).expect("a file");
        let (diff, files) = baseline.diff().expect("a difference");
        let files = files.into_bytes().expect("read");

        fs::remove_dir_all(&root).expect("removed");
        let (again, other) = (dir.path().join("root"), dir.path().join("root/etc/old"));
        fs::create_dir_all(&other).expect("folders");
        fs::write(other.join("a"), "a").expect("a file");
        let mut cursor = PayloadCursor::new(files.into());
        diff.lay_out(&mut cursor).await.expect("laid out");
        assert_eq!(cursor.remaining(), 0);
        assert!(fs::read(again.join("home/large")).expect("a file") == large);
        assert!(!other.exists(), "what was removed is removed again");
        assert_eq!(fs::read_to_string(again.join("home/link")).expect("a file"), "kept");
        let after = fs::symlink_metadata(again.join("home/note")).expect("a file");
        assert_eq!(after.mode() & 0o7777, 0o640);
        assert_eq!(
            (after.mtime(), after.mtime_nsec()),
            (before.mtime(), before.mtime_nsec())
        );
    }
}
