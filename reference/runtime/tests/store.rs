//! The checkpoint store from outside: what it promises on disk and in memory.
#![expect(clippy::unwrap_used, reason = "a fixture that cannot be set up fails the test")]

mod fixture;
#[path = "fixture/noise.rs"]
mod noise;

use std::fs;
use std::path::{Path, PathBuf};
use std::task::Poll;

use proptest::prelude::*;
use tempfile::TempDir;
use torpor_runtime::envelope::EnvelopeError;
use torpor_runtime::{CheckpointKey, CheckpointStore, EngineVersion, KeyError, StoreError, TenantKeys};

use fixture::{UID, key, sim};
use noise::noise;

/// More bytes than are kept in an envelope.
const LARGE: usize = 1_500_000;

/// A store in a directory of its own.
struct OnDisk {
    directory: TempDir,
    store: CheckpointStore,
}

impl OnDisk {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = CheckpointStore::open(&url_of(directory.path())).unwrap();
        Self { directory, store }
    }

    fn sandbox(&self) -> PathBuf {
        self.directory.path().join(UID)
    }

    /// All files of the sandbox, sorted.
    fn files(&self) -> Vec<PathBuf> {
        let folders = [self.sandbox(), self.sandbox().join("packs")];
        let entries = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten();
        let mut files: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).filter(|p| p.is_file()).collect();
        files.sort_unstable();
        files
    }

    fn only_pack(&self) -> PathBuf {
        let mut packs = fs::read_dir(self.sandbox().join("packs")).unwrap();
        let pack = packs.next().unwrap().unwrap().path();
        assert!(packs.next().is_none());
        pack
    }

    fn envelope(&self, generation: u64) -> PathBuf {
        self.sandbox().join(format!("{generation:020}.ckpt"))
    }
}

fn url_of(directory: &Path) -> String {
    format!("file://{}", directory.display())
}

fn both_stores() -> Vec<(CheckpointStore, Option<TempDir>)> {
    let disk = OnDisk::new();
    vec![
        (disk.store, Some(disk.directory)),
        (CheckpointStore::open("memory://").unwrap(), None),
    ]
}

#[tokio::test]
async fn a_payload_of_any_size_survives_the_store() {
    for (store, _directory) in both_stores() {
        let sizes = [0, 1, 5_000_000];
        for (generation, size) in (1..).zip(sizes) {
            let payload = noise(generation, size);
            let record = store.seal(&key(generation), &sim(), payload.clone()).await.unwrap();
            assert_eq!((record.generation, record.size_bytes), (generation, size as u64));
            assert_eq!(record.engine, "sim");
            assert!(
                store.load(&key(generation), &sim()).await.unwrap() == payload,
                "{size} bytes"
            );
            assert_eq!(store.verify(&key(generation)).await.unwrap().payload_bytes, size as u64);
            assert_eq!(
                store.header(&key(generation)).await.unwrap(),
                store.verify(&key(generation)).await.unwrap()
            );
            assert_eq!(store.record(&key(generation)).await.unwrap(), record);
        }
        assert_eq!(store.list(UID).await.unwrap(), [1, 2, 3]);
        assert_eq!(store.sandboxes().await.unwrap(), [UID]);
    }
}

#[tokio::test]
async fn a_second_handle_reads_what_the_first_has_sealed_and_knows_its_digest() {
    let disk = OnDisk::new();
    let record = disk.store.seal(&key(1), &sim(), b"context".as_slice()).await.unwrap();
    let again = CheckpointStore::open(&url_of(disk.directory.path())).unwrap();
    assert_eq!(again.load(&key(1), &sim()).await.unwrap(), b"context");
    assert_eq!(again.record(&key(1)).await.unwrap(), record);

    // By the format: of what it is, whatever form it is stored in.
    let header = again.header(&key(1)).await.unwrap();
    let digest = blake3::hash(format!("{UID}\n1\nsim\n1\n{}", header.payload_hash).as_bytes()).to_hex();
    assert_eq!(record.digest, format!("blake3:{digest}"));
}

