//! Chunks of a table, compressed a few megabytes at a time.

use std::collections::HashSet;
use std::ops::Range;

use blake3::Hash;

use crate::chunks::{self, Compressor};
use crate::envelope::Entry;
use crate::store::depot::Depot;
use crate::store::pack::PackError;

/// Plain bytes that are compressed before it is asked again whether to go on.
const WINDOW_BYTES: u64 = 4 << 20;

/// Chunks of a table that follow each other and all match, up to [`WINDOW_BYTES`] at a time.
pub(in crate::store) fn windows(entries: &[Entry], matches: impl Fn(&Entry) -> bool) -> Vec<Range<usize>> {
    let mut windows: Vec<Range<usize>> = Vec::new();
    let mut bytes = 0;
    for (nth, entry) in entries.iter().enumerate().filter(|(_, entry)| matches(entry)) {
        bytes += u64::from(entry.chunk.length);
        match windows.last_mut() {
            Some(window) if window.end == nth && bytes <= WINDOW_BYTES => window.end = nth + 1,
            _ => {
                windows.push(nth..nth + 1);
                bytes = u64::from(entry.chunk.length);
            }
        }
    }
    windows
}

/// Chunks with their places in the plain bytes that they make together, without repetition and those that are `done`.
pub(in crate::store) fn once(entries: &[Entry], done: impl Fn(&Hash) -> bool) -> Vec<(Entry, Range<usize>)> {
    let (mut seen, mut start) = (HashSet::new(), 0);
    let mut once = Vec::with_capacity(entries.len());
    for entry in entries {
        let range = start..start + entry.chunk.length as usize;
        start = range.end;
        if !done(&entry.chunk.hash) && seen.insert(entry.chunk.hash) {
            once.push((*entry, range));
        }
    }
    once
}

/// Puts them in the depot, compressed.
pub(in crate::store) fn compress_window(
    wanted: &[(Entry, Range<usize>)],
    plain: &[u8],
    depot: &Depot,
) -> Result<Vec<Entry>, PackError> {
    let mut compressor = Compressor::new()?;
    let mut packed = Vec::with_capacity(wanted.len());
    for (entry, range) in wanted {
        packed.push((entry.chunk, chunks::pack(&mut compressor, &plain[range.clone()])?));
    }
    depot.put(packed)
}
