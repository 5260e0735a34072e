//! A machine that fails between any two changes of its disk: of what was not synced it keeps some and loses some.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use object_store::local::LocalFileSystem;
use tokio_util::sync::CancellationToken;

use super::disk::{Change, Disk};
use super::{Aside, Directory, Exchanged, Objects};
use crate::chunks::Grain;
use crate::payload::Payload;
use crate::store::fixture::{self, engine, noise};
use crate::store::{CheckpointKey, CheckpointStore};

const UID: &str = "failing";
/// More than an envelope keeps.
const LARGE: usize = 1_050_000;
/// The same, of what is written meanwhile.
const LONG: usize = 4_300_000;
const SMALL: usize = 10_000;
/// Kept by an envelope, and written before its end is seen.
const MIDDLE: usize = 300_000;

/// A change by the names that were used, below the store's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Logged {
    Folder(PathBuf),
    File(PathBuf),
    Bytes(PathBuf, u64, Vec<u8>),
    Linked(PathBuf, PathBuf),
    Renamed(PathBuf, PathBuf),
    Exchanged(PathBuf, PathBuf),
    Removed(PathBuf),
    FileSynced(PathBuf),
    FolderSynced(PathBuf),
    /// A seal of this generation has returned.
    Sealed(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Node {
    Folder,
    File(usize),
}

#[derive(Clone, Debug, Default)]
struct Content {
    now: Vec<u8>,
    synced: Vec<u8>,
}

/// What programs see, and what is sure to be there after a failure.
#[derive(Clone, Debug, Default)]
struct Machine {
    files: Vec<Content>,
    names: BTreeMap<PathBuf, Node>,
    synced: BTreeMap<PathBuf, Node>,
    sealed: BTreeSet<u64>,
}

/// What of the unsynced survives.
#[derive(Clone, Debug)]
enum Survives {
    Nothing,
    EveryName,
    EveryNameAndHalfOfEachFile,
    /// Of all names this one.
    One(PathBuf),
}

impl Machine {
    fn content(&mut self, path: &Path) -> &mut Content {
        let Some(Node::File(nth)) = self.names.get(path).copied() else {
            panic!("{} is no file", path.display());
        };
        &mut self.files[nth]
    }

    fn change(&mut self, change: &Logged) {
        match change {
            Logged::Folder(path) => drop(self.names.insert(path.clone(), Node::Folder)),
            Logged::File(path) => {
                self.files.push(Content::default());
                self.names.insert(path.clone(), Node::File(self.files.len() - 1));
            }
            Logged::Bytes(path, at, bytes) => {
                let (now, at) = (&mut self.content(path).now, usize::try_from(*at).unwrap());
                now.resize(now.len().max(at + bytes.len()), 0);
                now[at..at + bytes.len()].copy_from_slice(bytes);
            }
            Logged::Linked(from, to) => drop(self.names.insert(to.clone(), self.names[from])),
            Logged::Renamed(from, to) => {
                let node = self.names.remove(from).unwrap();
                self.names.insert(to.clone(), node);
            }
            Logged::Exchanged(one, other) => {
                let (one_node, other_node) = (self.names[one], self.names[other]);
                self.names.insert(one.clone(), other_node);
                self.names.insert(other.clone(), one_node);
            }
            Logged::Removed(path) => drop(self.names.remove(path)),
            Logged::FileSynced(path) => {
                let content = self.content(path);
                content.synced = content.now.clone();
            }
            Logged::FolderSynced(folder) => {
                self.synced.retain(|path, _| path.parent() != Some(folder));
                let inside = self.names.iter().filter(|(path, _)| path.parent() == Some(folder));
                self.synced.extend(inside.map(|(path, node)| (path.clone(), *node)));
            }
            Logged::Sealed(generation) => drop(self.sealed.insert(*generation)),
        }
    }

    fn failures(&self) -> Vec<Survives> {
        let unsynced = self
            .names
            .iter()
            .filter(|(path, node)| self.synced.get(*path) != Some(node));
        let one = unsynced.map(|(path, _)| Survives::One(path.clone()));
        let all = [
            Survives::Nothing,
            Survives::EveryName,
            Survives::EveryNameAndHalfOfEachFile,
        ];
        all.into_iter().chain(one).collect()
    }

    /// Makes what is left below `root`.
    fn lay_out(&self, survives: &Survives, root: &Path) {
        let mut names = self.synced.clone();
        match survives {
            Survives::Nothing => {}
            Survives::EveryName | Survives::EveryNameAndHalfOfEachFile => names = self.names.clone(),
            Survives::One(path) => drop(names.insert(path.clone(), self.names[path])),
        }
        for (path, node) in names {
            let place = root.join(&path);
            // The folder that it was in may be lost.
            if !place.parent().unwrap().is_dir() {
                continue;
            }
            match node {
                Node::Folder => fs::create_dir(place).unwrap(),
                Node::File(nth) => {
                    let Content { now, synced } = &self.files[nth];
                    let torn = now[..synced.len().max(now.len() / 2)].to_vec();
                    let half = matches!(survives, Survives::EveryNameAndHalfOfEachFile);
                    fs::write(place, if half { &torn } else { synced }).unwrap();
                }
            }
        }
    }
}

fn key(generation: u64) -> CheckpointKey {
    fixture::key(UID, generation)
}

/// Every change that the seals of so many bytes make, one after the other, and then the compactions of some.
async fn log_of(sizes: &[usize], compacted: &[u64]) -> Vec<Logged> {
    log_of_seals(sizes, compacted, Made::AtOnce).await
}

/// How the payloads of a test come to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Made {
    AtOnce,
    /// The second half is taken before the seal begins.
    HalfAhead,
    /// Written while it is sealed.
    Meanwhile,
}

