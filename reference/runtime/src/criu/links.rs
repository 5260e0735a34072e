//! Names that CRIU gives to files which are open and have lost their own while another one is left: a restore opens them
//! by these. Pure, but for their end.
//!
//! ```text
//!  opened as a, linked as b, a removed ──dump──▶ link_remap.N beside a ──restored──▶ gone
//!                                                     └──the pause is called off──▶ has to go
//! ```
//!
//! CRIU removes them itself when a dump fails or the tree goes on by its doing. Here a tree stays stopped, and whoever has it
//! go on removes them: they are in the sandbox's own folders, and the next dump refuses to make a name that is there.
//!
//! Source followed: `images/remap-file-path.proto`, `images/fdinfo.proto`, `images/regfile.proto` and
//! `criu/files-reg.c` of CRIU 4.2.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use prost::{DecodeError, Message};

/// The image that says which files have such names; there is none if there are none.
pub(super) const REMAPS: &str = "remap-fpath.img";
/// The image that says what they are.
pub(super) const FILES: &str = "files.img";

/// Bytes of the magic numbers in front of an image.
const MAGIC_BYTES: usize = 8;
/// What all such names begin with.
const PREFIX: &[u8] = b"link_remap.";
/// The kind of a remap that is a name.
const LINKED: u32 = 0;

/// An entry of [`REMAPS`].
#[derive(Clone, PartialEq, Message)]
struct Remap {
    #[prost(uint32, tag = "2")]
    link: u32,
    #[prost(uint32, tag = "3")]
    kind: u32,
}

/// An entry of [`FILES`].
#[derive(Clone, PartialEq, Message)]
struct AnyFile {
    #[prost(uint32, tag = "2")]
    id: u32,
    #[prost(message, optional, tag = "3")]
    regular: Option<RegularFile>,
}

#[derive(Clone, PartialEq, Message)]
struct RegularFile {
    #[prost(bytes = "vec", tag = "6")]
    name: Vec<u8>,
}

/// The names that a dump with these images made.
///
/// # Errors
/// An image is none.
pub(super) fn made_by_dump(remaps: &[u8], files: &[u8]) -> Result<Vec<PathBuf>, DecodeError> {
    let remaps: Vec<Remap> = entries(remaps)?;
    let links: BTreeSet<u32> = remaps
        .iter()
        .filter(|remap| remap.kind == LINKED)
        .map(|remap| remap.link)
        .collect();
    let files: Vec<AnyFile> = entries(files)?;
    let made = files.into_iter().filter(|file| links.contains(&file.id));
    let made = made.filter_map(|file| path_of(&file.regular?.name));
    Ok(made.collect())
}

/// Removes them. Gone already is as good; what cannot be removed is said, since the next dump will refuse it.
pub(super) fn remove(links: &[PathBuf]) {
    for link in links {
        match fs::remove_file(link) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, path = %link.display(), "remove a name that CRIU gave to an open file");
            }
            Ok(()) | Err(_) => {}
        }
    }
}

/// CRIU writes them from the root on, with or without it. Anything else would not be its own.
fn path_of(name: &[u8]) -> Option<PathBuf> {
    let below = name.strip_prefix(b".").unwrap_or(name);
    let below = below.strip_prefix(b"/").unwrap_or(below);
    let path = Path::new("/").join(OsStr::from_bytes(below));
    let is_its_own = path.file_name()?.as_bytes().starts_with(PREFIX);
    is_its_own.then_some(path)
}

/// The messages of an image, each of which has its length in front.
fn entries<T: Message + Default>(image: &[u8]) -> Result<Vec<T>, DecodeError> {
    let mut rest = image.get(MAGIC_BYTES..).unwrap_or_default();
    let mut entries = Vec::new();
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let (message, behind) = behind.split_at(length.min(behind.len()));
        entries.push(T::decode(message)?);
        rest = behind;
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(entries: &[impl Message]) -> Vec<u8> {
        let mut image = vec![0; MAGIC_BYTES];
        for entry in entries {
            let message = entry.encode_to_vec();
            image.extend(u32::try_from(message.len()).expect("short").to_le_bytes());
            image.extend(message);
        }
        image
    }

    fn file(id: u32, name: &str) -> AnyFile {
        let name = name.as_bytes().to_vec();
        AnyFile {
            id,
            regular: Some(RegularFile { name }),
        }
    }

    #[test]
    fn only_what_criu_says_it_has_linked_is_its_own() {
        let remaps = image(&[Remap { link: 7, kind: LINKED }, Remap { link: 8, kind: 1 }]);
        let files = image(&[
            file(7, "home/user/link_remap.7"),
            file(8, "tmp/link_remap.8"),
            file(9, "tmp/link_remap.9"),
        ]);
        let made = made_by_dump(&remaps, &files).expect("images");
        assert_eq!(made, [Path::new("/home/user/link_remap.7")]);
        let others = image(&[file(7, "home/user/precious")]);
        assert_eq!(made_by_dump(&remaps, &others).expect("images"), [] as [PathBuf; 0]);
    }

    #[test]
    fn an_image_that_is_cut_is_refused_or_short_and_never_panics() {
        let files = image(&[file(7, "home/user/link_remap.7")]);
        let remaps = image(&[Remap { link: 7, kind: LINKED }]);
        for upto in 0..files.len() {
            let made = made_by_dump(&remaps, &files[..upto]).unwrap_or_default();
            assert_eq!(made, [] as [PathBuf; 0], "{upto} bytes");
        }
    }
}
