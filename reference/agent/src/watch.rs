//! Watches of folders: what changes in them, named as E2B's envd names it.
//!
//! A folder is opened below the root of the sandbox and watched by its descriptor, so that no link leads a watch out of
//! it. Source followed: `filesystem.proto` of E2B's envd, whose events are those of `fsnotify`: what is moved away is a
//! rename, and what is moved to a place a creation. Left out: who is told, and when (`watchers`, `envd::watch`).

use std::io;
#[cfg(target_os = "linux")]
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use cap_std::fs::Dir;
use notify::event::{ModifyKind, RenameMode};
use notify::{Config, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use serde::{Deserialize, Serialize};

use crate::files::{SandboxFiles, SandboxPath};

/// What happened to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ChangeKind {
    Create,
    Write,
    Remove,
    Rename,
    Chmod,
}

/// A change in a watched folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Change {
    pub(crate) kind: ChangeKind,
    /// The path of the file from the folder on; `.` for the folder itself.
    pub(crate) name: String,
}

/// What is to be watched, and what is told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WatchSpec {
    /// The folder.
    pub(crate) path: SandboxPath,
    /// Whether the folders in it are watched, too.
    pub(crate) recursive: bool,
    /// Whether each change comes with what is known of the file.
    pub(crate) include_entry: bool,
}

/// A folder that is watched until this is dropped.
#[derive(Debug)]
pub(crate) struct FolderWatch {
    _watcher: RecommendedWatcher,
    /// Paths of the watch lead through its descriptor.
    _folder: Dir,
}

impl FolderWatch {
    /// Begins to `tell` of every change in a folder of the sandbox below `root`, from another thread. Waits for the disk.
    ///
    /// # Errors
    /// It is no folder that can be read, or the system watches no more.
    pub(crate) fn begin(
        root: &Path,
        files: &SandboxFiles,
        spec: &WatchSpec,
        tell: impl Fn(Change) + Send + 'static,
    ) -> io::Result<Self> {
        let folder = files.open_dir(&spec.path)?;
        let at = reach(root, &spec.path, &folder);
        let prefix = at.clone();
        let told = move |event: notify::Result<Event>| match event {
            Ok(event) => {
                if let Some(change) = change(&event, &prefix) {
                    tell(change);
                }
            }
            Err(error) => tracing::warn!(%error, "watch a folder of the sandbox"),
        };
        let config = Config::default().with_follow_symlinks(false);
        let mut watcher = RecommendedWatcher::new(told, config).map_err(into_io)?;
        let mode = if spec.recursive {
            RecursiveMode::Recursive
        } else {
            RecursiveMode::NonRecursive
        };
        watcher.watch(&at, mode).map_err(into_io)?;
        Ok(Self {
            _watcher: watcher,
            _folder: folder,
        })
    }
}

/// A path to an open folder that leads through nothing else. The dot makes it a folder, not a link to one.
#[cfg(target_os = "linux")]
fn reach(_: &Path, _: &SandboxPath, folder: &Dir) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/.", folder.as_raw_fd()))
}

/// A path to an open folder.
#[cfg(not(target_os = "linux"))]
fn reach(root: &Path, path: &SandboxPath, _: &Dir) -> PathBuf {
    root.join(path.as_str().trim_start_matches('/'))
}

fn into_io(error: notify::Error) -> io::Error {
    match error.kind {
        notify::ErrorKind::Io(error) => error,
        notify::ErrorKind::PathNotFound => io::ErrorKind::NotFound.into(),
        notify::ErrorKind::MaxFilesWatch => io::Error::new(
            io::ErrorKind::QuotaExceeded,
            "the system watches no more files (fs.inotify.max_user_watches)",
        ),
        notify::ErrorKind::Generic(_) | notify::ErrorKind::WatchNotFound | notify::ErrorKind::InvalidConfig(_) => {
            io::Error::other(error.to_string())
        }
    }
}

