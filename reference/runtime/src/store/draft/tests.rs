//! What a draft takes is sealed as any payload is, or leaves nothing.

use std::fs;
use std::io::Cursor;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use object_store::local::LocalFileSystem;
use proptest::prelude::*;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::flow::{BUFFER_BYTES, PORTION_BYTES, threads};
use super::*;
use crate::chunks::SEGMENT_BYTES;
use crate::encryption::TenantKeys;
use crate::store::CheckpointKey;
use crate::store::directory::{Change, Directory, Disk};
use crate::store::fixture::{self, engine, noise};
use crate::store::objects::Objects;

pub(super) const UID: &str = "drafted";
pub(super) const MIB: usize = 1 << 20;

pub(super) fn key(generation: u64) -> CheckpointKey {
    fixture::key(UID, generation)
}

pub(super) fn on_disk() -> (CheckpointStore, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let store = CheckpointStore::open(&format!("file://{}", directory.path().display())).unwrap();
    (store, directory)
}

/// All files below a store's directory but its envelopes.
pub(super) fn files_in(directory: &TempDir) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![directory.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_none_or(|extension| extension != "ckpt") {
                files.push(path);
            }
        }
    }
    files
}

/// A payload of which every other part is taken ahead, the first one not.
async fn taken_ahead(store: &CheckpointStore, parts: &[Vec<u8>]) -> Payload {
    let draft = store.intake(UID).begin().await;
    payload_of(&draft, parts).await
}

/// A draft that has taken what may be in the payload.
pub(super) async fn drafted(store: &CheckpointStore, likely: Vec<Vec<u8>>) -> Arc<Draft> {
    let draft = store.intake(UID).begin().await;
    let taking = Arc::clone(&draft);
    let take = move || {
        for part in likely {
            taking.take_likely(Grain::Aligned, Cursor::new(part)).unwrap();
        }
    };
    tokio::task::spawn_blocking(take).await.unwrap();
    draft
}

pub(super) async fn payload_of(draft: &Arc<Draft>, parts: &[Vec<u8>]) -> Payload {
    let (draft, parts) = (Arc::clone(draft), parts.to_vec());
    let made = move || {
        let mut payload = Payload::default();
        for (nth, part) in parts.into_iter().enumerate() {
            if nth % 2 == 0 {
                payload.push(part);
            } else {
                let (head, rest) = part.split_at(part.len() / 3);
                let grain = if nth % 4 == 1 { Grain::Byte } else { Grain::Aligned };
                payload.append(draft.take(grain, head, Cursor::new(rest)).unwrap());
            }
        }
        payload
    };
    tokio::task::spawn_blocking(made).await.unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Parts by seed and size; a seed that returns is shared with what was there before.
    #[test]
    fn what_was_taken_ahead_is_loaded_as_it_was(
        generations in prop::collection::vec(prop::collection::vec((0..4_u64, 1..2 * MIB), 1..5), 1..4),
        is_on_disk in any::<bool>(),
        likely in prop::collection::vec((0..4_u64, 1..2 * MIB), 0..3),
        has_key in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let (store, _directory) = on_disk();
            let store = if is_on_disk { store } else { CheckpointStore::open("memory://").unwrap() };
            let keys = format!("ours:{}", "a".repeat(64));
            let store = if has_key { store.with_keys(TenantKeys::parse(&keys).unwrap()) } else { store };
            for (generation, parts) in (1..).zip(&generations) {
                let parts: Vec<Vec<u8>> = parts.iter().map(|(seed, length)| noise(*seed, *length)).collect();
                let likely = likely.iter().map(|(seed, length)| noise(*seed, *length)).collect();
                let draft = drafted(&store, likely).await;
                let payload = payload_of(&draft, &parts).await;
                store.seal(&key(generation), &engine(), payload).await.unwrap();
                assert!(store.load(&key(generation), &engine()).await.unwrap() == parts.concat());
                store.remove_older_than(UID, generation).await.unwrap();
                assert!(store.load(&key(generation), &engine()).await.unwrap() == parts.concat());
            }
        });
    }
}

