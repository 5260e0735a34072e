//! Payloads that are sealed while they are written.
#![expect(clippy::unwrap_used, reason = "a fixture that cannot be set up fails the test")]

mod fixture;
#[path = "fixture/noise.rs"]
mod noise;

use std::thread::{self, JoinHandle};

use tempfile::TempDir;
use torpor_runtime::{CheckpointStore, EngineVersion, Payload, PayloadError, PayloadWriter, StoreError, Unwanted};

use fixture::{UID, key, sim};
use noise::noise;

/// Two that an envelope keeps, the second of them only while it is written; one that is a little too large for it, and one
/// of several segments.
const SIZES: [usize; 4] = [300_000, 1_060_000, 4_250_000, 9_000_000];
const PORTION: usize = 10_000;

/// As an engine and an agent make one: something in front, and the rest written by a thread.
fn growing(content: Vec<u8>, end: impl FnOnce(PayloadWriter) + Send + 'static) -> (Payload, JoinHandle<()>) {
    let (mut writer, rest) = Payload::growing();
    let mut payload = Payload::from(b"head".as_slice());
    payload.append(rest);
    let writing = thread::spawn(move || {
        let written: Result<(), Unwanted> = content.chunks(PORTION).try_for_each(|bytes| writer.write(bytes));
        if written.is_ok() {
            end(writer);
        }
    });
    (payload, writing)
}

fn finished(content: Vec<u8>) -> Payload {
    growing(content, finish).0
}

/// Whoever reads may have given up.
fn finish(writer: PayloadWriter) {
    let _ = writer.finish();
}

fn stores() -> [(CheckpointStore, Option<TempDir>); 2] {
    let directory = tempfile::tempdir().unwrap();
    let store = CheckpointStore::open(&format!("file://{}", directory.path().display())).unwrap();
    [
        (store, Some(directory)),
        (CheckpointStore::open("memory://").unwrap(), None),
    ]
}

#[tokio::test]
async fn a_payload_that_is_sealed_while_it_is_written_is_read_as_it_was_written() {
    for (store, _directory) in stores() {
        for (generation, size) in (1..).zip(SIZES) {
            let content = noise(generation, size);
            let payload = finished(content.clone());
            let record = store.seal(&key(generation), &sim(), payload).await.unwrap();
            assert_eq!(record.size_bytes, size as u64 + 4);
            let read = store.load(&key(generation), &sim()).await.unwrap();
            assert!(read == [b"head", content.as_slice()].concat(), "{size} bytes");
        }
    }
}

#[tokio::test]
async fn an_envelope_keeps_a_mebibyte_or_four_that_are_still_written_and_a_pack_what_is_longer() {
    let directory = tempfile::tempdir().unwrap();
    let store = CheckpointStore::open(&format!("file://{}", directory.path().display())).unwrap();
    let (whole, growing) = (1 << 20, (4 << 20) - "head".len());
    let payloads = [
        (Payload::from(noise(1, whole)), 0),
        (Payload::from(noise(2, whole + 1)), 1),
        (finished(noise(3, growing)), 1),
        (finished(noise(4, growing + 1)), 2),
    ];
    for (generation, (payload, packs)) in (1..).zip(payloads) {
        store.seal(&key(generation), &sim(), payload).await.unwrap();
        let folder = std::fs::read_dir(directory.path().join(UID).join("packs"));
        assert_eq!(folder.map_or(0, Iterator::count), packs, "generation {generation}");
        store.verify(&key(generation)).await.unwrap();
    }
}

#[tokio::test]
async fn a_repeated_seal_of_a_payload_that_grows_gives_the_same_record() {
    for (store, _directory) in stores() {
        for (generation, size) in (1..).zip(SIZES) {
            let content = noise(generation, size);
            for _ in 0..2 {
                let payload = finished(content.clone());
                let record = store.seal(&key(generation), &sim(), payload).await.unwrap();
                assert_eq!(record, store.record(&key(generation)).await.unwrap());
            }
            let other = store.seal(&key(generation), &sim(), finished(noise(9, size))).await;
            assert!(matches!(other, Err(StoreError::AlreadySealed { .. })), "{other:?}");
        }
    }
}

#[tokio::test]
async fn what_is_in_front_of_the_chunks_may_need_more_room_than_was_left_for_it() {
    for (store, _directory) in stores() {
        let engine = EngineVersion {
            name: "long".repeat(5000),
            version: 1,
        };
        let content = noise(1, SIZES[0]);
        let record = store.seal(&key(1), &engine, finished(content.clone())).await.unwrap();
        assert_eq!(record.stored_bytes, store.stored_bytes(UID).await.unwrap());
        let read = store.load(&key(1), &engine).await.unwrap();
        assert!(read == [b"head", content.as_slice()].concat());
    }
}

