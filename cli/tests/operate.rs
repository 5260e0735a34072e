//! `torpor controller`, `torpor gateway` and `torpor agent` as processes of their own.

#![expect(clippy::expect_used, reason = "a test ends where something it needs is missing")]

#[path = "support/mod.rs"]
#[expect(dead_code, reason = "shared with tests that use more of it")]
mod support;

#[path = "support/collector.rs"]
mod collector;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use collector::{Collector, attribute};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use support::Up;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use torpor_api::{Phase, Sandbox};

/// A command that runs until it is stopped; killed when dropped.
struct Part {
    child: Child,
    /// What it said where: name and URL.
    announced: Vec<(String, String)>,
}

impl Part {
    /// Starts it and reads as many announcements as it makes.
    fn start(command: &mut Command, announcements: usize) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("torpor starts");
        let lines = BufReader::new(child.stdout.take().expect("an output")).lines();
        let announced = lines
            .take(announcements)
            .map(|line| {
                let line = line.expect("a line");
                let (name, url) = line.split_once("http://").expect("a URL");
                (name.trim().to_owned(), format!("http://{url}"))
            })
            .collect();
        Self { child, announced }
    }

    fn url(&self, name: &str) -> &str {
        let found = self.announced.iter().find(|(announced, _)| announced == name);
        &found.expect("it is announced").1
    }

    /// Asks it to end as the kubelet does; its exit code.
    fn terminate(mut self) -> Option<i32> {
        self.ask_to_end();
        self.child.wait().expect("the process ends").code()
    }

    fn ask_to_end(&self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs");
        assert!(sent.success(), "the process takes a signal");
    }

    /// Its exit code, once it has ended by itself.
    fn ended(&mut self) -> Option<i32> {
        let mut status = None;
        support::wait_until("the process ends", || {
            status = self.child.try_wait().expect("the process can be asked");
            status.is_some()
        });
        status.and_then(|status| status.code())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // Ended already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn torpor() -> Command {
    Command::new(env!("CARGO_BIN_EXE_torpor"))
}

/// `torpor up` with everything but the controller.
fn cluster(dir: &Path) -> Up {
    let mut command = Up::command(dir);
    command.arg("--without-controller");
    Up::start(command, dir)
}

fn controller(up: &Up, dir: &Path) -> Command {
    let mut command = torpor();
    let store = format!(
        "file://{}",
        dir.canonicalize().expect("a path").join("checkpoints").display()
    );
    command
        .args([
            "controller",
            "--metrics-address",
            "127.0.0.1:0",
            "--health-address",
            "127.0.0.1:0",
        ])
        .args(["--namespace", "default", "--store", &store, "--kubeconfig"])
        .arg(up.kubeconfig());
    command
}

async fn client(up: &Up) -> Client {
    let kubeconfig = Kubeconfig::read_from(up.kubeconfig()).expect("a kubeconfig");
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    Client::try_from(config.expect("a configuration")).expect("a client")
}

fn sandbox(name: &str) -> Sandbox {
    let spec = json!({"template": {"spec": {"containers": [{"name": "sandbox", "image": "torpor/code-interpreter"}]}}});
    Sandbox::new(name, serde_json::from_value(spec).expect("a spec"))
}

async fn until_phase(sandboxes: &Api<Sandbox>, name: &str, phase: Phase) {
    let reached = kube::runtime::wait::await_condition(sandboxes.clone(), name, move |seen: Option<&Sandbox>| {
        seen.and_then(|sandbox| sandbox.status.as_ref()?.phase) == Some(phase)
    });
    tokio::time::timeout(support::LIMIT, reached)
        .await
        .expect("in time")
        .expect("a watch");
}

/// Creates a sandbox, which serves soon.
async fn create(sandboxes: &Api<Sandbox>) -> Sandbox {
    let created = sandboxes.create(&PostParams::default(), &sandbox("one")).await;
    until_phase(sandboxes, "one", Phase::Running).await;
    created.expect("created")
}

/// Pauses or resumes it.
async fn turn(sandboxes: &Api<Sandbox>, paused: bool) {
    let patch = Patch::Merge(json!({"spec": {"paused": paused}}));
    let patched = sandboxes.patch("one", &PatchParams::default(), &patch).await;
    patched.expect("patched");
    until_phase(sandboxes, "one", if paused { Phase::Paused } else { Phase::Running }).await;
}

async fn answer(url: &str) -> (u16, String) {
    let answer = reqwest::get(url).await.expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("a body"))
}