#[tokio::test]
async fn a_second_checkpoint_costs_what_changed() {
    for (store, _directory) in both_stores() {
        let mut payload = noise(1, 3_000_000);
        let first = store.seal(&key(1), &sim(), payload.clone()).await.unwrap();
        payload.splice(1_000_000..1_000_000, *b"a few bytes more");
        let second = store.seal(&key(2), &sim(), payload.clone()).await.unwrap();
        assert!(first.stored_bytes >= 3_000_000, "noise does not compress: {first:?}");
        assert!(
            second.stored_bytes < 600_000,
            "at most a chunk or two and the envelope: {second:?}"
        );
        assert_eq!(
            store.stored_bytes(UID).await.unwrap(),
            first.stored_bytes + second.stored_bytes
        );
        assert!(store.load(&key(2), &sim()).await.unwrap() == payload);
    }
}

#[tokio::test]
async fn equal_chunks_within_one_payload_are_stored_once_and_counted_once() {
    let store = CheckpointStore::open("memory://").unwrap();
    let record = store.seal(&key(1), &sim(), vec![0; 4_000_000]).await.unwrap();
    assert!(record.stored_bytes < 10_000, "{record:?}");
    assert_eq!(store.stored_bytes(UID).await.unwrap(), record.stored_bytes);
}

#[tokio::test]
async fn another_sandbox_engine_or_version_is_refused_by_name() {
    let disk = OnDisk::new();
    disk.store.seal(&key(1), &sim(), b"context".as_slice()).await.unwrap();
    let other = CheckpointKey {
        sandbox_uid: "other".to_owned(),
        generation: 1,
    };
    assert!(matches!(
        disk.store.load(&other, &sim()).await,
        Err(StoreError::NotFound { .. })
    ));

    let criu = EngineVersion {
        name: "criu".to_owned(),
        version: 1,
    };
    let text = disk.store.load(&key(1), &criu).await.unwrap_err().to_string();
    assert!(text.contains("criu") && text.contains("sim"), "{text}");
    let newer = EngineVersion { version: 2, ..sim() };
    let text = disk.store.load(&key(1), &newer).await.unwrap_err().to_string();
    assert!(text.contains("version 2") && text.contains("version 1"), "{text}");

    fs::rename(disk.sandbox(), disk.directory.path().join("other")).unwrap();
    let refused = [
        disk.store.load(&other, &sim()).await.unwrap_err(),
        disk.store.header(&other).await.unwrap_err(),
    ];
    assert!(
        refused.iter().all(|e| matches!(e, StoreError::OtherCheckpoint { .. })),
        "{refused:?}"
    );
    assert!(refused[0].to_string().contains(UID), "{}", refused[0]);
}

#[tokio::test]
async fn an_envelope_under_another_generation_is_refused() {
    let disk = OnDisk::new();
    disk.store.seal(&key(1), &sim(), b"context".as_slice()).await.unwrap();
    fs::copy(disk.envelope(1), disk.envelope(2)).unwrap();
    assert!(matches!(
        disk.store.load(&key(2), &sim()).await,
        Err(StoreError::OtherCheckpoint { .. })
    ));
}

#[tokio::test]
async fn every_truncation_of_an_envelope_is_an_error_that_keeps_it() {
    let disk = OnDisk::new();
    disk.store.seal(&key(1), &sim(), noise(1, 1000)).await.unwrap();
    disk.store.seal(&key(2), &sim(), noise(2, 1000)).await.unwrap();
    let sound = fs::read(disk.envelope(2)).unwrap();
    for length in 0..sound.len() {
        fs::write(disk.envelope(2), &sound[..length]).unwrap();
        let refused = [
            disk.store.load(&key(2), &sim()).await.map(drop),
            disk.store.verify(&key(2)).await.map(drop),
            disk.store.header(&key(2)).await.map(drop),
            disk.store.remove_older_than(UID, 2).await.map(drop),
        ];
        let all = refused.iter().all(|r| matches!(r, Err(StoreError::Envelope { .. })));
        assert!(all, "cut to {length} bytes: {refused:?}");
        assert_eq!(fs::read(disk.envelope(2)).unwrap(), sound[..length]);
    }
    assert_eq!(disk.store.list(UID).await.unwrap(), [1, 2]);
    disk.store.verify(&key(1)).await.unwrap();
}

#[tokio::test]
async fn a_missing_or_cut_pack_is_named() {
    let disk = OnDisk::new();
    disk.store.seal(&key(1), &sim(), noise(1, LARGE)).await.unwrap();
    let pack = disk.only_pack();
    let name = pack.file_name().unwrap().to_str().unwrap().to_owned();
    let sound = fs::read(&pack).unwrap();
    fs::write(&pack, &sound[..sound.len() - 1]).unwrap();
    match disk.store.load(&key(1), &sim()).await {
        Err(StoreError::PackSize { pack, found, .. }) => {
            assert_eq!((pack.to_string(), found), (name.clone(), sound.len() as u64 - 1));
        }
        other => panic!("{other:?}"),
    }
    fs::remove_file(&pack).unwrap();
    match disk.store.load(&key(1), &sim()).await {
        Err(StoreError::PackMissing { pack, .. }) => assert_eq!(pack.to_string(), name),
        other => panic!("{other:?}"),
    }
    disk.store.header(&key(1)).await.unwrap();
}

