//! Mistakes of a gateway in what it asks of the API server.

use http::Method;
use serde_json::{Value, json};

use super::calls::{Call, CallRules};
use super::notes::Notes;
use super::{Fault, Hooks, gateway};

pub(super) const FAULTS: &[Fault] = &[
    gateway(
        "auto-pause-lost-after-resume",
        "forgets at a resume that the timeout pauses, so that the next one deletes",
        auto_pause_lost_after_resume,
    )
    .breaks(&["TIME-04"], &["auto-pause-survives-a-resume"])
    .spares(&["auto-pause-keeps-the-context"]),
    gateway(
        "paused-killed-at-timeout",
        "leaves the timeout of the run in force while it is paused",
        || {
            asked(|call| {
                if call.body["spec"]["paused"] == true
                    && let Some(spec) = call.body["spec"].as_object_mut()
                {
                    spec.remove("shutdownTime");
                    spec.remove("pauseTime");
                }
            })
        },
    )
    .breaks(&["ZERO-06"], &["timeout-does-not-touch-a-paused-sandbox"]),
    gateway(
        "timeout-never-fires",
        "sets no timer for a timeout that deletes",
        || {
            asked(|call| {
                if let Some(spec) = call.body["spec"].as_object_mut()
                    && spec.get("shutdownTime").is_some_and(|time| !time.is_null())
                {
                    spec.remove("shutdownTime");
                }
            })
        },
    )
    .breaks(&["TIME-01"], &["timeout-without-auto-pause-deletes"])
    .spares(&["auto-pause-keeps-the-context"]),
    gateway(
        "auto-pause-deletes",
        "deletes at the timeout, also what asked to be paused",
        || asked(pause_becomes_delete),
    )
    .breaks(&["TIME-01", "CTX-10"], &["auto-pause-keeps-the-context"])
    .spares(&["timeout-without-auto-pause-deletes"]),
];

/// Changes every write of the gateway to a Sandbox.
fn asked(change: impl Fn(&mut Call) + Send + Sync + 'static) -> Hooks {
    let rules = CallRules::asked(move |call| {
        if call.creates("sandboxes") || call.on(&Method::PATCH, "sandboxes").is_some() {
            change(call);
        }
    });
    Hooks {
        gateway_calls: Some(rules),
        ..Hooks::default()
    }
}

fn pause_becomes_delete(call: &mut Call) {
    let pause = call.body["spec"]["pauseTime"].clone();
    if !pause.is_null() {
        call.body["spec"]["shutdownTime"] = pause;
        call.body["spec"]["pauseTime"] = Value::Null;
    }
}

fn auto_pause_lost_after_resume() -> Hooks {
    let resumed = Notes::new();
    asked(move |call| {
        let Some(name) = call.on(&Method::PATCH, "sandboxes").map(str::to_owned) else {
            return;
        };
        if call.body["spec"]["paused"] == json!(false) {
            resumed.put(&name, ());
        }
        if resumed.get(&name).is_some() {
            pause_becomes_delete(call);
        }
    })
}
