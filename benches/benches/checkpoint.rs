//! What a checkpoint costs, step by step: cutting and naming chunks, compressing them, sealing and loading; and of real processes,
//! pauses and resumes by the CRIU engine.
//!
//! The CRIU engine takes a whole container for its sandbox. Where Docker has the sandbox image, this program runs itself once
//! more in one; elsewhere it says what is skipped and why.

#[cfg(target_os = "linux")]
#[path = "checkpoint/criu.rs"]
mod criu;

use std::fs::{self, File};
use std::hint::black_box;
use std::io::Write;
use std::path::Path;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group};
use tokio::runtime::{Builder, Runtime};
use torpor_runtime::{CheckpointKey, CheckpointStore, EngineVersion, chunks};

const PAYLOAD_BYTES: usize = 64 << 20;

/// Bytes that do not compress, from a small generator of pseudo-random numbers (xorshift).
fn noise() -> Bytes {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.take(PAYLOAD_BYTES / 8).flatten().collect::<Vec<u8>>().into()
}

/// What a heap of small objects looks like: short records that differ in a few bytes.
fn heap() -> Bytes {
    let mut heap = Vec::with_capacity(PAYLOAD_BYTES + 64);
    let mut number = 0_u64;
    while heap.len() < PAYLOAD_BYTES {
        number += 1;
        heap.extend_from_slice(b"\x03key");
        heap.extend_from_slice(number.to_string().as_bytes());
        heap.extend_from_slice(&[0, 0, 2, 1]);
        heap.extend_from_slice(&(number * 2_654_435_761 % 1_000_003).to_le_bytes());
        heap.extend_from_slice(b"value \0\0\0\0\0\0\0\0");
    }
    heap.truncate(PAYLOAD_BYTES);
    heap.into()
}

fn key(generation: u64) -> CheckpointKey {
    CheckpointKey {
        sandbox_uid: "bench".to_owned(),
        generation,
    }
}

fn engine() -> EngineVersion {
    EngineVersion {
        name: "bench".to_owned(),
        version: 1,
    }
}

#[expect(clippy::expect_used, reason = "a benchmark without threads measures nothing")]
fn threads() -> Runtime {
    Builder::new_multi_thread().build().expect("a runtime")
}

#[expect(clippy::expect_used, reason = "a store in memory takes what it is given")]
fn stages(criterion: &mut Criterion) {
    let runtime = threads();
    for (name, payload) in [("incompressible", noise()), ("heap", heap())] {
        let mut group = criterion.benchmark_group(format!("checkpoint of {name}, 64 MiB"));
        group
            .throughput(Throughput::Bytes(PAYLOAD_BYTES as u64))
            .sample_size(10);
        group.bench_function("cut and name", |bencher| {
            bencher.iter(|| black_box(chunks::cut(&payload, None)));
        });
        group.bench_function("seal in memory", |bencher| {
            bencher.iter_batched(
                || CheckpointStore::open("memory://").expect("a store"),
                |store| {
                    runtime
                        .block_on(store.seal(&key(1), &engine(), payload.clone()))
                        .expect("sealed")
                },
                BatchSize::PerIteration,
            );
        });
        let store = CheckpointStore::open("memory://").expect("a store");
        runtime
            .block_on(store.seal(&key(1), &engine(), payload.clone()))
            .expect("sealed");
        group.bench_function("load from memory", |bencher| {
            bencher.iter(|| black_box(runtime.block_on(store.load(&key(1), &engine())).expect("loaded")));
        });
        group.finish();
    }
}

/// Seals on disk, each of a new sandbox, beside a plain write of as many bytes, the file and its folder synced.
#[expect(clippy::expect_used, reason = "a benchmark without a disk measures nothing")]
fn on_disk(criterion: &mut Criterion) {
    let runtime = threads();
    let directory = tempfile::tempdir().expect("a directory");
    let store = CheckpointStore::open(&format!("file://{}/store", directory.path().display())).expect("a store");
    let heap = heap();
    let mut sandboxes = 0_u64;
    for bytes in [1_000, 300_000, 3_000_000, 35_000_000] {
        let mut group = criterion.benchmark_group(format!("checkpoint of a heap of {bytes} bytes on disk"));
        group.throughput(Throughput::Bytes(bytes as u64)).sample_size(20);
        // As a dump is: memory of its own, which goes with the seal.
        let payload = || heap[..bytes].to_vec();
        group.bench_function("plain synced write", |bencher| {
            bencher.iter_batched(
                payload,
                |payload| synced_write(directory.path(), &payload),
                BatchSize::PerIteration,
            );
        });
        group.bench_function("seal", |bencher| {
            bencher.iter_batched(
                || {
                    let sandbox = |nth: u64| format!("bench-{nth}");
                    runtime
                        .block_on(store.remove_all(&sandbox(sandboxes)))
                        .expect("removed");
                    sandboxes += 1;
                    let sandbox_uid = sandbox(sandboxes);
                    (
                        CheckpointKey {
                            sandbox_uid,
                            generation: 1,
                        },
                        payload(),
                    )
                },
                |(key, payload)| runtime.block_on(store.seal(&key, &engine(), payload)).expect("sealed"),
                BatchSize::PerIteration,
            );
        });
        group.finish();
    }
}

#[expect(clippy::expect_used, reason = "a benchmark without a disk measures nothing")]
fn synced_write(folder: &Path, bytes: &[u8]) {
    let path = folder.join("plain");
    let mut file = File::create(&path).expect("a file");
    file.write_all(bytes).and_then(|()| file.sync_all()).expect("written");
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.expect("synced");
    fs::remove_file(path).expect("removed");
}

criterion_group!(checkpoint, stages, on_disk);

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    if let Some(ended) = criu::in_container() {
        return ended;
    }
    checkpoint();
    let ended = criu::in_a_new_container();
    Criterion::default().configure_from_args().final_summary();
    ended
}

#[cfg(not(target_os = "linux"))]
fn main() {
    checkpoint();
    println!("pauses and resumes of processes: skipped: they need Linux");
    Criterion::default().configure_from_args().final_summary();
}
