//! What a container had before anything of the sandbox ran, and what has changed since.
//!
//! What changed is found by its change time, which no program can set back, or by its name, which the image does not
//! have. What is gone is found by the names that the image has and the container has not.
//!
//! ```text
//!  first start:  list the image's names ─┐
//!  restore:      take them over ─────────┴─▶ pause: look from the top down, but not into what is the image's own
//! ```
//!
//! Container runtimes mount an image below an overlay. Before the kernel changes anything in a folder of the image,
//! it makes the folder and all above it in the upper layer, which is no older than its own root. So a folder that
//! changed before that root was made is the image's own, with all that is below it, and is passed over. Source
//! followed: `ovl_copy_up_flags` and `ovl_getattr` in `fs/overlayfs` of Linux. On any other file system
//! everything is looked at.
//!
//! Left out: how a difference is written down and laid out again (`rootfs`).

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::error::CriuError;
use super::rootfs::{Names, RootfsDiff, Time, entry};
use super::system::{self, Mount};
use crate::payload::Payload;

/// Where the files of a sandbox can be, and from when on what changes is its own.
#[derive(Clone, Debug)]
pub(super) struct Ground {
    roots: Vec<Root>,
    /// The agent's own, which is not looked at.
    excluded: Vec<PathBuf>,
    since: Time,
}

/// A file system.
#[derive(Clone, Debug)]
struct Root {
    at: PathBuf,
    /// When the upper layer of an overlay was made; `None` for what is no overlay.
    upper_since: Option<Time>,
}

/// The names in each folder of the image: the path of a folder, the names in it and an empty one, each with a
/// zero byte behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Listing(Bytes);

/// What was in the container before anything of the sandbox ran.
#[derive(Debug)]
pub(super) struct Baseline {
    ground: Ground,
    listing: Listing,
    index: OnceLock<Index>,
}

impl Ground {
    /// The root file system and every `tmpfs` for files, from now on. What is below `excluded` is the agent's; the
    /// first is a directory.
    pub(super) fn now(excluded: Vec<PathBuf>) -> Result<Self, CriuError> {
        let holds_files = |mount: &Mount| {
            let at = &mount.at;
            let of_the_system = ["/dev", "/proc", "/sys"].iter().any(|dir| at == Path::new(dir));
            let below = at.starts_with("/proc") || at.starts_with("/sys");
            mount.kind == "tmpfs" && at.is_dir() && !of_the_system && !below
        };
        let mounts = mounts()?;
        let root = Path::new("/");
        let kind = mounts.iter().rfind(|mount| mount.at == root).map(|mount| &mount.kind);
        let is_overlay = kind.is_some_and(|kind| kind == "overlay");
        let mut roots = vec![Root {
            at: root.to_owned(),
            upper_since: if is_overlay { made_at(root)? } else { None },
        }];
        roots.extend(mounts.into_iter().filter(holds_files).map(|mount| Root {
            at: mount.at,
            upper_since: None,
        }));
        Self::of(roots, excluded)
    }

    fn of(mut roots: Vec<Root>, excluded: Vec<PathBuf>) -> Result<Self, CriuError> {
        let marker = excluded.first().map(|dir| dir.join("baseline")).unwrap_or_default();
        fs::write(&marker, "").map_err(CriuError::file("write", &marker))?;
        let meta = fs::symlink_metadata(&marker).map_err(CriuError::file("look at", &marker))?;
        let since = changed_at(&meta);
        for root in &mut roots {
            // A layer from the future: the clock was set back, and tells nothing about it.
            root.upper_since = root.upper_since.filter(|made| *made <= since);
        }
        Ok(Self { roots, excluded, since })
    }

    fn is_excluded(&self, path: &Path) -> bool {
        self.excluded.iter().any(|excluded| path.starts_with(excluded))
    }
}

impl Root {
    /// Whether a folder of the image has nothing below it that changed.
    fn has_unchanged(&self, folder: &fs::Metadata) -> bool {
        self.upper_since.is_some_and(|made| changed_at(folder) < made)
    }
}

