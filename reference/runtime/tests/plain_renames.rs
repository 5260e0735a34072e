//! A store on a file system that cannot exchange two names, as NFS cannot: the kernel refuses that on the threads of
//! this test, and nothing else.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a fixture that cannot be set up fails the test")]

mod fixture;
#[path = "fixture/noise.rs"]
mod noise;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};
use tokio_util::sync::CancellationToken;
use torpor_runtime::{CheckpointStore, Payload};

use fixture::{UID, key, sim};
use noise::noise;

/// One that an envelope keeps, and one that has a pack.
const SIZES: [usize; 2] = [300_000, 3_000_000];
/// Which argument of `renameat2` has its flags.
const FLAGS: u8 = 4;

/// Runs `work` where the kernel answers `errno` when it is to exchange two names.
fn without_exchange<T: Send + 'static>(errno: Errno, work: impl AsyncFnOnce() -> T + Send + 'static) -> T {
    let confined = move || {
        let asked = u64::from(RenameFlags::EXCHANGE.bits());
        let exchange = SeccompCondition::new(FLAGS, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(asked), asked);
        let rule = SeccompRule::new(vec![exchange.unwrap()]).unwrap();
        let filter = SeccompFilter::new(
            [(libc::SYS_renameat2, vec![rule])].into(),
            SeccompAction::Allow,
            SeccompAction::Errno(errno.raw_os_error().unsigned_abs()),
            std::env::consts::ARCH.try_into().unwrap(),
        );
        let program: BpfProgram = filter.unwrap().try_into().unwrap();
        seccompiler::apply_filter(&program).unwrap();
        // Threads that begin here are confined, too.
        tokio::runtime::Runtime::new().unwrap().block_on(work())
    };
    thread::spawn(confined).join().unwrap()
}

fn on_disk() -> (tempfile::TempDir, CheckpointStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = CheckpointStore::open(&format!("file://{}", directory.path().display())).unwrap();
    (directory, store)
}

/// All files of a store with what they hold, sorted.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.push((path.clone(), fs::read(path).unwrap()));
        }
    }
    files.sort_unstable();
    files
}

#[test]
fn names_are_not_exchanged_here_and_everything_else_is_as_ever() {
    without_exchange(Errno::INVAL, async || {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| folder.path().join(name));
        fs::write(&one, "1").unwrap();
        fs::write(&other, "2").unwrap();
        let rename = |flags| renameat_with(CWD, &one, CWD, &other, flags);
        assert_eq!(rename(RenameFlags::EXCHANGE), Err(Errno::INVAL));
        rename(RenameFlags::empty()).unwrap();
        assert_eq!(fs::read(&other).unwrap(), b"1");
    });
}

#[test]
fn checkpoints_are_sealed_read_and_removed_without_an_exchange_of_names() {
    without_exchange(Errno::INVAL, async || {
        let (_directory, store) = on_disk();
        for (generation, bytes) in (1..).zip(SIZES) {
            let payload = noise(generation, bytes);
            store.seal(&key(generation), &sim(), payload.clone()).await.unwrap();
            store
                .seal(&key(generation), &sim(), Payload::from(payload.clone()))
                .await
                .unwrap();
            assert!(store.load(&key(generation), &sim()).await.unwrap() == payload);
        }
        store.remove_older_than(UID, 2).await.unwrap();
        assert_eq!(store.list(UID).await.unwrap(), [2]);
        store.verify(&key(2)).await.unwrap();
        store.remove_all(UID).await.unwrap();
        assert_eq!(store.stored_bytes(UID).await.unwrap(), 0);
    });
}

#[test]
fn a_compaction_that_cannot_exchange_names_says_so_and_changes_nothing() {
    for errno in [Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP] {
        without_exchange(errno, async || {
            let (directory, store) = on_disk();
            for (generation, bytes) in (1..).zip(SIZES) {
                let payload = b"what can be compressed; ".repeat(bytes / 24);
                // Compressed at once it would leave nothing to do.
                let payload = [noise(generation, bytes / 2), payload[..bytes / 2].to_vec()].concat();
                store.seal(&key(generation), &sim(), payload.clone()).await.unwrap();
                let before = files(directory.path());
                assert!(store.uncompressed_bytes(&key(generation)).await.unwrap() > 0);
                let refused = store.compact(&key(generation), &CancellationToken::new()).await;
                let refused = std::error::Error::source(&refused.unwrap_err()).unwrap().to_string();
                assert!(refused.contains("cannot exchange two names"), "{refused}");
                assert!(files(directory.path()) == before, "{bytes} bytes: something changed");
                assert!(store.load(&key(generation), &sim()).await.unwrap() == payload);
            }
        });
    }
}
