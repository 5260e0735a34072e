//! Which names are of one file.

use std::collections::{HashMap, hash_map};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use bytes::Bytes;

use super::bytes_of;

/// Files that have more than one name, by device and number, with the first name that was found.
#[derive(Debug, Default)]
pub(in crate::criu) struct Names(HashMap<(u64, u64), Bytes>);

impl Names {
    /// The name that was found before, if there is one.
    pub(super) fn another(&mut self, path: &Path, meta: &fs::Metadata) -> Option<Bytes> {
        if meta.nlink() < 2 {
            return None;
        }
        match self.0.entry((meta.dev(), meta.ino())) {
            hash_map::Entry::Occupied(first) => Some(first.get().clone()),
            hash_map::Entry::Vacant(first) => {
                first.insert(bytes_of(path));
                None
            }
        }
    }
}
