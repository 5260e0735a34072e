//! The sandbox's files as E2B clients name them: absolute, or relative to the home folder.
//!
//! Every operation runs relative to one open directory, so no `..` and no link leads out of it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, Metadata, PermissionsExt};
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

    pub(crate) fn read(&self, path: &SandboxPath) -> io::Result<Vec<u8>> {
        if self.root.metadata(path.relative())?.is_dir() {
            return Err(io::Error::from(io::ErrorKind::IsADirectory));
        }
        self.root.read(path.relative())
    }

    /// Writes a file whole, making the folders on the way.
    pub(crate) fn write(&self, path: &SandboxPath, content: &[u8]) -> io::Result<()> {
        paths::check(path.as_str())?;
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
            let below = info.kind == FileKind::Directory && depth > 1 && info.path.parts() < paths::MAX_PARTS;
            let child = info.path.clone();
            found.push(info);
            if below {
                found.extend(self.list(&child, depth - 1)?);
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
            let name = entry.file_name().to_string_lossy().into_owned();
            names.push((name, entry.file_type()?.is_dir()));
        }
        Ok(names)
    }
}

/// Somebody else may remove the same.
fn gone_is_fine(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
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
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

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

    #[test]
    fn folders_are_not_nested_deeper_than_they_can_be_walked() {
        let dir = tempfile::tempdir().expect("a directory");
        let files = SandboxFiles::open(dir.path()).expect("opens");
        let (one, other) = (SandboxPath::new(&"/a".repeat(200)), SandboxPath::new(&"/b".repeat(100)));
        files.make_dir(&one).expect("made");
        files.make_dir(&other).expect("made");
        let refused = files
            .rename(&SandboxPath::new("/a"), &other.join("a"))
            .expect_err("too deep");
        assert!(refused.to_string().contains("256 are the most"), "{refused}");
        assert!(files.make_dir(&SandboxPath::new(&"/c".repeat(300))).is_err());
        let long = format!("/{}", "n/".repeat(20) + &["m".repeat(250).as_str(); 9].join("/"));
        assert!(files.write(&SandboxPath::new(&long), b"").is_err());
        files.remove(&SandboxPath::new("/a")).expect("removed");
        assert_eq!(files.list(&SandboxPath::new("/"), 1).expect("listed").len(), 1);
    }

    #[test]
    fn what_is_nested_deeper_than_the_stack_bears_is_removed() {
        let dir = tempfile::tempdir().expect("a directory");
        let files = SandboxFiles::open(dir.path()).expect("opens");
        // As a process in the sandbox can.
        std::fs::create_dir_all(dir.path().join("d/".repeat(1900))).expect("made");
        let listed = files.list(&SandboxPath::new("/"), u32::MAX).expect("listed");
        assert_eq!(listed.len(), paths::MAX_PARTS);
        let work = move || files.remove(&SandboxPath::new("/d"));
        let small = std::thread::Builder::new().stack_size(256 << 10).spawn(work);
        let removed = small.expect("a thread").join().expect("it ends");
        removed.expect("removed");
        assert!(!dir.path().join("d").exists());
    }

    #[test]
    fn a_folder_goes_with_files_whose_names_are_no_text() {
        let dir = tempfile::tempdir().expect("a directory");
        let files = SandboxFiles::open(dir.path()).expect("opens");
        let below = dir.path().join("d").join(OsStr::from_bytes(b"caf\xe9"));
        std::fs::create_dir_all(&below).expect("made");
        std::fs::write(below.join(OsStr::from_bytes(b"\xff")), b"").expect("written");
        files.remove(&SandboxPath::new("/d")).expect("removed");
        assert!(!dir.path().join("d").exists());
    }

    #[test]
    fn a_folder_that_stays_is_emptied_and_not_moved() {
        let dir = tempfile::tempdir().expect("a directory");
        let files = SandboxFiles::open(dir.path()).expect("opens");
        let files = files.with_fixed(&["/home/user", "/tmp"]);
        let path = SandboxPath::new;
        for file in ["/home/user/a/b", "/home/other", "/tmp/c"] {
            files.write(&path(file), b"").expect("written");
        }
        std::fs::create_dir_all(dir.path().join("empty")).expect("made");
        for (from, to) in [
            ("/tmp", "/x"),
            ("/home", "/x"),
            ("/empty", "/tmp"),
            ("/home/user", "/tmp/x"),
        ] {
            let refused = files.rename(&path(from), &path(to)).expect_err("refused");
            assert!(refused.to_string().contains("stays where it is"), "{refused}");
        }
        files.remove(&path("/home")).expect("emptied");
        let left = |folder: &str| files.list(&path(folder), 9).expect("listed").len();
        assert_eq!((left("/home"), left("/home/user"), left("/tmp")), (1, 0, 1));
        files.remove(&path("/tmp")).expect("emptied");
        assert_eq!(left("/tmp"), 0);
    }
}