async fn until_ready(url: &str) {
    let ready = async { while answer(url).await.0 != 200 {} };
    tokio::time::timeout(support::LIMIT, ready)
        .await
        .expect("ready in time");
}

#[tokio::test]
async fn a_controller_of_its_own_process_takes_a_sandbox_through_its_life() {
    let dir = tempfile::tempdir().expect("a directory");
    let up = cluster(dir.path());
    let part = Part::start(&mut controller(&up, dir.path()), 2);
    until_ready(part.url("Probes")).await;
    let client = client(&up).await;
    let (sandboxes, pods) = (
        Api::<Sandbox>::default_namespaced(client.clone()),
        Api::<Pod>::default_namespaced(client),
    );
    create(&sandboxes).await;
    for paused in [true, false] {
        turn(&sandboxes, paused).await;
        assert_eq!(pods.get_opt("one").await.expect("an answer").is_none(), paused);
    }
    let (code, page) = answer(part.url("Metrics")).await;
    assert!(
        code == 200 && page.contains("torpor_sandbox_pause_duration_seconds_count{result=\"success\"} 1"),
        "{page}"
    );
    sandboxes
        .delete("one", &DeleteParams::default())
        .await
        .expect("deleted");
    let gone = kube::runtime::wait::await_condition(sandboxes, "one", |seen: Option<&Sandbox>| seen.is_none());
    tokio::time::timeout(support::LIMIT, gone)
        .await
        .expect("in time")
        .expect("a watch");
    assert_eq!(part.terminate(), Some(0));
}

// The collector answers while the end of the controller is waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_gets_a_trace_of_every_pause_and_resume_with_a_span_for_each_step() {
    let dir = tempfile::tempdir().expect("a directory");
    let up = cluster(dir.path());
    let collector = Collector::start().await;
    let mut command = controller(&up, dir.path());
    let part = Part::start(command.args(["--otlp-endpoint", &collector.url]), 2);
    until_ready(part.url("Probes")).await;
    let sandboxes = Api::<Sandbox>::default_namespaced(client(&up).await);
    let uid = create(&sandboxes).await.metadata.uid.expect("a UID");
    turn(&sandboxes, true).await;
    turn(&sandboxes, false).await;
    // What is left is sent at the end.
    assert_eq!(part.terminate(), Some(0));

    let spans = collector.spans();
    let below = |parent: &[u8]| -> Vec<_> { spans.iter().filter(|span| span.parent_span_id == parent).collect() };
    for (root, expected) in [
        ("start", vec!["start_fresh"]),
        ("pause", vec!["freeze", "checkpoint", "create_checkpoint", "delete_pod"]),
        ("resume", vec!["start_from_checkpoint"]),
    ] {
        let mut roots = below(&[]).into_iter().filter(|span| span.name == root);
        let found = roots.next().expect("a trace of it");
        assert!(roots.next().is_none(), "two traces of one {root}");
        let steps: Vec<_> = spans.iter().filter(|span| span.trace_id == found.trace_id).collect();
        let names: Vec<_> = steps.iter().map(|span| span.name.as_str()).collect();
        assert!(expected.iter().all(|step| names.contains(step)), "{root}: {names:?}");
        for span in steps {
            let whose = ["k8s.namespace.name", "torpor.sandbox.name", "torpor.sandbox.uid"];
            assert_eq!(whose.map(|key| attribute(span, key)), ["default", "one", &uid]);
            assert!(span.start_time_unix_nano >= found.start_time_unix_nano, "{}", span.name);
            assert!(span.end_time_unix_nano <= found.end_time_unix_nano, "{}", span.name);
        }
        if root == "pause" {
            let parts: Vec<_> = below(&found.span_id).iter().map(|span| span.name.as_str()).collect();
            assert_eq!(parts, ["checkpoint", "release"], "in the order in which they ended");
        }
    }
}

#[tokio::test]
async fn a_controller_names_the_definition_that_the_cluster_lacks_and_ends() {
    let dir = tempfile::tempdir().expect("a directory");
    let up = cluster(dir.path());
    let definitions = Api::<CustomResourceDefinition>::all(client(&up).await);
    for (group, option) in [("agents.x-k8s.io", Some("--agent-sandbox")), ("agents.kruise.io", None)] {
        let name = format!("sandboxes.{group}");
        let deleted = definitions.delete(&name, &DeleteParams::default()).await;
        deleted.expect("deleted");
        let gone = kube::runtime::wait::await_condition(
            definitions.clone(),
            &name,
            |seen: Option<&CustomResourceDefinition>| seen.is_none(),
        );
        let gone = tokio::time::timeout(support::LIMIT, gone).await;
        gone.expect("in time").expect("a watch");
        let output = controller(&up, dir.path()).args(option).output().expect("torpor runs");
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{message}");
        let named = [group, "kubectl apply -k deploy/crds", option.unwrap_or_default()];
        assert!(named.iter().all(|part| message.contains(part)), "{message}");
    }
}