#[test]
fn every_flipped_bit_of_every_file_is_detected() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let disk = OnDisk::new();
    // A pack with plain chunks and compressed ones, and two envelopes, of which one has its chunks inside.
    let small = [noise(2, 50_000), vec![0; 50_000]].concat();
    let payload = [noise(1, LARGE), vec![0; 700_000]].concat();
    runtime.block_on(disk.store.seal(&key(2), &sim(), small)).unwrap();
    runtime
        .block_on(disk.store.seal(&key(1), &sim(), payload.clone()))
        .unwrap();
    let files = disk.files();
    assert!(files.len() >= 3, "{files:?}");

    let config = ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(file in any::<prop::sample::Index>(), bit in any::<prop::sample::Index>())| {
        let file = file.get(&files);
        let sound = fs::read(file).unwrap();
        let mut damaged = sound.clone();
        let bit = bit.index(damaged.len() * 8);
        damaged[bit / 8] ^= 1 << (bit % 8);
        fs::write(file, damaged).unwrap();
        let (hurt, spared) = if *file == disk.envelope(2) { (key(2), key(1)) } else { (key(1), key(2)) };
        let verified = runtime.block_on(disk.store.verify(&hurt));
        let loaded = runtime.block_on(disk.store.load(&hurt, &sim()));
        let other = runtime.block_on(disk.store.verify(&spared));
        fs::write(file, sound).unwrap();
        prop_assert!(verified.is_err() && loaded.is_err() && other.is_ok(), "bit {} of {}", bit, file.display());
    });
}

/// Runs `work` until it is done or has been woken `polls` times, and drops it then.
async fn abandon_after<T>(polls: usize, work: impl Future<Output = T>) -> Option<T> {
    let mut work = std::pin::pin!(work);
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        work.as_mut().poll(context).map(Some)
    })
    .await
}

#[tokio::test]
async fn a_seal_abandoned_at_any_point_leaves_a_whole_checkpoint_or_none() {
    let disk = OnDisk::new();
    let payload = noise(1, LARGE);
    for polls in 0.. {
        let key = key(polls as u64);
        let done = abandon_after(polls, disk.store.seal(&key, &sim(), payload.clone())).await;
        for generation in disk.store.list(UID).await.unwrap() {
            disk.store
                .verify(&CheckpointKey {
                    generation,
                    ..key.clone()
                })
                .await
                .unwrap();
        }
        if let Some(sealed) = done {
            sealed.unwrap();
            break;
        }
        disk.store.seal(&key, &sim(), payload.clone()).await.unwrap();
        assert!(disk.store.load(&key, &sim()).await.unwrap() == payload);
        abandon_after(polls, disk.store.seal(&self::key(u64::MAX), &sim(), noise(2, LARGE))).await;
        disk.store.remove_all(UID).await.unwrap();
        assert!(
            !disk.sandbox().exists(),
            "what was being written after {polls} wakes outlived the sandbox"
        );
    }
}

#[tokio::test]
async fn a_seal_that_fails_leaves_no_checkpoint_and_can_be_repeated() {
    let disk = OnDisk::new();
    let payload = noise(1, LARGE);
    fs::create_dir(disk.sandbox()).unwrap();
    fs::write(disk.sandbox().join("packs"), b"in the way").unwrap();
    disk.store.seal(&key(1), &sim(), payload.clone()).await.unwrap_err();
    assert_eq!(disk.store.list(UID).await.unwrap(), Vec::<u64>::new());
    assert_eq!(disk.store.stored_bytes(UID).await.unwrap(), "in the way".len() as u64);
    fs::remove_file(disk.sandbox().join("packs")).unwrap();
    disk.store.seal(&key(1), &sim(), payload.clone()).await.unwrap();
    assert!(disk.store.load(&key(1), &sim()).await.unwrap() == payload);
}

