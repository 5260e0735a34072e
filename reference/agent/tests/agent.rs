//! An agent over its real sockets: what clients and the controller see of it.

#![expect(
    clippy::expect_used,
    reason = "an agent that cannot be set up or asked fails the test"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use object_store::memory::InMemory;
use object_store::throttle::{ThrottleConfig, ThrottledStore};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use torpor_agent::{Agent, AgentConfig, AgentListeners, SandboxIdentity};
use torpor_api::{AgentState, CheckpointState, WorkloadState};
use torpor_runtime::{CheckpointStore, Clock, MontyEngine};

struct Running {
    agent: Agent,
    http: Client,
    control: String,
    envd: String,
    code: String,
}

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    (listener, url)
}

async fn start(dir: &Path, store: &CheckpointStore, restore: Option<u64>, program: Option<&str>) -> Running {
    start_on_record(dir, store, restore, None, program).await
}

/// From the checkpoint that has this digest.
async fn start_on_record(
    dir: &Path,
    store: &CheckpointStore,
    restore: Option<u64>,
    restore_digest: Option<String>,
    program: Option<&str>,
) -> Running {
    let (control, control_url) = listener().await;
    let (envd, envd_url) = listener().await;
    let (code_interpreter, code_url) = listener().await;
    let identity = SandboxIdentity {
        namespace: "default".to_owned(),
        name: "sb".to_owned(),
        uid: "uid-1".to_owned(),
        pod_uid: Some("pod-1".to_owned()),
    };
    let config = AgentConfig {
        identity,
        restore,
        restore_digest,
        env: BTreeMap::from([("GREETING".to_owned(), "hello".to_owned())]),
        command: program.map_or_else(Vec::new, |code| ["python3", "-c", code].map(str::to_owned).to_vec()),
        work_dir: dir.join(format!("run-{}", restore.unwrap_or_default())),
        freeze_limit: AgentConfig::FREEZE_LIMIT,
    };
    let agent = torpor_agent::start(
        config,
        Arc::new(MontyEngine::new(Clock::system())),
        store.clone(),
        AgentListeners {
            control,
            envd,
            code_interpreter,
        },
    );
    let came_up = |state: &AgentState| state.workload != WorkloadState::Starting;
    agent.state().wait_for(came_up).await.expect("the agent comes up");
    Running {
        agent,
        http: Client::new(),
        control: control_url,
        envd: envd_url,
        code: code_url,
    }
}

impl Running {
    async fn post(&self, url: String, body: Value) -> (u16, String) {
        let answer = self.http.post(url).json(&body).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a body"))
    }

    async fn control(&self, path: &str, body: Value) -> (u16, AgentState) {
        let (status, text) = self.post(format!("{}{path}", self.control), body).await;
        (
            status,
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}")),
        )
    }

    async fn run(&self, code: &str) -> Vec<Value> {
        let (status, text) = self
            .post(format!("{}/execute", self.code), json!({ "code": code }))
            .await;
        assert_eq!(status, 200, "{text}");
        text.lines()
            .map(|line| serde_json::from_str(line).expect("each line is JSON"))
            .collect()
    }

    async fn checkpoint(&self, generation: u64) -> AgentState {
        assert_eq!(self.control("/v1/freeze", json!({})).await.0, 200);
        self.control("/v1/checkpoint", json!({ "generation": generation }))
            .await
            .1
    }
}

fn texts(events: &[Value], kind: &str) -> Vec<String> {
    let of_kind = events.iter().filter(|event| event["type"] == kind);
    of_kind
        .map(|event| event["text"].as_str().expect("a text").to_owned())
        .collect()
}

fn memory() -> CheckpointStore {
    CheckpointStore::open("memory://").expect("a store")
}

#[tokio::test]
async fn an_agent_goes_on_from_the_checkpoint_on_record_and_from_no_other() {
    let (dir, store) = (tempfile::tempdir().expect("a dir"), memory());
    let first = start(dir.path(), &store, None, None).await;
    first.run("x = 41").await;
    let CheckpointState::Sealed { record } = first.checkpoint(1).await.checkpoint else {
        panic!("it is sealed");
    };
    first.agent.stop().await;
    let other = Some(record.digest.replace("blake3:", "blake3:0"));
    let refused = start_on_record(dir.path(), &store, Some(1), other, None).await;
    let state = refused.agent.state().borrow().clone();
    assert!(
        matches!(&state.workload, WorkloadState::Failed { message } if message.contains(&record.digest)),
        "{state:?}"
    );
    let second = start_on_record(dir.path(), &store, Some(1), Some(record.digest), None).await;
    assert_eq!(texts(&second.run("x + 1").await, "result"), ["42"]);
}