#[tokio::test]
async fn a_second_controller_stands_by_and_takes_over_when_the_first_is_killed() {
    let dir = tempfile::tempdir().expect("a directory");
    let up = cluster(dir.path());
    let candidate = || {
        let mut command = controller(&up, dir.path());
        command.args([
            "--leader-elect-lease-duration",
            "2s",
            "--leader-elect-renew-deadline",
            "1s",
        ]);
        command.args(["--leader-elect-retry-period", "200ms", "--log-format", "json"]);
        Part::start(&mut command, 2)
    };
    let client = client(&up).await;
    let leases = Api::<Lease>::default_namespaced(client.clone());
    let holder = || async {
        let lease = leases.get_opt("torpor-controller").await.expect("an answer");
        lease.and_then(|lease| lease.spec?.holder_identity).unwrap_or_default()
    };
    let first = candidate();
    let held = async { while holder().await.is_empty() {} };
    tokio::time::timeout(support::LIMIT, held).await.expect("it leads");
    let second = candidate();
    until_ready(second.url("Probes")).await;
    let leader = holder().await;
    drop(first);
    let sandboxes = Api::<Sandbox>::default_namespaced(client);
    sandboxes
        .create(&PostParams::default(), &sandbox("one"))
        .await
        .expect("created");
    until_phase(&sandboxes, "one", Phase::Running).await;
    assert_ne!(holder().await, leader);
    assert_eq!(second.terminate(), Some(0));
    assert_eq!(holder().await, "", "the lease is released");
}

/// Starts a gateway that takes the key `e2b_listed`, and waits until it is ready.
async fn gateway(up: &Up, dir: &Path, options: &[&str]) -> Part {
    let keys = dir.join("keys");
    std::fs::write(&keys, "e2b_listed\n").expect("written");
    let mut command = torpor();
    command.args(["gateway", "--address", "127.0.0.1:0", "--health-address", "127.0.0.1:0"]);
    command
        .arg("--kubeconfig")
        .arg(up.kubeconfig())
        .arg("--api-keys-file")
        .arg(&keys);
    command.arg("--token-key-file").arg(dir.join("token.key")).args(options);
    let part = Part::start(&mut command, 2);
    until_ready(part.url("Probes")).await;
    part
}

#[tokio::test]
async fn a_gateway_of_its_own_process_takes_only_the_listed_keys() {
    let dir = tempfile::tempdir().expect("a directory");
    let up = Up::start(Up::command(dir.path()), dir.path());
    let part = gateway(&up, dir.path(), &[]).await;
    let create = |key: &'static str| {
        let url = format!("{}v2/sandboxes", part.url("E2B API"));
        let request = reqwest::Client::new().post(url).header("X-API-KEY", key);
        request.json(&json!({"templateID": "code-interpreter"})).send()
    };
    assert_eq!(create("e2b_other").await.expect("an answer").status(), 401);
    let created = create("e2b_listed").await.expect("an answer");
    assert_eq!(created.status(), 201, "{:?}", created.text().await);
    assert_eq!(part.terminate(), Some(0));
}

/// Returns once nobody listens any more where `url` leads.
async fn until_closed(url: &str) {
    let address = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let closed = async { while TcpStream::connect(&address).await.is_ok() {} };
    tokio::time::timeout(support::LIMIT, closed).await.expect("in time");
}