#[tokio::test]
async fn what_is_shared_with_a_pack_that_is_not_kept_for_it_is_written_again() {
    let (store, directory) = on_disk();
    let first = noise(1, 4 * MIB);
    store.seal(&key(1), &engine(), first.clone()).await.unwrap();
    // A third of the pack: to keep it for that would cost more than it saves.
    let second = [vec![1], [&first[..4 * MIB / 3], &noise(2, 2 * MIB)].concat()];
    let payload = taken_ahead(&store, &second).await;
    store.seal(&key(2), &engine(), payload).await.unwrap();
    store.remove_older_than(UID, 2).await.unwrap();
    assert!(store.load(&key(2), &engine()).await.unwrap() == second.concat());
    assert_eq!(files_in(&directory).len(), 1, "its own pack alone");
}

/// A checkpoint of text, and then another one that shares so little of it that it is written again, by a store with a
/// `quota` if there is one; gives how many bytes of the second nobody has tried to compress, and all it is made of.
async fn text_written_again(is_compacted: bool, quota: Option<u64>) -> (u64, u64) {
    let (store, _directory) = on_disk();
    let text: Vec<u8> = (0..600_000_u32)
        .flat_map(|line| format!("{line}\n").into_bytes())
        .collect();
    let first = taken_ahead(&store, &[Vec::new(), text.clone()]).await;
    store.seal(&key(1), &engine(), first).await.unwrap();
    if is_compacted {
        store.compact(&key(1), &CancellationToken::new()).await.unwrap();
    }
    let store = CheckpointStore { quota, ..store };
    let second = [vec![1], [&text[..text.len() / 3], &noise(2, MIB)].concat()];
    let payload = taken_ahead(&store, &second).await;
    store.seal(&key(2), &engine(), payload).await.unwrap();
    store.remove_older_than(UID, 2).await.unwrap();
    assert!(store.load(&key(2), &engine()).await.unwrap() == second.concat());
    let bytes = store.stored_bytes(UID).await.unwrap();
    (store.uncompressed_bytes(&key(2)).await.unwrap(), bytes)
}

#[tokio::test]
async fn what_is_written_again_stays_compressed_or_not_but_for_a_quota() {
    let (third, new) = (1_300_000, MIB as u64);
    let (untried, bytes) = text_written_again(false, None).await;
    assert!(untried > third + new && bytes > third + new, "{untried} {bytes}");
    let (untried, bytes) = text_written_again(true, None).await;
    assert!(
        untried < new + (1 << 18) && bytes < new + third / 2,
        "{untried} {bytes}"
    );
    let (untried, bytes) = text_written_again(false, Some(1 << 30)).await;
    assert!(untried == 0 && bytes < new + third / 2, "{untried} {bytes}");
}

#[tokio::test]
async fn a_draft_that_shares_what_is_damaged_is_spent_and_leaves_nothing() {
    let (store, directory) = on_disk();
    let first = noise(1, 4 * MIB);
    store.seal(&key(1), &engine(), first.clone()).await.unwrap();
    let before = files_in(&directory);
    fs::write(
        &before[0],
        vec![0; usize::try_from(fs::metadata(&before[0]).unwrap().len()).unwrap()],
    )
    .unwrap();
    let payload = taken_ahead(&store, &[vec![1], first.clone()]).await;
    let refused = store.seal(&key(2), &engine(), payload).await.unwrap_err();
    assert!(matches!(refused, StoreError::Spent { .. }), "{refused:?}");
    assert_eq!(files_in(&directory), before);
    // With the bytes at hand it is written anew.
    store.seal(&key(2), &engine(), first.clone()).await.unwrap();
    assert!(store.load(&key(2), &engine()).await.unwrap() == first);
}

