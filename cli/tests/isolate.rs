//! `torpor up --isolate`: a sandbox whose process ends takes no other down, and what is said of a process is true.

#![cfg(target_os = "linux")]
#![expect(clippy::expect_used, reason = "a test ends where something it needs is missing")]

#[path = "support/e2b.rs"]
mod e2b;
#[path = "support/kubernetes.rs"]
mod kubernetes;
#[path = "support/mod.rs"]
#[expect(dead_code, reason = "shared with tests that use more of it")]
mod support;

use std::path::Path;
use std::process::Command;

use e2b::E2b;
use kubernetes::{Kubernetes, phase, until};
use serde_json::{Value, json};
use support::Up;

/// More than there are addresses: where it is allowed to ask, the interpreter gets none and aborts its process.
const ABORT: &str = "'x' * 10**15";
/// Allows it to ask.
const WITHOUT_LIMIT: [&str; 2] = ["--execution-memory", "4294967296"];

fn isolated(data_dir: &Path, options: &[&str]) -> Up {
    let mut command = Up::command(data_dir);
    command.arg("--isolate").args(options);
    Up::start(command, data_dir)
}

fn id(sandbox: &Value) -> &str {
    sandbox["sandboxID"].as_str().expect("an id")
}

fn signal(pid: u32, signal: &str) {
    let sent = Command::new("kill").args([signal, &pid.to_string()]).status();
    assert!(sent.expect("kill runs").success(), "{pid} takes {signal}");
}

fn runs(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

#[tokio::test]
async fn an_interpreter_that_aborts_takes_no_other_sandbox_down_and_its_own_is_reported_lost() {
    let dir = tempfile::tempdir().expect("a directory");
    let up = isolated(dir.path(), &WITHOUT_LIMIT);
    let (e2b, kubernetes) = (E2b::of(&up), Kubernetes::of(&up));
    let (aborts, other) = (e2b.create().await, e2b.create().await);
    e2b.run_code(&other, "x = 41").await;
    e2b.run_code(&aborts, ABORT).await;
    let lost = async || kubernetes.sandbox(id(&aborts)).await;
    let lost = until("the sandbox has failed", lost, |sandbox| phase(sandbox) == "Failed").await;
    let said = lost["status"]["message"].as_str().expect("a message");
    assert!(
        said.contains("SIGABRT") && said.contains("memory allocation of 1000000000000000 bytes failed"),
        "{said}"
    );
    let answer = e2b.run_code(&other, "print(x + 1)").await;
    assert!(answer.contains("42"), "{answer}");
    assert!(up.interrupt().success());
}

/// What the test before this one is there to notice: without processes of their own all sandboxes end with the first.
#[tokio::test]
async fn in_one_process_an_interpreter_that_aborts_takes_all_down() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut command = Up::command(dir.path());
    command.args(WITHOUT_LIMIT);
    let up = Up::start(command, dir.path());
    let e2b = E2b::of(&up);
    let sandbox = e2b.create().await;
    e2b.run_code(&sandbox, ABORT).await;
    assert!(!up.wait().success());
}

#[tokio::test]
async fn a_killed_process_is_one_lost_sandbox_under_either_policy() {
    let dir = tempfile::tempdir().expect("a directory");
    let up = isolated(dir.path(), &[]);
    let (e2b, kubernetes) = (E2b::of(&up), Kubernetes::of(&up));
    let (kept, failing) = (e2b.create().await, e2b.create().await);
    let container = json!({ "name": "sandbox", "image": "torpor/code-interpreter" });
    let spec = json!({ "lostPodPolicy": "Recreate", "template": { "spec": { "containers": [container] } } });
    let recreated = json!({ "apiVersion": "agents.kruise.io/v1alpha1", "kind": "Sandbox", "metadata": { "name": "again" }, "spec": spec });
    kubernetes.apply("again", recreated).await;
    let running = async || kubernetes.sandbox("again").await;
    until("the third sandbox runs", running, |sandbox| phase(sandbox) == "Running").await;
    e2b.run_code(&kept, "x = 'kept'").await;

    let (first, second) = (kubernetes.pid(id(&failing)).await, kubernetes.pid("again").await);
    signal(first, "-KILL");
    signal(second, "-KILL");
    let lost = async || kubernetes.sandbox(id(&failing)).await;
    let lost = until("the sandbox has failed", lost, |sandbox| phase(sandbox) == "Failed").await;
    assert!(lost.to_string().contains("SIGKILL"), "{lost}");
    // `Recreate` is for Pods that somebody took away: one that ended by itself would end again.
    let again = async || kubernetes.sandbox("again").await;
    until("the other has failed, too", again, |sandbox| phase(sandbox) == "Failed").await;
    let answer = e2b.run_code(&kept, "print(x)").await;
    assert!(answer.contains("kept"), "{answer}");
}

