//! How long a path in a sandbox may be, so that all of it can be walked, written down and laid out elsewhere.
//!
//! Files are read by the path of the machine, with the root of the sandbox in front, and the system takes 4096 bytes of
//! that. What a program of its own does with its files in a container is not bounded here.

use std::io;

/// Folders and names in a path, at most.
pub const MAX_PARTS: usize = 256;
/// Bytes of a path, at most.
pub const MAX_BYTES: usize = 2048;
/// Bytes of a path that an error shows.
const SHOWN_BYTES: usize = 160;

/// Refuses to make what has such a path.
///
/// # Errors
/// It is longer than a path may be.
pub fn check(path: &str) -> io::Result<()> {
    let parts = path.split('/').filter(|part| !part.is_empty()).count();
    let refused = if parts > MAX_PARTS {
        format!("it would be {parts} folders deep, and {MAX_PARTS} are the most; use fewer")
    } else if path.len() > MAX_BYTES {
        let bytes = path.len();
        format!("its path would have {bytes} bytes, and {MAX_BYTES} are the most; use shorter names or fewer folders")
    } else {
        return Ok(());
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, refused))
}

/// Refuses to move what would have such a path afterwards, or holds something that would. `list` gives the names in a
/// folder, and whether each is a folder.
///
/// # Errors
/// A path would be longer than it may be, or a folder cannot be listed.
pub fn check_move(from: &str, to: &str, list: impl Fn(&str) -> io::Result<Vec<(String, bool)>>) -> io::Result<()> {
    check(to)?;
    let mut folders = vec![String::new()];
    while let Some(below) = folders.pop() {
        let names = match list(&format!("{from}{below}")) {
            Ok(names) => names,
            // A file holds nothing, and to move what is not there fails by itself.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotADirectory | io::ErrorKind::NotFound) => continue,
            Err(error) => return Err(error),
        };
        for (name, is_folder) in names {
            let below = format!("{below}/{name}");
            check(&format!("{to}{below}"))?;
            if is_folder {
                folders.push(below);
            }
        }
    }
    Ok(())
}

/// A path as an error shows it: the middle of a long one is left out.
#[must_use]
pub fn shown(path: &str) -> String {
    if path.len() <= SHOWN_BYTES {
        return path.to_owned();
    }
    let head = &path[..path.floor_char_boundary(SHOWN_BYTES / 2)];
    let tail = &path[path.ceil_char_boundary(path.len() - SHOWN_BYTES / 2)..];
    format!("{head}…{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_counts_what_is_moved_with_it() {
        let chain = |path: &str| {
            Ok(if path.len() < 200 {
                vec![("a".to_owned(), true)]
            } else {
                Vec::new()
            })
        };
        assert!(check_move("/m", &"/x".repeat(100), chain).is_ok());
        let refused = check_move("/m", &"/x".repeat(200), chain).expect_err("too deep");
        assert!(refused.to_string().contains("257 folders"), "{refused}");
        let named = |path: &str| {
            Ok(if path == "/m" {
                vec![("n".repeat(255), false)]
            } else {
                Vec::new()
            })
        };
        let long = format!("/{}", "y".repeat(MAX_BYTES - 100));
        assert!(check_move("/m", &long, named).is_err());
        assert!(check_move("/m", "/short", named).is_ok());
    }

    #[test]
    fn a_long_path_is_shown_without_its_middle() {
        assert_eq!(shown("/tmp/a"), "/tmp/a");
        let long = shown(&format!("/tmp{}/end", "/é".repeat(1000)));
        assert!(
            long.starts_with("/tmp/é") && long.ends_with("/end") && long.len() < 200,
            "{long}"
        );
    }
}
