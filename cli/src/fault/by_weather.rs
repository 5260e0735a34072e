//! Mistakes of a controller that show only when the API server refuses, loses, or breaks off.

use std::future::pending;

use http::StatusCode;
use serde_json::json;

use super::calls::{Call, CallRules, Reply, Server};
use super::notes::Notes;
use super::{Fault, controller, controller_calls};

pub(super) const FAULTS: &[Fault] = &[
    controller(
        "gives-up-at-the-second-conflict",
        "does nothing more about a sandbox after two conflicts in a row",
        || controller_calls(gives_up_at_the_second_conflict()),
    )
    .breaks(&["FSM-10"], &["refused-requests-change-nothing"]),
    controller(
        "refusal-read-as-absence",
        "takes what the API server refuses to show for what does not exist",
        || controller_calls(CallRules::rule(refusal_read_as_absence)),
    )
    .breaks(&["FSM-10"], &["refused-requests-change-nothing"])
    .spares(&["the-controller-may-crash-after-any-write"]),
    controller(
        "unheard-creation-repeated",
        "makes another Pod when it hears no answer to the creation of the first",
        || controller_calls(CallRules::rule(unheard_creation_repeated)),
    )
    .breaks(&["FSM-10", "FSM-04"], &["lost-and-slow-requests-change-nothing"])
    .spares(&["refused-requests-change-nothing"]),
    controller(
        "broken-watch-unnoticed",
        "waits for ever for news of a watch that has ended or was refused",
        || controller_calls(CallRules::deaf()),
    )
    .breaks(&["FSM-10"], &["stale-lists-and-broken-watches-change-nothing"])
    .spares(&["refused-requests-change-nothing"]),
];

fn gives_up_at_the_second_conflict() -> CallRules {
    let conflicts = Notes::new();
    CallRules::rule(move |call, server| {
        let conflicts = conflicts.clone();
        async move {
            let Some(name) = call.subject() else {
                return server.answer(call).await;
            };
            let reads = call.reads();
            let in_a_row: u32 = conflicts.get(&name).unwrap_or_default();
            if in_a_row > 1 {
                return pending().await;
            }
            let reply = server.answer(call).await?;
            if reply.status == StatusCode::CONFLICT {
                conflicts.put(&name, in_a_row + 1);
            } else if !reads {
                conflicts.take(&name);
            }
            Ok(reply)
        }
    })
}

async fn refusal_read_as_absence(call: Call, server: Server) -> Result<Reply, tower::BoxError> {
    let reads = call.reads();
    let reply = server.answer(call).await?;
    let refused = reply.status == StatusCode::TOO_MANY_REQUESTS || reply.status.is_server_error();
    Ok(if reads && refused { Reply::not_found() } else { reply })
}

async fn unheard_creation_repeated(call: Call, server: Server) -> Result<Reply, tower::BoxError> {
    if !call.creates("pods") {
        return server.answer(call).await;
    }
    let mut another = Call::create(call.path(), call.body.clone())?;
    let name = call.subject().unwrap_or_default();
    another.body["metadata"]["name"] = json!(format!("{name}-again"));
    match server.answer(call).await {
        Ok(reply) => Ok(reply),
        Err(_) => server.answer(another).await,
    }
}