#[tokio::test]
async fn a_checkpoint_does_not_rely_on_a_damaged_pack() {
    let disk = OnDisk::new();
    let payload = noise(1, LARGE);
    disk.store.seal(&key(1), &sim(), payload.clone()).await.unwrap();
    let pack = disk.only_pack();
    let mut damaged = fs::read(&pack).unwrap();
    damaged[1_000_000] ^= 1;
    fs::write(&pack, damaged).unwrap();
    assert!(disk.store.verify(&key(1)).await.is_err());
    let again = disk.store.seal(&key(1), &sim(), payload.clone()).await;
    assert!(matches!(again, Err(StoreError::ChunkDamaged { .. })), "{again:?}");
    disk.store.seal(&key(2), &sim(), payload.clone()).await.unwrap();
    assert!(disk.store.load(&key(2), &sim()).await.unwrap() == payload);
}

#[tokio::test]
async fn a_sealed_generation_is_never_overwritten() {
    for (store, _directory) in both_stores() {
        let first = store.seal(&key(1), &sim(), b"context".as_slice()).await.unwrap();
        assert_eq!(store.seal(&key(1), &sim(), b"context".as_slice()).await.unwrap(), first);
        assert!(matches!(
            store.seal(&key(1), &sim(), b"other".as_slice()).await,
            Err(StoreError::AlreadySealed { .. })
        ));
        let newer = EngineVersion { version: 2, ..sim() };
        assert!(matches!(
            store.seal(&key(1), &newer, b"context".as_slice()).await,
            Err(StoreError::AlreadySealed { .. })
        ));
        assert_eq!(store.load(&key(1), &sim()).await.unwrap(), b"context");
    }
}

#[tokio::test]
async fn a_damaged_envelope_is_not_overwritten_either() {
    let disk = OnDisk::new();
    disk.store.seal(&key(1), &sim(), b"context".as_slice()).await.unwrap();
    fs::write(disk.envelope(1), b"").unwrap();
    assert!(matches!(
        disk.store.seal(&key(1), &sim(), b"context".as_slice()).await,
        Err(StoreError::Envelope { .. })
    ));
    assert_eq!(fs::read(disk.envelope(1)).unwrap(), b"");
}

#[tokio::test]
async fn removing_a_sandbox_leaves_zero_bytes_and_no_folder() {
    for (store, directory) in both_stores() {
        let neighbour = CheckpointKey {
            sandbox_uid: "neighbour".to_owned(),
            generation: 1,
        };
        store.seal(&neighbour, &sim(), b"context".as_slice()).await.unwrap();
        for generation in 1..=3 {
            store
                .seal(&key(generation), &sim(), noise(generation, 300_000))
                .await
                .unwrap();
        }
        for _again in 0..2 {
            store.remove_all(UID).await.unwrap();
            assert_eq!(store.stored_bytes(UID).await.unwrap(), 0);
            assert_eq!(store.list(UID).await.unwrap(), Vec::<u64>::new());
            assert_eq!(store.sandboxes().await.unwrap(), ["neighbour"]);
        }
        assert!(
            directory
                .as_ref()
                .is_none_or(|directory| !directory.path().join(UID).exists())
        );
        assert_eq!(store.load(&neighbour, &sim()).await.unwrap(), b"context");
    }
}

#[tokio::test]
async fn removing_older_checkpoints_keeps_what_the_newer_ones_need_and_at_most_twice_as_much() {
    for (store, _directory) in both_stores() {
        let kept = noise(2, 2_000_000);
        let payloads = [noise(1, 2_000_000), [noise(1, 1_200_000), kept.clone()].concat(), kept];
        for (generation, payload) in (1..).zip(&payloads) {
            store.seal(&key(generation), &sim(), payload.clone()).await.unwrap();
        }
        let before = store.stored_bytes(UID).await.unwrap();
        let garbage = store.garbage(UID, 2).await.unwrap();
        assert_eq!(
            (garbage.generations.as_slice(), garbage.packs),
            ([1].as_slice(), 0),
            "half of it is needed"
        );
        assert_eq!(store.remove_older_than(UID, 2).await.unwrap(), garbage);
        assert_eq!(store.stored_bytes(UID).await.unwrap(), before - garbage.bytes);
        assert_eq!(store.list(UID).await.unwrap(), [2, 3]);
        assert!(store.load(&key(2), &sim()).await.unwrap() == payloads[1]);
        for packs in [1, 0] {
            let before = store.stored_bytes(UID).await.unwrap();
            let garbage = store.garbage(UID, 3).await.unwrap();
            assert_eq!(garbage.packs, packs);
            assert_eq!(store.remove_older_than(UID, 3).await.unwrap(), garbage);
            assert_eq!(store.stored_bytes(UID).await.unwrap(), before - garbage.bytes);
            assert_eq!(store.list(UID).await.unwrap(), [3]);
            assert!(store.load(&key(3), &sim()).await.unwrap() == payloads[2]);
        }
        assert!(store.stored_bytes(UID).await.unwrap() < 4_200_000);
    }
}

