//! What a draft passed over, since the newest checkpoint has it, and that the new one has to have itself after all.

use std::collections::HashSet;
use std::sync::Arc;

use blake3::Hash;

use crate::envelope::Entry;
use crate::store::compact::{compress_window, is_untried, once, windows};
use crate::store::depot::Depot;
use crate::store::objects::on_the_cores;
use crate::store::pack::PackError;
use crate::store::restore::{Sealed, SealedPayload};
use crate::store::{CheckpointKey, CheckpointStore, StoreError};

/// Chunks that are read at a time as they are stored: a few megabytes.
const CHUNKS_AT_ONCE: usize = 32;

/// Reads chunks that were passed over, since the newest checkpoint has them, and puts them in the depot: as they are, if it
/// takes them so, since somebody waits.
///
/// # Errors
/// The newest checkpoint does not have them, or is damaged; or they cannot be put in the depot.
pub(in crate::store) async fn fetch(
    store: &CheckpointStore,
    newest: Option<(CheckpointKey, Sealed)>,
    wanted: &HashSet<Hash>,
    depot: &Arc<Depot>,
) -> Result<Vec<Entry>, Unfetched> {
    let (key, sealed) = newest.ok_or(Unfetched::Missing)?;
    // A compaction may have moved them meanwhile.
    let payload = store.open_as_it_is(&key, sealed).await.map_err(Unfetched::Damaged)?;
    let mut seen: HashSet<Hash> = HashSet::new();
    let is_wanted = |entry: &&Entry| wanted.contains(&entry.chunk.hash) && seen.insert(entry.chunk.hash);
    let found: Vec<Entry> = payload.entries.iter().filter(is_wanted).copied().collect();
    if seen.len() < wanted.len() {
        return Err(Unfetched::Missing);
    }
    let is_in_the_clear = payload.header.key_id.is_none() && depot.key().is_none();
    if is_in_the_clear && (depot.takes_plain() || !found.iter().any(is_untried)) {
        moved(&payload, found, depot).await
    } else {
        compressed(&payload, wanted, depot).await
    }
}

/// Puts chunks in the depot in the form that they have.
async fn moved(payload: &SealedPayload, mut found: Vec<Entry>, depot: &Arc<Depot>) -> Result<Vec<Entry>, Unfetched> {
    found.sort_unstable_by_key(|entry| (entry.holder, entry.offset));
    let mut moved = Vec::with_capacity(found.len());
    for some in found.chunks(CHUNKS_AT_ONCE) {
        let packed = payload.read_packed(some.to_vec()).await.map_err(Unfetched::Damaged)?;
        let depot = Arc::clone(depot);
        let put = on_the_cores("move chunks for", payload.folder(), move || depot.put(packed)).await;
        moved.extend(put.map_err(Unfetched::Damaged)?.map_err(Unfetched::NotPacked)?);
    }
    Ok(moved)
}

/// Puts those chunks in the depot that are wanted, compressed.
async fn compressed(
    payload: &SealedPayload,
    wanted: &HashSet<Hash>,
    depot: &Arc<Depot>,
) -> Result<Vec<Entry>, Unfetched> {
    let entries = &payload.entries;
    let (mut compressed, mut seen) = (Vec::with_capacity(wanted.len()), HashSet::new());
    for window in windows(entries, |entry| wanted.contains(&entry.chunk.hash)) {
        let plain = payload.read_chunks(window.clone()).await.map_err(Unfetched::Damaged)?;
        let once = once(&entries[window], |hash| seen.contains(hash));
        seen.extend(once.iter().map(|(entry, _)| entry.chunk.hash));
        let depot = Arc::clone(depot);
        let work = move || compress_window(&once, &plain, &depot);
        let done = on_the_cores("compress chunks for", payload.folder(), work).await;
        compressed.extend(done.map_err(Unfetched::Damaged)?.map_err(Unfetched::NotPacked)?);
    }
    Ok(compressed)
}

/// Why chunks that were passed over are not in the depot.
pub(in crate::store) enum Unfetched {
    /// The newest checkpoint does not have them.
    Missing,
    /// It cannot be read.
    Damaged(StoreError),
    /// The depot does not take them.
    NotPacked(PackError),
}
