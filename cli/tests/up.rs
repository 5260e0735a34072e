//! `torpor up` as a process: start, refusal, end, and what a killed one leaves behind.

#![expect(clippy::expect_used, reason = "a test ends where something it needs is missing")]

#[path = "support/e2b.rs"]
mod e2b;
#[path = "support/mod.rs"]
#[expect(dead_code, reason = "shared with tests that use more of it")]
mod support;

use std::net::TcpListener;
use std::process::{Command, Stdio};

use e2b::E2b;
use serde_json::{Value, json};
use support::{Up, wait_until};

fn torpor(args: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_torpor"))
        .args(args)
        .output()
        .expect("torpor runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn a_taken_port_is_named_with_the_option_that_changes_it() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let dir = tempfile::tempdir().expect("a directory");
    let output = Up::command(dir.path())
        .args(["--e2b-port", &port])
        .output()
        .expect("torpor runs");
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(
        message.contains(&format!("127.0.0.1:{port}")) && message.contains("--e2b-port"),
        "{message}"
    );
    assert!(!dir.path().join("kubeconfig").exists(), "nothing says that it is ready");
}

#[test]
fn an_interrupt_ends_it_cleanly_and_removes_the_connection_files() {
    let dir = tempfile::tempdir().expect("a directory");
    let up = Up::start(Up::command(dir.path()), dir.path());
    assert!(dir.path().join("kubeconfig").exists() && dir.path().join("env").exists());
    assert!(up.interrupt().success());
    for file in ["kubeconfig", "env", "env.beta"] {
        assert!(!dir.path().join(file).exists(), "{file} is left");
    }
}

#[test]
fn it_serves_on_when_nobody_reads_where_it_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut unread = Up::command(dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("torpor starts");
    drop(unread.stdout.take());
    wait_until("it is ready or has ended", || {
        dir.path().join("env.beta").exists() || unread.try_wait().expect("it can be asked").is_some()
    });
    let pid = unread.id().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status().expect("kill runs");
    assert!(sent.success());
    assert_eq!(unread.wait().expect("its end").code(), Some(0));
    assert!(!dir.path().join("kubeconfig").exists(), "it has cleaned up");
}

#[test]
fn an_interrupt_ends_it_also_while_it_waits_for_its_store() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", silent.local_addr().expect("an address"));
    let dir = tempfile::tempdir().expect("a directory");
    let starting = Up::command(dir.path())
        .args(["--store", "s3://bucket/checkpoints"])
        .envs([
            ("AWS_ENDPOINT_URL", endpoint.as_str()),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "any"),
            ("AWS_SECRET_ACCESS_KEY", "any"),
        ])
        .stderr(Stdio::piped())
        .spawn()
        .expect("torpor starts");
    let _asked = silent.accept().expect("it asks its store");
    let pid = starting.id().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status().expect("kill runs");
    assert!(sent.success());
    let output = starting.wait_with_output().expect("its end");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // Who waits for the store until it is given up ends with an error.
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.starts_with("stopping"), "{said}");
    assert!(!dir.path().join("kubeconfig").exists(), "nothing says that it is ready");
}

#[tokio::test]
async fn a_kill_loses_no_checkpoint_of_a_paused_sandbox() {
    let dir = tempfile::tempdir().expect("a directory");
    let up = Up::start(Up::command(dir.path()), dir.path());
    let e2b = E2b::of(&up);
    let sandbox = e2b.create().await;
    let output = e2b.run_code(&sandbox, "x = 'kept'\nprint(x)").await;
    assert!(output.contains("kept"), "{output}");
    let id = sandbox["sandboxID"].as_str().expect("an id");
    let (status, _) = e2b.post(&format!("/sandboxes/{id}/pause"), json!({})).await;
    assert_eq!(status, 204);
    up.kill();

    let data_dir = dir.path().to_str().expect("a path in UTF-8");
    let (found, listed) = torpor(&["checkpoint", "--data-dir", data_dir, "ls"]);
    assert!(
        found && listed.lines().filter(|line| line.contains("monty")).count() == 1,
        "{listed}"
    );
    let (whole, verified) = torpor(&["checkpoint", "--data-dir", data_dir, "verify"]);
    assert!(whole, "{verified}");
}

