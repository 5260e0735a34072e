//! What a draft passed over, since the newest checkpoint has it, and that the new one has to have itself after all.

use std::collections::HashSet;
use std::sync::Arc;

use blake3::Hash;

use crate::envelope::Entry;
use crate::store::compact::{compress_window, once, windows};
use crate::store::depot::Depot;
use crate::store::objects::on_the_cores;
use crate::store::pack::PackError;
use crate::store::restore::Sealed;
use crate::store::{CheckpointKey, CheckpointStore, StoreError};

/// Reads chunks that were passed over, since the newest checkpoint has them, and puts them in the depot.
///
/// # Errors
/// The newest checkpoint does not have them, or is damaged; or they cannot be put in the depot.
pub(in crate::store) async fn fetch(
    store: &CheckpointStore,
    newest: Option<(CheckpointKey, Sealed)>,
    wanted: &HashSet<Hash>,
    depot: &Arc<Depot>,
) -> Result<Vec<Entry>, Unfetched> {
    let mut fetched: Vec<Entry> = Vec::with_capacity(wanted.len());
    let (key, sealed) = newest.ok_or(Unfetched::Missing)?;
    let entries = sealed.entries.clone();
    let payload = store.open_as_it_is(&key, sealed).await.map_err(Unfetched::Damaged)?;
    let mut seen: HashSet<Hash> = HashSet::new();
    for window in windows(&entries, |entry| wanted.contains(&entry.chunk.hash)) {
        let plain = payload.read_chunks(window.clone()).await.map_err(Unfetched::Damaged)?;
        let wanted = once(&entries[window], |hash| seen.contains(hash));
        seen.extend(wanted.iter().map(|(entry, _)| entry.chunk.hash));
        let depot = Arc::clone(depot);
        let work = move || compress_window(&wanted, &plain, &depot);
        let done = on_the_cores("compress chunks for", payload.folder(), work)
            .await
            .map_err(Unfetched::Damaged)?;
        fetched.extend(done.map_err(Unfetched::NotPacked)?);
    }
    if seen.len() < wanted.len() {
        return Err(Unfetched::Missing);
    }
    Ok(fetched)
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
