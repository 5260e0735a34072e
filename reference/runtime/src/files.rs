//! The files of a sandbox: a directory of its own, read whole into a checkpoint and laid out again from one.
//!
//! Kept: content, permission bits, modification time to the nanosecond, symbolic links as links,
//! empty files and folders. Left out: owners, hard links, sockets and devices; the embedded
//! interpreter cannot make them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What was attempted on which path, and what the system said.
#[derive(Debug, thiserror::Error)]
#[error("{attempt} {}", crate::paths::shown(&path.to_string_lossy()))]
pub struct FileError {
    attempt: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// Every file below a directory, parents before children.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileTree {
    entries: Vec<FileEntry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct FileEntry {
    /// Relative to the root, in UTF-8: the interpreter knows no other names.
    path: String,
    mode: u32,
    modified: Duration,
    node: FileNode,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum FileNode {
    Directory,
    File(Bytes),
    Symlink(String),
}

impl FileTree {
    /// Reads everything below `root`.
    ///
    /// # Errors
    /// The first path that cannot be read, or whose name is not UTF-8.
    pub fn capture(root: &Path) -> Result<Self, FileError> {
        let mut tree = Self::default();
        tree.capture_below(root, "")?;
        Ok(tree)
    }

    /// Lays the files out below `root`, which exists and is empty.
    ///
    /// # Errors
    /// The first path that cannot be written.
    pub fn lay_out(&self, root: &Path) -> Result<(), FileError> {
        for entry in &self.entries {
            let path = root.join(&entry.path);
            let attempt = failed("write", &path);
            match &entry.node {
                FileNode::Directory => fs::create_dir_all(&path),
                FileNode::File(content) => fs::write(&path, content),
                FileNode::Symlink(target) => symlink(target, &path),
            }
            .map_err(attempt)?;
        }
        // Children first: writing them moves the time of their folder, and a read-only folder takes none.
        for entry in self.entries.iter().rev() {
            let path = root.join(&entry.path);
            match &entry.node {
                FileNode::Symlink(_) => {}
                FileNode::Directory | FileNode::File(_) => {
                    set_times(&path, entry.modified).map_err(failed("set the time of", &path))?;
                    set_mode(&path, entry.mode).map_err(failed("set the mode of", &path))?;
                }
            }
        }
        Ok(())
    }

    /// Bytes of content.
    #[must_use]
    pub fn content_bytes(&self) -> u64 {
        let size = |entry: &FileEntry| match &entry.node {
            FileNode::File(content) => content.len() as u64,
            FileNode::Directory | FileNode::Symlink(_) => 0,
        };
        self.entries.iter().map(size).sum()
    }

    fn capture_below(&mut self, root: &Path, below: &str) -> Result<(), FileError> {
        let dir = root.join(below);
        let mut names = Vec::new();
        for entry in fs::read_dir(&dir).map_err(failed("list", &dir))? {
            let name = entry.map_err(failed("list", &dir))?.file_name();
            names.push(name.into_string().map_err(|name| FileError {
                attempt: "take the name of",
                path: dir.join(name),
                source: io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"),
            })?);
        }
        // In one order, so that equal trees have equal bytes.
        names.sort();
        for name in names {
            let relative = if below.is_empty() {
                name
            } else {
                format!("{below}/{name}")
            };
            let path = root.join(&relative);
            let meta = fs::symlink_metadata(&path).map_err(failed("look at", &path))?;
            let node = if meta.is_dir() {
                FileNode::Directory
            } else if meta.is_symlink() {
                let target = fs::read_link(&path).map_err(failed("read the link", &path))?;
                FileNode::Symlink(target.to_string_lossy().into_owned())
            } else {
                FileNode::File(fs::read(&path).map_err(failed("read", &path))?.into())
            };
            let is_dir = node == FileNode::Directory;
            let modified = meta.modified().map_err(failed("read the time of", &path))?;
            self.entries.push(FileEntry {
                path: relative.clone(),
                mode: mode(&meta),
                modified: modified.duration_since(UNIX_EPOCH).unwrap_or_default(),
                node,
            });
            if is_dir {
                self.capture_below(root, &relative)?;
            }
        }
        Ok(())
    }
}

fn failed(attempt: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError { attempt, path, source }
}

fn set_times(path: &Path, modified: Duration) -> io::Result<()> {
    let time: SystemTime = UNIX_EPOCH + modified;
    fs::File::open(path)?.set_modified(time)
}

#[cfg(unix)]
fn mode(meta: &fs::Metadata) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o7777
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))
}

#[cfg(unix)]
fn symlink(target: &str, path: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(root: &Path) {
        fs::create_dir_all(root.join("a/empty")).expect("folders");
        fs::write(root.join("a/one.txt"), "one").expect("a file");
        fs::write(root.join("nothing"), "").expect("an empty file");
        symlink("a/one.txt", &root.join("link")).expect("a link");
        symlink("nowhere", &root.join("dangling")).expect("a dangling link");
        set_mode(&root.join("a/one.txt"), 0o640).expect("a mode");
        set_times(&root.join("a/one.txt"), Duration::new(1_000_000_000, 123_456_789)).expect("a time");
        set_mode(&root.join("a"), 0o555).expect("a read-only folder");
    }

    #[test]
    fn a_tree_laid_out_again_is_the_same_tree() {
        let (from, to) = (
            tempfile::tempdir().expect("a directory"),
            tempfile::tempdir().expect("a directory"),
        );
        sample(from.path());
        let tree = FileTree::capture(from.path()).expect("captured");
        tree.lay_out(to.path()).expect("laid out");
        let again = FileTree::capture(to.path()).expect("captured again");
        // A link has no time of its own that could be set.
        let comparable = |tree: &FileTree| -> Vec<FileEntry> {
            let strip = |entry: &FileEntry| match entry.node {
                FileNode::Symlink(_) => FileEntry {
                    modified: Duration::ZERO,
                    ..entry.clone()
                },
                FileNode::Directory | FileNode::File(_) => entry.clone(),
            };
            tree.entries.iter().map(strip).collect()
        };
        assert_eq!(comparable(&tree), comparable(&again));
        assert_eq!(tree.content_bytes(), 3);
    }

    #[test]
    fn a_missing_root_is_named() {
        let error = FileTree::capture(Path::new("/does/not/exist")).expect_err("refused");
        assert!(error.to_string().contains("/does/not/exist"), "{error}");
    }
}