#[tokio::test]
async fn a_new_agent_goes_on_from_a_checkpoint() {
    let (dir, store) = (tempfile::tempdir().expect("a dir"), memory());
    let first = start(dir.path(), &store, None, None).await;
    let events = first.run("print('hello, world')\nx = 41").await;
    assert_eq!(texts(&events, "stdout"), ["hello, world\n"]);
    assert_eq!(events.last().expect("events")["type"], "end_of_execution");
    let upload = first
        .http
        .post(format!("{}/files?path=/home/user/note.txt", first.envd));
    let upload = upload
        .header("content-type", "application/octet-stream")
        .body("kept")
        .send()
        .await
        .expect("an answer");
    assert_eq!(upload.status(), 200);
    let sealed = first.checkpoint(1).await;
    assert!(
        matches!(&sealed.checkpoint, CheckpointState::Sealed { record } if record.generation == 1),
        "{sealed:?}"
    );
    first.agent.stop().await;

    let second = start(dir.path(), &store, Some(1), None).await;
    assert_eq!(texts(&second.run("x + 1").await, "result"), ["42"]);
    let note = second
        .http
        .get(format!("{}/files?path=note.txt", second.envd))
        .send()
        .await
        .expect("an answer");
    assert_eq!(note.text().await.expect("a body"), "kept");
    second.agent.stop().await;
    assert!(
        !dir.path().join("run-1").exists(),
        "the files of a stopped sandbox are removed"
    );
}

#[tokio::test]
async fn a_frozen_agent_refuses_work_until_it_is_thawed() {
    let (dir, store) = (tempfile::tempdir().expect("a dir"), memory());
    let running = start(dir.path(), &store, None, None).await;
    assert_eq!(
        running.control("/v1/checkpoint", json!({ "generation": 1 })).await.0,
        409,
        "not frozen"
    );
    running.checkpoint(1).await;
    let (status, _) = running
        .post(format!("{}/execute", running.code), json!({ "code": "1" }))
        .await;
    assert_eq!(status, 503);
    let health = running
        .http
        .get(format!("{}/health", running.envd))
        .send()
        .await
        .expect("an answer");
    assert_eq!(health.status(), 503);
    let (status, state) = running.control("/v1/thaw", json!({})).await;
    assert_eq!(
        (status, state.checkpoint),
        (200, CheckpointState::None),
        "the workload outlives it"
    );
    assert_eq!(texts(&running.run("1 + 1").await, "result"), ["2"]);
}

#[tokio::test]
async fn a_call_that_is_meant_for_another_pod_is_turned_away_and_changes_nothing() {
    let (dir, store) = (tempfile::tempdir().expect("a dir"), memory());
    let running = start(dir.path(), &store, None, None).await;
    let others = ["?podUid=pod-2&sandboxUid=uid-1", "?podUid=pod-2", "?sandboxUid=uid-2"];
    for (path, query) in ["/v1/freeze", "/v1/checkpoint", "/v1/thaw"]
        .into_iter()
        .flat_map(|path| others.map(|query| (path, query)))
    {
        let url = format!("{}{path}{query}", running.control);
        let (status, text) = running.post(url, json!({"generation": 1})).await;
        assert_eq!(status, 421, "{path}{query}: {text}");
        assert!(text.contains("the agent of Pod pod-1 of sandbox uid-1"), "{text}");
        assert_eq!(running.agent.state().borrow().workload, WorkloadState::Serving);
    }
    let asked = running.http.get(format!("{}/v1/state?podUid=pod-2", running.control));
    assert_eq!(asked.send().await.expect("an answer").status(), 421);
    let query = "/v1/freeze?podUid=pod-1&sandboxUid=uid-1";
    let (status, state) = running.control(query, json!({})).await;
    assert_eq!((status, state.workload), (200, WorkloadState::Frozen));
    assert_eq!(state.addressee.pod_uid.as_deref(), Some("pod-1"));
    assert_eq!(
        running.control("/v1/thaw", json!({})).await.0,
        200,
        "whoever says nothing is heard"
    );
    running.agent.stop().await;
}

#[tokio::test]
async fn a_repeated_checkpoint_joins_the_first_and_a_later_one_gets_a_new_number() {
    let (dir, store) = (tempfile::tempdir().expect("a dir"), memory());
    let running = start(dir.path(), &store, None, None).await;
    let first = running.checkpoint(1).await;
    assert_eq!(
        running.control("/v1/checkpoint", json!({ "generation": 1 })).await.1,
        first
    );
    running.control("/v1/thaw", json!({})).await;
    running.run("x = 1").await;
    let again = running.checkpoint(1).await;
    assert!(
        matches!(&again.checkpoint, CheckpointState::Sealed { record } if record.generation == 2),
        "{again:?}"
    );
}

