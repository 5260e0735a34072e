//! A disk of which single calls fail, in a program that goes on.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use object_store::local::LocalFileSystem;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::disk::{Change, Disk};
use super::{Directory, Objects};
use crate::chunks::Grain;
use crate::payload::Payload;
use crate::store::fixture::{self, engine, noise};
use crate::store::{CheckpointKey, CheckpointStore, Compacted, StoreError};

const UID: &str = "failing";
/// More than an envelope keeps.
const LARGE: usize = 1_050_000;
const SMALL: usize = 10_000;

fn key(generation: u64) -> CheckpointKey {
    fixture::key(UID, generation)
}

/// A store on a disk whose changes a guard may refuse.
fn store_in(folder: &Path, guard: impl Fn(Change<'_>) -> io::Result<()> + Send + Sync + 'static) -> CheckpointStore {
    let directory = Directory::with_disk(folder.to_owned(), Disk::guarded_by(guard));
    let files = LocalFileSystem::new_with_prefix(folder).unwrap();
    CheckpointStore::with_objects(Objects::new(Arc::new(files), Some(directory)))
}

/// The same, to which nothing happens.
fn sound(folder: &Path) -> CheckpointStore {
    CheckpointStore::open(&format!("file://{}", folder.display())).unwrap()
}

async fn compact(store: &CheckpointStore) -> Result<Compacted, StoreError> {
    store.compact(&key(1), &CancellationToken::new()).await
}

fn files_in(folder: &Path) -> usize {
    let folder = folder.join(UID).join("packs");
    folder.read_dir().map_or(0, Iterator::count)
}

fn refused_if(refused: bool) -> io::Result<()> {
    if refused {
        return Err(io::Error::other("refused"));
    }
    Ok(())
}

/// A checkpoint that a compaction fails on as `guard` says, which is told how often names were exchanged.
async fn failed_to_compact(
    bytes: usize,
    guard: impl Fn(Change<'_>, usize) -> bool + Send + Sync + 'static,
) -> (TempDir, StoreError) {
    let folder = tempfile::tempdir().unwrap();
    sound(folder.path())
        .seal(&key(1), &engine(), noise(1, bytes))
        .await
        .unwrap();
    let exchanges = AtomicUsize::new(0);
    let store = store_in(folder.path(), move |change| {
        let is_exchange = matches!(change, Change::Exchanged(..));
        let before = exchanges.fetch_add(usize::from(is_exchange), Ordering::SeqCst);
        refused_if(guard(change, before))
    });
    let failed = compact(&store).await.unwrap_err();
    (folder, failed)
}

#[tokio::test]
async fn a_compaction_that_cannot_read_what_it_replaces_or_has_replaced_has_changed_nothing() {
    let sizes = [(SMALL, 0), (LARGE, 1)];
    let cases = sizes.into_iter().flat_map(|size| [(size, 0), (size, 1)]);
    for ((bytes, packs), exchanged) in cases {
        let fails = move |change: Change<'_>, exchanges| exchanges == exchanged && matches!(change, Change::Read(_));
        let (folder, failed) = failed_to_compact(bytes, fails).await;
        assert!(matches!(failed, StoreError::Directory { .. }), "{failed:?}");
        let store = sound(folder.path());
        store.verify(&key(1)).await.unwrap();
        assert_eq!(store.uncompressed_bytes(&key(1)).await.unwrap(), bytes as u64);
        assert_eq!(files_in(folder.path()), packs, "of {bytes} bytes");
        assert!(compact(&store).await.unwrap().before > 0);
        store.verify(&key(1)).await.unwrap();
    }
}

#[tokio::test]
async fn a_compaction_that_fails_when_its_envelope_has_its_place_keeps_what_that_names() {
    type Fails = fn(Change<'_>, usize) -> bool;
    let cannot_sync: Fails = |change, exchanges| exchanges > 0 && matches!(change, Change::FolderSynced(_));
    let cannot_go_back: Fails =
        |change, exchanges| exchanges > 0 && matches!(change, Change::Read(_) | Change::Exchanged(..));
    for fails in [cannot_sync, cannot_go_back] {
        let (folder, failed) = failed_to_compact(LARGE, fails).await;
        assert!(matches!(failed, StoreError::Directory { .. }), "{failed:?}");
        let store = sound(folder.path());
        store.verify(&key(1)).await.unwrap();
        assert_eq!(store.uncompressed_bytes(&key(1)).await.unwrap(), 0);
        assert_eq!(files_in(folder.path()), 2, "and nothing was swept");
        let sandbox = folder.path().join(UID);
        let refusing = store_in(folder.path(), move |change| {
            refused_if(change == Change::FolderSynced(&sandbox))
        });
        refusing.remove_older_than(UID, 1).await.unwrap_err();
        assert_eq!(files_in(folder.path()), 2, "as long as the new name may be lost");
        store.remove_older_than(UID, 1).await.unwrap();
        assert_eq!(files_in(folder.path()), 1);
        store.verify(&key(1)).await.unwrap();
    }
}

#[tokio::test]
async fn a_checkpoint_whose_name_may_not_be_on_disk_is_not_sealed_until_it_is() {
    for bytes in [SMALL, LARGE] {
        let folder = tempfile::tempdir().unwrap();
        let sandbox = folder.path().join(UID);
        let is_linked = AtomicBool::new(false);
        let refusing = store_in(folder.path(), move |change| {
            is_linked.fetch_or(matches!(change, Change::Linked(..)), Ordering::SeqCst);
            refused_if(is_linked.load(Ordering::SeqCst) && change == Change::FolderSynced(&sandbox))
        });
        // The second call finds what the first one wrote.
        for _ in 0..2 {
            let failed = refusing.seal(&key(1), &engine(), noise(1, bytes)).await.unwrap_err();
            assert!(matches!(failed, StoreError::Directory { .. }), "{failed:?}");
            refusing.verify(&key(1)).await.unwrap();
        }
        let synced = Arc::new(AtomicBool::new(false));
        let (sandbox, told) = (folder.path().join(UID), Arc::clone(&synced));
        let telling = store_in(folder.path(), move |change| {
            told.fetch_or(change == Change::FolderSynced(&sandbox), Ordering::SeqCst);
            Ok(())
        });
        telling.seal(&key(1), &engine(), noise(1, bytes)).await.unwrap();
        assert!(synced.load(Ordering::SeqCst), "of {bytes} bytes");
        sound(folder.path()).verify(&key(1)).await.unwrap();
    }
}

/// A draft that has taken `bytes`.
async fn drafted(store: &CheckpointStore, bytes: Vec<u8>) -> Payload {
    let draft = store.intake(UID).begin().await;
    let take = move || draft.take(Grain::Aligned, &[], bytes.as_slice()).unwrap();
    tokio::task::spawn_blocking(take).await.unwrap()
}

fn is_in_attempts(path: &Path) -> bool {
    path.parent().is_some_and(|folder| folder.ends_with("attempts"))
}

#[tokio::test]
async fn a_pack_that_grows_while_its_note_is_written_is_nobodys_garbage() {
    let folder = tempfile::tempdir().unwrap();
    let other = sound(folder.path());
    other.seal(&key(1), &engine(), noise(1, SMALL)).await.unwrap();
    let ((tell, told), (release, released)) = (mpsc::channel(), mpsc::channel::<()>());
    let released = Mutex::new(released);
    let slow = store_in(folder.path(), move |change| {
        if matches!(change, Change::Renamed(_, to) if is_in_attempts(to)) {
            tell.send(()).unwrap();
            // Or who would say so has failed.
            let _ = released.lock().unwrap().recv();
        }
        Ok(())
    });
    let payload = drafted(&slow, noise(2, 2 * LARGE)).await;
    tokio::task::spawn_blocking(move || told.recv().unwrap()).await.unwrap();
    assert_eq!(files_in(folder.path()), 1, "it grows");
    other.remove_older_than(UID, 1).await.unwrap();
    release.send(()).unwrap();
    drop(release);
    slow.seal(&key(2), &engine(), payload).await.unwrap();
    other.verify(&key(2)).await.unwrap();
}

#[tokio::test]
async fn a_pack_does_not_grow_without_a_note() {
    let folder = tempfile::tempdir().unwrap();
    let refusing = store_in(folder.path(), |change| {
        refused_if(matches!(change, Change::File(path) if is_in_attempts(path)))
    });
    let payload = drafted(&refusing, noise(1, 2 * LARGE)).await;
    assert_eq!(files_in(folder.path()), 0);
    let failed = refusing.seal(&key(1), &engine(), payload).await.unwrap_err();
    assert!(matches!(failed, StoreError::Directory { .. }), "{failed:?}");
}

#[tokio::test]
async fn what_a_compaction_left_on_its_way_goes_with_the_next_one_and_never_comes() {
    for (bytes, packs) in [(SMALL, 0), (LARGE, 1)] {
        let folder = tempfile::tempdir().unwrap();
        let other = sound(folder.path());
        other.seal(&key(1), &engine(), noise(1, bytes)).await.unwrap();
        let ((tell, told), (release, released)) = (mpsc::channel(), mpsc::channel::<()>());
        let released = Mutex::new(released);
        let stands_still = store_in(folder.path(), move |change| {
            if matches!(change, Change::Exchanged(..)) {
                tell.send(()).unwrap();
                // Or who would say so has failed.
                let _ = released.lock().unwrap().recv();
            }
            Ok(())
        });
        let stands_still = tokio::spawn(async move { compact(&stands_still).await });
        tokio::task::spawn_blocking(move || told.recv().unwrap()).await.unwrap();
        assert_eq!(files_in(folder.path()), 2 * packs);
        assert!(compact(&other).await.unwrap().before > 0);
        let left = |folder: &Path| (files_in(folder), folder.join(UID).read_dir().unwrap().count());
        let expected = (packs, if packs > 0 { 4 } else { 2 });
        assert_eq!(left(folder.path()), expected, "of {bytes} bytes");
        assert_eq!(folder.path().join(UID).join("attempts").read_dir().unwrap().count(), 0);
        drop(release);
        let late = stands_still.await.unwrap();
        assert!(matches!(late, Err(StoreError::Removed { .. })), "{late:?}");
        other.verify(&key(1)).await.unwrap();
        assert_eq!(left(folder.path()), expected, "of {bytes} bytes");
    }
}
