//! Mistakes of a controller in reports that do not last.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tower::BoxError;

use super::calls::{Call, CallRules, Reply, Server};
use super::notes::Notes;
use super::{Fault, Hooks, controller, controller_calls};

pub(super) const FAULTS: &[Fault] = &[
    controller(
        "ready-flaps-after-resume",
        "takes Ready back once, a moment after a sandbox came back, and says it again",
        || ready_flaps(1),
    )
    .breaks(&["FSM-01"], STAYS)
    // Who speaks to it meanwhile cannot reach it.
    .touches(&["CTX", "FSM"])
    .spares(&["a-second-delete-is-harmless"]),
    controller(
        "ready-flaps-for-ever",
        "says that a sandbox which came back is Ready, that it is not, that it is, and so on",
        || ready_flaps(u32::MAX),
    )
    .breaks(&["FSM-01"], STAYS)
    .touches(&["CTX", "FSM"])
    .spares(&["a-second-delete-is-harmless"]),
    controller(
        "failed-while-pausing",
        "takes the end of a Pod that it pauses for a failure, until it has looked again",
        || controller_calls(CallRules::rule(failed_while_pausing)),
    )
    .breaks(&["FSM-01"], STAYS)
    // Who waits for the pause is told that it failed.
    .touches(&["CTX", "FSM"])
    .spares(&["deleting-a-paused-sandbox-is-final@kubernetes"]),
    controller(
        "message-says-nothing",
        "says of everything that keeps a sandbox from what was asked that something went wrong",
        || controller_calls(CallRules::asked(message_says_nothing)),
    )
    .breaks(&["OBS-03"], &["a-missing-template-is-explained"])
    .spares(&["errors-are-json-with-code-and-message"]),
    controller(
        "foreign-pod-adopted",
        "takes a Pod that has the name of the sandbox's Pod for its own, and says so in it",
        || controller_calls(foreign_pod_adopted()),
    )
    .breaks(&["FSM-11"], &["a-foreign-pod-is-not-touched"]),
    controller(
        "events-too-early",
        "tells by an Event that a sandbox is paused when it begins to pause it",
        events_too_early,
    )
    .breaks(&["OBS-01"], &["an-event-comes-when-its-step-is-over"])
    .spares(&["steps-are-reported-as-events", "pause-and-resume-reach-their-state"]),
];

/// The case that looks at every report between the pause and the resume.
const STAYS: &[&str] = &["a-state-that-is-reached-stays"];

/// How long a report stands that will be taken back.
const BREATH: Duration = Duration::from_millis(100);

fn message_says_nothing(call: &mut Call) {
    if call.on_status("sandboxes").is_some()
        && let Some(message) = call.body.pointer_mut("/status/message")
        && message.is_string()
    {
        *message = json!("something went wrong");
    }
}

fn ready_flaps(times: u32) -> Hooks {
    let flapping = Notes::new();
    controller_calls(CallRules::rule(move |call, server| {
        let flapping = flapping.clone();
        async move {
            let path = call.on_status("sandboxes").map(|_| call.path().to_owned());
            let reply = server.answer(call).await?;
            let status = &reply.body["status"];
            let came_back = status["phase"] == "Running" && !status["lastCheckpointGeneration"].is_null();
            let uid = reply.body["metadata"]["uid"].as_str().unwrap_or_default();
            if let Some(path) = path
                && reply.status.is_success()
                && came_back
                && flapping.put(uid, ()).is_none()
            {
                tokio::spawn(flap(path, status["conditions"].clone(), server, times));
            }
            Ok(reply)
        }
    }))
}

/// Takes Ready back and says it again so often, or until the sandbox is gone.
async fn flap(path: String, conditions: Value, server: Server, times: u32) {
    for _ in 0..times {
        for word in ["False", "True"] {
            tokio::time::sleep(BREATH).await;
            let mut said = conditions.clone();
            for condition in said.as_array_mut().into_iter().flatten() {
                if condition["type"] == "Ready" {
                    condition["status"] = json!(word);
                }
            }
            let Ok(call) = Call::merge(&path, json!({"status": {"conditions": said}})) else {
                return;
            };
            match server.answer(call).await {
                Ok(reply) if reply.status.is_success() => {}
                Ok(_) | Err(_) => return,
            }
        }
    }
}

fn events_too_early() -> Hooks {
    let told = Notes::new();
    controller_calls(CallRules::rule(move |call, server| {
        let told = told.clone();
        async move {
            let reports = call.on_status("sandboxes").is_some();
            let reply = server.answer(call).await?;
            let (object, metadata) = (&reply.body, &reply.body["metadata"]);
            let uid = metadata["uid"].as_str().unwrap_or_default();
            if reports && object["status"]["phase"] == "Pausing" && told.put(uid, ()).is_none() {
                let namespace = metadata["namespace"].as_str().unwrap_or_default();
                let event = json!({
                    "apiVersion": "v1", "kind": "Event", "type": "Normal",
                    "metadata": {"generateName": "early-"},
                    "reason": "SandboxPaused", "message": "Pause sandbox",
                    "involvedObject": {
                        "apiVersion": object["apiVersion"], "kind": object["kind"],
                        "namespace": namespace, "name": metadata["name"], "uid": uid,
                    },
                });
                let path = format!("/api/v1/namespaces/{namespace}/events");
                server.answer(Call::create(&path, event)?).await?;
            }
            Ok(reply)
        }
    }))
}

async fn failed_while_pausing(call: Call, server: Server) -> Result<Reply, BoxError> {
    if call.on_status("sandboxes").is_some() && call.body["status"]["phase"] == "Paused" {
        let failed = Call::merge(call.path(), json!({"status": {"phase": "Failed"}}))?;
        server.answer(failed).await?;
    }
    server.answer(call).await
}

fn foreign_pod_adopted() -> CallRules {
    let owners = Notes::new();
    CallRules::rule(move |call, server| {
        let owners = owners.clone();
        async move {
            let path = call.path().to_owned();
            let pod = call.on(&Method::GET, "pods").map(str::to_owned);
            let sandbox = call.on(&Method::GET, "sandboxes").map(str::to_owned);
            let reply = server.answer(call).await?;
            let object = &reply.body;
            if let Some(name) = sandbox.filter(|_| reply.status.is_success()) {
                let owner = json!({
                    "apiVersion": object["apiVersion"], "kind": object["kind"], "name": name,
                    "uid": object["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true,
                });
                owners.put(&name, owner);
            }
            let foreign = reply.status.is_success() && object["metadata"]["ownerReferences"].is_null();
            match pod.and_then(|name| owners.get(&name)).filter(|_| foreign) {
                Some(owner) => {
                    let mine = json!({"metadata": {"ownerReferences": [owner]}});
                    server.answer(Call::merge(&path, mine)?).await
                }
                None => Ok(reply),
            }
        }
    })
}
