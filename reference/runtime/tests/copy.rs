//! Parts of a checkpoint that are copied into files.
#![expect(clippy::unwrap_used, reason = "a fixture that cannot be set up fails the test")]

mod fixture;

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use torpor_runtime::{CheckpointStore, PayloadError, PayloadReader, StoreError, TenantKeys};

use fixture::{key, sim};

const LARGE: usize = 3_000_000;

/// Bytes of which some do not compress, some do, and some are zero.
fn payload(seed: u8, bytes: usize) -> Vec<u8> {
    let mut payload = vec![0; bytes];
    let third = bytes / 3;
    blake3::Hasher::new_keyed(&[seed; 32])
        .finalize_xof()
        .fill(&mut payload[..third]);
    for (place, byte) in payload[third..2 * third].iter_mut().enumerate() {
        *byte = u8::try_from((place / 97 + place % 13) % 251).unwrap();
    }
    payload
}

fn store(directory: &Path) -> CheckpointStore {
    CheckpointStore::open(&format!("file://{}", directory.display())).unwrap()
}

/// Copies a part to `at` of a file that has other bytes around it; gives the file.
async fn copied(part: &PayloadReader, at: u64) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("copy");
    fs::write(&path, vec![b'-'; usize::try_from(at + part.len() + 7).unwrap()]).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    part.copy_to(&Arc::new(file), at, &path).await.unwrap();
    fs::read(&path).unwrap()
}

#[test]
fn any_part_of_a_checkpoint_is_copied_to_its_place_and_nothing_else_is_touched() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let keys = TenantKeys::parse(&format!("one:{}", "ab".repeat(32))).unwrap();
    let stores = [
        store(&directory.path().join("plain")),
        store(&directory.path().join("encrypted")).with_keys(keys),
        CheckpointStore::open("memory://").unwrap(),
    ];
    // The second relies on the pack of the first, and the third is in its envelope.
    let mut changed = payload(1, LARGE);
    changed.splice(LARGE / 2..LARGE / 2, *b"more");
    let payloads = [payload(1, LARGE), changed, payload(2, 1000), Vec::new()];
    let mut readers = Vec::new();
    for store in &stores {
        for (generation, payload) in (1..).zip(&payloads) {
            let key = key(generation);
            let sealed = runtime.block_on(store.seal(&key, &sim(), payload.clone()));
            sealed.unwrap();
            let reader = runtime.block_on(store.reader(&key, &sim())).unwrap();
            readers.push((reader, payload));
        }
    }
    let config = ProptestConfig {
        cases: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(nth in any::<prop::sample::Index>(), ends in any::<[prop::sample::Index; 2]>(), at in 0..5000_u64)| {
        let (reader, payload) = nth.get(&readers);
        let mut ends = ends.map(|end| end.index(payload.len() + 1));
        ends.sort_unstable();
        let [start, end] = ends;
        let part = reader.slice(start as u64..end as u64).unwrap();
        let file = runtime.block_on(copied(&part, at));
        let at = usize::try_from(at).unwrap();
        prop_assert!(file[at..at + end - start] == payload[start..end], "{start}..{end}");
        prop_assert!(file[..at].iter().chain(&file[at + end - start..]).all(|byte| *byte == b'-'));
    });
}

#[tokio::test]
async fn a_part_that_is_damaged_or_gone_is_not_copied_and_one_beside_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let sealed = payload(3, LARGE);
    store.seal(&key(1), &sim(), sealed.clone()).await.unwrap();
    let packs = directory.path().join(fixture::UID).join("packs");
    let pack = fs::read_dir(packs).unwrap().next().unwrap().unwrap().path();
    let reader = store.reader(&key(1), &sim()).await.unwrap();

    let mut bytes = fs::read(&pack).unwrap();
    bytes[100] ^= 1;
    fs::write(&pack, &bytes).unwrap();
    let target = Arc::new(File::create(directory.path().join("copy")).unwrap());
    let path = Path::new("copy");
    let whole = reader.copy_to(&target, 0, path).await;
    assert!(
        matches!(whole, Err(PayloadError::Store(StoreError::ChunkDamaged { .. }))),
        "{whole:?}"
    );
    let beside = reader.slice(600_000..900_000).unwrap();
    assert!(copied(&beside, 0).await[..300_000] == sealed[600_000..900_000]);

    fs::write(&pack, &bytes[..200_000]).unwrap();
    let cut = beside.copy_to(&target, 0, path).await;
    assert!(
        matches!(
            cut,
            Err(PayloadError::Store(StoreError::Directory { attempt: "read", .. }))
        ),
        "{cut:?}"
    );

    let elsewhere = Arc::new(File::open(directory.path().join("copy")).unwrap());
    let small = store.seal(&key(2), &sim(), vec![1; 100]).await;
    small.unwrap();
    let reader = store.reader(&key(2), &sim()).await.unwrap();
    let refused = reader.copy_to(&elsewhere, 0, path).await.unwrap_err();
    assert_eq!(refused.to_string(), "write copy");
}