/// Value of a metric of a Pod, if there is one.
fn metric(page: &str, name: &str, pod: &str) -> Option<f64> {
    let line = page
        .lines()
        .find(|line| line.starts_with(name) && line.contains(&format!("pod=\"{pod}\"")))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

#[tokio::test]
async fn what_a_sandbox_uses_is_what_its_process_uses_and_a_paused_one_has_none() {
    let dir = tempfile::tempdir().expect("a directory");
    let up = isolated(dir.path(), &[]);
    let (e2b, kubernetes, http) = (E2b::of(&up), Kubernetes::of(&up), reqwest::Client::new());
    let sandbox = e2b.create().await;
    let name = id(&sandbox).to_owned();
    let page = async || {
        let answer = http.get(up.metrics_url()).send().await.expect("an answer");
        answer.text().await.expect("a page")
    };
    let (cpu, memory) = (
        "container_cpu_usage_seconds_total",
        "container_memory_working_set_bytes",
    );
    let before = page().await;
    e2b.run_code(
        &sandbox,
        "x = 'x' * 40_000_000\nn = 0\nwhile n < 1_000_000:\n    n += 1",
    )
    .await;
    let after = page().await;
    let grown = |metric_name| {
        let read = |page: &str| metric(page, metric_name, &name).expect("a series");
        read(&after) - read(&before)
    };
    assert!(grown(memory) > 35_000_000.0, "{before}\n{after}");
    assert!(grown(cpu) > 0.0, "{before}\n{after}");

    let pid = kubernetes.pid(&name).await;
    let (status, _) = e2b.post(&format!("/sandboxes/{name}/pause"), json!({})).await;
    assert_eq!((status, runs(pid)), (204, false), "a paused sandbox has no process");
    let paused = page().await;
    assert_eq!(metric(&paused, memory, &name), None, "{paused}");
    let (_, sandbox) = e2b.post(&format!("/v2/sandboxes/{name}/connect"), json!({})).await;
    let answer = e2b.run_code(&sandbox, "print(len(x), n)").await;
    assert!(answer.contains("40000000 1000000"), "{answer}");
}

#[tokio::test]
async fn a_log_goes_on_over_a_pause_with_the_times_of_its_lines() {
    let dir = tempfile::tempdir().expect("a directory");
    let up = isolated(dir.path(), &[]);
    let kubernetes = Kubernetes::of(&up);
    let program = "import time\nn = 0\nwhile True:\n    n += 1\n    print('count', n)\n    time.sleep(0.05)";
    let container = json!({ "name": "sandbox", "image": "i", "command": ["python3", "-c", program] });
    let counter = |paused: bool| {
        json!({ "apiVersion": "agents.kruise.io/v1alpha1", "kind": "Sandbox", "metadata": { "name": "counter" },
            "spec": { "paused": paused, "template": { "spec": { "containers": [container] } } } })
    };
    let log = async || {
        kubernetes
            .text("/api/v1/namespaces/default/pods/counter/log?timestamps=true")
            .await
    };
    kubernetes.apply("counter", counter(false)).await;
    let before = until("it counts", log, |log| log.contains("count 3\n")).await;
    kubernetes.apply("counter", counter(true)).await;
    let state = async || kubernetes.sandbox("counter").await;
    until("it is paused", state, |sandbox| phase(sandbox) == "Paused").await;
    kubernetes.apply("counter", counter(false)).await;
    let count = before.lines().count();
    let after = until("it counts on", log, |log| log.lines().count() > count + 3).await;
    assert!(after.starts_with(&before), "{before}\nbecame\n{after}");
    let numbers: Vec<usize> = after
        .lines()
        .filter_map(|line| line.rsplit_once(' ')?.1.parse().ok())
        .collect();
    assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>());
}

