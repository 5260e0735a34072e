//! What a draft takes before there is a payload is what the seal does not write, and goes with the draft.

use std::fs;
use std::io;

use super::tests::{MIB, UID, drafted, files_in, key, on_disk, payload_of};
use super::*;
use crate::encryption::TenantKeys;
use crate::store::fixture::{engine, noise};

/// How many bytes have been written to the pack that grows.
fn pack_bytes(directory: &tempfile::TempDir) -> u64 {
    let packs = files_in(directory).into_iter();
    let packs = packs.filter(|path| path.components().any(|part| part.as_os_str() == "packs"));
    packs.map(|pack| fs::metadata(pack).unwrap().len()).sum()
}

#[tokio::test]
async fn what_the_payload_has_of_it_is_not_written_again_and_what_changed_since_is() {
    let (store, directory) = on_disk();
    let before = noise(1, 8 * MIB);
    let draft = drafted(&store, vec![before.clone()]).await;
    assert_eq!(
        pack_bytes(&directory),
        8 * MIB as u64,
        "on disk before there is a payload"
    );
    let mut after = before;
    after[3 * MIB..3 * MIB + 100].fill(7);
    // The fourth is cut as memory is.
    let parts = [vec![1], vec![2], vec![3], after];
    let payload = payload_of(&draft, &parts).await;
    let record = store.seal(&key(1), &engine(), payload).await.unwrap();
    assert!(store.load(&key(1), &engine()).await.unwrap() == parts.concat());
    let added = record.stored_bytes - 8 * MIB as u64;
    assert!(added < MIB as u64, "{added} bytes for a change of 100");
    assert_eq!(files_in(&directory).len(), 1, "one pack, and no note");
}

#[tokio::test]
async fn a_draft_without_a_payload_leaves_nothing() {
    let (store, directory) = on_disk();
    let draft = drafted(&store, vec![noise(1, 2 * MIB), noise(2, MIB)]).await;
    assert!(files_in(&directory).len() >= 2, "a note and a pack");
    draft.abandon().await;
    assert!(files_in(&directory).is_empty());
}

#[tokio::test]
async fn the_next_removal_finds_what_a_draft_left_whose_program_died() {
    let (store, directory) = on_disk();
    // Nothing of it is dropped in order.
    std::mem::forget(drafted(&store, vec![noise(1, 2 * MIB)]).await);
    assert!(files_in(&directory).len() >= 2, "a note and a pack");
    for generation in [1, 2] {
        let payload = noise(generation, MIB);
        store.seal(&key(generation), &engine(), payload).await.unwrap();
    }
    store.remove_older_than(UID, 2).await.unwrap();
    assert!(files_in(&directory).is_empty(), "both are whole in their envelopes");
}

#[tokio::test]
async fn nothing_is_taken_of_a_store_with_a_quota_or_in_memory() {
    let (on_disk, directory) = on_disk();
    for store in [
        CheckpointStore {
            quota: Some(64 * MIB as u64),
            ..on_disk
        },
        CheckpointStore::open("memory://").unwrap(),
    ] {
        assert!(!store.intake(UID).stores_ahead());
        let draft = store.intake(UID).begin().await;
        let taken = draft.take_likely(Grain::Aligned, io::repeat(1).take(1 << 20));
        assert_eq!(taken.unwrap(), 0);
        draft.abandon().await;
    }
    assert!(files_in(&directory).is_empty());
}

#[tokio::test]
async fn a_draft_that_is_spent_and_one_whose_disk_fails_say_so() {
    let (store, directory) = on_disk();
    fs::create_dir_all(directory.path().join(UID)).unwrap();
    let in_the_way = directory.path().join(UID).join("packs");
    fs::write(&in_the_way, "a file").unwrap();
    let draft = store.intake(UID).begin().await;
    let refused = tokio::task::spawn_blocking({
        let draft = Arc::clone(&draft);
        move || draft.take_likely(Grain::Aligned, &noise(1, MIB)[..])
    });
    assert!(refused.await.unwrap().is_err());
    fs::remove_file(in_the_way).unwrap();
    draft.abandon().await;
    draft.take_likely(Grain::Aligned, &[1][..]).unwrap_err();
}

