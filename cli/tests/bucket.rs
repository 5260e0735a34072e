//! `torpor up --store s3://…` on a server that speaks the protocol of S3, over HTTP.
//!
//! Needs `moto_server` (see `fixtures/clients/install`); without it the tests are *ignored*, with the reason in
//! their names, and never pass.

#![expect(clippy::expect_used, reason = "a test ends where something it needs is missing")]

#[path = "support/e2b.rs"]
mod e2b;
#[path = "support/mod.rs"]
#[expect(dead_code, reason = "shared with tests that use more of it")]
mod support;

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Output, Stdio};

use e2b::E2b;
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::{Value, json};
use support::{Up, root, wait_until};

const STORE: &str = "s3://checkpoints/below/here";

/// A server in memory, with one bucket; ended when dropped.
struct Server {
    child: Child,
    endpoint: String,
}

impl Server {
    async fn start(program: &Path) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr();
        let port = free.expect("an address").port();
        let child = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        let server = Self {
            child,
            endpoint: format!("http://127.0.0.1:{port}"),
        };
        wait_until("the server is up", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        let bucket = reqwest::Client::new().put(format!("{}/checkpoints", server.endpoint));
        assert!(bucket.send().await.expect("an answer").status().is_success());
        server
    }

    /// What the environment of a program says of the server.
    fn variables(&self) -> [(&'static str, String); 4] {
        [
            ("AWS_ENDPOINT_URL", self.endpoint.clone()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "any".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "not-for-sandboxes".to_owned()),
        ]
    }

    fn up(&self, data_dir: &Path, store: &str, options: &[&str]) -> Command {
        let mut command = Up::command(data_dir);
        command.args(["--store", store]).args(options).envs(self.variables());
        command
    }

    /// `torpor checkpoint` on the bucket.
    fn checkpoint(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_torpor"))
            .args(["checkpoint", "--store", STORE])
            .args(args)
            .envs(self.variables())
            .output()
            .expect("torpor runs")
    }

    /// What the bucket holds.
    async fn objects(&self) -> usize {
        let listed = reqwest::get(format!("{}/checkpoints?list-type=2", self.endpoint)).await;
        let listed = listed.expect("an answer").text().await.expect("a body");
        listed.matches("<Key>").count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ended already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn id(sandbox: &Value) -> &str {
    sandbox["sandboxID"].as_str().expect("an id")
}

async fn delete(up: &Up, sandbox: &str) {
    let env = up.env("env");
    let request = reqwest::Client::new().delete(format!("{}/sandboxes/{sandbox}", env["E2B_API_URL"]));
    let answer = request.header("X-API-KEY", &env["E2B_API_KEY"]).send().await;
    assert_eq!(answer.expect("an answer").status(), 204);
}

/// Pause, kill, start anew on the same store, resume, delete.
async fn a_paused_sandbox_outlives_its_control_plane(server: &Server, options: &[&str]) {
    let dir = tempfile::tempdir().expect("a directory");
    let up = Up::start(server.up(dir.path(), STORE, options), dir.path());
    let e2b = E2b::of(&up);
    let (small, large) = (e2b.create().await, e2b.create().await);
    e2b.run_code(&small, "x = 'kept'").await;
    // More than fits into an envelope.
    e2b.run_code(&large, "heap = {}\nfor i in range(100_000):\n    heap[i] = str(i)")
        .await;
    let seen = e2b.run_code(&small, "import os\nprint(dict(os.environ))").await;
    assert!(!seen.contains("not-for-sandboxes"), "{seen}");
    for sandbox in [&small, &large] {
        let (status, body) = e2b.post(&format!("/sandboxes/{}/pause", id(sandbox)), json!({})).await;
        assert_eq!(status, 204, "{body}");
    }
    assert!(server.objects().await >= 3, "two envelopes and a pack");
    assert!(
        !dir.path().join("checkpoints").exists(),
        "nothing is in the data directory"
    );
    up.kill();

    let listed = server.checkpoint(&["ls"]);
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.status.success() && text.matches("monty").count() == 2, "{text}");
    assert!(server.checkpoint(&["verify"]).status.success());

    let up = Up::start(server.up(dir.path(), STORE, options), dir.path());
    let e2b = E2b::of(&up);
    for (sandbox, code, expected) in [
        (&small, "print(x)", "kept"),
        (&large, "print(len(heap), heap[77_777])", "100000 77777"),
    ] {
        let (status, resumed) = e2b
            .post(&format!("/v2/sandboxes/{}/connect", id(sandbox)), json!({}))
            .await;
        assert_eq!(status, 201, "{resumed}");
        let answer = e2b.run_code(&resumed, code).await;
        assert!(answer.contains(expected), "{answer}");
        delete(&up, id(sandbox)).await;
    }
    let mut left = server.objects().await;
    while left > 0 {
        tokio::task::yield_now().await;
        left = server.objects().await;
    }
    assert!(up.interrupt().success());
}

/// Said before anything serves, with the store and the reason.
fn a_bucket_that_is_not_there_is_named(server: &Server) {
    let dir = tempfile::tempdir().expect("a directory");
    let output = server
        .up(dir.path(), "s3://nowhere/x", &[])
        .output()
        .expect("torpor runs");
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(
        message.contains("s3://nowhere/x") && message.contains("NoSuchBucket"),
        "{message}"
    );
}

fn main() -> ExitCode {
    let program = root().join(".clients/moto/bin/moto_server");
    let trials = vec![
        trial(
            "a_paused_sandbox_outlives_its_control_plane",
            &program,
            async |server| {
                a_paused_sandbox_outlives_its_control_plane(server, &[]).await;
            },
        ),
        trial(
            "a_paused_sandbox_of_a_process_of_its_own_outlives_its_control_plane",
            &program,
            async |server| a_paused_sandbox_outlives_its_control_plane(server, &["--isolate"]).await,
        ),
        trial("a_bucket_that_is_not_there_is_named", &program, async |server| {
            a_bucket_that_is_not_there_is_named(server);
        }),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn trial(name: &str, program: &Path, run: impl AsyncFnOnce(&Server) + Send + 'static) -> Trial {
    let missing = if program.exists() {
        None
    } else {
        Some("skipped: moto_server is not installed, run fixtures/clients/install")
    };
    let program = program.to_owned();
    let trial = Trial::test(name, move || {
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.block_on(async { run(&Server::start(&program).await).await });
        Ok::<(), Failed>(())
    });
    match missing {
        Some(reason) => trial.with_kind(reason).with_ignored_flag(true),
        None => trial,
    }
}
