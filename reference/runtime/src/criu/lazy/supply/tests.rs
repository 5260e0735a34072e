//! What whoever puts pages in is told of chunks that are fetched, and what is left of those who unpack.

use std::time::{Duration, Instant};

use super::*;
use crate::store::{CheckpointKey, CheckpointStore, EngineVersion};

const BYTES: usize = 2 << 20;
const LIMIT: Duration = Duration::from_secs(10);

/// An image in a store that is away, of which nothing can be read.
async fn lost_image() -> Image {
    let store = CheckpointStore::open("memory://").expect("a store");
    let key = CheckpointKey {
        sandbox_uid: "lost".to_owned(),
        generation: 1,
    };
    let engine = EngineVersion {
        name: "sim".to_owned(),
        version: 1,
    };
    // What is little once it is packed is in the envelope, which is read here.
    let mut bytes = vec![0; BYTES];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    store.seal(&key, &engine, bytes).await.expect("sealed");
    let reader = store.reader(&key, &engine).await.expect("opened");
    store.remove_all(&key.sandbox_uid).await.expect("removed");
    let image = Image::new(reader);
    assert!(!image.reader.is_at_hand());
    image
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_a_chunk_that_is_fetched_is_told_that_it_cannot_be_had() {
    let supply = Supply::begin(vec![lost_image().await], &[(0, 0..BYTES as u64)]).expect("a supply");
    let begun = Instant::now();
    while supply.stock().under_way > 0 || supply.stock().upcoming().is_some() {
        assert!(begun.elapsed() < LIMIT, "it is not fetched");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let asked = supply.at_once((0, 1), &mut Room::default());
    assert!(asked.is_err(), "{asked:?}");
    supply.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_unpack_end_when_there_cannot_be_as_many_as_are_needed() {
    let mut begun = Vec::new();
    let only_one = |unpacker: Unpacker| {
        if !begun.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        begun.push(thread::spawn(unpacker));
        Ok(())
    };
    let image = Image::new(vec![1; BYTES].into());
    // One is not enough, however many cores there are.
    let cores = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("cores");
    let runtime = Handle::current();
    let supply = cores.install(|| {
        let _entered = runtime.enter();
        Supply::begin_on(only_one, vec![image], &[(0, 0..BYTES as u64)])
    });
    assert!(supply.is_err(), "{supply:?}");
    let since = Instant::now();
    while !begun.iter().all(thread::JoinHandle::is_finished) {
        assert!(since.elapsed() < LIMIT, "it goes on");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