/// What a person may get wrong with a store, and what is said of it.
#[tokio::test]
async fn a_store_or_sandbox_that_is_not_there_is_named_and_nothing_is_made() {
    let dir = tempfile::tempdir().expect("a directory");
    let up = Up::start(Up::command(dir.path()), dir.path());
    let e2b = E2b::of(&up);
    let sandbox = e2b.create().await;
    let id = sandbox["sandboxID"].as_str().expect("an id");
    assert_eq!(e2b.post(&format!("/sandboxes/{id}/pause"), json!({})).await.0, 204);
    assert!(up.interrupt().success());

    let absent = dir.path().join("typo");
    let url = format!("file://{}", absent.display());
    let (succeeded, said) = torpor(&["checkpoint", "--store", &url, "ls"]);
    assert!(
        !succeeded && said.contains("no such directory") && said.contains(&url),
        "{said}"
    );
    assert!(!absent.exists(), "a look makes no store");

    let data_dir = dir.path().to_str().expect("a path in UTF-8");
    let checkpoint = |args: &[&str]| torpor(&[&["checkpoint", "--data-dir", data_dir], args].concat());
    for command in [
        &["ls", "nobody"][..],
        &["verify", "nobody"],
        &["gc", "nobody"],
        &["show", "nobody"],
    ] {
        let (succeeded, said) = checkpoint(command);
        assert!(
            !succeeded && said.contains("no checkpoint of sandbox nobody"),
            "{command:?}: {said}"
        );
    }
    let (_, listed) = checkpoint(&["ls"]);
    let uid = listed
        .lines()
        .nth(1)
        .and_then(|line| line.split(' ').next())
        .expect("a row");
    let (succeeded, said) = checkpoint(&["show", uid, "7"]);
    assert!(!succeeded && said.contains("there are [1]"), "{said}");
    let (succeeded, newest) = checkpoint(&["show", uid]);
    assert_eq!((succeeded, &newest), (true, &checkpoint(&["show", uid, "1"]).1));
}

#[tokio::test]
async fn after_a_kill_a_paused_sandbox_resumes_and_a_running_one_is_reported_lost() {
    let dir = tempfile::tempdir().expect("a directory");
    let up = Up::start(Up::command(dir.path()), dir.path());
    let e2b = E2b::of(&up);
    let (paused, running) = (e2b.create().await, e2b.create().await);
    e2b.run_code(&paused, "x = 'kept'").await;
    e2b.run_code(&running, "x = 'in memory only'").await;
    let id = |sandbox: &Value| sandbox["sandboxID"].as_str().expect("an id").to_owned();
    assert_eq!(
        e2b.post(&format!("/sandboxes/{}/pause", id(&paused)), json!({}))
            .await
            .0,
        204
    );
    up.kill();

    let up = Up::start(Up::command(dir.path()), dir.path());
    let e2b = E2b::of(&up);
    let (status, sandbox) = e2b
        .post(&format!("/v2/sandboxes/{}/connect", id(&paused)), json!({}))
        .await;
    assert_eq!(status, 201, "{sandbox}");
    assert_eq!(sandbox["envdAccessToken"], paused["envdAccessToken"], "tokens are kept");
    let output = e2b.run_code(&sandbox, "print(x)").await;
    assert!(output.contains("kept"), "{output}");
    let output = e2b.run_code(&running, "x = 'fresh'\nprint(x)").await;
    assert!(!output.contains("fresh"), "a lost sandbox must not serve: {output}");
    assert!(up.interrupt().success());
}

#[tokio::test]
async fn a_damaged_checkpoint_is_found_by_verify() {
    let dir = tempfile::tempdir().expect("a directory");
    let up = Up::start(Up::command(dir.path()), dir.path());
    let e2b = E2b::of(&up);
    let sandbox = e2b.create().await;
    let id = sandbox["sandboxID"].as_str().expect("an id").to_owned();
    e2b.post(&format!("/sandboxes/{id}/pause"), json!({})).await;
    assert!(up.interrupt().success());

    let mut damaged = 0;
    for file in files(&dir.path().join("checkpoints")) {
        let mut bytes = std::fs::read(&file).expect("a stored file");
        let middle = bytes.len() / 2;
        if let Some(byte) = bytes.get_mut(middle) {
            *byte ^= 1;
            damaged += 1;
        }
        std::fs::write(&file, bytes).expect("the file is writable");
    }
    assert!(damaged > 0, "something was stored");
    let (whole, said) = torpor(&[
        "checkpoint",
        "--data-dir",
        dir.path().to_str().expect("a path"),
        "verify",
    ]);
    assert!(!whole, "{said}");
}

