//! Mistakes of a controller that show only when it stops in the middle of its work and another goes on.

use http::Method;
use serde_json::{Value, json};

use super::calls::{Call, CallRules, Reply, Server};
use super::notes::Notes;
use super::{Fault, Hooks, controller, controller_calls};

/// The two ways to die at a write.
const CRASHES: &[&str] = &[
    "the-controller-may-crash-before-any-write",
    "the-controller-may-crash-after-any-write",
];

pub(super) const FAULTS: &[Fault] = &[
    controller(
        "pod-deleted-before-the-record",
        "deletes the Pod of a pause while only its memory says where the context is kept",
        || each_life(record_in_memory),
    )
    .breaks(&["FSM-09"], CRASHES)
    .touches(&["FSM-10"]),
    controller(
        "pods-deleted-by-name",
        "deletes the Pod of that name, whichever it is by then",
        || {
            controller_calls(CallRules::asked(|call| {
                if call.on(&Method::DELETE, "pods").is_some()
                    && let Some(options) = call.body.as_object_mut()
                {
                    options.remove("preconditions");
                }
            }))
        },
    )
    .breaks(&["FSM-09"], &["leadership-may-be-lost-at-any-time"])
    .spares(CRASHES),
    controller(
        "restart-overlooks-what-was-under-way",
        "looks after its start only at sandboxes that are at rest",
        || each_life(what_was_under_way_overlooked),
    )
    .breaks(&["FSM-09"], CRASHES)
    .touches(&["FSM-10"]),
    controller(
        "own-pods-foreign-after-a-restart",
        "takes every Pod that it has not made since its start for somebody else's",
        || each_life(own_pods_foreign),
    )
    .breaks(&["FSM-09"], CRASHES)
    .touches(&["FSM-10"]),
    controller(
        "restart-wakes-paused",
        "starts every paused sandbox that it finds when it starts itself",
        || each_life(paused_woken_at_start),
    )
    .breaks(&["ZERO-04"], &["a-restarted-controller-wakes-nothing"])
    // A crash at the last write of a pause finds it paused.
    .touches(&["FSM-09", "FSM-10"])
    .spares(&["edits-of-metadata-do-not-wake", "reads-do-not-wake"]),
];

/// Mistakes that know only what happened since their controller started.
fn each_life(rules: fn() -> CallRules) -> Hooks {
    controller_calls(CallRules::for_each_client(rules))
}

fn record_in_memory() -> CallRules {
    let held = Notes::new();
    let remembered = held.clone();
    let rules = CallRules::rule(move |call, server| {
        let held = held.clone();
        async move { with_late_record(call, server, &held).await }
    });
    rules.and_seen(move |plural, object| {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        if plural == "sandboxes"
            && let Some(record) = remembered.get(name)
            && object["status"].is_object()
        {
            object["status"]["checkpoint"] = record;
        }
    })
}

/// Writes the record of a checkpoint with the report that all is done, and not before.
async fn with_late_record(mut call: Call, server: Server, held: &Notes<Value>) -> Result<Reply, tower::BoxError> {
    if let Some(name) = call.on_status("sandboxes").map(str::to_owned)
        && let Some(status) = call.body["status"].as_object_mut()
    {
        match status.get("checkpoint").cloned() {
            Some(Value::Null) => drop(held.take(&name)),
            Some(record) => {
                status.remove("checkpoint");
                held.put(&name, record);
            }
            None => {}
        }
        if status.get("phase") == Some(&json!("Paused"))
            && let Some(record) = held.take(&name)
        {
            status.insert("checkpoint".to_owned(), record);
        }
    }
    server.answer(call).await
}

fn what_was_under_way_overlooked() -> CallRules {
    CallRules::rule(|call, server| async move {
        let lists = call.lists("sandboxes");
        let mut reply = server.answer(call).await?;
        if lists && let Some(items) = reply.body["items"].as_array_mut() {
            items.retain(|sandbox| match sandbox["status"]["phase"].as_str() {
                None | Some("Running" | "Paused") => true,
                Some(_) => false,
            });
        }
        Ok(reply)
    })
}

fn paused_woken_at_start() -> CallRules {
    let started = Notes::new();
    CallRules::rule(move |call, server| {
        let started = started.clone();
        async move {
            let first = call.lists("sandboxes") && started.put(call.path(), ()).is_none();
            let collection = call.path().trim_end_matches("/sandboxes").to_owned();
            let reply = server.answer(call).await?;
            let listed = reply.body["items"].as_array().filter(|_| first);
            for sandbox in listed.into_iter().flatten() {
                if sandbox["status"]["phase"] == "Paused" && sandbox["spec"]["paused"] == json!(true) {
                    let text = |field: &str| sandbox["metadata"][field].as_str().unwrap_or_default();
                    let (namespace, name) = (text("namespace"), text("name"));
                    let path = format!("{collection}/namespaces/{namespace}/sandboxes/{name}");
                    let woken = Call::merge(&path, json!({"spec": {"paused": false}}))?;
                    server.answer(woken).await?;
                }
            }
            Ok(reply)
        }
    })
}

fn own_pods_foreign() -> CallRules {
    let made = Notes::new();
    let known = made.clone();
    let rules = CallRules::rule(move |call, server| {
        let made = made.clone();
        async move {
            let creates = call.creates("pods");
            let reply = server.answer(call).await?;
            if creates && let Some(uid) = reply.body["metadata"]["uid"].as_str() {
                made.put(uid, ());
            }
            Ok(reply)
        }
    });
    rules.and_seen(move |plural, object| {
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
        if plural == "pods" && known.get(uid).is_none() {
            object["metadata"]["ownerReferences"] = json!([]);
        }
    })
}