#[tokio::test]
async fn many_checkpoints_of_a_slowly_changing_payload_keep_at_most_twice_what_the_newest_needs() {
    let store = CheckpointStore::open("memory://").unwrap();
    let mut payload = noise(0, 3_000_000);
    for generation in 1..60 {
        let at = usize::try_from(generation).unwrap() * 49_000;
        payload[at..at + 60_000].copy_from_slice(&noise(generation, 60_000));
        store.seal(&key(generation), &sim(), payload.clone()).await.unwrap();
        store.remove_older_than(UID, generation).await.unwrap();
        assert!(
            store.stored_bytes(UID).await.unwrap() < 6_300_000,
            "generation {generation}"
        );
    }
    assert!(store.load(&key(59), &sim()).await.unwrap() == payload);
}

#[tokio::test]
async fn nothing_is_removed_for_the_sake_of_a_checkpoint_that_does_not_exist() {
    let store = CheckpointStore::open("memory://").unwrap();
    store.seal(&key(1), &sim(), b"context".as_slice()).await.unwrap();
    assert!(matches!(
        store.remove_older_than(UID, 2).await,
        Err(StoreError::NotFound { .. })
    ));
    assert_eq!(store.load(&key(1), &sim()).await.unwrap(), b"context");
}

#[tokio::test]
async fn what_a_crash_left_counts_as_stored_and_goes_with_the_next_removal() {
    let disk = OnDisk::new();
    disk.store.seal(&key(2), &sim(), noise(1, LARGE)).await.unwrap();
    let sealed = disk.store.stored_bytes(UID).await.unwrap();
    let packs = disk.sandbox().join("packs");
    let plant = || {
        fs::create_dir_all(&packs).unwrap();
        fs::write(packs.join("0b9c6f0e-2f0c-4b0e-8d0c-5d1f3a1c2b01"), b"12345").unwrap();
        fs::write(packs.join("0b9c6f0e-2f0c-4b0e-8d0c-5d1f3a1c2b02#1"), b"12345").unwrap();
        fs::write(disk.sandbox().join("00000000000000000001.ckpt#1"), b"12345").unwrap();
    };
    plant();
    assert_eq!(disk.store.list(UID).await.unwrap(), [2]);
    assert_eq!(disk.store.stored_bytes(UID).await.unwrap(), sealed + 15);
    disk.store.remove_older_than(UID, 2).await.unwrap();
    assert_eq!(disk.store.stored_bytes(UID).await.unwrap(), sealed);
    plant();
    disk.store.remove_all(UID).await.unwrap();
    assert!(!disk.sandbox().exists());
    plant();
    assert_eq!(disk.store.sandboxes().await.unwrap(), [UID], "a remainder can be found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn checkpoints_sealed_at_once_and_during_removals_are_whole() {
    for (store, _directory) in both_stores() {
        let shared = noise(0, LARGE);
        store.seal(&key(1), &sim(), shared.clone()).await.unwrap();
        let seals = (2..10).map(|generation| {
            let (store, payload) = (store.clone(), [shared.clone(), noise(generation, 10_000)].concat());
            tokio::spawn(async move {
                store
                    .seal(&key(generation), &sim(), payload.clone())
                    .await
                    .map(|_| payload)
            })
        });
        let seals: Vec<_> = seals.collect();
        let removals = (0..4).map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.remove_older_than(UID, 1).await })
        });
        for removal in removals.collect::<Vec<_>>() {
            removal.await.unwrap().unwrap();
        }
        for (generation, seal) in (2..).zip(seals) {
            let payload = seal.await.unwrap().unwrap();
            assert!(
                store.load(&key(generation), &sim()).await.unwrap() == payload,
                "generation {generation}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_different_payloads_sealed_at_once_under_one_key_one_wins_and_the_others_learn_it() {
    for (store, _directory) in both_stores() {
        let seals = (0..6_u64).map(|seed| {
            let (store, payload) = (store.clone(), noise(seed, 50_000));
            tokio::spawn(async move { store.seal(&key(1), &sim(), payload.clone()).await.map(|_| payload) })
        });
        let mut winners = Vec::new();
        for seal in seals.collect::<Vec<_>>() {
            match seal.await.unwrap() {
                Ok(payload) => winners.push(payload),
                Err(error) => assert!(matches!(error, StoreError::AlreadySealed { .. }), "{error}"),
            }
        }
        assert_eq!(winners.len(), 1);
        assert!(store.load(&key(1), &sim()).await.unwrap() == winners[0]);
    }
}

#[test]
fn a_url_of_no_store_is_refused_with_what_would_do() {
    for url in [
        "",
        "/var/lib/x",
        "s3://",
        "http://host/x",
        "file://host/x",
        "file:///x?y",
        "memory://name",
    ] {
        let error = CheckpointStore::open(url).unwrap_err();
        assert!(matches!(error, StoreError::Url { .. }), "{url}: {error:?}");
        let text = error.to_string();
        assert!(
            text.contains("file:///directory") && text.contains("memory://") && text.contains(url),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_uid_that_leads_out_of_the_store_is_refused_by_every_call() {
    let disk = OnDisk::new();
    let store = CheckpointStore::open(&url_of(&disk.directory.path().join("store"))).unwrap();
    fs::create_dir(disk.directory.path().join("victim")).unwrap();
    for uid in ["../victim", "..", "", "/"] {
        let key = CheckpointKey {
            sandbox_uid: uid.to_owned(),
            generation: 1,
        };
        let refused = [
            store.seal(&key, &sim(), b"context".as_slice()).await.map(drop),
            store.load(&key, &sim()).await.map(drop),
            store.header(&key).await.map(drop),
            store.list(uid).await.map(drop),
            store.stored_bytes(uid).await.map(drop),
            store.remove_older_than(uid, 1).await.map(drop),
            store.remove_all(uid).await,
        ];
        assert!(
            refused.iter().all(|r| matches!(r, Err(StoreError::SandboxUid { .. }))),
            "{uid:?}: {refused:?}"
        );
    }
    assert!(disk.directory.path().join("victim").is_dir());
}

#[tokio::test]
async fn a_store_whose_directory_is_gone_is_not_an_empty_store() {
    let disk = OnDisk::new();
    disk.store.seal(&key(1), &sim(), b"context".as_slice()).await.unwrap();
    let (here, away) = (
        disk.directory.path().to_owned(),
        disk.directory.path().with_extension("away"),
    );
    fs::rename(&here, &away).unwrap();
    let refused = [
        disk.store.remove_all(UID).await,
        disk.store.list(UID).await.map(drop),
        disk.store.load(&key(1), &sim()).await.map(drop),
        disk.store.seal(&key(2), &sim(), b"more".as_slice()).await.map(drop),
        disk.store.stored_bytes(UID).await.map(drop),
    ];
    let recreated = here.exists();
    fs::rename(&away, &here).unwrap();
    assert!(
        refused
            .iter()
            .all(|r| matches!(r, Err(StoreError::DirectoryGone { .. }))),
        "{refused:?}"
    );
    assert!(!recreated);
    disk.store.remove_all(UID).await.unwrap();
    assert_eq!(disk.store.stored_bytes(UID).await.unwrap(), 0);
}

fn keys(text: &str) -> TenantKeys {
    let line = |(id, digit): (&str, &str)| format!("{id}:{}", digit.repeat(64));
    let lines = text.split(' ').map(|key| line(key.split_once('=').unwrap()));
    TenantKeys::parse(&lines.collect::<Vec<_>>().join("\n")).unwrap()
}

#[tokio::test]
async fn an_encrypted_checkpoint_opens_with_its_key_alone_and_is_kept_otherwise() {
    let disk = OnDisk::new();
    let ours = disk.store.clone().with_keys(keys("ours=a"));
    let large = [b"the tenant's secret ".repeat(100), noise(1, LARGE)].concat();
    ours.seal(&key(1), &sim(), b"the tenant's secret".as_slice())
        .await
        .unwrap();
    ours.seal(&key(2), &sim(), large.clone()).await.unwrap();
    let before = disk.files();
    for generation in [1, 2] {
        let missing = disk.store.load(&key(generation), &sim()).await.unwrap_err();
        assert!(
            matches!(&missing, StoreError::Envelope { source: EnvelopeError::NoKey { id, given: 0 }, .. } if id == "ours"),
            "{missing:?}"
        );
        let theirs = disk.store.clone().with_keys(keys("theirs=a"));
        let other = theirs.load(&key(generation), &sim()).await.unwrap_err();
        assert!(matches!(
            other,
            StoreError::Envelope {
                source: EnvelopeError::NoKey { given: 1, .. },
                ..
            }
        ));
        let wrong = disk.store.clone().with_keys(keys("ours=b"));
        let wrong = wrong.verify(&key(generation)).await.unwrap_err();
        assert!(matches!(
            wrong,
            StoreError::Envelope {
                source: EnvelopeError::WrongKey { .. },
                ..
            }
        ));
        // Who removes checkpoints needs no key.
        assert_eq!(
            disk.store.header(&key(generation)).await.unwrap().key_id.as_deref(),
            Some("ours")
        );
    }
    assert_eq!(disk.files(), before);
    assert_eq!(ours.load(&key(1), &sim()).await.unwrap(), b"the tenant's secret");
    disk.store.remove_older_than(UID, 2).await.unwrap();
    assert!(ours.load(&key(2), &sim()).await.unwrap() == large);
}

#[tokio::test]
async fn an_encrypted_store_holds_nothing_that_can_be_read() {
    let disk = OnDisk::new();
    let store = disk.store.clone().with_keys(keys("ours=a"));
    let secret = b"the tenant's secret ".repeat(10);
    store.seal(&key(1), &sim(), secret.clone()).await.unwrap();
    let large = [secret, noise(1, LARGE)].concat();
    store.seal(&key(2), &sim(), large.clone()).await.unwrap();
    let end = &large[large.len() - 64..];
    let shows = |bytes: &[u8]| bytes.windows(6).any(|w| w == b"secret") || bytes.windows(64).any(|w| w == end);
    assert!(shows(&large));
    for file in disk.files() {
        assert!(!shows(&fs::read(&file).unwrap()), "{}", file.display());
    }
}

#[tokio::test]
async fn chunks_are_shared_under_one_key_and_never_between_keys() {
    let store = CheckpointStore::open("memory://").unwrap();
    let payload = noise(1, LARGE);
    let old = store.clone().with_keys(keys("old=a"));
    old.seal(&key(1), &sim(), payload.clone()).await.unwrap();
    let again = old.seal(&key(2), &sim(), payload.clone()).await.unwrap();
    assert!(again.stored_bytes < 20_000, "{again:?}");
    let new = store.clone().with_keys(keys("new=b old=a"));
    let turned = new.seal(&key(3), &sim(), payload.clone()).await.unwrap();
    assert!(turned.stored_bytes > 1_500_000, "{turned:?}");
    let plain = store.seal(&key(4), &sim(), payload.clone()).await.unwrap();
    assert!(plain.stored_bytes >= 1_500_000, "{plain:?}");
    for generation in 1..=4 {
        assert!(
            new.load(&key(generation), &sim()).await.unwrap() == payload,
            "{generation}"
        );
    }
}

#[tokio::test]
async fn keys_come_from_a_variable_or_a_file_and_a_wrong_one_is_refused_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let line = format!("ours:{}", "a".repeat(64));
    let file = directory.path().join("keys");
    fs::write(&file, &line).unwrap();
    let url = url_of(&directory.path().join("store"));
    let open = |name: &str, value: &str| CheckpointStore::open_in(&url, &[(name.to_owned(), value.to_owned())].into());
    let by_value = open("TORPOR_STORE_KEYS", &line).unwrap();
    by_value.seal(&key(1), &sim(), b"context".as_slice()).await.unwrap();
    let by_file = open("TORPOR_STORE_KEYS_FILE", file.to_str().unwrap()).unwrap();
    assert_eq!(by_file.load(&key(1), &sim()).await.unwrap(), b"context");

    let refused = open("TORPOR_STORE_KEYS", "ours").unwrap_err();
    assert!(matches!(
        refused,
        StoreError::Keys {
            source: KeyError::Line { line: 1, .. },
            ..
        }
    ));
    let refused = open("TORPOR_STORE_KEYS_FILE", "/no/such/file").unwrap_err();
    assert!(refused.to_string().contains("/no/such/file"), "{refused}");
    let refused = open("TORPOR_STORE_QUOTA", "1 GiB").unwrap_err();
    assert!(refused.to_string().contains("1 GiB"), "{refused}");
}

#[tokio::test]
async fn a_checkpoint_that_somebody_put_in_the_place_of_the_one_on_record_is_not_restored() {
    let directory = tempfile::tempdir().unwrap();
    let key_of_tenant = [("TORPOR_STORE_KEYS".to_owned(), format!("one:{}", "ab".repeat(32)))].into();
    let store = CheckpointStore::open_in(&url_of(directory.path()), &key_of_tenant).unwrap();
    let record = store.seal(&key(1), &sim(), noise(1, LARGE)).await.unwrap();
    let digest = Some(record.digest.as_str());
    let reader = store.reader_of(&key(1), &sim(), digest).await;
    assert!(reader.unwrap().read().await.unwrap() == noise(1, LARGE));

    // Whole by itself, of the same sandbox and number, and by somebody without the key.
    let elsewhere = tempfile::tempdir().unwrap();
    let other = CheckpointStore::open(&url_of(elsewhere.path())).unwrap();
    other.seal(&key(1), &sim(), noise(2, 1_000)).await.unwrap();
    let envelope = format!("{UID}/{:020}.ckpt", 1);
    fs::copy(elsewhere.path().join(&envelope), directory.path().join(&envelope)).unwrap();
    store.verify(&key(1)).await.unwrap();
    let refused = store.reader_of(&key(1), &sim(), digest).await.map(drop).unwrap_err();
    assert!(matches!(refused, StoreError::OtherDigest { .. }), "{refused:?}");
    assert!(refused.to_string().contains(&record.digest), "{refused}");
}

#[tokio::test]
async fn what_seals_left_that_ended_without_a_checkpoint_takes_nothing_of_the_quota() {
    let directory = tempfile::tempdir().unwrap();
    let url = url_of(directory.path());
    let plain = CheckpointStore::open(&url).unwrap();
    plain.seal(&key(1), &sim(), noise(1, LARGE)).await.unwrap();
    let packs = directory.path().join(UID).join("packs");
    let [pack] = &fs::read_dir(packs).unwrap().collect::<Result<Vec<_>, _>>().unwrap()[..] else {
        panic!("one pack")
    };
    let pack = pack.file_name().into_string().unwrap();
    let environment = [("TORPOR_STORE_QUOTA".to_owned(), "2000000".to_owned())].into();
    let store = CheckpointStore::open_in(&url, &environment).unwrap();
    let refused = store.seal(&key(2), &sim(), noise(2, LARGE)).await.unwrap_err();
    assert!(matches!(refused, StoreError::QuotaExceeded { .. }), "{refused:?}");

    // As a program leaves it that died before it put the envelope in its place.
    let note = directory.path().join(UID).join("attempts").join(&pack);
    fs::create_dir_all(note.parent().unwrap()).unwrap();
    fs::write(&note, format!(r#"{{"id":"{pack}","generation":1,"packs":[]}}"#)).unwrap();
    let refused = store.seal(&key(2), &sim(), noise(2, LARGE)).await.unwrap_err();
    assert!(
        matches!(refused, StoreError::QuotaExceeded { .. }),
        "a checkpoint names it: {refused:?}"
    );
    let envelope = directory.path().join(UID).join(format!("{:020}.ckpt", 1));
    fs::remove_file(envelope).unwrap();
    store.seal(&key(2), &sim(), noise(2, LARGE)).await.unwrap();
    store.remove_older_than(UID, 2).await.unwrap();
    assert!(store.stored_bytes(UID).await.unwrap() < 2_000_000, "and goes");
}

#[tokio::test]
async fn a_checkpoint_over_the_quota_fails_and_leaves_what_there_was() {
    let directory = tempfile::tempdir().unwrap();
    let environment = [("TORPOR_STORE_QUOTA".to_owned(), "2000000".to_owned())].into();
    let store = CheckpointStore::open_in(&url_of(directory.path()), &environment).unwrap();
    let payload = noise(1, LARGE);
    store.seal(&key(1), &sim(), payload.clone()).await.unwrap();
    let before = store.stored_bytes(UID).await.unwrap();
    for size in [900_000, LARGE] {
        let refused = store.seal(&key(2), &sim(), noise(2, size)).await.unwrap_err();
        assert!(
            matches!(refused, StoreError::QuotaExceeded { quota: 2_000_000, needed, .. } if needed > 2_000_000),
            "{refused:?}"
        );
        assert_eq!(store.stored_bytes(UID).await.unwrap(), before);
    }
    assert!(store.load(&key(1), &sim()).await.unwrap() == payload);
    // What changes little costs little.
    store.seal(&key(2), &sim(), payload).await.unwrap();
}