impl Listing {
    /// Of a container in which nothing of a sandbox has run.
    pub(super) fn take(ground: &Ground) -> Result<Self, CriuError> {
        let mounted = mount_points()?;
        let mut listing = Vec::new();
        let mut folders: Vec<PathBuf> = ground.roots.iter().map(|root| root.at.clone()).collect();
        while let Some(folder) = folders.pop() {
            put(&mut listing, folder.as_os_str().as_bytes());
            for entry in fs::read_dir(&folder).map_err(CriuError::file("list", &folder))? {
                let entry = entry.map_err(CriuError::file("list", &folder))?;
                let path = entry.path();
                if ground.is_excluded(&path) || mounted.contains(&path) {
                    continue;
                }
                put(&mut listing, entry.file_name().as_bytes());
                if entry.file_type().map_err(CriuError::file("look at", &path))?.is_dir() {
                    folders.push(path);
                }
            }
            put(&mut listing, b"");
        }
        Ok(Self(listing.into()))
    }

    /// As it was written down.
    pub(super) fn from_bytes(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// To be written down.
    pub(super) fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// Where the names in each folder are, by its path.
    fn index(&self) -> Index {
        let mut index = Index::new();
        let (mut at, mut folder) = (0, None);
        for word in self.0.split(|byte| *byte == 0) {
            let next = at + word.len() + 1;
            match &folder {
                None if word.is_empty() => break,
                None => folder = Some((self.0.slice(at..at + word.len()), next)),
                Some(_) if !word.is_empty() => {}
                Some((path, begin)) => {
                    index.insert(path.clone(), *begin..at);
                    folder = None;
                }
            }
            at = next;
        }
        index
    }

    /// The names at a place of the index.
    fn names(&self, place: Range<usize>) -> impl Iterator<Item = &[u8]> {
        let names = self.0[place].split(|byte| *byte == 0);
        names.filter(|name| !name.is_empty())
    }
}

/// By the path of a folder, where its names are in a listing.
type Index = HashMap<Bytes, Range<usize>>;

fn put(listing: &mut Vec<u8>, word: &[u8]) {
    listing.extend_from_slice(word);
    listing.push(0);
}

impl Baseline {
    pub(super) fn new(ground: Ground, listing: Listing) -> Self {
        Self {
            ground,
            listing,
            index: OnceLock::new(),
        }
    }

    /// Does ahead what a look for changes needs, whatever it finds.
    pub(super) fn prepare(&self) -> &Index {
        self.index.get_or_init(|| self.listing.index())
    }

    pub(super) fn listing(&self) -> &Listing {
        &self.listing
    }

