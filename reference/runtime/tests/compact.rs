//! Compaction from outside: what a seal wrote as it was is compressed later, and nothing else changes.
#![expect(clippy::unwrap_used, reason = "a fixture that cannot be set up fails the test")]

mod fixture;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use torpor_runtime::{CheckpointStore, Compacted, StoreError, TenantKeys};

use fixture::{UID, key, sim};

/// One that is kept in its envelope, and one that has a pack.
const SIZES: [usize; 2] = [300_000, 3_000_000];

/// Bytes of which a good half can be saved; like those of another seed but for every thousandth record.
fn heap(seed: u64, bytes: usize) -> Vec<u8> {
    let record = |nth: usize| {
        let seed = if nth.is_multiple_of(1000) { seed } else { 0 };
        let value = blake3::hash(&[nth.to_le_bytes(), seed.to_le_bytes()].concat()).to_hex();
        format!("record {nth:06} holds {};", &value[..12])
    };
    let mut heap: Vec<u8> = (0..bytes / 20).flat_map(|nth| record(nth).into_bytes()).collect();
    heap.truncate(bytes);
    heap
}

fn open(directory: &Path) -> CheckpointStore {
    CheckpointStore::open(&format!("file://{}", directory.display())).unwrap()
}

fn on_disk() -> (TempDir, CheckpointStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    (directory, store)
}

async fn compact(store: &CheckpointStore, generation: u64) -> Result<Compacted, StoreError> {
    store.compact(&key(generation), &CancellationToken::new()).await
}

#[tokio::test]
async fn a_compacted_checkpoint_is_the_same_one_in_less_space() {
    for bytes in SIZES {
        let (_directory, store) = on_disk();
        let record = store.seal(&key(1), &sim(), heap(1, bytes)).await.unwrap();
        let before = store.stored_bytes(UID).await.unwrap();
        assert_eq!(store.uncompressed_bytes(&key(1)).await.unwrap(), bytes as u64);
        let compacted = compact(&store, 1).await.unwrap();
        assert_eq!(compacted.before, bytes as u64);
        let after = store.stored_bytes(UID).await.unwrap();
        assert!(
            after < before * 2 / 3 && after < compacted.after + 10_000,
            "{before} -> {after}, {compacted:?}"
        );
        assert_eq!(store.uncompressed_bytes(&key(1)).await.unwrap(), 0);
        assert_eq!(store.verify(&key(1)).await.unwrap().payload_bytes, bytes as u64);
        assert!(store.load(&key(1), &sim()).await.unwrap() == heap(1, bytes));
        let again = store.record(&key(1)).await.unwrap();
        assert_eq!((again.digest, again.size_bytes), (record.digest, record.size_bytes));
        assert_eq!(
            compact(&store, 1).await.unwrap(),
            Compacted::default(),
            "nothing is left to do"
        );
    }
}

#[tokio::test]
async fn a_later_checkpoint_relies_on_compacted_chunks() {
    let (_directory, store) = on_disk();
    let mut payload = heap(1, 3_000_000);
    store.seal(&key(1), &sim(), payload.clone()).await.unwrap();
    compact(&store, 1).await.unwrap();
    payload[1_000_000..1_030_000].fill(7);
    store.seal(&key(2), &sim(), payload.clone()).await.unwrap();
    let added = store.header(&key(2)).await.unwrap().added_chunk_bytes;
    assert!(added <= 300_000, "{added} bytes for 1 % of change");
    // Generation 1 still needs what 2 relies on.
    let compacted = compact(&store, 2).await.unwrap();
    assert!(compacted.after < compacted.before);
    assert!(store.load(&key(2), &sim()).await.unwrap() == payload);
    assert!(store.load(&key(1), &sim()).await.unwrap() == heap(1, 3_000_000));
    store.remove_older_than(UID, 2).await.unwrap();
    assert!(store.load(&key(2), &sim()).await.unwrap() == payload);
}