#[tokio::test]
async fn agents_end_with_the_control_plane_that_was_killed() {
    let dir = tempfile::tempdir().expect("a directory");
    let up = isolated(dir.path(), &[]);
    let (e2b, kubernetes) = (E2b::of(&up), Kubernetes::of(&up));
    let sandbox = e2b.create().await;
    let pid = kubernetes.pid(id(&sandbox)).await;
    assert!(runs(pid));
    up.kill();
    until("the agent ends", async || runs(pid), |runs| !runs).await;
}

#[tokio::test]
async fn code_sees_the_variables_of_its_container_and_none_of_the_control_plane() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut command = Up::command(dir.path());
    command.arg("--isolate").env("OF_THE_CONTROL_PLANE", "secret");
    let up = Up::start(command, dir.path());
    let e2b = E2b::of(&up);
    let create = json!({ "templateID": "code-interpreter", "timeout": 600, "envVars": { "GREETING": "hello" } });
    let (_, sandbox) = e2b.post("/v2/sandboxes", create).await;
    let answer = e2b.run_code(&sandbox, "import os\nprint(dict(os.environ))").await;
    assert!(
        answer.contains("hello") && !answer.contains("OF_THE_CONTROL_PLANE"),
        "{answer}"
    );
}

#[tokio::test]
async fn values_of_variables_arrive_in_the_sandbox_as_they_were_given() {
    let dir = tempfile::tempdir().expect("a directory");
    let up = isolated(dir.path(), &[]);
    let e2b = E2b::of(&up);
    let given = [("A", "/x"), ("B", "a$$b"), ("C", "$(A)"), ("D", "$$(A)"), ("E", "$A$")];
    let variables: serde_json::Map<_, _> = given
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json!(value)))
        .collect();
    let create = json!({ "templateID": "code-interpreter", "timeout": 600, "envVars": variables });
    let (_, sandbox) = e2b.post("/v2/sandboxes", create).await;
    for (name, value) in given {
        let code = format!("import os\nprint('<' + os.environ['{name}'] + '>')");
        let answer = e2b.run_code(&sandbox, &code).await;
        assert!(answer.contains(&format!("<{value}>")), "{name}: {answer}");
    }
}

#[tokio::test]
async fn code_that_takes_too_much_memory_ends_with_an_error_and_its_context_goes_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let up = isolated(dir.path(), &["--execution-memory", "64"]);
    let e2b = E2b::of(&up);
    let sandbox = e2b.create().await;
    e2b.run_code(&sandbox, "x = 41").await;
    for greedy in [ABORT, "all = []\nwhile True:\n    all.append('x' * 1000)"] {
        let answer = e2b.run_code(&sandbox, greedy).await;
        assert!(
            answer.contains("MemoryError") && answer.contains("67108864 bytes"),
            "{answer}"
        );
    }
    let answer = e2b.run_code(&sandbox, "all = None\nprint(x + 1)").await;
    assert!(answer.contains("42"), "{answer}");
}

#[tokio::test]
async fn a_sandbox_beyond_the_memory_of_its_pod_is_ended_as_a_kubelet_would() {
    let dir = tempfile::tempdir().expect("a directory");
    let up = isolated(dir.path(), &WITHOUT_LIMIT);
    let kubernetes = Kubernetes::of(&up);
    let program = "all = []\nwhile True:\n    all.append('x' * 1000)";
    let resources = json!({ "limits": { "memory": "128Mi" } });
    let container =
        json!({ "name": "sandbox", "image": "i", "command": ["python3", "-c", program], "resources": resources });
    let spec = json!({ "template": { "spec": { "containers": [container] } } });
    let greedy = json!({ "apiVersion": "agents.kruise.io/v1alpha1", "kind": "Sandbox", "metadata": { "name": "greedy" }, "spec": spec });
    kubernetes.apply("greedy", greedy).await;
    let state = async || kubernetes.sandbox("greedy").await;
    let lost = until("the sandbox has failed", state, |sandbox| phase(sandbox) == "Failed").await;
    let said = lost["status"]["message"].as_str().expect("a message");
    assert!(
        said.contains("exit status: 137") && said.contains("134217728 bytes"),
        "{said}"
    );
}

#[test]
fn options_that_do_not_go_together_are_refused_with_what_to_do() {
    let dir = tempfile::tempdir().expect("a directory");
    let output = Up::command(dir.path())
        .args(["--isolate", "--engine", "criu"])
        .output()
        .expect("torpor runs");
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && message.contains("leave --isolate out"),
        "{message}"
    );
}