#[tokio::test]
async fn a_draft_that_could_not_begin_takes_nothing_ahead_and_says_so() {
    let (store, directory) = on_disk();
    directory.close().unwrap();
    let draft = store.intake(UID).begin().await;
    draft.take_likely(Grain::Aligned, &[1][..]).unwrap_err();
    let refused = store.intake(UID).begin_ahead().await;
    assert!(matches!(refused, Err(StoreError::DirectoryGone { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_draft_ahead_is_noted_when_it_has_begun_or_begins_not_at_all() {
    let (store, directory) = on_disk();
    let draft = store.intake(UID).begin_ahead().await.unwrap();
    let note = files_in(&directory).pop().unwrap();
    assert!(note.parent().unwrap().ends_with("attempts"), "{}", note.display());
    draft.take_likely(Grain::Aligned, &noise(1, MIB)[..]).unwrap();
    draft.abandon().await;
    assert!(files_in(&directory).is_empty());
    let attempts = directory.path().join(UID).join("attempts");
    fs::remove_dir(&attempts).unwrap();
    fs::write(&attempts, "a file").unwrap();
    let refused = store.intake(UID).begin_ahead().await;
    assert!(matches!(refused, Err(StoreError::Directory { .. })), "{refused:?}");
    assert_eq!(files_in(&directory), [attempts], "nothing but what is in the way");
}

#[tokio::test]
async fn what_was_damaged_since_the_draft_began_is_not_relied_on_when_one_looks_again() {
    let (store, directory) = on_disk();
    let first = noise(1, 4 * MIB);
    store.seal(&key(1), &engine(), first.clone()).await.unwrap();
    let pack = files_in(&directory).pop().unwrap();
    let draft = drafted(&store, vec![first.clone()]).await;
    // Or it would find the damage by itself.
    while !matches!(&*draft.state(), State::Begun(begun) if begun.inspection.has_ended()) {
        tokio::task::yield_now().await;
    }
    fs::write(
        &pack,
        vec![0; usize::try_from(fs::metadata(&pack).unwrap().len()).unwrap()],
    )
    .unwrap();
    draft.look_again();
    let payload = payload_of(&draft, &[vec![1], first]).await;
    let refused = store.seal(&key(2), &engine(), payload).await.unwrap_err();
    assert!(matches!(refused, StoreError::Spent { .. }), "{refused:?}");
}

#[tokio::test]
async fn a_draft_over_a_checkpoint_that_cannot_be_relied_on_is_of_the_generation_behind_it() {
    let (store, directory) = on_disk();
    let keys = TenantKeys::parse(&format!("ours:{}", "a".repeat(64))).unwrap();
    let with_key = store.clone().with_keys(keys);
    with_key.seal(&key(4), &engine(), noise(1, MIB)).await.unwrap();
    let draft = store.intake(UID).begin_ahead().await.unwrap();
    let note = files_in(&directory).pop().unwrap();
    let note: serde_json::Value = serde_json::from_slice(&fs::read(note).unwrap()).unwrap();
    assert_eq!(note["generation"], 5);
    draft.take_likely(Grain::Aligned, &noise(2, MIB)[..]).unwrap();
    // Nor is it taken for one that never ended.
    with_key.remove_older_than(UID, 4).await.unwrap();
    let payload = payload_of(&draft, &[vec![1], noise(2, MIB)]).await;
    store.seal(&key(5), &engine(), payload).await.unwrap();
}

#[tokio::test]
async fn what_a_crash_left_of_notes_and_marks_goes_with_its_pack_and_what_is_newer_stays() {
    let (store, directory) = on_disk();
    store.seal(&key(1), &engine(), noise(1, MIB)).await.unwrap();
    let leave = |id: u8| {
        let id = Uuid::from_u128(id.into());
        ["attempts", "packs", "removals"].map(|folder| {
            let folder = directory.path().join(UID).join(folder);
            fs::create_dir_all(&folder).unwrap();
            let path = folder.join(format!("{id}#7"));
            fs::write(&path, "").unwrap();
            path
        })
    };
    let left = leave(1);
    let envelope = directory.path().join(UID).join(format!("{:020}.ckpt", 1));
    let sealed = fs::metadata(envelope).unwrap().modified().unwrap();
    for path in &left {
        let before = sealed - std::time::Duration::from_secs(1);
        fs::File::open(path).unwrap().set_modified(before).unwrap();
    }
    let newer = leave(2);
    for path in &newer {
        fs::File::open(path).unwrap().set_modified(sealed).unwrap();
    }
    store.remove_older_than(UID, 1).await.unwrap();
    let mut files = files_in(&directory);
    files.sort_unstable();
    assert_eq!(files, newer);
}