// The connect goes on while the process is waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_to_end_answers_the_connect_that_waits_for_room_and_sets_its_timer() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut command = Up::command(dir.path());
    command.args(["--node-pods", "1"]);
    let up = Up::start(command, dir.path());
    let mut part = gateway(&up, dir.path(), &[]).await;
    let api = part.url("E2B API").to_owned();
    let post = |path: &str, body: Value| {
        let request = reqwest::Client::new().post(format!("{api}{path}"));
        request.header("X-API-KEY", "e2b_listed").json(&body).send()
    };
    let template = json!({"templateID": "code-interpreter", "autoPause": true});
    let created = post("v2/sandboxes", template).await.expect("an answer");
    let created: Value = created.json().await.expect("JSON");
    let id = created["sandboxID"].as_str().expect("an id").to_owned();
    let paused = post(&format!("sandboxes/{id}/pause"), json!({})).await;
    assert_eq!(paused.expect("an answer").status(), 204);
    let sandboxes = Api::<Sandbox>::default_namespaced(client(&up).await);
    create(&sandboxes).await;
    let connecting = tokio::spawn(post(&format!("v2/sandboxes/{id}/connect"), json!({"timeout": 300})));
    until_phase(&sandboxes, &id, Phase::Resuming).await;
    part.ask_to_end();
    until_closed(&api).await;
    let made_room = sandboxes.delete("one", &DeleteParams::default()).await;
    made_room.expect("deleted");
    let connected = connecting.await.expect("a call").expect("an answer");
    assert_eq!(connected.status(), 201, "{:?}", connected.text().await);
    assert_eq!(part.ended(), Some(0));
    let resumed = sandboxes.get(&id).await.expect("a sandbox");
    let timer = resumed.spec.pause_time.expect("a timer").0;
    assert!(
        timer < jiff::Timestamp::now() + jiff::SignedDuration::from_secs(301),
        "{timer}"
    );
}

#[tokio::test]
async fn a_gateway_that_is_to_end_does_not_wait_for_who_does_not_finish_a_call() {
    let dir = tempfile::tempdir().expect("a directory");
    let up = Up::start(Up::command(dir.path()), dir.path());
    let mut part = gateway(&up, dir.path(), &["--shutdown-grace-period", "1s"]).await;
    let address = part.url("E2B API").trim_start_matches("http://").trim_end_matches('/');
    let mut half = TcpStream::connect(address).await.expect("a connection");
    // A whole call first: then the connection has been taken.
    let whole = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
    half.write_all(whole.as_bytes()).await.expect("sent");
    let mut answer = [0; 12];
    half.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 204");
    let begun = "POST /v2/sandboxes HTTP/1.1\r\nHost: x\r\nX-API-KEY: e2b_listed\r\nContent-Length: 99\r\n\r\n{";
    half.write_all(begun.as_bytes()).await.expect("sent");
    part.ask_to_end();
    assert_eq!(part.ended(), Some(0));
}

#[tokio::test]
async fn an_agent_of_its_own_process_runs_its_program_and_answers_the_controller() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut command = torpor();
    command
        .args(["agent", "--bind", "127.93.17.5", "--work-dir"])
        .arg(dir.path().join("work"));
    command.args(["--", "python3", "-c", "print('http://printed')\nwhile True: pass"]);
    for (name, value) in [("NAMESPACE", "default"), ("NAME", "one"), ("UID", "uid-1")] {
        command.env(format!("TORPOR_SANDBOX_{name}"), value);
    }
    let part = Part::start(command.env("TORPOR_STORE", "memory://"), 1);
    assert_eq!(
        part.announced[0].1, "http://printed",
        "the program's output is the container's log"
    );
    let (code, state) = answer("http://127.93.17.5:49982/v1/state").await;
    let state: Value = serde_json::from_str(&state).expect("JSON");
    assert_eq!((code, &state["workload"]["state"]), (200, &json!("serving")));
    assert_eq!(part.terminate(), Some(0));
}

#[test]
fn missing_and_wrong_input_is_named_and_exits_with_three() {
    let dir = tempfile::tempdir().expect("a directory");
    let token = dir.path().join("token");
    std::fs::write(&token, "short").expect("written");
    let token = token.to_str().expect("a path in UTF-8");
    let cases: [(&[&str], &str); 9] = [
        (&["controller"], "--store"),
        (&["controller", "--store", "ftp://x"], "ftp://x"),
        (
            &["controller", "--store", "memory://", "--kubeconfig", "/none"],
            "/none",
        ),
        (
            &["controller", "--store", "memory://", "--pause-deadline", "5"],
            "try `15s`",
        ),
        (
            &[
                "controller",
                "--store",
                "memory://",
                "--leader-elect-renew-deadline",
                "15s",
            ],
            "shorter than the lease duration",
        ),
        (&["gateway", "--token-key-file", token], "--api-keys-file"),
        (
            &["gateway", "--any-api-key", "--token-key-file", token],
            "5 bytes instead of 32",
        ),
        (&["agent"], "TORPOR_SANDBOX_UID"),
        (&["agent", "--", "bash"], r#"not ["bash"]"#),
    ];
    for (args, part) in cases {
        let output = torpor()
            .args(args)
            .env_remove("TORPOR_STORE")
            .output()
            .expect("torpor runs");
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{args:?}: {message}");
        assert!(message.contains(part), "{args:?}: {message}");
    }
}
