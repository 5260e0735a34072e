use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::store::{Object, ObjectName};

fn change(revision: u64) -> Change {
    Change {
        revision,
        event: Event::Added,
        name: ObjectName::new("default", &format!("o{revision}")),
        object: Arc::new(Object::new(
            json!({ "metadata": { "name": format!("o{revision}") }, "text": "a\nb" }),
        )),
        previous: None,
    }
}

fn written(dir: &Path, revisions: std::ops::RangeInclusive<u64>) {
    let (mut journal, _, _) = Journal::open(dir).expect("opens");
    for revision in revisions {
        journal.append("configmaps", &change(revision));
    }
    assert_eq!(journal.failure(), None);
}

fn revisions(dir: &Path) -> Vec<u64> {
    let (_, records, _) = Journal::open(dir).expect("opens again");
    records.iter().map(|record| record.revision).collect()
}

#[test]
fn what_was_written_is_read_again_in_order() {
    let dir = tempfile::tempdir().expect("a directory");
    written(dir.path(), 2..=4);
    written(dir.path(), 5..=6);
    assert_eq!(revisions(dir.path()), [2, 3, 4, 5, 6]);
}

#[test]
fn records_that_a_snapshot_holds_are_passed_over() {
    let dir = tempfile::tempdir().expect("a directory");
    written(dir.path(), 2..=4);
    let (mut journal, records, _) = Journal::open(dir.path()).expect("opens");
    let before = fs::read(dir.path().join(JOURNAL)).expect("a journal");
    journal.fold(4, &records).expect("folds");
    drop(journal);
    // As if the process had ended between the new snapshot and the empty journal.
    fs::write(dir.path().join(JOURNAL), before).expect("written");
    assert_eq!(revisions(dir.path()), [2, 3, 4]);
}

#[test]
fn damage_before_the_last_write_is_refused_and_nothing_is_overwritten() {
    let dir = tempfile::tempdir().expect("a directory");
    written(dir.path(), 2..=4);
    let path = dir.path().join(JOURNAL);
    let mut text = fs::read(&path).expect("a journal");
    text[20] ^= 1;
    fs::write(&path, &text).expect("written");
    let refused = Journal::open(dir.path()).expect_err("refused");
    assert!(matches!(refused, JournalError::Damaged { offset: 0, .. }), "{refused}");
    assert_eq!(fs::read(&path).expect("still there"), text);
}

#[test]
fn a_torn_snapshot_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    written(dir.path(), 2..=4);
    let (mut journal, records, _) = Journal::open(dir.path()).expect("opens");
    journal.fold(4, &records).expect("folds");
    drop(journal);
    let path = dir.path().join(SNAPSHOT);
    let text = fs::read(&path).expect("a snapshot");
    for length in 1..text.len() - 1 {
        fs::write(&path, &text[..length]).expect("written");
        assert!(Journal::open(dir.path()).is_err(), "cut at {length}");
    }
}

#[test]
fn a_folder_in_use_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let _held = Journal::open(dir.path()).expect("opens");
    assert!(matches!(Journal::open(dir.path()), Err(JournalError::InUse { .. })));
}

proptest! {
    /// The model: a prefix of the writes, as long as whole lines of the file are left.
    #[test]
    fn a_journal_torn_anywhere_keeps_every_whole_write(cut in 0_usize..600) {
        let dir = tempfile::tempdir().expect("a directory");
        written(dir.path(), 2..=5);
        let path = dir.path().join(JOURNAL);
        let text = fs::read(&path).expect("a journal");
        let kept = &text[..cut.min(text.len())];
        fs::write(&path, kept).expect("written");
        let whole = kept.split(|byte| *byte == b'\n').count() as u64 - 1;
        prop_assert_eq!(revisions(dir.path()), (2..2 + whole).collect::<Vec<_>>());
        // What is written next stands on a line of its own.
        written(dir.path(), 9..=9);
        prop_assert_eq!(revisions(dir.path()).pop(), Some(9));
    }
}