#[tokio::test]
async fn a_draft_is_good_for_one_seal_of_its_sandbox_in_its_store() {
    let (store, directory) = on_disk();
    let (other, other_directory) = on_disk();
    let parts = [vec![1], noise(1, 2 * MIB)];
    let of_another = CheckpointKey {
        sandbox_uid: "another".to_owned(),
        generation: 1,
    };
    for (store, key) in [(&other, &key(1)), (&store, &of_another)] {
        let payload = taken_ahead(store, &parts).await;
        let refused = if store.is(&other) {
            on_disk().0.seal(key, &engine(), payload).await
        } else {
            store.seal(key, &engine(), payload).await
        };
        assert!(matches!(refused, Err(StoreError::Spent { .. })), "{refused:?}");
    }
    let payload = taken_ahead(&store, &parts).await;
    assert!(
        payload.clone().into_bytes().is_err(),
        "it is in the store, and nowhere else"
    );
    store.seal(&key(1), &engine(), payload.clone()).await.unwrap();
    let again = store.seal(&key(2), &engine(), payload).await;
    assert!(matches!(again, Err(StoreError::Spent { .. })), "{again:?}");
    let two = [taken_ahead(&store, &parts).await, taken_ahead(&store, &parts).await];
    let mixed = two.into_iter().fold(Payload::default(), |mut all, one| {
        all.append(one);
        all
    });
    assert!(matches!(
        store.seal(&key(2), &engine(), mixed).await,
        Err(StoreError::Spent { .. })
    ));
    let files = files_in(&directory);
    let packs = files
        .iter()
        .filter(|file| !file.to_str().unwrap().contains("/attempts/"))
        .count();
    assert_eq!(packs, 1, "of the one seal: {files:?}");
    assert!(files_in(&other_directory).is_empty());
}

#[tokio::test]
async fn what_was_sealed_before_is_recognised_and_what_differs_is_refused() {
    let (store, directory) = on_disk();
    let parts = [vec![1], noise(1, 2 * MIB)];
    let first = store.seal(&key(1), &engine(), parts.concat()).await;
    let files = files_in(&directory);
    // Cut in parts it has other chunks.
    let payload = taken_ahead(&store, &parts).await;
    let refused = store.seal(&key(1), &engine(), payload).await;
    assert!(matches!(refused, Err(StoreError::AlreadySealed { .. })), "{refused:?}");
    let payload = taken_ahead(&store, &[Vec::new(), parts.concat()]).await;
    assert_eq!(store.seal(&key(1), &engine(), payload).await.unwrap(), first.unwrap());
    assert_eq!(files_in(&directory), files);
}

/// Gives a few bytes at a time.
struct Trickles<'a>(&'a [u8]);

impl Read for Trickles<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(65_521);
        self.0.read(&mut buffer[..length])
    }
}

