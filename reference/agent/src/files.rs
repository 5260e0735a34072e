//! The sandbox's files as E2B clients name them: absolute, or relative to the home folder.
//!
//! Every operation runs relative to one open directory, so no `..` and no link leads out of it.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, Metadata, OpenOptions, OpenOptionsExt as _, PermissionsExt};
use rustix::fs::OFlags;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use torpor_runtime::paths;

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

    fn parts(&self) -> usize {
        self.0.split('/').filter(|part| !part.is_empty()).count()
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
    /// Folders that are never removed or moved.
    fixed: &'static [&'static str],
}

impl SandboxFiles {
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        Ok(Self {
            root: Dir::open_ambient_dir(root, ambient_authority())?,
            fixed: &[],
        })
    }

    /// The same files, of which these folders stay where they are.
    pub(crate) fn with_fixed(self, fixed: &'static [&'static str]) -> Self {
        Self { fixed, ..self }
    }

    /// Whether a folder is to stay, or holds one that is.
    fn is_fixed(&self, path: &SandboxPath) -> bool {
        let below = path.join("");
        let mut fixed = self.fixed.iter();
        fixed.any(|folder| *folder == path.as_str() || folder.starts_with(below.as_str()))
    }

    /// A folder, which stays the same one whatever becomes of its path.
    pub(crate) fn open_dir(&self, path: &SandboxPath) -> io::Result<Dir> {
        self.root.open_dir(path.relative())
    }

    /// Opens a file to be read. Waits for nobody, as one that is no regular file could make it do.
    pub(crate) fn open_file(&self, path: &SandboxPath) -> io::Result<File> {
        self.open_regular(path, OpenOptions::new().read(true))
    }

    fn open_regular(&self, path: &SandboxPath, options: &mut OpenOptions) -> io::Result<File> {
        let at_once = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
        let opened = self.root.open_with(path.relative(), options.custom_flags(at_once));
        let file = opened.map_err(|error| {
            // A socket, a device without a driver, or a pipe that nobody reads.
            if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) {
                no_regular_file()
            } else {
                error
            }
        })?;
        let meta = file.metadata()?;
        if meta.is_dir() {
            Err(io::ErrorKind::IsADirectory.into())
        } else if meta.is_file() {
            Ok(file.into_std())
        } else {
            Err(no_regular_file())
        }
    }

    /// Writes a file whole, making the folders on the way.
    pub(crate) fn write(&self, path: &SandboxPath, content: &[u8]) -> io::Result<()> {
        paths::check(path.as_str())?;
        if let Some(parent) = path.parent() {
            self.root.create_dir_all(parent)?;
        }
        let mut options = OpenOptions::new();
        let mut file = self.open_regular(path, options.write(true).create(true).truncate(true))?;
        file.write_all(content)
    }

    pub(crate) fn info(&self, path: &SandboxPath) -> io::Result<FileInfo> {
        let real = path.relative();
        let meta = self.root.symlink_metadata(real)?;
        self.known(real, path.clone(), &meta)
    }

    /// What is known of the file at `real`, which is called `path`.
    fn known(&self, real: &Path, path: SandboxPath, meta: &Metadata) -> io::Result<FileInfo> {
        let kind = if meta.is_symlink() {
            let target = self.root.read_link_contents(real)?;
            FileKind::Symlink {
                target: target.to_string_lossy().into_owned(),
            }
        } else if meta.is_dir() {
            FileKind::Directory
        } else {
            FileKind::File
        };
        Ok(info(path, kind, meta))
    }

    /// Everything below a folder, down to `depth` levels, sorted by path. What goes meanwhile is left out; a name that is
    /// no text is shown as far as it is.
    pub(crate) fn list(&self, path: &SandboxPath, depth: u32) -> io::Result<Vec<FileInfo>> {
        self.list_at(path.relative(), path, depth)
    }

    fn list_at(&self, real: &Path, path: &SandboxPath, depth: u32) -> io::Result<Vec<FileInfo>> {
        let mut children = Vec::new();
        for entry in self.root.read_dir(real)? {
            let entry = entry?;
            if let Some(meta) = unless_gone(entry.metadata())? {
                children.push((entry.file_name(), meta));
            }
        }
        children.sort_by(|(name, _), (other, _)| name.cmp(other));
        let mut found = Vec::new();
        for (name, meta) in children {
            // By its own name, which need not be text.
            let real = real.join(&name);
            let child = path.join(&name.to_string_lossy());
            let Some(info) = unless_gone(self.known(&real, child.clone(), &meta))? else {
                continue;
            };
            let below = info.kind == FileKind::Directory && depth > 1 && child.parts() < paths::MAX_PARTS;
            found.push(info);
            if below {
                found.extend(unless_gone(self.list_at(&real, &child, depth - 1))?.unwrap_or_default());
            }
        }
        Ok(found)
    }

    pub(crate) fn make_dir(&self, path: &SandboxPath) -> io::Result<()> {
        if self.root.metadata(path.relative()).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        paths::check(path.as_str())?;
        self.root.create_dir_all(path.relative())
    }

    pub(crate) fn rename(&self, from: &SandboxPath, to: &SandboxPath) -> io::Result<()> {
        if let Some(path) = [from, to].into_iter().find(|path| self.is_fixed(path)) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "{} is open in the sandbox's code and stays where it is; move what is in it",
                    path.as_str()
                ),
            ));
        }
        paths::check_move(from.as_str(), to.as_str(), |path| {
            self.names_in(&SandboxPath(path.to_owned()))
        })?;
        if let Some(parent) = to.parent() {
            self.root.create_dir_all(parent)?;
        }
        self.root.rename(from.relative(), &self.root, to.relative())
    }

    /// Removes a file, or a folder with all that is in it. A folder that is to stay is emptied.
    pub(crate) fn remove(&self, path: &SandboxPath) -> io::Result<()> {
        if self.info(path)?.kind != FileKind::Directory {
            return self.root.remove_file(path.relative());
        }
        // Without recursion: how deep folders are nested is not for the stack to bear.
        let mut folders = vec![path.relative().to_owned()];
        let mut emptied = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in self.root.read_dir(&folder)? {
                let entry = entry?;
                // By its own name, which need not be text.
                let child = folder.join(entry.file_name());
                if entry.file_type()?.is_dir() {
                    folders.push(child);
                } else {
                    gone_is_fine(self.root.remove_file(child))?;
                }
            }
            emptied.push(folder);
        }
        let stays = |folder: &Path| self.is_fixed(&SandboxPath::new(&format!("/{}", folder.display())));
        // Children first.
        for folder in emptied.iter().rev().filter(|folder| !stays(folder)) {
            gone_is_fine(self.root.remove_dir(folder))?;
        }
        Ok(())
    }

    /// The names in a folder, and whether each is a folder.
    fn names_in(&self, folder: &SandboxPath) -> io::Result<Vec<(String, bool)>> {
        if !self.root.symlink_metadata(folder.relative())?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let mut names = Vec::new();
        for entry in self.root.read_dir(folder.relative())? {
            let entry = entry?;
            if let Some(kind) = unless_gone(entry.file_type())? {
                let name = entry.file_name().to_string_lossy().into_owned();
                names.push((name, kind.is_dir()));
            }
        }
        Ok(names)
    }
}

fn no_regular_file() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "it is no regular file, and only those are read and written here",
    )
}

/// Somebody else may remove the same.
fn gone_is_fine(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// What was there a moment ago, and may be gone or have made way for something else by now.
fn unless_gone<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
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
mod tests;
