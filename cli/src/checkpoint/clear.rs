//! `torpor checkpoint gc`: first what nothing needs goes, of all sandboxes, and then what stays is compressed, which takes
//! space before it gives any.

use serde::Serialize;
use tokio_util::sync::CancellationToken;
use torpor_runtime::{CheckpointKey, CheckpointStore, Compacted, Garbage, StoreError};

use super::{chain, exit, is_listed, print_json, uids};
use crate::args::Output;
use crate::exit::Exit;

/// What `gc` did to one sandbox, or would do.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Cleared {
    pub(super) sandbox_uid: String,
    /// The oldest checkpoint that stays; without any, nothing is removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) oldest_kept: Option<u64>,
    pub(super) generations: Vec<u64>,
    pub(super) abandoned: Vec<u64>,
    pub(super) packs: usize,
    pub(super) bytes: u64,
    /// Bytes of checkpoints that stay and were stored as they were.
    pub(super) uncompressed: u64,
    /// What they take now that they are compressed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) compressed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}

/// Clears up one sandbox, or all, and prints what was done.
///
/// # Errors
/// The store failed; what was done before is printed.
pub(super) async fn run(
    store: &CheckpointStore,
    uid: Option<String>,
    keep: usize,
    dry_run: bool,
    output: Output,
) -> anyhow::Result<Exit> {
    let mut all = Vec::new();
    let done = clear(store, uid, keep, dry_run, &mut all).await;
    if done.is_ok() || !all.is_empty() {
        match output {
            Output::Json => print_json(&all)?,
            Output::Text => print_cleared(&all, dry_run),
        }
    }
    done?;
    Ok(exit(all.iter().map(|cleared| &cleared.error)))
}

/// Clears up, and says in `all` what was done, also before a store fails.
pub(super) async fn clear(
    store: &CheckpointStore,
    uid: Option<String>,
    keep: usize,
    dry_run: bool,
    all: &mut Vec<Cleared>,
) -> Result<(), StoreError> {
    for uid in uids(store, uid).await? {
        all.push(remove(store, uid, keep, dry_run).await?);
    }
    for cleared in all.iter_mut().filter(|cleared| cleared.error.is_none()) {
        squeeze(store, cleared, dry_run).await?;
    }
    Ok(())
}

/// Removes what is older than the `keep` newest, or only looks what that would be.
async fn remove(store: &CheckpointStore, uid: String, keep: usize, dry_run: bool) -> Result<Cleared, StoreError> {
    let work = async |generations: &[u64]| {
        let oldest_kept = oldest_of(generations, keep);
        let garbage = match oldest_kept {
            None => Garbage::default(),
            Some(generation) if dry_run => store.garbage(&uid, generation).await?,
            Some(generation) => store.remove_older_than(&uid, generation).await?,
        };
        Ok::<_, StoreError>((oldest_kept, garbage))
    };
    let ((oldest_kept, garbage), error) = match with_listed(store, &uid, work).await {
        Ok(done) => (done, None),
        Err(error) if is_about_one_sandbox(&error) => ((None, Garbage::default()), Some(chain(error))),
        Err(error) => return Err(error),
    };
    Ok(Cleared {
        sandbox_uid: uid,
        oldest_kept,
        generations: garbage.generations,
        abandoned: garbage.abandoned,
        packs: garbage.packs,
        bytes: garbage.bytes,
        uncompressed: 0,
        compressed: (!dry_run).then_some(0),
        error,
    })
}

/// What `work` does with the generations of a sandbox; it is done again if it misses one that somebody has removed since they
/// were listed.
pub(super) async fn with_listed<T>(
    store: &CheckpointStore,
    uid: &str,
    work: impl AsyncFn(&[u64]) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let mut generations = store.list(uid).await?;
    loop {
        let done = work(&generations).await;
        let Err(StoreError::NotFound { .. }) = done else {
            return done;
        };
        let listed = store.list(uid).await?;
        if listed == generations {
            return done;
        }
        generations = listed;
    }
}

/// Whether other sandboxes can be cleared up all the same.
fn is_about_one_sandbox(error: &StoreError) -> bool {
    error.is_about_a_checkpoint() || matches!(error, StoreError::Attempt { .. })
}

/// Compresses what stays of a sandbox, or only counts it.
async fn squeeze(store: &CheckpointStore, cleared: &mut Cleared, dry_run: bool) -> Result<(), StoreError> {
    for generation in store.list(&cleared.sandbox_uid).await? {
        let key = CheckpointKey {
            sandbox_uid: cleared.sandbox_uid.clone(),
            generation,
        };
        let done = if dry_run {
            let before = store.uncompressed_bytes(&key).await;
            before.map(|before| Compacted { before, after: 0 })
        } else {
            store.compact(&key, &CancellationToken::new()).await
        };
        match done {
            // Somebody has removed it since it was listed.
            Err(error) if error.is_about_a_checkpoint() && !is_listed(store, &key).await? => {}
            done => note(cleared, &key, done)?,
        }
    }
    Ok(())
}

/// Says what became of one checkpoint that was to be compressed; what one lacks is no reason to leave the others.
pub(super) fn note(
    cleared: &mut Cleared,
    key: &CheckpointKey,
    done: Result<Compacted, StoreError>,
) -> Result<(), StoreError> {
    match done {
        Ok(Compacted { before, after }) => {
            cleared.uncompressed += before;
            cleared.compressed = cleared.compressed.map(|compressed| compressed + after);
        }
        // Somebody uses it right now.
        Err(StoreError::Removed { .. }) => {}
        Err(error) if is_about_one_sandbox(&error) => cleared.error = Some(chain(error)),
        // Such as no space for both forms, or a file system that cannot exchange two names.
        Err(error @ (StoreError::Pack { .. } | StoreError::Compress { .. } | StoreError::Directory { .. })) => {
            eprintln!("torpor: checkpoint {key} stays as it was written: {}", chain(error));
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// The oldest of the `keep` newest; the generations are sorted.
fn oldest_of(generations: &[u64], keep: usize) -> Option<u64> {
    generations[generations.len().saturating_sub(keep)..].first().copied()
}

fn print_cleared(all: &[Cleared], dry_run: bool) {
    for cleared in all {
        let uid = &cleared.sandbox_uid;
        match (&cleared.error, cleared.oldest_kept) {
            (Some(error), _) => println!("LEFT     {uid}: {error}"),
            (None, None) => println!("empty    {uid}: no checkpoint; what is there goes when the sandbox is deleted"),
            (None, Some(oldest)) => println!(
                "kept     {uid} from {oldest}: {} checkpoints, {} seals that never ended and {} packs go",
                cleared.generations.len(),
                cleared.abandoned.len(),
                cleared.packs
            ),
        }
    }
    let bytes: u64 = all.iter().map(|cleared| cleared.bytes).sum();
    println!("{bytes} bytes {}", if dry_run { "would be freed" } else { "freed" });
    let uncompressed: u64 = all.iter().map(|cleared| cleared.uncompressed).sum();
    if uncompressed > 0 {
        let compressed: Option<u64> = all.iter().map(|cleared| cleared.compressed).sum();
        match compressed {
            Some(compressed) => println!("{uncompressed} bytes compressed to {compressed}"),
            None => println!("{uncompressed} bytes would be compressed"),
        }
    }
}