#[tokio::test]
async fn who_reads_a_checkpoint_goes_on_reading_while_it_is_compacted() {
    for bytes in SIZES {
        let (directory, store) = on_disk();
        store.seal(&key(1), &sim(), heap(1, bytes)).await.unwrap();
        let reader = store.reader(&key(1), &sim()).await.unwrap();
        assert!(compact(&open(directory.path()), 1).await.unwrap().before > 0);
        assert!(reader.read().await.unwrap() == heap(1, bytes));
    }
}

#[tokio::test]
async fn a_compaction_that_is_called_off_changes_nothing() {
    for bytes in SIZES {
        let (_directory, store) = on_disk();
        store.seal(&key(1), &sim(), heap(1, bytes)).await.unwrap();
        let before = store.stored_bytes(UID).await.unwrap();
        let cancelled = CancellationToken::new();
        cancelled.cancel();
        assert_eq!(store.compact(&key(1), &cancelled).await.unwrap(), Compacted::default());
        assert_eq!(store.stored_bytes(UID).await.unwrap(), before);
        store.verify(&key(1)).await.unwrap();
    }
}

#[tokio::test]
async fn a_damaged_checkpoint_is_not_compacted_and_kept_as_it_is() {
    for bytes in SIZES {
        let (directory, store) = on_disk();
        store.seal(&key(1), &sim(), heap(1, bytes)).await.unwrap();
        let folder = directory.path().join(UID);
        let file = if bytes > 1_000_000 {
            fs::read_dir(folder.join("packs"))
                .unwrap()
                .next()
                .unwrap()
                .unwrap()
                .path()
        } else {
            folder.join(format!("{:020}.ckpt", 1))
        };
        let mut damaged = fs::read(&file).unwrap();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        fs::write(&file, &damaged).unwrap();
        let refused = compact(&store, 1).await.unwrap_err();
        assert!(refused.is_about_a_checkpoint(), "{refused:?}");
        assert!(fs::read(&file).unwrap() == damaged);
    }
}

#[tokio::test]
async fn what_shrinks_to_almost_nothing_is_compressed_at_once() {
    let (_directory, store) = on_disk();
    // Pages that have nothing but their number.
    let payload: Vec<u8> = (0..1000_u64)
        .flat_map(|nth| [nth.to_le_bytes().as_slice(), &[0; 4088]].concat())
        .collect();
    store.seal(&key(1), &sim(), payload).await.unwrap();
    assert_eq!(store.uncompressed_bytes(&key(1)).await.unwrap(), 0);
}

#[tokio::test]
async fn what_a_tenant_encrypts_is_compressed_at_once() {
    let (_directory, store) = on_disk();
    let keys = TenantKeys::parse(&format!("k:{}", "5a".repeat(32))).unwrap();
    let with_key = store.clone().with_keys(keys);
    with_key.seal(&key(1), &sim(), heap(1, 3_000_000)).await.unwrap();
    assert!(store.stored_bytes(UID).await.unwrap() < 2_000_000);
    // To find nothing to do needs no key.
    for store in [with_key, store] {
        assert_eq!(store.uncompressed_bytes(&key(1)).await.unwrap(), 0);
        assert_eq!(compact(&store, 1).await.unwrap(), Compacted::default());
    }
}

#[tokio::test]
async fn a_header_that_is_read_while_envelopes_are_exchanged_is_sound() {
    let (directory, store) = on_disk();
    store.seal(&key(1), &sim(), heap(1, SIZES[0])).await.unwrap();
    let envelope = directory.path().join(UID).join(format!("{:020}.ckpt", 1));
    let before = fs::read(&envelope).unwrap();
    compact(&store, 1).await.unwrap();
    let after = fs::read(&envelope).unwrap();
    assert_ne!(before.len(), after.len());
    let ended = Arc::new(AtomicBool::new(false));
    let exchanging = thread::spawn({
        let ended = Arc::clone(&ended);
        let aside = directory.path().join("aside");
        move || {
            while !ended.load(Ordering::SeqCst) {
                for bytes in [&before, &after] {
                    fs::write(&aside, bytes).unwrap();
                    fs::rename(&aside, &envelope).unwrap();
                }
            }
        }
    });
    let mut read = Ok(());
    for _ in 0..1000 {
        read = read.and(store.header(&key(1)).await.map(drop));
    }
    ended.store(true, Ordering::SeqCst);
    exchanging.join().unwrap();
    read.unwrap();
}

