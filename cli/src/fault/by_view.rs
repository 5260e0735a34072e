//! Mistakes of a controller that misreads the objects that it is told of.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use torpor_api::{annotation, finalizer};

use super::calls::{Call, CallRules};
use super::notes::Notes;
use super::{Fault, Hooks, controller, controller_calls};

pub(super) const FAULTS: &[Fault] = &[
    controller(
        "created-paused-starts-first",
        "starts a sandbox that was created paused, and pauses it then",
        || {
            seen(|sandbox| {
                if is_wanted_paused(sandbox) && sandbox["status"]["runningSince"].is_null() {
                    sandbox["spec"]["paused"] = json!(false);
                }
            })
        },
    )
    .breaks(&["ZERO-07"], &["created-paused-starts-nothing"]),
    controller(
        "template-edit-wakes",
        "starts a paused sandbox when its template is edited",
        template_edit_wakes,
    )
    .breaks(&["FSM-13"], &["an-edited-template-waits-for-the-resume"]),
    controller(
        "metadata-edit-wakes",
        "starts a paused sandbox when its labels or annotations are edited",
        metadata_edit_wakes,
    )
    .breaks(&["ZERO-04"], &["edits-of-metadata-do-not-wake"]),
    controller(
        "shutdown-time-ignored-while-paused",
        "looks at the shutdown time of running sandboxes only",
        || {
            seen(|sandbox| {
                if is_wanted_paused(sandbox) {
                    sandbox["spec"]["shutdownTime"] = Value::Null;
                }
            })
        },
    )
    .breaks(&["TIME-06"], &["the-shutdown-time-deletes-without-waking"]),
    controller("pause-time-ignored", "never pauses by itself", || {
        seen(|sandbox| sandbox["spec"]["pauseTime"] = Value::Null)
    })
    .breaks(
        &["TIME-01", "CTX-10"],
        &["the-pause-time-pauses", "auto-pause-keeps-the-context"],
    ),
    controller(
        "finalizer-never-added",
        "holds no finalizer, so that a deleted sandbox is gone before its checkpoint data",
        || {
            seen(|sandbox| {
                if sandbox["metadata"]["deletionTimestamp"].is_null() {
                    let mut held = sandbox["metadata"]["finalizers"]
                        .as_array()
                        .cloned()
                        .unwrap_or_default();
                    held.push(json!(finalizer::SANDBOX));
                    sandbox["metadata"]["finalizers"] = json!(held);
                }
            })
        },
    )
    .breaks(
        &["DEL-01", "DEL-07"],
        &["deleting-a-paused-sandbox-frees-its-storage@kubernetes"],
    )
    .touches(&["DEL"]),
    controller(
        "toggle-during-pause-ignored",
        "takes no new request while it pauses, and forgets it",
        || slowly_ignoring("Pausing", |call| call.on(&Method::DELETE, "pods").is_some()),
    )
    .breaks(&["FSM-03"], &["toggles-converge"]),
    controller(
        "toggle-during-resume-ignored",
        "takes no new request while it resumes, and forgets it",
        || slowly_ignoring("Resuming", restores),
    )
    .breaks(&["FSM-03"], &["toggles-converge"]),
    controller(
        "deletion-while-changing-ignored",
        "takes no deletion while it starts, pauses or resumes, and forgets it",
        deletion_while_changing_ignored,
    )
    .breaks(
        &["DEL-02", "DEL-03"],
        &["deleting-while-pausing", "deleting-while-resuming"],
    )
    .touches(&["DEL"])
    .spares(&["deleting-by-sdk-while-running"]),
];

/// Changes every Sandbox that the controller sees.
pub(super) fn seen(change: impl Fn(&mut Value) + Send + Sync + 'static) -> Hooks {
    controller_calls(CallRules::seen(of_sandboxes(change)))
}

fn of_sandboxes(change: impl Fn(&mut Value) + Send + Sync + 'static) -> impl Fn(&str, &mut Value) + Send + Sync {
    move |plural, object| {
        if plural == "sandboxes" && object["spec"].is_object() {
            change(object);
        }
    }
}

fn is_wanted_paused(sandbox: &Value) -> bool {
    sandbox["spec"]["paused"] == true && sandbox["metadata"]["deletionTimestamp"].is_null()
}

fn uid(object: &Value) -> &str {
    object["metadata"]["uid"].as_str().unwrap_or_default()
}

fn template_edit_wakes() -> Hooks {
    let templates = Notes::new();
    seen(move |sandbox| {
        let template = sandbox["spec"]["template"].clone();
        let first = templates.first(uid(sandbox), &template);
        if is_wanted_paused(sandbox) && first != template {
            sandbox["spec"]["paused"] = json!(false);
        }
    })
}

fn metadata_edit_wakes() -> Hooks {
    let asleep = Notes::new();
    seen(move |sandbox| {
        let shown = json!([sandbox["metadata"]["labels"], sandbox["metadata"]["annotations"]]);
        if !is_wanted_paused(sandbox) {
            asleep.take(uid(sandbox));
        } else if sandbox["status"]["phase"] == "Paused" || asleep.get(uid(sandbox)).is_some() {
            let first = asleep.first(uid(sandbox), &shown);
            if first != shown {
                sandbox["spec"]["paused"] = json!(false);
            }
        }
    })
}

/// Forgets what is asked for in `phase` against what is under way then.
fn toggle_ignored(phase: &'static str) -> impl Fn(&mut Value) + Send + Sync + 'static {
    let ignored = Notes::new();
    let under_way = phase == "Pausing";
    move |sandbox| {
        let generation = sandbox["metadata"]["generation"].clone();
        let against = (sandbox["spec"]["paused"] == true) != under_way;
        if against && sandbox["status"]["phase"] == phase {
            ignored.put(uid(sandbox), generation.clone());
        }
        if against && ignored.get(uid(sandbox)) == Some(generation) {
            sandbox["spec"]["paused"] = json!(under_way);
        }
    }
}

/// How long a pause or a resume lasts at the least, so that something can be asked for meanwhile.
const SLOW: Duration = Duration::from_millis(300);

/// Forgets what is asked for in `phase`, which lasts a while: one of the `slow` calls is part of it.
fn slowly_ignoring(phase: &'static str, slow: fn(&Call) -> bool) -> Hooks {
    let slow = CallRules::rule(move |call, server| async move {
        if slow(&call) {
            tokio::time::sleep(SLOW).await;
        }
        server.answer(call).await
    });
    controller_calls(slow.and_seen(of_sandboxes(toggle_ignored(phase))))
}

/// Whether a Pod is created that goes on from a checkpoint.
fn restores(call: &Call) -> bool {
    call.creates("pods") && !call.body["metadata"]["annotations"][annotation::RESTORE_GENERATION].is_null()
}

fn deletion_while_changing_ignored() -> Hooks {
    let ignored = Notes::new();
    seen(move |sandbox| {
        let deleted = !sandbox["metadata"]["deletionTimestamp"].is_null();
        let wanted = if sandbox["spec"]["paused"] == true {
            "Paused"
        } else {
            "Running"
        };
        if deleted && sandbox["status"]["phase"] != wanted && sandbox["status"]["phase"] != "Terminating" {
            ignored.put(uid(sandbox), ());
        }
        if deleted && ignored.get(uid(sandbox)).is_some() {
            sandbox["metadata"]["deletionTimestamp"] = Value::Null;
        }
    })
}