impl Made {
    async fn payload(self, store: &CheckpointStore, generation: u64, bytes: usize) -> Payload {
        match self {
            Self::AtOnce => noise(generation, bytes).into(),
            Self::HalfAhead => {
                let (first, second) = (noise(generation, bytes / 2), noise(generation + 100, bytes - bytes / 2));
                let draft = store.intake(UID).begin().await;
                let mut payload = Payload::from(first);
                payload.append(draft.take(Grain::Aligned, &[], second.as_slice()).unwrap());
                payload
            }
            Self::Meanwhile => {
                let (mut writer, payload) = Payload::growing();
                std::thread::spawn(move || {
                    writer.write(&noise(generation, bytes)).unwrap();
                    writer.finish().unwrap();
                });
                payload
            }
        }
    }
}

/// The same, of payloads that are made so.
async fn log_of_seals(sizes: &[usize], compacted: &[u64], made: Made) -> Vec<Logged> {
    let folder = tempfile::tempdir().unwrap();
    let log: Arc<Mutex<Vec<Logged>>> = Arc::default();
    let (root, told) = (folder.path().to_owned(), Arc::clone(&log));
    let disk = Disk::told_to(move |change| {
        let below = |path: &Path| path.strip_prefix(&root).unwrap().to_owned();
        let logged = match change {
            Change::Folder(path) => Logged::Folder(below(path)),
            Change::File(path) => Logged::File(below(path)),
            Change::Bytes(path, at, bytes) => Logged::Bytes(below(path), at, bytes.to_vec()),
            Change::Linked(from, to) => Logged::Linked(below(from), below(to)),
            Change::Renamed(from, to) => Logged::Renamed(below(from), below(to)),
            Change::Exchanged(one, other) => Logged::Exchanged(below(one), below(other)),
            Change::Removed(path) => Logged::Removed(below(path)),
            Change::FileSynced(path) => Logged::FileSynced(below(path)),
            Change::FolderSynced(path) => Logged::FolderSynced(below(path)),
            Change::Read(_) => return,
        };
        told.lock().unwrap().push(logged);
    });
    let directory = Directory::with_disk(folder.path().to_owned(), disk);
    let files = LocalFileSystem::new_with_prefix(folder.path()).unwrap();
    let store = CheckpointStore::with_objects(Objects::new(Arc::new(files), Some(directory)));
    for (generation, bytes) in (1..).zip(sizes) {
        let sealing = made.payload(&store, generation, *bytes).await;
        store.seal(&key(generation), &engine(), sealing).await.unwrap();
        log.lock().unwrap().push(Logged::Sealed(generation));
    }
    for generation in compacted {
        let done = store.compact(&key(*generation), &CancellationToken::new()).await;
        assert!(done.unwrap().before > 0, "{generation} had nothing to compress");
    }
    log.lock().unwrap().clone()
}

/// What is wrong after a failure: a checkpoint that is listed and torn, or sealed and lost, or what cannot be cleared.
async fn wrong_after(machine: &Machine, survives: &Survives) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    machine.lay_out(survives, folder.path());
    let store = CheckpointStore::open(&format!("file://{}", folder.path().display())).unwrap();
    let listed = store.list(UID).await.unwrap();
    for generation in &listed {
        if let Err(error) = store.verify(&key(*generation)).await {
            return Some(format!("{generation} is listed: {error}"));
        }
    }
    if let Some(lost) = machine.sealed.iter().find(|generation| !listed.contains(generation)) {
        return Some(format!("{lost} was sealed and is lost"));
    }
    // Costs syncs of a real disk, so only where most is torn.
    if !matches!(survives, Survives::EveryNameAndHalfOfEachFile) {
        return None;
    }
    store.seal(&key(9), &engine(), noise(9, SMALL)).await.unwrap();
    store
        .remove_older_than(UID, 9)
        .await
        .err()
        .map(|error| error.to_string())
}