fn files(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir)
        .expect("a folder")
        .flatten()
        .map(|entry| entry.path());
    entries
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .collect()
}

#[test]
fn a_second_process_on_the_same_directory_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let _up = Up::start(Up::command(dir.path()), dir.path());
    let output = Up::command(dir.path()).output().expect("torpor runs");
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.contains("--data-dir"), "{message}");
    wait_until("the first still serves", || dir.path().join("kubeconfig").exists());
}

/// The API server's address in a kubeconfig.
fn api_url(up: &Up) -> String {
    let config = std::fs::read_to_string(up.kubeconfig()).expect("a kubeconfig");
    let server = config.lines().find_map(|line| line.trim().strip_prefix("server: "));
    server.expect("the address of the server").to_owned()
}

/// A data directory that an earlier version wrote has its definitions.
#[tokio::test]
async fn definitions_of_an_earlier_version_are_brought_up_to_this_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let up = Up::start(Up::command(dir.path()), dir.path());
    let http = reqwest::Client::new();
    let path = "apis/apiextensions.k8s.io/v1/customresourcedefinitions/sandboxes.agents.kruise.io";
    let old = json!([{ "op": "remove", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/lostPodPolicy" }]);
    let request = http.patch(format!("{}/{path}", api_url(&up)));
    let request = request
        .header("content-type", "application/json-patch+json")
        .body(old.to_string());
    assert_eq!(request.send().await.expect("an answer").status(), 200);
    up.kill();

    let up = Up::start(Up::command(dir.path()), dir.path());
    let definition = http
        .get(format!("{}/{path}", api_url(&up)))
        .send()
        .await
        .expect("an answer");
    let definition: Value = definition.json().await.expect("a definition");
    let policy = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/lostPodPolicy/enum";
    assert_eq!(definition.pointer(policy), Some(&json!(["Fail", "Recreate"])));
}

#[tokio::test]
async fn what_it_is_started_without_is_left_to_other_programs() {
    let data_dir = tempfile::tempdir().expect("a directory");
    let mut command = Up::command(data_dir.path());
    command.args(["--without", "scheduler,garbage-collector"]);
    let up = Up::start(command, data_dir.path());
    let (http, api) = (reqwest::Client::new(), api_url(&up));
    let maps = format!("{api}/api/v1/namespaces/default/configmaps");
    let orphan = json!({
        "metadata": {"name": "orphan", "ownerReferences": [
            {"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "gone"},
        ]},
    });
    http.post(&maps).json(&orphan).send().await.expect("an answer");
    let kept = http.get(format!("{maps}/orphan")).send().await.expect("an answer");
    assert_eq!(kept.status(), 200, "no garbage collector looks at it");

    let pods = format!("{api}/api/v1/namespaces/default/pods");
    let pod = |name: &str| json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "a", "image": "torpor/code-interpreter"}]}});
    for name in ["unplaced", "bound"] {
        http.post(&pods).json(&pod(name)).send().await.expect("an answer");
    }
    let binding = json!({"metadata": {"name": "bound"}, "target": {"kind": "Node", "name": "torpor-node"}});
    let bound = http.post(format!("{pods}/bound/binding")).json(&binding);
    assert_eq!(bound.send().await.expect("an answer").status(), 201);
    // The node takes Pods in the order of their creation: when it has come to the second, it has left the first alone.
    let log = format!("{pods}/bound");
    while !phase(&http, &log).await.1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        phase(&http, &format!("{pods}/unplaced")).await,
        ("Pending".to_owned(), false)
    );
}

/// The phase of a Pod, and whether the node has reported its containers.
async fn phase(http: &reqwest::Client, url: &str) -> (String, bool) {
    let answer = http.get(url).send().await.expect("an answer");
    let pod: Value = answer.json().await.expect("a Pod");
    let phase = pod["status"]["phase"].as_str().unwrap_or_default().to_owned();
    (phase, pod["status"]["containerStatuses"].is_array())
}

#[test]
fn a_token_without_a_user_is_refused_with_an_example() {
    let (succeeded, text) = torpor(&["apiserver", "--authentication", "--token", "s3cret"]);
    assert!(!succeeded && text.contains("s3cret,jane,developers"), "{text}");
}
