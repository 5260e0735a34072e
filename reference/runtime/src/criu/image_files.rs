//! The images of a restore as files: small ones where no disk is asked, large ones where there is room.
//!
//! ```text
//!  beside the sockets, mostly in memory:  core-10.img, ... pages-1.img ──link──▶ in the sandbox's directory
//! ```
//!
//! CRIU looks for all of them in one directory. A disk takes as long to make the fifty small files of a small tree as CRIU
//! takes to start; memory is not for what may be as large as that of the sandbox. Left out: what is in them.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::error::CriuError;

/// An image up to this size is a file of the first directory.
const SMALL_IMAGE_BYTES: u64 = 256 << 10;

/// Where CRIU finds the images of one restore.
#[derive(Clone, Debug)]
pub(super) struct ImageFiles {
    directory: PathBuf,
    room: PathBuf,
}

impl ImageFiles {
    /// None yet, in two directories that are made empty.
    ///
    /// # Errors
    /// One of them cannot be made.
    pub(super) fn none_in(directory: PathBuf, room: PathBuf) -> Result<Self, CriuError> {
        empty(&directory)?;
        empty(&room)?;
        Ok(Self { directory, room })
    }

    /// Where CRIU looks.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// An empty file for an image of so many bytes, and its path. A name is one that a directory listing gave; whatever else
    /// it says, the file is in these directories.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn create(&self, name: &str, bytes: u64) -> Result<(File, PathBuf), CriuError> {
        let name = Path::new(name).file_name().unwrap_or_default();
        let place = self.directory.join(name);
        let path = if bytes > SMALL_IMAGE_BYTES {
            let path = self.room.join(name);
            symlink(&path, &place).map_err(CriuError::file("link", &place))?;
            path
        } else {
            place
        };
        let file = File::create(&path).map_err(CriuError::file("write", &path))?;
        Ok((file, path))
    }

    /// Removes all of them.
    ///
    /// # Errors
    /// The first one that cannot be removed.
    pub(super) fn remove(&self) -> Result<(), CriuError> {
        for directory in [&self.directory, &self.room] {
            fs::remove_dir_all(directory).map_err(CriuError::file("remove", directory))?;
        }
        Ok(())
    }
}

/// Makes an empty directory.
pub(super) fn empty(directory: &Path) -> Result<(), CriuError> {
    if directory.exists() {
        fs::remove_dir_all(directory).map_err(CriuError::file("empty", directory))?;
    }
    fs::create_dir_all(directory).map_err(CriuError::file("make", directory))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn large_images_are_where_there_is_room_and_are_found_among_the_small_ones() {
        let dir = tempfile::tempdir().expect("a directory");
        let (directory, room) = (dir.path().join("run/images"), dir.path().join("disk"));
        fs::create_dir_all(&room).expect("a directory");
        fs::write(room.join("of-an-earlier-restore.img"), "old").expect("a file");
        let files = ImageFiles::none_in(directory.clone(), room.clone()).expect("made");
        for (name, bytes) in [
            ("core-1.img", SMALL_IMAGE_BYTES),
            ("../pages-1.img", SMALL_IMAGE_BYTES + 1),
        ] {
            let (mut file, _) = files.create(name, bytes).expect("a file");
            file.write_all(name.as_bytes()).expect("written");
        }
        let found = |name| fs::read_to_string(directory.join(name)).expect("found");
        assert_eq!(
            [found("core-1.img"), found("pages-1.img")],
            ["core-1.img", "../pages-1.img"]
        );
        let with_room: Vec<_> = fs::read_dir(&room).expect("listed").flatten().collect();
        assert_eq!(with_room.len(), 1, "{with_room:?}");
        files.remove().expect("removed");
        assert!(!directory.exists() && !room.exists());
    }
}