/// The first thing that is wrong after a failure behind any change of `log`.
async fn first_wrong(log: &[Logged]) -> Option<String> {
    let mut machine = Machine::default();
    for (nth, change) in log.iter().enumerate() {
        machine.change(change);
        for survives in machine.failures() {
            if let Some(wrong) = wrong_after(&machine, &survives).await {
                return Some(format!("after change {nth}, {survives:?} survives: {wrong}"));
            }
        }
    }
    None
}

#[tokio::test]
async fn wherever_the_machine_fails_what_was_sealed_is_whole_and_nothing_else_is_listed() {
    assert_eq!(first_wrong(&log_of(&[SMALL, LARGE, LARGE], &[1, 2]).await).await, None);
}

#[tokio::test]
async fn wherever_the_machine_fails_what_was_taken_ahead_is_sealed_whole_or_not_at_all() {
    let log = log_of_seals(&[LARGE, LARGE], &[1], Made::HalfAhead).await;
    assert_eq!(first_wrong(&log).await, None);
    // The pack is on disk before the envelope names it: with its syncs left out that is not so.
    let pack = |change: &Logged| matches!(change, Logged::FileSynced(path) if path.starts_with(format!("{UID}/packs")));
    let without: Vec<Logged> = log.into_iter().filter(|change| !pack(change)).collect();
    assert!(first_wrong(&without).await.is_some());
}

#[tokio::test]
async fn wherever_the_machine_fails_what_was_written_while_it_was_sealed_is_whole_or_not_there() {
    let log = log_of_seals(&[MIDDLE, LONG], &[1], Made::Meanwhile).await;
    assert_eq!(first_wrong(&log).await, None);
    // Chunks were written before what comes in front of them.
    let is_bytes = |change: &Logged| matches!(change, Logged::Bytes(..));
    let first = log.iter().find(|change| is_bytes(change)).unwrap();
    assert!(matches!(first, Logged::Bytes(_, at, _) if *at > 0), "{first:?}");
}

#[tokio::test]
async fn a_seal_waits_for_no_sync_that_it_could_do_without() {
    for (bytes, made) in [(SMALL, Made::AtOnce), (MIDDLE, Made::Meanwhile), (LARGE, Made::AtOnce)] {
        let log = log_of_seals(&[bytes], &[], made).await;
        let syncs: Vec<usize> = (0..log.len())
            .filter(|nth| matches!(log[*nth], Logged::FileSynced(_) | Logged::FolderSynced(_)))
            .collect();
        assert!(syncs.len() >= 3, "{bytes} bytes: {} syncs", syncs.len());
        for sync in syncs {
            let mut without = log.clone();
            let left_out = without.remove(sync);
            assert!(
                first_wrong(&without).await.is_some(),
                "{bytes} bytes: {left_out:?} is not needed"
            );
        }
    }
}

#[tokio::test]
async fn a_compaction_that_does_not_wait_for_the_disk_is_noticed() {
    let log = log_of(&[LARGE], &[1]).await;
    let exchanged = log.iter().position(|change| matches!(change, Logged::Exchanged(..)));
    let synced = exchanged.unwrap() + 1;
    assert!(matches!(log[synced], Logged::FolderSynced(_)), "{:?}", log[synced]);
    let mut without = log;
    without.remove(synced);
    assert!(first_wrong(&without).await.is_some());
}

#[test]
fn a_file_takes_the_place_of_the_expected_one_alone() {
    let folder = tempfile::tempdir().unwrap();
    let directory = Directory::create(folder.path().to_owned()).unwrap();
    let place = folder.path().join("envelope");
    let exchange = || {
        let aside = Aside::create(&directory, &place, uuid::Uuid::new_v4()).unwrap();
        aside.write_at(b"new", 0).unwrap();
        aside.exchange(b"old").unwrap()
    };
    assert_eq!(exchange(), Exchanged::Not, "there is none");
    assert!(!place.exists());
    fs::write(&place, "removed").unwrap();
    assert_eq!(exchange(), Exchanged::Not, "it is another");
    assert_eq!(fs::read(&place).unwrap(), b"removed");
    fs::write(&place, "old").unwrap();
    assert_eq!(exchange(), Exchanged::Yes);
    assert_eq!(fs::read(&place).unwrap(), b"new");
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "nothing is left beside it"
    );
}
