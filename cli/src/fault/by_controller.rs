//! Mistakes of a controller in what it asks of the API server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use torpor_api::{annotation, env, finalizer};
use tower::BoxError;

use super::calls::{Call, CallRules, Reply, Server};
use super::notes::Notes;
use super::{Fault, Hooks, by_engine, by_upkeep, controller, controller_calls};

pub(super) const FAULTS: &[Fault] = &[
    controller(
        "transition-times-churn",
        "moves the lastTransitionTime of every condition at every report",
        transition_times_churn,
    )
    .breaks(&["FSM-01"], &["pause-and-resume-reach-their-state"])
    .touches(&["CTX", "ZERO", "DEL", "E2B-03", "FSM"]),
    controller(
        "ready-on-a-dying-pod",
        "goes on reporting Ready while the Pod of the pause is being deleted",
        ready_on_a_dying_pod,
    )
    .breaks(
        &["FSM-05"],
        &["pause-and-resume-reach-their-state", "paused-has-no-pod"],
    )
    .touches(&["CTX", "ZERO", "DEL", "E2B-03", "FSM"]),
    controller(
        "foreign-pod-deleted",
        "deletes a Pod of somebody else that has the name of the sandbox's Pod",
        foreign_pod_deleted,
    )
    .breaks(&["FSM-11"], &["a-foreign-pod-is-not-touched"]),
    controller(
        "foreign-finalizers-lost",
        "writes the list of finalizers without those of others",
        foreign_finalizers_lost,
    )
    .breaks(&["DEL-10"], &["finalizers-of-others-are-respected"]),
    controller(
        "heartbeat-in-the-object",
        "writes the time of its latest look into every sandbox, also at rest",
        heartbeat_in_the_object,
    )
    .breaks(&["FSM-02"], &["a-repeated-request-changes-nothing"]),
    controller(
        "auto-pause-loses-memory",
        "keeps the context of a pause by hand, and only the files of a pause by timeout",
        auto_pause_loses_memory,
    )
    .breaks(&["CTX-10"], &["the-pause-time-pauses", "auto-pause-keeps-the-context"])
    .spreads(),
    controller(
        "paused-sandbox-started-at-deletion",
        "starts the Pod of a paused sandbox that was deleted just now",
        paused_sandbox_started_at_deletion,
    )
    .breaks(
        &["DEL-01", "DEL-11"],
        &[
            "deleting-a-paused-sandbox-is-final@kubernetes",
            "deleting-a-paused-sandbox-is-final@e2b",
            "resume-races-delete",
        ],
    )
    .touches(&["DEL"]),
    controller("events-lost", "publishes no Events", events_lost)
        .breaks(&["OBS-01"], &["steps-are-reported-as-events"]),
    controller(
        "two-pods-at-resume",
        "starts two Pods from one checkpoint",
        two_pods_at_resume,
    )
    .breaks(&["FSM-04"], &["concurrent-connects-start-once"])
    .touches(&["CTX", "ZERO", "DEL", "E2B-03", "FSM"]),
    controller(
        "lost-pod-hidden",
        "takes the last that it saw of a lost Pod for the Pod",
        lost_pod_hidden,
    )
    .breaks(&["FSM-08"], &["a-lost-pod-is-reported@kubernetes"])
    .touches(&["ZERO", "DEL", "CTX", "FSM", "E2B-03"])
    .spares(&["created-paused-starts-nothing"]),
    controller("messages-dropped", "reports without a message", messages_dropped)
        .breaks(&["OBS-03"], &["a-missing-template-is-explained"]),
    controller(
        "recreated-name-finds-old-context",
        "keeps checkpoints by the name of the sandbox",
        recreated_name_finds_old_context,
    )
    .breaks(&["CTX-11"], &["recreated-name-starts-fresh"])
    .touches(&["DEL"]),
];

fn conditions(call: &mut Call) -> Option<&mut Vec<Value>> {
    call.on_status("sandboxes")?;
    call.body.pointer_mut("/status/conditions")?.as_array_mut()
}

fn transition_times_churn() -> Hooks {
    let reports = Notes::new();
    controller_calls(CallRules::asked(move |call| {
        let Some(name) = call.on_status("sandboxes").map(str::to_owned) else {
            return;
        };
        let seconds: i64 = reports.get(&name).unwrap_or_default() + 1;
        reports.put(&name, seconds);
        let moved = jiff::Timestamp::from_second(1_700_000_000 + seconds).unwrap_or_default();
        for condition in conditions(call).into_iter().flatten() {
            condition["lastTransitionTime"] = json!(moved.to_string());
        }
    }))
}

