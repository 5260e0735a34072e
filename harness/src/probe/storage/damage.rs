//! Harm to what a folder holds of a sandbox, and its undoing.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::files_of;
use crate::scenario::{Damage, DamagedFiles};

/// A file as it was.
#[derive(Clone, Debug)]
pub(crate) struct Original {
    path: PathBuf,
    bytes: Vec<u8>,
}

/// Damages files of a sandbox; gives what they were, for [`repair`].
///
/// # Errors
/// Nothing is there to be damaged, or a file cannot be read or written.
pub(crate) fn damage(root: &Path, uid: &str, which: DamagedFiles, by: Damage) -> io::Result<Vec<Original>> {
    let mut paths = files_of(root, uid)?;
    if which == DamagedFiles::Newest {
        let newest = paths.into_iter().max_by_key(|path| modified(path));
        paths = newest.into_iter().collect();
    }
    if paths.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            "it holds no file of the sandbox",
        ));
    }
    let mut originals = Vec::new();
    for path in paths {
        let bytes = std::fs::read(&path)?;
        harm(&path, &bytes, by)?;
        originals.push(Original { path, bytes });
    }
    Ok(originals)
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|meta| meta.modified()).ok()
}

fn harm(path: &Path, bytes: &[u8], by: Damage) -> io::Result<()> {
    match by {
        Damage::Flipping => {
            let mut flipped = bytes.to_vec();
            let middle = flipped.len() / 2;
            if let Some(byte) = flipped.get_mut(middle) {
                *byte = !*byte;
            }
            std::fs::write(path, flipped)
        }
        Damage::Truncating => std::fs::write(path, &bytes[..bytes.len() / 2]),
        Damage::Removing => std::fs::remove_file(path),
    }
}

/// Puts files back as they were before the first damage.
///
/// # Errors
/// A file cannot be written.
pub(crate) fn repair(originals: &[Original]) -> io::Result<()> {
    for original in originals.iter().rev() {
        if let Some(folder) = original.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&original.path, &original.bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_damage_changes_the_file_and_repair_brings_it_back() {
        let root = tempfile::tempdir().unwrap();
        let (path, other) = (root.path().join("u-1/x"), root.path().join("other"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "abcd").unwrap();
        std::fs::write(&other, "abcd").unwrap();
        for by in [Damage::Flipping, Damage::Truncating, Damage::Removing] {
            let originals = damage(root.path(), "u-1", DamagedFiles::All, by).unwrap();
            assert_ne!(std::fs::read(&path).ok().as_deref(), Some(&b"abcd"[..]), "{by:?}");
            repair(&originals).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), b"abcd");
        }
        assert_eq!(std::fs::read(&other).unwrap(), b"abcd");
        assert!(damage(root.path(), "u-2", DamagedFiles::Newest, Damage::Removing).is_err());
    }
}
