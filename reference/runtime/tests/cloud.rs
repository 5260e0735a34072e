//! The store on a server that speaks the protocol of S3, over HTTP.
//!
//! Needs `moto_server` (see `fixtures/clients/install`); without it the tests are *ignored*, with the reason in
//! their names, and never pass.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a fixture that cannot be set up fails the test"
)]

mod fixture;
#[path = "fixture/noise.rs"]
mod noise;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use torpor_runtime::{CheckpointStore, StoreError};

use fixture::{UID, key, sim};
use noise::noise;

const LIMIT: Duration = Duration::from_mins(1);

/// A server in memory; ended when dropped.
struct Server {
    child: Child,
    endpoint: String,
}

impl Server {
    fn start(program: &Path) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &free.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self {
            child,
            endpoint: format!("http://127.0.0.1:{free}"),
        };
        let begun = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", free)).is_err() {
            assert!(begun.elapsed() < LIMIT, "the server does not come up");
            std::thread::yield_now();
        }
        server
    }

    fn environment(&self) -> BTreeMap<String, String> {
        [
            ("TORPOR_STORE_AWS_ENDPOINT", self.endpoint.as_str()),
            ("TORPOR_STORE_AWS_ALLOW_HTTP", "true"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "any"),
            ("AWS_SECRET_ACCESS_KEY", "any"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    /// A store in a bucket of its own.
    async fn store(&self, bucket: &str) -> CheckpointStore {
        let made = reqwest::Client::new()
            .put(format!("{}/{bucket}", self.endpoint))
            .send()
            .await
            .unwrap();
        assert!(made.status().is_success(), "{made:?}");
        CheckpointStore::open_in(&format!("s3://{bucket}/below/here"), &self.environment()).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn checkpoints_survive_and_leave_nothing(server: &Server) {
    let store = server.store("whole").await;
    let mut payload = noise(1, 6_000_000);
    let first = store.seal(&key(1), &sim(), payload.clone()).await.unwrap();
    payload.splice(3_000_000..3_000_000, *b"a few bytes more");
    let second = store.seal(&key(2), &sim(), payload.clone()).await.unwrap();
    assert!(second.stored_bytes * 10 < first.stored_bytes, "{second:?}");
    store.seal(&key(3), &sim(), b"small".as_slice()).await.unwrap();
    let again = CheckpointStore::open_in("s3://whole/below/here", &server.environment()).unwrap();
    assert_eq!(again.list(UID).await.unwrap(), [1, 2, 3]);
    assert!(again.load(&key(2), &sim()).await.unwrap() == payload);
    assert_eq!(again.load(&key(3), &sim()).await.unwrap(), b"small");
    again.remove_older_than(UID, 2).await.unwrap();
    assert!(again.load(&key(2), &sim()).await.unwrap() == payload);
    assert_eq!(again.sandboxes().await.unwrap(), [UID]);
    again.remove_all(UID).await.unwrap();
    assert_eq!(again.stored_bytes(UID).await.unwrap(), 0);
    assert_eq!(again.sandboxes().await.unwrap(), Vec::<String>::new());
}

/// Larger than a put would be: the pack comes in parts.
async fn a_large_checkpoint_survives_and_leaves_no_upload(server: &Server) {
    let store = server.store("parts").await;
    let payload = noise(1, 20_000_000);
    store.seal(&key(1), &sim(), payload.clone()).await.unwrap();
    assert!(store.load(&key(1), &sim()).await.unwrap() == payload);
    store.verify(&key(1)).await.unwrap();
    store.remove_all(UID).await.unwrap();
    assert_eq!(store.stored_bytes(UID).await.unwrap(), 0);
    let uploads = reqwest::get(format!("{}/parts?uploads", server.endpoint)).await;
    let uploads = uploads.unwrap().text().await.unwrap();
    assert!(uploads.contains("ListMultipartUploadsResult"), "{uploads}");
    assert!(!uploads.contains("<UploadId>"), "{uploads}");
}

/// The put is conditional: of two programs, one learns that it was second.
async fn a_sealed_generation_is_never_overwritten(server: &Server) {
    let store = server.store("once").await;
    store.seal(&key(1), &sim(), b"context".as_slice()).await.unwrap();
    let refused = store.seal(&key(1), &sim(), b"other".as_slice()).await;
    assert!(matches!(refused, Err(StoreError::AlreadySealed { .. })), "{refused:?}");
    let seals = (0..4_u64).map(|seed| {
        let store = CheckpointStore::open_in("s3://once/below/here", &server.environment()).unwrap();
        async move { store.seal(&key(2), &sim(), noise(seed, 5000)).await }
    });
    let done = futures::future::join_all(seals).await;
    assert_eq!(done.iter().filter(|done| done.is_ok()).count(), 1, "{done:?}");
    assert_eq!(store.load(&key(1), &sim()).await.unwrap(), b"context");
}

async fn a_bucket_that_is_not_there_is_named(server: &Server) {
    let store = CheckpointStore::open_in("s3://nowhere/x", &server.environment()).unwrap();
    let error = store.seal(&key(1), &sim(), b"context".as_slice()).await.unwrap_err();
    let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| (*error).source());
    let text = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
    assert_eq!(text.matches("NoSuchBucket").count(), 1, "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

fn main() -> ExitCode {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.clients/moto/bin/moto_server");
    let trials = vec![
        trial("checkpoints_survive_and_leave_nothing", &program, async |server| {
            checkpoints_survive_and_leave_nothing(server).await;
        }),
        trial(
            "a_large_checkpoint_survives_and_leaves_no_upload",
            &program,
            async |server| {
                a_large_checkpoint_survives_and_leaves_no_upload(server).await;
            },
        ),
        trial("a_sealed_generation_is_never_overwritten", &program, async |server| {
            a_sealed_generation_is_never_overwritten(server).await;
        }),
        trial("a_bucket_that_is_not_there_is_named", &program, async |server| {
            a_bucket_that_is_not_there_is_named(server).await;
        }),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn trial(name: &str, program: &Path, run: impl AsyncFnOnce(&Server) + Send + 'static) -> Trial {
    let program = program.to_owned();
    let installed = program.exists();
    let trial = Trial::test(name, move || {
        let server = Server::start(&program);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(run(&server));
        Ok::<(), Failed>(())
    });
    if installed {
        trial
    } else {
        trial
            .with_kind("skipped: moto_server is not installed, run fixtures/clients/install")
            .with_ignored_flag(true)
    }
}