fn ready_on_a_dying_pod() -> Hooks {
    let (meant, phases) = (Notes::new(), Notes::new());
    let truth = meant.clone();
    let rules = CallRules::asked(move |call| {
        let Some(name) = call.on_status("sandboxes").map(str::to_owned) else {
            return;
        };
        if let Some(phase) = call.body["status"]["phase"].as_str() {
            phases.put(&name, phase.to_owned());
        }
        let pausing = phases.get(&name).as_deref() == Some("Pausing");
        let Some(conditions) = conditions(call) else { return };
        meant.put(&name, conditions.clone());
        for condition in conditions.iter_mut().filter(|condition| condition["type"] == "Ready") {
            if pausing {
                condition["status"] = json!("True");
            }
        }
    });
    // It believes itself.
    controller_calls(rules.and_seen(move |plural, object| {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        if plural == "sandboxes"
            && let Some(conditions) = truth.get(name)
            && object["status"]["conditions"].is_array()
        {
            object["status"]["conditions"] = json!(conditions);
        }
    }))
}

fn foreign_pod_deleted() -> Hooks {
    controller_calls(CallRules::rule(|call, server| async move {
        let path = call.on(&Method::GET, "pods").map(|_| call.path().to_owned());
        let reply = server.answer(call).await?;
        let foreign = reply.status.is_success() && reply.body["metadata"]["ownerReferences"].is_null();
        match path {
            Some(path) if foreign => {
                server.answer(Call::delete(&path)?).await?;
                Ok(Reply::not_found())
            }
            Some(_) | None => Ok(reply),
        }
    }))
}

fn foreign_finalizers_lost() -> Hooks {
    controller_calls(CallRules::asked(|call| {
        if call.on(&Method::PATCH, "sandboxes").is_some()
            && let Some(names) = call
                .body
                .pointer_mut("/metadata/finalizers")
                .and_then(Value::as_array_mut)
        {
            names.retain(|name| name == finalizer::SANDBOX);
        }
    }))
}

/// How often a heartbeat is written.
const HEARTBEAT: Duration = Duration::from_millis(300);

fn heartbeat_in_the_object() -> Hooks {
    let beating = Notes::new();
    controller_calls(CallRules::rule(move |call, server| {
        let beating = beating.clone();
        async move {
            let path = call.on(&Method::GET, "sandboxes").map(|_| call.path().to_owned());
            let reply = server.answer(call).await?;
            let uid = reply.body["metadata"]["uid"].as_str().unwrap_or_default();
            if let Some(path) = path
                && reply.status.is_success()
                && beating.put(uid, ()).is_none()
            {
                tokio::spawn(beat(path, server));
            }
            Ok(reply)
        }
    }))
}

/// Writes heartbeats until the object is gone.
async fn beat(path: String, server: Server) {
    for beat in 0_u64.. {
        tokio::time::sleep(HEARTBEAT).await;
        let note = json!({"metadata": {"annotations": {"example.com/last-look": beat.to_string()}}});
        let Ok(call) = Call::merge(&path, note) else { return };
        match server.answer(call).await {
            Ok(reply) if reply.status.is_success() => {}
            Ok(_) | Err(_) => return,
        }
    }
}

fn set_env(pod: &mut Value, name: &str, value: Option<&str>) {
    let Some(variables) = pod.pointer_mut("/spec/containers/0/env").and_then(Value::as_array_mut) else {
        return;
    };
    variables.retain(|variable| variable["name"] != name);
    variables.extend(value.map(|value| json!({"name": name, "value": value})));
}

fn is_restored(pod: &Value) -> bool {
    !pod["metadata"]["annotations"][annotation::RESTORE_GENERATION].is_null()
}

