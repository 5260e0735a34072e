//! The sandbox's files as E2B clients name them: absolute, or relative to the home folder.
//!
//! Every operation runs relative to one open directory, so no `..` and no link leads out of it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, Metadata, PermissionsExt};
use serde::{Deserialize, Serialize};

/// Relative paths start here.
const HOME: &str = "/home/user";

/// A path in the sandbox, absolute and without `.` and `..`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SandboxPath(String);

impl SandboxPath {
    pub(crate) fn new(text: &str) -> Self {
        let absolute = if text.starts_with('/') {
            text.to_owned()
        } else {
            format!("{HOME}/{text}")
        };
        let mut parts: Vec<&str> = Vec::new();
        for part in absolute.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        Self(format!("/{}", parts.join("/")))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    pub(crate) fn join(&self, name: &str) -> Self {
        Self(format!("{}/{name}", self.0.trim_end_matches('/')))
    }

    fn relative(&self) -> &Path {
        let relative = self.0.trim_start_matches('/');
        Path::new(if relative.is_empty() { "." } else { relative })
    }

    fn parent(&self) -> Option<PathBuf> {
        self.relative()
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .map(Path::to_owned)
    }
}

/// What is known of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileInfo {
    pub(crate) path: SandboxPath,
    pub(crate) kind: FileKind,
    pub(crate) size: u64,
    pub(crate) mode: u32,
    pub(crate) modified: Option<SystemTime>,
}

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    File,
    Directory,
    Symlink { target: String },
}

/// The files of one sandbox.
pub(crate) struct SandboxFiles {
    root: Dir,
}

impl SandboxFiles {
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        Ok(Self {
            root: Dir::open_ambient_dir(root, ambient_authority())?,
        })
    }

    /// A folder, which stays the same one whatever becomes of its path.
    pub(crate) fn open_dir(&self, path: &SandboxPath) -> io::Result<Dir> {
        self.root.open_dir(path.relative())
    }

    pub(crate) fn read(&self, path: &SandboxPath) -> io::Result<Vec<u8>> {
        if self.root.metadata(path.relative())?.is_dir() {
            return Err(io::Error::from(io::ErrorKind::IsADirectory));
        }
        self.root.read(path.relative())
    }

    /// Writes a file whole, making the folders on the way.
    pub(crate) fn write(&self, path: &SandboxPath, content: &[u8]) -> io::Result<()> {
        if let Some(parent) = path.parent() {
            self.root.create_dir_all(parent)?;
        }
        self.root.write(path.relative(), content)
    }

    pub(crate) fn info(&self, path: &SandboxPath) -> io::Result<FileInfo> {
        let meta = self.root.symlink_metadata(path.relative())?;
        let kind = if meta.is_symlink() {
            let target = self.root.read_link_contents(path.relative())?;
            FileKind::Symlink {
                target: target.to_string_lossy().into_owned(),
            }
        } else if meta.is_dir() {
            FileKind::Directory
        } else {
            FileKind::File
        };
        Ok(info(path.clone(), kind, &meta))
    }

    /// Everything below a folder, down to `depth` levels, sorted by path.
    pub(crate) fn list(&self, path: &SandboxPath, depth: u32) -> io::Result<Vec<FileInfo>> {
        let mut names = Vec::new();
        for entry in self.root.read_dir(path.relative())? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        let mut found = Vec::new();
        for name in names {
            let info = self.info(&path.join(&name))?;
            let below = info.kind == FileKind::Directory && depth > 1;
            let child = info.path.clone();
            found.push(info);
            if below {
                found.extend(self.list(&child, depth - 1)?);
            }
        }
        Ok(found)
    }

    pub(crate) fn make_dir(&self, path: &SandboxPath) -> io::Result<()> {
        match self.root.metadata(path.relative()) {
            Ok(_) => Err(io::Error::from(io::ErrorKind::AlreadyExists)),
            Err(_) => self.root.create_dir_all(path.relative()),
        }
    }

    pub(crate) fn rename(&self, from: &SandboxPath, to: &SandboxPath) -> io::Result<()> {
        if let Some(parent) = to.parent() {
            self.root.create_dir_all(parent)?;
        }
        self.root.rename(from.relative(), &self.root, to.relative())
    }

    pub(crate) fn remove(&self, path: &SandboxPath) -> io::Result<()> {
        match self.info(path)?.kind {
            FileKind::Directory => self.root.remove_dir_all(path.relative()),
            FileKind::File | FileKind::Symlink { .. } => self.root.remove_file(path.relative()),
        }
    }
}

fn info(path: SandboxPath, kind: FileKind, meta: &Metadata) -> FileInfo {
    let modified = meta.modified().ok().map(cap_std::time::SystemTime::into_std);
    FileInfo {
        path,
        kind,
        size: meta.len(),
        mode: meta.permissions().mode() & 0o7777,
        modified,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_from_home_and_never_leave_the_root() {
        let path = |text: &str| SandboxPath::new(text).0;
        assert_eq!(path("note.txt"), "/home/user/note.txt");
        assert_eq!(path("/tmp/./a//b"), "/tmp/a/b");
        assert_eq!(path("../../../../etc/passwd"), "/etc/passwd");
        assert_eq!(path("/.."), "/");
    }

    #[test]
    fn a_link_does_not_lead_out() {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().join("root");
        std::fs::create_dir(&root).expect("a root");
        std::fs::write(dir.path().join("secret"), "secret").expect("a file outside");
        std::os::unix::fs::symlink("../secret", root.join("link")).expect("a link");
        let files = SandboxFiles::open(&root).expect("opens");
        assert!(files.read(&SandboxPath::new("/link")).is_err());
        assert!(files.write(&SandboxPath::new("/link"), b"changed").is_err());
        assert_eq!(
            std::fs::read_to_string(dir.path().join("secret")).expect("still there"),
            "secret"
        );
    }

    #[test]
    fn folders_are_made_listed_to_a_depth_and_removed() {
        let dir = tempfile::tempdir().expect("a directory");
        let files = SandboxFiles::open(dir.path()).expect("opens");
        files.write(&SandboxPath::new("/a/b/c.txt"), b"c").expect("written");
        let names = |depth| -> Vec<String> {
            let found = files.list(&SandboxPath::new("/"), depth).expect("listed");
            found.into_iter().map(|info| info.path.0).collect()
        };
        assert_eq!(names(1), ["/a"]);
        assert_eq!(names(3), ["/a", "/a/b", "/a/b/c.txt"]);
        files.remove(&SandboxPath::new("/a")).expect("removed");
        assert!(names(1).is_empty());
    }
}