#[tokio::test]
async fn what_has_to_fit_into_a_quota_is_compressed_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let environment = [("TORPOR_STORE_QUOTA".to_owned(), "2000000".to_owned())].into();
    let url = format!("file://{}", directory.path().display());
    let store = CheckpointStore::open_in(&url, &environment).unwrap();
    store.seal(&key(1), &sim(), heap(1, 3_000_000)).await.unwrap();
    assert_eq!(compact(&store, 1).await.unwrap(), Compacted::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn seals_removals_restores_and_compactions_at_once_lose_nothing() {
    let (directory, store) = on_disk();
    store.seal(&key(1), &sim(), heap(1, 1_500_000)).await.unwrap();
    for generation in 2..12 {
        let newest = generation - 1;
        // Handles of their own, as programs of their own have: they share no lock.
        let program = || open(directory.path());
        let (compacting, restoring, sealing) = (program(), program(), program());
        let compacting = tokio::spawn(async move { compact(&compacting, newest).await });
        let restoring = tokio::spawn(async move { restoring.load(&key(newest), &sim()).await });
        let sealing = tokio::spawn(async move {
            sealing
                .seal(&key(generation), &sim(), heap(generation, 1_500_000))
                .await
        });
        assert!(restoring.await.unwrap().unwrap() == heap(newest, 1_500_000));
        sealing.await.unwrap().unwrap();
        store.remove_older_than(UID, generation).await.unwrap();
        // It may find its checkpoint removed.
        match compacting.await.unwrap() {
            Ok(_) | Err(StoreError::Removed { .. } | StoreError::NotFound { .. } | StoreError::PackMissing { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
        store.verify(&key(generation)).await.unwrap();
    }
    compact(&store, 11).await.unwrap();
    store.remove_older_than(UID, 11).await.unwrap();
    assert_eq!(store.list(UID).await.unwrap(), [11]);
    let left = store.stored_bytes(UID).await.unwrap();
    assert!(left < 1_000_000, "{left} bytes are left");
}

#[tokio::test]
async fn checkpoints_of_the_formats_before_are_read() {
    let (directory, store) = on_disk();
    store.seal(&key(1), &sim(), heap(1, 300_000)).await.unwrap();
    compact(&store, 1).await.unwrap();
    let envelope = directory.path().join(UID).join(format!("{:020}.ckpt", 1));
    let now = fs::read(&envelope).unwrap();
    for format in [2, 3] {
        fs::write(&envelope, of_format(format, &now)).unwrap();
        assert!(store.load(&key(1), &sim()).await.unwrap() == heap(1, 300_000));
    }
}

/// The same but for its number and the hash of its body, as long as nothing waits to be compressed.
fn of_format(format: u8, now: &[u8]) -> Vec<u8> {
    let (fixed, rest) = now.split_at(48);
    let header = usize::try_from(u32::from_le_bytes(fixed[12..16].try_into().unwrap())).unwrap();
    let (header, body) = rest.split_at(header);
    let mut header: serde_json::Value = serde_json::from_slice(header).unwrap();
    header["bodyHash"] = blake3::hash(body).to_hex().as_str().into();
    let header = serde_json::to_vec(&header).unwrap();
    let mut fixed = fixed[..16].to_vec();
    fixed[8] = format;
    fixed[12..].copy_from_slice(&u32::try_from(header.len()).unwrap().to_le_bytes());
    let hash = blake3::Hasher::new().update(&fixed).update(&header).finalize();
    [&fixed, hash.as_bytes().as_slice(), &header, body].concat()
}