fn name_of(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn auto_pause_loses_memory() -> Hooks {
    let by_itself = Arc::new(AtomicBool::new(false));
    let marked = Arc::clone(&by_itself);
    let rules = CallRules::asked(move |call| {
        if call.on(&Method::PATCH, "sandboxes").is_some() && call.body["spec"]["paused"] == true {
            by_itself.store(true, Ordering::SeqCst);
        }
    });
    Hooks {
        engine: Some(by_engine::marking(marked, by_engine::memory_lost_if_marked)),
        ..controller_calls(rules)
    }
}

fn paused_sandbox_started_at_deletion() -> Hooks {
    let (made, asleep) = (Notes::new(), Notes::new());
    controller_calls(CallRules::rule(move |call, server| {
        let (made, asleep) = (made.clone(), asleep.clone());
        async move {
            if call.creates("pods") {
                let name = name_of(&call.body).to_owned();
                asleep.take(&name);
                made.put(&name, (call.path().to_owned(), call.body.clone()));
            } else if let Some(name) = call.on_status("sandboxes")
                && call.body["status"]["phase"] == "Paused"
            {
                asleep.put(name, ());
            }
            let patched = call.on(&Method::PATCH, "sandboxes").map(str::to_owned);
            let reply = server.answer(call).await?;
            let metadata = &reply.body["metadata"];
            let gone = !metadata["deletionTimestamp"].is_null() && metadata["finalizers"].is_null();
            if let Some(name) = patched.filter(|_| gone)
                && asleep.take(&name).is_some()
                && let Some((path, pod)) = made.take(&name)
            {
                server.answer(Call::create(&path, pod)?).await?;
            }
            Ok(reply)
        }
    }))
}

fn events_lost() -> Hooks {
    controller_calls(CallRules::rule(|call, server| async move {
        if call.creates("events") || call.on(&Method::PATCH, "events").is_some() {
            return Ok(Reply::created(call.body));
        }
        server.answer(call).await
    }))
}

fn two_pods_at_resume() -> Hooks {
    controller_calls(CallRules::rule(|call, server| async move {
        if call.creates("pods") && is_restored(&call.body) {
            let mut twin = call.body.clone();
            twin["metadata"]["name"] = json!(format!("{}-twin", name_of(&twin)));
            server.answer(Call::create(call.path(), twin)?).await?;
        }
        server.answer(call).await
    }))
}

fn lost_pod_hidden() -> Hooks {
    let (last, deleted) = (Notes::new(), Notes::new());
    controller_calls(CallRules::rule(move |call, server| {
        let (last, deleted) = (last.clone(), deleted.clone());
        async move {
            if let Some(name) = call.on(&Method::DELETE, "pods") {
                deleted.put(name, ());
            } else if call.creates("pods") {
                deleted.take(name_of(&call.body));
            }
            let read = call.on(&Method::GET, "pods").map(str::to_owned);
            let reply = server.answer(call).await?;
            Ok(match read {
                Some(name) if reply.status.is_success() && reply.body["metadata"]["deletionTimestamp"].is_null() => {
                    last.put(&name, reply.body.clone());
                    reply
                }
                Some(name) if deleted.get(&name).is_none() => last.get(&name).map_or(reply, Reply::created),
                Some(_) | None => reply,
            })
        }
    }))
}

fn messages_dropped() -> Hooks {
    let meant = Notes::new();
    let truth = meant.clone();
    let rules = CallRules::asked(move |call| {
        let Some(name) = call.on_status("sandboxes").map(str::to_owned) else {
            return;
        };
        if let Some(status) = call.body["status"].as_object_mut()
            && let Some(message) = status.remove("message")
        {
            meant.put(&name, message);
        }
    });
    // It believes itself.
    controller_calls(rules.and_seen(move |plural, object| {
        if plural == "sandboxes"
            && object["status"].is_object()
            && let Some(message) = truth.get(name_of(object)).filter(|message| !message.is_null())
        {
            object["status"]["message"] = message;
        }
    }))
}

fn recreated_name_finds_old_context() -> Hooks {
    // By name: whose the newest checkpoint is, and its number.
    let (owners, newest) = (Notes::new(), Notes::new());
    let rules = CallRules::rule(move |call, server| {
        let (owners, newest) = (owners.clone(), newest.clone());
        async move { with_old_context(call, server, &owners, &newest).await }
    });
    Hooks {
        controller_calls: Some(rules),
        custodian: Some(by_upkeep::removing_nothing()),
        ..Hooks::default()
    }
}

async fn with_old_context(
    mut call: Call,
    server: Server,
    owners: &Notes<String>,
    newest: &Notes<String>,
) -> Result<Reply, BoxError> {
    if let Some(name) = call.on_status("sandboxes")
        && let Some(generation) = call.body.pointer("/status/checkpoint/generation")
        && !generation.is_null()
    {
        newest.put(name, generation.to_string());
    }
    if call.creates("pods") {
        let name = name_of(&call.body).to_owned();
        let owner = call
            .body
            .pointer("/metadata/ownerReferences/0/uid")
            .and_then(Value::as_str);
        let first = owners.first(&name, &owner.unwrap_or_default().to_owned());
        if Some(first.as_str()) != owner
            && !is_restored(&call.body)
            && let Some(generation) = newest.get(&name)
        {
            set_env(&mut call.body, env::SANDBOX_UID, Some(&first));
            set_env(&mut call.body, env::RESTORE_GENERATION, Some(&generation));
        }
    }
    server.answer(call).await
}