    /// What has changed, and the bytes of the files in it.
    pub(super) fn diff(&self) -> Result<(RootfsDiff, Payload), CriuError> {
        let (mut diff, mut files) = (RootfsDiff::default(), Payload::default());
        let (image, mounted, mut names) = (self.prepare(), mount_points()?, Names::default());
        for root in &self.ground.roots {
            let mut folders = vec![root.at.clone()];
            while let Some(folder) = folders.pop() {
                let of_image = image.get(folder.as_os_str().as_bytes());
                let of_image = of_image.into_iter().cloned();
                let mut gone: BTreeSet<&[u8]> = of_image.flat_map(|place| self.listing.names(place)).collect();
                for found in fs::read_dir(&folder).map_err(CriuError::file("list", &folder))? {
                    let path = found.map_err(CriuError::file("list", &folder))?.path();
                    let was_there = path.file_name().is_some_and(|name| gone.remove(name.as_bytes()));
                    if self.ground.is_excluded(&path) || mounted.contains(&path) {
                        continue;
                    }
                    let meta = fs::symlink_metadata(&path).map_err(CriuError::file("look at", &path))?;
                    if !was_there || changed_at(&meta) >= self.ground.since {
                        diff.changed.extend(entry(&path, &meta, &mut names, &mut files)?);
                    }
                    let is_of_image = || image.contains_key(path.as_os_str().as_bytes());
                    if meta.is_dir() && !(root.has_unchanged(&meta) && is_of_image()) {
                        folders.push(path);
                    }
                }
                let removed = gone
                    .into_iter()
                    .map(|name| folder.join(std::ffi::OsStr::from_bytes(name)));
                diff.removed.extend(removed.map(|path| super::rootfs::bytes_of(&path)));
            }
        }
        Ok((diff, files))
    }
}

fn mounts() -> Result<Vec<Mount>, CriuError> {
    system::mounts().map_err(CriuError::file("read", Path::new("/proc/self/mountinfo")))
}

fn mount_points() -> Result<BTreeSet<PathBuf>, CriuError> {
    Ok(mounts()?.into_iter().map(|mount| mount.at).collect())
}

fn changed_at(meta: &fs::Metadata) -> Time {
    (meta.ctime(), meta.ctime_nsec())
}

/// When a folder was made, where the file system knows.
fn made_at(folder: &Path) -> Result<Option<Time>, CriuError> {
    let meta = fs::symlink_metadata(folder).map_err(CriuError::file("look at", folder))?;
    let made = meta.created().ok();
    let made = made.and_then(|made: SystemTime| made.duration_since(UNIX_EPOCH).ok());
    Ok(made.and_then(|made| Some((i64::try_from(made.as_secs()).ok()?, made.subsec_nanos().into()))))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::payload::PayloadCursor;

    /// Waits until change times are later than any so far: they have the granularity of the kernel's tick.
    fn tick(dir: &Path) -> Time {
        let file = dir.join("tick");
        let now = || {
            fs::write(&file, "").expect("a file");
            changed_at(&fs::symlink_metadata(&file).expect("a file"))
        };
        let before = now();
        loop {
            let after = now();
            if after > before {
                return after;
            }
        }
    }

    fn ground(dir: &Path, upper_since: Option<Time>) -> Ground {
        let at = dir.join("root");
        Ground::of(vec![Root { at, upper_since }], vec![dir.join("agent")]).expect("a ground")
    }

    /// A container's files in a directory, taken in before the test changes them.
    fn image(dir: &Path, upper_since: Option<Time>) -> (PathBuf, Baseline) {
        let root = dir.join("root");
        fs::create_dir_all(root.join("etc/old")).expect("folders");
        fs::create_dir_all(dir.join("agent")).expect("the agent's folder");
        fs::write(root.join("etc/motd"), "hello").expect("a file");
        fs::write(root.join("etc/old/a"), "a").expect("a file");
        tick(dir);
        let ground = ground(dir, upper_since);
        let listing = Listing::take(&ground).expect("a listing");
        // As a restore has it.
        let listing = Listing::from_bytes(listing.as_bytes().clone());
        (root, Baseline::new(ground, listing))
    }

    fn changed(baseline: &Baseline, root: &Path) -> Vec<String> {
        let (diff, _) = baseline.diff().expect("a difference");
        let below = |path: PathBuf| path.strip_prefix(root).expect("below").display().to_string();
        let mut changed: Vec<String> = diff.paths().map(below).collect();
        changed.sort_unstable();
        changed
    }

    #[tokio::test]
    async fn what_was_written_changed_and_removed_comes_back() {
        let dir = tempfile::tempdir().expect("a directory");
        let (root, baseline) = image(dir.path(), None);
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

    #[test]
    fn only_a_folder_of_the_image_from_before_the_upper_layer_is_passed_over() {
        let dir = tempfile::tempdir().expect("a directory");
        let (root, mut baseline) = image(dir.path(), None);
        fs::write(root.join("etc/old/a"), "b").expect("a file");
        assert_eq!(
            changed(&baseline, &root),
            ["etc/old/a"],
            "without an overlay all is looked at"
        );
        let upper_since = tick(dir.path());
        baseline.ground = ground(dir.path(), Some(upper_since));
        tick(dir.path());
        // No overlay copied the folder up, as one would have.
        fs::write(root.join("etc/old/a"), "c").expect("a file");
        assert!(
            changed(&baseline, &root).is_empty(),
            "a folder of the image is passed over"
        );
        fs::rename(root.join("etc/old"), root.join("etc/new")).expect("renamed");
        fs::write(root.join("etc/again"), "").expect("a file");
        let all = ["etc", "etc/again", "etc/new", "etc/new/a"];
        assert_eq!(
            changed(&baseline, &root),
            all,
            "a folder that changed, and one that the image does not have"
        );
    }

    #[test]
    fn a_layer_that_is_younger_than_now_is_not_believed() {
        let dir = tempfile::tempdir().expect("a directory");
        let (root, mut baseline) = image(dir.path(), None);
        baseline.ground = ground(dir.path(), Some((i64::MAX, 0)));
        fs::write(root.join("etc/old/a"), "b").expect("a file");
        assert_eq!(changed(&baseline, &root), ["etc/old/a"]);
    }
}
