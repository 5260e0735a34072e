//! What is wrong with one checkpoint is said of it alone, and what others do meanwhile is no damage.

use std::fs;
use std::io;

use tempfile::TempDir;
use torpor_runtime::{Compacted, EngineVersion};

use super::clear::{Cleared, clear, note, with_listed};
use super::*;

/// More than an envelope keeps.
const LARGE: usize = 2 << 20;

fn store() -> (CheckpointStore, TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let url = Url::from_directory_path(directory.path()).expect("a URL");
    (CheckpointStore::open(url.as_str()).expect("a store"), directory)
}

fn key(uid: &str, generation: u64) -> CheckpointKey {
    CheckpointKey {
        sandbox_uid: uid.to_owned(),
        generation,
    }
}

async fn seal(store: &CheckpointStore, uid: &str, generation: u64) {
    let engine = EngineVersion {
        name: "sim".to_owned(),
        version: 1,
    };
    // Of digits in no order: written as it is, and shorter when it is compressed.
    let text = (generation..).map(|line| line.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_string());
    let text = text.flat_map(String::into_bytes);
    let payload: Vec<u8> = text.take(LARGE).collect();
    let sealed = store.seal(&key(uid, generation), &engine, payload).await;
    sealed.expect("a checkpoint");
}

#[tokio::test]
async fn a_note_that_cannot_be_read_keeps_no_other_sandbox_from_being_cleared_up() {
    let (store, directory) = store();
    for uid in ["first", "second"] {
        seal(&store, uid, 1).await;
        seal(&store, uid, 2).await;
    }
    let attempts = directory.path().join("first/attempts");
    fs::create_dir_all(&attempts).expect("a folder");
    fs::write(attempts.join("5f1c9a52-0f3e-4a55-9c07-6f2f8f2b7f10"), "{").expect("a note");

    for dry_run in [true, false] {
        let mut all = Vec::new();
        clear(&store, None, 1, dry_run, &mut all).await.expect("it goes on");
        let [first, second] = all.try_into().expect("two sandboxes");
        let error = first.error.as_deref().expect("it is left");
        assert!(error.contains("the note on a seal under way"), "{error}");
        assert_eq!((second.error.as_ref(), second.generations), (None, vec![1]));
        assert!(second.uncompressed > 0);
        assert!(exit([&first.error].into_iter()) != Exit::Success);
    }
    assert_eq!(store.list("first").await.expect("listed"), [1, 2]);
    assert_eq!(store.list("second").await.expect("listed"), [2]);
    assert_eq!(store.uncompressed_bytes(&key("second", 2)).await.expect("looked at"), 0);
}

#[test]
fn what_cannot_be_compressed_for_lack_of_space_stays_and_ends_nothing() {
    let full = || io::Error::from(io::ErrorKind::StorageFull);
    let key = key("full", 1);
    let mut cleared = Cleared {
        compressed: Some(0),
        ..Cleared::default()
    };
    for error in [
        StoreError::Pack {
            key: key.clone(),
            source: full(),
        },
        StoreError::Compress {
            key: key.clone(),
            source: full(),
        },
        StoreError::Directory {
            attempt: "write",
            path: "full".into(),
            source: full(),
        },
    ] {
        note(&mut cleared, &key, Err(error)).expect("it goes on");
    }
    note(&mut cleared, &key, Ok(Compacted { before: 9, after: 4 })).expect("it goes on");
    assert_eq!(
        (cleared.uncompressed, cleared.compressed, cleared.error),
        (9, Some(4), None)
    );
}

#[tokio::test]
async fn a_checkpoint_that_is_removed_after_it_was_listed_is_no_damaged_one() {
    let (store, _directory) = store();
    seal(&store, "one", 1).await;
    seal(&store, "one", 2).await;
    let read = async |key: &CheckpointKey| {
        store.remove_older_than(&key.sandbox_uid, 2).await?;
        store.header(key).await
    };
    let rows = rows(&store, None, read).await.expect("they are listed");
    let told: Vec<_> = rows.iter().map(|row| (row.generation, row.error.is_some())).collect();
    assert_eq!(told, [(2, false)]);
    assert_eq!(exit(rows.iter().map(|row| &row.error)), Exit::Success);
}

#[tokio::test]
async fn a_checkpoint_that_is_gone_while_it_is_listed_is_damaged() {
    let (store, _directory) = store();
    seal(&store, "one", 1).await;
    let other = key("one", 2);
    let rows = rows(&store, None, async |_: &CheckpointKey| store.header(&other).await).await;
    let rows = rows.expect("it is listed");
    assert!(rows.iter().all(|row| row.error.is_some()), "{rows:?}");
    assert_eq!(rows.len(), 1);
}

#[tokio::test]
async fn what_somebody_else_clears_up_meanwhile_is_looked_for_again() {
    let (store, _directory) = store();
    for generation in 1..=3 {
        seal(&store, "one", generation).await;
    }
    let cleared = with_listed(&store, "one", async |generations: &[u64]| {
        store.remove_older_than("one", 3).await?;
        store.garbage("one", generations[0]).await.map(|_| generations.to_vec())
    });
    assert_eq!(cleared.await.expect("cleared up"), [3]);
}

#[tokio::test]
async fn a_checkpoint_whose_key_is_not_given_is_locked_and_not_damaged() {
    let (open, _directory) = store();
    let keys = |text: String| torpor_runtime::TenantKeys::parse(&text).expect("a key");
    let ours = open.clone().with_keys(keys(format!("ours:{}", "a".repeat(64))));
    seal(&ours, "one", 1).await;
    let wrong = open.clone().with_keys(keys(format!("ours:{}", "b".repeat(64))));
    for without in [open, wrong] {
        let rows = rows(&without, None, async |key: &CheckpointKey| without.verify(key).await).await;
        let rows = rows.expect("it is listed");
        let words: Vec<_> = rows.iter().map(Row::word).collect();
        assert_eq!(words, ["LOCKED"], "{rows:?}");
        assert_eq!(exit(rows.iter().map(|row| &row.error)), Exit::NotConformant);
    }
}