#[tokio::test]
async fn a_checkpoint_that_is_missing_fails_loudly() {
    let (dir, store) = (tempfile::tempdir().expect("a dir"), memory());
    let running = start(dir.path(), &store, Some(7), None).await;
    let state = running.agent.state().borrow().clone();
    let WorkloadState::Failed { message } = state.workload else {
        panic!("{state:?}")
    };
    assert!(message.starts_with("load checkpoint 7: "), "{message}");
    let (status, _) = running
        .post(format!("{}/execute", running.code), json!({ "code": "1" }))
        .await;
    assert_eq!(status, 503, "it never starts fresh instead");
}

#[tokio::test]
async fn the_log_of_a_program_goes_on_without_gap_or_repetition() {
    let (dir, store) = (tempfile::tempdir().expect("a dir"), memory());
    let code = "n = 0\nwhile True:\n    n += 1\n    print('count', n)\n    sleep(0.005)";
    let first = start(dir.path(), &store, None, Some(code)).await;
    let mut lines = Box::pin(first.agent.logs().follow(2));
    futures::StreamExt::next(&mut lines).await.expect("a third line");
    first.checkpoint(1).await;
    first.agent.stop().await;
    let second = start(dir.path(), &store, Some(1), Some(code)).await;
    let mut lines = Box::pin(second.agent.logs().follow(9));
    futures::StreamExt::next(&mut lines).await.expect("a tenth line");
    let seen: Vec<String> = second.agent.logs().lines().into_iter().map(|line| line.text).collect();
    let expected: Vec<String> = (1..=seen.len()).map(|n| format!("count {n}")).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn contexts_are_made_listed_and_removed() {
    let (dir, store) = (tempfile::tempdir().expect("a dir"), memory());
    let running = start(dir.path(), &store, None, None).await;
    let (_, made) = running
        .post(format!("{}/contexts", running.code), json!({ "language": "python" }))
        .await;
    let made: Value = serde_json::from_str(&made).expect("JSON");
    let id = made["id"].as_str().expect("an id");
    assert_eq!(
        (&made["language"], &made["cwd"]),
        (&json!("python"), &json!("/home/user"))
    );
    let execute = json!({ "code": "y = 1\ny", "context_id": id });
    let (status, text) = running.post(format!("{}/execute", running.code), execute.clone()).await;
    assert!(status == 200 && text.contains("\"text\":\"1\""), "{text}");
    let removed = running
        .http
        .delete(format!("{}/contexts/{id}", running.code))
        .send()
        .await
        .expect("an answer");
    assert_eq!(removed.status(), 200);
    let (status, text) = running.post(format!("{}/execute", running.code), execute).await;
    assert_eq!((status, text), (404, format!("context {id} not found")));
}

#[tokio::test]
async fn bad_requests_say_what_is_wrong_and_change_nothing() {
    let (dir, store) = (tempfile::tempdir().expect("a dir"), memory());
    let running = start(dir.path(), &store, None, None).await;
    let execute = format!("{}/execute", running.code);
    let cases = [
        (
            json!({ "code": "1", "context_id": "a", "language": "python" }),
            400,
            "exclude each other",
        ),
        (json!({ "code": "1", "language": "r" }), 400, "it runs python"),
        (json!({ "cod": "1" }), 422, "code"),
    ];
    for (body, status, says) in cases {
        let (answered, text) = running.post(execute.clone(), body).await;
        assert!(answered == status && text.contains(says), "{answered} {text}");
    }
    let files = running
        .http
        .get(format!("{}/files?path=/nothing/here", running.envd))
        .send()
        .await
        .expect("an answer");
    assert_eq!(files.status(), 404);
    let body: Value = files.json().await.expect("JSON");
    assert!(
        body["code"] == 404 && body["message"].as_str().expect("a message").contains("/nothing/here"),
        "{body}"
    );
    let (status, text) = running
        .post(format!("{}/process.Process/SendInput", running.envd), json!({}))
        .await;
    assert!(status == 501 && text.contains("unimplemented"), "{text}");
}

#[tokio::test]
async fn a_checkpoint_of_another_sandbox_is_not_found() {
    let (dir, store) = (tempfile::tempdir().expect("a dir"), memory());
    let running = start(dir.path(), &store, None, None).await;
    running.checkpoint(1).await;
    let key = torpor_runtime::CheckpointKey {
        sandbox_uid: "uid-2".to_owned(),
        generation: 1,
    };
    assert!(store.load(&key, &torpor_runtime::engine_version()).await.is_err());
}

#[tokio::test]
async fn a_log_line_that_was_begun_before_the_pause_is_completed_after_it() {
    let dir = tempfile::tempdir().expect("a dir");
    let store = CheckpointStore::open("memory://").expect("a store");
    let code = "from pathlib import Path\nprint('left-', end='')\nwhile not Path('/tmp/go').exists():\n    sleep(0.01)\nprint('right')";
    let first = start(dir.path(), &store, None, Some(code)).await;
    let state = first.checkpoint(1).await;
    assert!(matches!(state.checkpoint, CheckpointState::Sealed { .. }), "{state:?}");
    first.agent.stop().await;

    let second = start(dir.path(), &store, Some(1), None).await;
    second.run("open('/tmp/go', 'w').close()").await;
    let mut lines = Box::pin(second.agent.logs().follow(0));
    let line = futures::StreamExt::next(&mut lines).await.expect("a line");
    assert_eq!(line.text, "left-right");
    second.agent.stop().await;
}

#[tokio::test]
async fn a_pause_that_the_store_has_no_room_for_fails_and_the_sandbox_runs_on() {
    let dir = tempfile::tempdir().expect("a dir");
    let url = format!("file://{}", dir.path().join("store").display());
    let quota = [("TORPOR_STORE_QUOTA".to_owned(), "20000".to_owned())].into();
    let store = CheckpointStore::open_in(&url, &quota).expect("a store");
    let running = start(dir.path(), &store, None, None).await;
    running.run("x = 'kept'").await;
    let state = running.checkpoint(1).await;
    assert!(matches!(state.checkpoint, CheckpointState::Sealed { .. }), "{state:?}");
    assert_eq!(running.control("/v1/thaw", json!({})).await.0, 200);

    running
        .run("big = [str(i * 7919 % 100003) for i in range(20000)]")
        .await;
    let state = running.checkpoint(2).await;
    let CheckpointState::Failed { generation: 2, message } = &state.checkpoint else {
        panic!("{state:?}");
    };
    assert!(message.contains("quota is 20000"), "{message}");
    assert_eq!(state.workload, WorkloadState::Frozen);
    assert_eq!(running.control("/v1/thaw", json!({})).await.0, 200);
    let events = running.run("print(x, len(big))").await;
    assert_eq!(texts(&events, "stdout").concat(), "kept 20000\n");

    // The earlier checkpoint is whole, and once there is room the next pause succeeds.
    assert_eq!(store.list("uid-1").await.expect("listed"), [1]);
    let key = |generation| torpor_runtime::CheckpointKey {
        sandbox_uid: "uid-1".to_owned(),
        generation,
    };
    store.verify(&key(1)).await.expect("whole");
    running.run("big = None").await;
    let state = running.checkpoint(3).await;
    assert!(matches!(state.checkpoint, CheckpointState::Sealed { .. }), "{state:?}");
    running.agent.stop().await;
}

#[tokio::test]
async fn a_store_that_hangs_does_not_keep_a_sandbox_from_going_on() {
    goes_on_while_the_store_hangs("x = 'kept'").await;
}

#[tokio::test]
async fn a_store_that_hangs_does_not_keep_a_large_sandbox_from_going_on() {
    goes_on_while_the_store_hangs("x = 'kept'\nbig = [str(i * 7919 % 100003) for i in range(200000)]").await;
}

async fn goes_on_while_the_store_hangs(code: &str) {
    let dir = tempfile::tempdir().expect("a dir");
    let objects = Arc::new(ThrottledStore::new(InMemory::new(), ThrottleConfig::default()));
    let store = CheckpointStore::in_object_store(Arc::<ThrottledStore<_>>::clone(&objects));
    let running = start(dir.path(), &store, None, None).await;
    running.run(code).await;
    assert_eq!(running.control("/v1/freeze", json!({})).await.0, 200);
    objects.config_mut(|config| config.wait_put_per_call = Duration::from_hours(1));
    let being_written = |state: &AgentState| matches!(state.checkpoint, CheckpointState::Writing { generation: 1 });
    let thaw = async {
        let mut state = running.agent.state();
        state.wait_for(being_written).await.expect("it is begun");
        let thawed = running.control("/v1/thaw", json!({}));
        let thawed = tokio::time::timeout(Duration::from_secs(30), thawed).await;
        thawed.expect("it does not wait for the store")
    };
    let write = running.control("/v1/checkpoint", json!({ "generation": 1 }));
    let ((written, _), (thawed, state)) = tokio::join!(write, thaw);
    assert_eq!((written, thawed), (409, 200));
    assert_eq!(
        (state.workload, state.checkpoint),
        (WorkloadState::Serving, CheckpointState::None)
    );
    assert_eq!(texts(&running.run("print(x)").await, "stdout").concat(), "kept\n");

    // What was given up may still come to the store under its number.
    objects.config_mut(|config| *config = ThrottleConfig::default());
    let state = running.checkpoint(1).await;
    assert!(
        matches!(&state.checkpoint, CheckpointState::Sealed { record } if record.generation == 2),
        "{state:?}"
    );
    running.agent.stop().await;
}

/// The changes of a file that a watcher tells of, until there are some.
async fn told_of(running: &Running, watcher: &str, name: &str) -> Vec<Value> {
    let ask = json!({ "watcherId": watcher });
    let told = async {
        loop {
            let url = format!("{}/filesystem.Filesystem/GetWatcherEvents", running.envd);
            let (status, text) = running.post(url, ask.clone()).await;
            assert_eq!(status, 200, "{text}");
            let told: Value = serde_json::from_str(&text).expect("JSON");
            let events = told["events"].as_array().expect("a list").iter();
            let found: Vec<Value> = events.filter(|event| event["name"] == name).cloned().collect();
            if !found.is_empty() {
                return found;
            }
            tokio::task::yield_now().await;
        }
    };
    let limit = std::time::Duration::from_secs(10);
    tokio::time::timeout(limit, told)
        .await
        .expect("the watcher tells of it")
}

async fn upload(running: &Running, path: &str) {
    let request = running.http.post(format!("{}/files?path={path}", running.envd));
    let request = request.header("content-type", "application/octet-stream").body("x");
    assert_eq!(request.send().await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn a_watcher_goes_on_telling_after_a_restore() {
    let (dir, store) = (tempfile::tempdir().expect("a dir"), memory());
    let first = start(dir.path(), &store, None, None).await;
    upload(&first, "/home/user/sub/old").await;
    let create = |running: &Running, path: &str| {
        let url = format!("{}/filesystem.Filesystem/CreateWatcher", running.envd);
        let body = json!({ "path": path, "recursive": true, "includeEntry": true });
        let request = running.http.post(url).json(&body);
        async move {
            let answer = request.send().await.expect("an answer");
            (answer.status().as_u16(), answer.json::<Value>().await.expect("JSON"))
        }
    };
    let (status, refused) = create(&first, "/home/nobody").await;
    assert_eq!((status, &refused["code"]), (404, &json!("not_found")), "{refused}");
    let (_, made) = create(&first, "/home/user").await;
    let watcher = made["watcherId"].as_str().expect("an id").to_owned();
    upload(&first, "/home/user/sub/new").await;
    let told = told_of(&first, &watcher, "sub/new").await;
    assert_eq!(told[0]["type"], "EVENT_TYPE_CREATE");
    assert_eq!(told[0]["entry"]["path"], "/home/user/sub/new");
    first.checkpoint(1).await;
    first.agent.stop().await;

    let second = start(dir.path(), &store, Some(1), None).await;
    upload(&second, "/home/user/later").await;
    told_of(&second, &watcher, "later").await;
    let url = format!("{}/filesystem.Filesystem/RemoveWatcher", second.envd);
    let body = json!({ "watcherId": watcher });
    assert_eq!(second.post(url.clone(), body.clone()).await.0, 200);
    assert_eq!(second.post(url, body).await.0, 404, "it is gone");
    second.agent.stop().await;
}

#[tokio::test]
async fn a_stream_of_changes_ends_with_an_error_when_the_sandbox_is_frozen() {
    let (dir, store) = (tempfile::tempdir().expect("a dir"), memory());
    let running = start(dir.path(), &store, None, None).await;
    upload(&running, "/home/user/old").await;
    let message = json!({ "path": "/home/user" }).to_string();
    let length = u32::try_from(message.len()).expect("short").to_be_bytes();
    let body = [&[0], length.as_slice(), message.as_bytes()].concat();
    let url = format!("{}/filesystem.Filesystem/WatchDir", running.envd);
    let mut answer = running.http.post(url).body(body).send().await.expect("an answer");
    let mut said = Vec::new();
    let mut until = async |word: &str| {
        while !String::from_utf8_lossy(&said).contains(word) {
            said.extend_from_slice(&answer.chunk().await.expect("a stream").expect("more"));
        }
    };
    until("start").await;
    upload(&running, "/home/user/new").await;
    until("EVENT_TYPE_WRITE").await;
    running.checkpoint(1).await;
    until("unavailable").await;
    running.agent.stop().await;
}