#[tokio::test]
async fn flipped_bits_and_torn_lengths_of_what_was_written_before_its_end_was_seen_are_detected() {
    let directory = tempfile::tempdir().unwrap();
    let store = CheckpointStore::open(&format!("file://{}", directory.path().display())).unwrap();
    store.seal(&key(1), &sim(), finished(noise(1, SIZES[0]))).await.unwrap();
    let file = directory.path().join(UID).join(format!("{:020}.ckpt", 1));
    let sound = std::fs::read(&file).unwrap();
    // Bits of the whole file, and all around where the head, its spaces and the chunks meet.
    let bits = (0..sound.len() * 8).step_by(9973).chain((8190 * 8)..(8194 * 8));
    let flipped = bits.map(|bit| {
        let mut damaged = sound.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        damaged
    });
    let torn = (0..sound.len()).step_by(4999).map(|length| sound[..length].to_vec());
    for (nth, damaged) in flipped.chain(torn).enumerate() {
        std::fs::write(&file, damaged).unwrap();
        store.load(&key(1), &sim()).await.expect_err(&format!("damage {nth}"));
    }
    std::fs::write(&file, &sound).unwrap();
    store.load(&key(1), &sim()).await.unwrap();
}

#[tokio::test]
async fn what_a_second_payload_shares_with_the_first_is_not_stored_again() {
    for (store, _directory) in stores() {
        let mut content = noise(1, SIZES[3]);
        store.seal(&key(1), &sim(), finished(content.clone())).await.unwrap();
        let first = store.stored_bytes(UID).await.unwrap();
        content[5_000_000..5_050_000].fill(1);
        store.seal(&key(2), &sim(), finished(content)).await.unwrap();
        let added = store.stored_bytes(UID).await.unwrap() - first;
        assert!(added < first / 10, "{added} of {first} bytes");
    }
}

#[tokio::test]
async fn a_payload_that_is_not_written_to_its_end_is_no_checkpoint_and_leaves_nothing() {
    for (store, _directory) in stores() {
        for size in SIZES {
            for fails in [true, false] {
                let end = move |writer: PayloadWriter| {
                    if fails {
                        writer.fail("out of order");
                    }
                };
                let refused = store.seal(&key(1), &sim(), growing(noise(1, size), end).0).await;
                let Err(StoreError::Payload { source, .. }) = refused else {
                    panic!("{size} bytes: {refused:?}");
                };
                assert_eq!(matches!(*source, PayloadError::Writer(_)), fails, "{source:?}");
                assert_eq!(store.list(UID).await.unwrap(), Vec::<u64>::new());
                assert_eq!(store.stored_bytes(UID).await.unwrap(), 0, "{size} bytes");
            }
        }
        store.seal(&key(1), &sim(), finished(noise(1, SIZES[3]))).await.unwrap();
    }
}

#[tokio::test]
async fn a_store_that_fails_lets_the_writer_go() {
    let directory = tempfile::tempdir().unwrap();
    let store = CheckpointStore::open(&format!("file://{}", directory.path().display())).unwrap();
    std::fs::create_dir(directory.path().join(UID)).unwrap();
    std::fs::write(directory.path().join(UID).join("packs"), "in the way").unwrap();
    let (payload, writing) = growing(noise(1, SIZES[3]), finish);
    store.seal(&key(1), &sim(), payload).await.unwrap_err();
    writing.join().unwrap();
    assert_eq!(store.stored_bytes(UID).await.unwrap(), "in the way".len() as u64);
}

#[tokio::test]
async fn what_exceeds_the_quota_while_it_is_written_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let environment = [("TORPOR_STORE_QUOTA".to_owned(), "2000000".to_owned())].into();
    let url = format!("file://{}", directory.path().display());
    let store = CheckpointStore::open_in(&url, &environment).unwrap();
    let refused = store.seal(&key(1), &sim(), finished(noise(1, SIZES[3]))).await;
    assert!(matches!(refused, Err(StoreError::QuotaExceeded { .. })), "{refused:?}");
    assert_eq!(store.stored_bytes(UID).await.unwrap(), 0);
    store.seal(&key(1), &sim(), finished(noise(1, SIZES[1]))).await.unwrap();
}