#[tokio::test]
async fn what_is_taken_is_cut_as_a_file_of_the_same_bytes_would_be() {
    let files = tempfile::tempdir().unwrap();
    for (nth, bytes) in [2 * MIB, SEGMENT_BYTES, 2 * SEGMENT_BYTES + 300_000]
        .into_iter()
        .enumerate()
    {
        let memory = noise(nth as u64, bytes);
        let path = files.path().join(nth.to_string());
        fs::write(&path, &memory).unwrap();
        for grain in [Grain::Byte, Grain::Aligned] {
            let (store, _directory) = on_disk();
            let mut payload = Payload::default();
            payload.push_file_of(&path, grain).unwrap();
            let first = store.seal(&key(1), &engine(), payload).await.unwrap();
            let (draft, memory) = (store.intake(UID).begin().await, memory.clone());
            let take = move || draft.take(grain, &memory[..1000], Trickles(&memory[1000..])).unwrap();
            let taken = tokio::task::spawn_blocking(take).await.unwrap();
            assert_eq!(
                store.seal(&key(1), &engine(), taken).await.unwrap(),
                first,
                "{bytes} bytes by {grain:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_draft_over_the_quota_fails_its_seal_and_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let environment = [("TORPOR_STORE_QUOTA".to_owned(), "1500000".to_owned())].into();
    let store = CheckpointStore::open_in(&format!("file://{}", directory.path().display()), &environment).unwrap();
    let payload = taken_ahead(&store, &[vec![1], noise(1, 2 * MIB)]).await;
    let refused = store.seal(&key(1), &engine(), payload).await;
    assert!(matches!(refused, Err(StoreError::QuotaExceeded { .. })), "{refused:?}");
    assert!(files_in(&directory).is_empty());
}

#[tokio::test]
async fn a_store_that_cannot_begin_says_so_when_it_is_to_seal() {
    let (store, directory) = on_disk();
    directory.close().unwrap();
    let payload = taken_ahead(&store, &[vec![1], noise(1, 2 * MIB)]).await;
    let store = on_disk().0;
    let refused = store.seal(&key(1), &engine(), payload).await;
    assert!(matches!(refused, Err(StoreError::DirectoryGone { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_pack_keeps_no_room_on_disk_that_it_does_not_fill() {
    let (store, directory) = on_disk();
    let payload = taken_ahead(&store, &[vec![1], noise(1, 2 * MIB)]).await;
    store.seal(&key(1), &engine(), payload).await.unwrap();
    let pack = fs::metadata(&files_in(&directory)[0]).unwrap();
    let (on_disk, bytes) = (pack.blocks() * 512, pack.len());
    assert!(
        bytes >= 2 * MIB as u64 && on_disk <= bytes + (64 << 10),
        "{on_disk} of {bytes} bytes"
    );
}

/// Gives some bytes, and then an error.
struct Breaks(Cursor<Vec<u8>>);

impl Read for Breaks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::ErrorKind::BrokenPipe.into()),
            read => Ok(read),
        }
    }
}

#[tokio::test]
async fn a_part_that_breaks_off_is_an_error_and_nothing_of_it_is_left() {
    let (store, directory) = on_disk();
    let draft = store.intake(UID).begin().await;
    let taking = Arc::clone(&draft);
    let take = move || {
        taking
            .take(Grain::Aligned, &[], Breaks(Cursor::new(noise(1, 6 * MIB))))
            .map(drop)
    };
    tokio::task::spawn_blocking(take).await.unwrap().unwrap_err();
    assert!(!files_in(&directory).is_empty(), "some of it was taken");
    draft.abandon().await;
    assert!(files_in(&directory).is_empty(), "{:?}", files_in(&directory));
}

/// Counts what is read of it.
struct Counted<'a> {
    left: usize,
    read: &'a AtomicU64,
    written: &'a AtomicU64,
    furthest: u64,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(self.left);
        self.left -= length;
        let before = self.read.fetch_add(length as u64, Ordering::SeqCst);
        buffer[..length].copy_from_slice(&noise(before, length));
        let ahead = before + length as u64 - self.written.load(Ordering::SeqCst);
        self.furthest = self.furthest.max(ahead);
        Ok(length)
    }
}

#[tokio::test]
async fn who_gives_waits_for_a_disk_that_is_slower() {
    let folder = tempfile::tempdir().unwrap();
    let (written, open): (Arc<AtomicU64>, Arc<AtomicBool>) = (Arc::default(), Arc::default());
    let (counted, gate) = (Arc::clone(&written), Arc::clone(&open));
    let disk = Disk::told_to(move |change| {
        if let Change::Bytes(path, _, bytes) = change
            && path.to_str().unwrap().contains("/packs/")
        {
            while !gate.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
            counted.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        }
    });
    let directory = Directory::with_disk(folder.path().to_owned(), disk);
    let files = LocalFileSystem::new_with_prefix(folder.path()).unwrap();
    let store = CheckpointStore::with_objects(Objects::new(Arc::new(files), Some(directory)));
    let draft = store.intake(UID).begin().await;
    let read = AtomicU64::new(0);
    let full = (threads() * PORTION_BYTES) as u64;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while read.load(Ordering::SeqCst) < full {
                std::thread::yield_now();
            }
            open.store(true, Ordering::SeqCst);
        });
        let mut source = Counted {
            left: (threads() + 4) * BUFFER_BYTES,
            read: &read,
            written: &written,
            furthest: 0,
        };
        draft.take(Grain::Aligned, &[], &mut source).unwrap();
        let most = (threads() * BUFFER_BYTES) as u64;
        assert!(source.furthest <= most, "{} bytes ahead", source.furthest);
    });
    draft.abandon().await;
}