/// The change that the system speaks of, if it is one.
fn change(event: &Event, folder: &Path) -> Option<Change> {
    if event.need_rescan() {
        tracing::warn!(folder = %folder.display(), "changes came faster than they were read; some are lost");
    }
    let kind = match event.kind {
        EventKind::Create(_) | EventKind::Modify(ModifyKind::Name(RenameMode::To)) => ChangeKind::Create,
        EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Any | ModifyKind::Other) => ChangeKind::Write,
        EventKind::Modify(ModifyKind::Metadata(_)) => ChangeKind::Chmod,
        EventKind::Modify(ModifyKind::Name(RenameMode::From | RenameMode::Any | RenameMode::Other)) => {
            ChangeKind::Rename
        }
        EventKind::Remove(_) => ChangeKind::Remove,
        // Both ends of a move, which were told one by one.
        EventKind::Modify(ModifyKind::Name(RenameMode::Both))
        | EventKind::Any
        | EventKind::Access(_)
        | EventKind::Other => return None,
    };
    let name = event.paths.first()?.strip_prefix(folder).ok()?;
    let name = if name.as_os_str().is_empty() {
        ".".to_owned()
    } else {
        name.to_string_lossy().into_owned()
    };
    Some(Change { kind, name })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    /// How long a change may take to be told.
    const LIMIT: Duration = Duration::from_secs(10);

    struct Watched {
        root: tempfile::TempDir,
        changes: mpsc::Receiver<Change>,
        _watch: FolderWatch,
    }

    fn watched(recursive: bool) -> Watched {
        let root = tempfile::tempdir().expect("a directory");
        std::fs::create_dir_all(root.path().join("home/sub")).expect("folders");
        let files = SandboxFiles::open(root.path()).expect("opens");
        let (tell, changes) = mpsc::channel();
        let spec = WatchSpec {
            path: SandboxPath::new("/home"),
            recursive,
            include_entry: false,
        };
        let watch = FolderWatch::begin(root.path(), &files, &spec, move |change| {
            // The test may have ended.
            let _ = tell.send(change);
        });
        Watched {
            root,
            changes,
            _watch: watch.expect("watches"),
        }
    }

    impl Watched {
        /// Waits for a change; what comes before it is passed over.
        fn sees(&self, kind: ChangeKind, name: &str) {
            let name = name.to_owned();
            let wanted = Change { kind, name };
            loop {
                let next = self.changes.recv_timeout(LIMIT);
                let next = next.unwrap_or_else(|_| panic!("{wanted:?} is not told"));
                if next == wanted {
                    return;
                }
            }
        }
    }

    #[test]
    fn every_kind_of_change_is_told_by_its_name() {
        let watched = watched(false);
        let home = watched.root.path().join("home");
        std::fs::write(home.join("a"), "1").expect("written");
        watched.sees(ChangeKind::Create, "a");
        watched.sees(ChangeKind::Write, "a");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(home.join("a"), mode).expect("a mode");
        watched.sees(ChangeKind::Chmod, "a");
        std::fs::rename(home.join("a"), home.join("b")).expect("moved");
        watched.sees(ChangeKind::Rename, "a");
        watched.sees(ChangeKind::Create, "b");
        std::fs::remove_file(home.join("b")).expect("removed");
        watched.sees(ChangeKind::Remove, "b");
    }

    #[test]
    fn folders_below_are_watched_only_when_it_was_asked_for() {
        let (deep, flat) = (watched(true), watched(false));
        for watched in [&deep, &flat] {
            let home = watched.root.path().join("home");
            std::fs::write(home.join("sub/file"), "1").expect("written");
            std::fs::write(home.join("last"), "1").expect("written");
        }
        deep.sees(ChangeKind::Create, "sub/file");
        let mut told = Vec::new();
        while told.last() != Some(&"last".to_owned()) {
            told.push(flat.changes.recv_timeout(LIMIT).expect("told").name);
        }
        assert!(!told.contains(&"sub/file".to_owned()), "{told:?}");
    }

    #[test]
    fn a_link_leads_no_watch_out_of_the_sandbox() {
        let root = tempfile::tempdir().expect("a directory");
        std::fs::create_dir_all(root.path().join("inside")).expect("a folder");
        std::fs::create_dir(root.path().join("outside")).expect("a folder");
        std::os::unix::fs::symlink("../outside", root.path().join("inside/link")).expect("a link");
        let inside = root.path().join("inside");
        let files = SandboxFiles::open(&inside).expect("opens");
        let spec = |path| WatchSpec {
            path: SandboxPath::new(path),
            recursive: true,
            include_entry: false,
        };
        assert!(FolderWatch::begin(&inside, &files, &spec("/link"), drop).is_err());
        let (tell, changes) = mpsc::channel();
        let _watch = FolderWatch::begin(&inside, &files, &spec("/"), move |change| {
            let _ = tell.send(change);
        })
        .expect("watches");
        std::fs::write(root.path().join("outside/secret"), "1").expect("written");
        std::fs::write(inside.join("last"), "1").expect("written");
        let told = changes.recv_timeout(LIMIT).expect("told");
        assert_eq!(told.name, "last", "what happens behind a link is not told");
    }

    #[test]
    fn what_is_no_folder_is_refused() {
        let root = tempfile::tempdir().expect("a directory");
        std::fs::write(root.path().join("file"), "1").expect("written");
        let files = SandboxFiles::open(root.path()).expect("opens");
        let begin = |path| {
            let spec = WatchSpec {
                path: SandboxPath::new(path),
                recursive: false,
                include_entry: false,
            };
            let begun = FolderWatch::begin(root.path(), &files, &spec, drop);
            begun.expect_err("refused").kind()
        };
        assert_eq!(begin("/file"), io::ErrorKind::NotADirectory);
        assert_eq!(begin("/none"), io::ErrorKind::NotFound);
    }
}
