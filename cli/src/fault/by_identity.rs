//! Mistakes of a controller about which Pod is the sandbox's: one that is dead, or about to be.

use http::Method;
use serde_json::{Value, json};

use super::by_face::RESUMES;
use super::calls::CallRules;
use super::notes::Notes;
use super::{Fault, Hooks, controller, controller_calls};

pub(super) const FAULTS: &[Fault] = &[
    controller(
        "dead-pod-still-named",
        "goes on naming the address, node and UID of the Pod that a paused sandbox had",
        || {
            named_pod(|named| {
                if named.meant["phase"] == "Paused" {
                    named.last
                } else {
                    named.meant
                }
            })
        },
    )
    .breaks(&["OBS-01"], &["a-paused-sandbox-names-no-pod"])
    .touches(RESUMES)
    .spares(BEFORE_A_RESUME),
    controller(
        "first-pod-named-after-resume",
        "names the first Pod of a sandbox, also when another one runs",
        || {
            named_pod(|named| {
                if names_one(&named.meant) {
                    named.first
                } else {
                    named.meant
                }
            })
        },
    )
    .breaks(&["OBS-01"], &["a-paused-sandbox-names-no-pod"])
    // Traffic goes to where the first one was.
    .touches(RESUMES)
    .spares(BEFORE_A_RESUME),
    controller(
        "dying-pod-taken-for-alive",
        "takes the Pod of the pause, which is being deleted, for the one that serves after a resume",
        dying_pod_taken_for_alive,
    )
    .breaks(&["FSM-05"], &["a-resume-waits-for-the-dying-pod"])
    .touches(RESUMES)
    .spares(BEFORE_A_RESUME),
];

/// What is to pass all the same: cases that look before anything resumes.
const BEFORE_A_RESUME: &[&str] = &["paused-has-no-pod", "deleting-by-sdk-while-running"];
/// The fields of a status that name a Pod.
const IDENTITY: [&str; 3] = ["podInfo", "sandboxIp", "nodeName"];

/// Of three statuses, which is to name the Pod.
struct Naming {
    /// The one that is right.
    meant: Value,
    /// The first that named one.
    first: Value,
    /// The last that did.
    last: Value,
}

/// Names the Pod that `choose` takes, at every report. It believes itself.
fn named_pod(choose: fn(Naming) -> Value) -> Hooks {
    let (truth, first, last) = (Notes::new(), Notes::new(), Notes::new());
    let meant_then = truth.clone();
    let rules = CallRules::rule(move |mut call, server| {
        let (truth, first, last) = (truth.clone(), first.clone(), last.clone());
        async move {
            let Some(name) = call.on_status("sandboxes").map(str::to_owned) else {
                return server.answer(call).await;
            };
            let before = truth.get(&name).unwrap_or_else(|| json!({}));
            let mut meant = before.clone();
            json_patch::merge(&mut meant, &call.body["status"]);
            if names_one(&meant) {
                last.put(&name, meant.clone());
                first.first(&name, &meant);
            }
            truth.put(&name, meant.clone());
            let chosen = choose(Naming {
                first: first.get(&name).unwrap_or_default(),
                last: last.get(&name).unwrap_or_default(),
                meant,
            });
            for field in IDENTITY {
                call.body["status"][field] = chosen[field].clone();
            }
            let reply = server.answer(call).await?;
            if !reply.status.is_success() {
                truth.put(&name, before);
            }
            Ok(reply)
        }
    });
    controller_calls(rules.and_seen(move |plural, object| {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        if plural == "sandboxes"
            && object["status"].is_object()
            && let Some(meant) = meant_then.get(name)
        {
            for field in IDENTITY {
                object["status"][field] = meant[field].clone();
            }
        }
    }))
}

/// Whether a status names a Pod.
fn names_one(status: &Value) -> bool {
    !status["podInfo"].is_null()
}

fn dying_pod_taken_for_alive() -> Hooks {
    let (dying, meant) = (Notes::new(), Notes::new());
    let meant_then = meant.clone();
    let rules = CallRules::rule(move |mut call, server| {
        let (dying, meant) = (dying.clone(), meant.clone());
        async move {
            let looked_at = call.on(&Method::GET, "pods").map(str::to_owned);
            if let Some(name) = call.on_status("sandboxes").map(str::to_owned) {
                meant.take(&name);
                let status = &mut call.body["status"];
                if status["phase"] == "Resuming" && dying.get(&name).is_some() {
                    meant.put(&name, (status["phase"].clone(), status["conditions"].clone()));
                    say_it_serves(status);
                }
            }
            let reply = server.answer(call).await?;
            if let Some(name) = looked_at {
                dying.take(&name);
                if !reply.body["metadata"]["deletionTimestamp"].is_null() {
                    dying.put(&name, ());
                }
            }
            Ok(reply)
        }
    });
    // It believes itself.
    controller_calls(rules.and_seen(move |plural, object| {
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        if plural == "sandboxes"
            && let Some((phase, conditions)) = meant_then.get(&name)
        {
            object["status"]["phase"] = phase;
            object["status"]["conditions"] = conditions;
        }
    }))
}

fn say_it_serves(status: &mut Value) {
    status["phase"] = json!("Running");
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        if condition["type"] == "Ready" {
            condition["status"] = json!("True");
        }
    }
}
