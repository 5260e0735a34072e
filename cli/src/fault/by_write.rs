//! Mistakes of a controller in a single write, or in one that it should have made.

use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use serde_json::{Value, json};
use torpor_api::{annotation, finalizer};
use tower::BoxError;

use super::calls::{Call, CallRules, Reply, Server};
use super::notes::Notes;
use super::{Fault, Hooks, controller, controller_calls};

pub(super) const FAULTS: &[Fault] = &[
    controller(
        "deletion-before-the-start-forgotten",
        "takes no deletion of a sandbox that has never run",
        || deletions_hidden(|sandbox| sandbox["status"]["runningSince"].is_null() && !ever_paused(sandbox)),
    )
    .breaks(&["DEL-05"], &["deleting-before-it-ran"])
    .touches(&["DEL"])
    .spares(&["deleting-while-running", "deleting-by-sdk-while-running"]),
    controller(
        "deletion-while-running-ignored",
        "takes no deletion of a sandbox that runs and was never paused",
        || deletions_hidden(|sandbox| sandbox["status"]["phase"] == "Running" && !ever_paused(sandbox)),
    )
    .breaks(&["DEL-04"], &["deleting-while-running"])
    .touches(&["DEL"])
    .spares(&["deleting-a-paused-sandbox-is-final@kubernetes"]),
    controller(
        "deleted-sandbox-comes-back",
        "makes a paused sandbox anew that was deleted, as if somebody had asked for it",
        || controller_calls(deleted_sandbox_comes_back()),
    )
    .breaks(
        &["DEL-06", "DEL-08"],
        &["a-second-delete-is-harmless", "a-deleted-sandbox-is-not-found"],
    )
    .touches(&["DEL", "E2B-02"])
    .spares(&["deleting-while-running", "deleting-by-sdk-while-running"]),
    controller(
        "let-go-before-its-pod",
        "lets a deleted sandbox go at once that was never paused, also when its Pod is still there",
        || controller_calls(CallRules::rule(let_go_before_its_pod)),
    )
    .breaks(&["DEL-10"], &["a-deletion-in-the-foreground-waits-for-the-pod"])
    .touches(&["DEL"])
    .spares(&[
        "finalizers-of-others-are-respected",
        "pause-and-resume-reach-their-state",
    ]),
    controller(
        "finalizer-kept-in-other-namespaces",
        "may take its finalizer off in the namespace alone for which it was set up",
        || controller_calls(CallRules::rule(finalizer_kept_elsewhere)),
    )
    .breaks(&["DEL-10"], &["deleting-the-namespace-deletes-its-sandboxes"])
    .spares(&[
        "deleting-while-running",
        "deleting-a-paused-sandbox-is-final@kubernetes",
    ]),
    controller(
        "secret-left-behind",
        "makes a Secret for each sandbox that nobody owns, and forgets it",
        || controller_calls(CallRules::rule(secret_left_behind)),
    )
    .breaks(
        &["DEL-07"],
        &[
            "deleting-a-paused-sandbox-is-final@kubernetes",
            "deleting-a-paused-sandbox-is-final@e2b",
            "deleting-while-running",
            "deleting-while-pausing",
            "deleting-while-resuming",
        ],
    )
    .touches(&["DEL"])
    .spares(&["deleting-in-any-state-frees-its-storage", "a-second-delete-is-harmless"]),
    controller(
        "template-rewritten-at-pause",
        "leaves a mark of its own in the template of a sandbox that it pauses",
        || controller_calls(CallRules::rule(template_rewritten_at_pause)),
    )
    .breaks(&["CTX-05"], &["identity-survives@kubernetes", "identity-survives@e2b"])
    .touches(&["FSM-02", "FSM-13"]),
    controller(
        "lost-pod-of-a-resume-not-replaced",
        "starts no second Pod from a checkpoint when the first is lost",
        || controller_calls(one_pod_for_each_checkpoint()),
    )
    .breaks(&["FSM-08"], &["a-pod-lost-while-resuming-is-replaced"])
    .spares(&[
        "a-lost-pod-is-reported@kubernetes",
        "every-write-of-five-cycles-survives@e2b",
    ]),
    controller(
        "lost-context-hidden",
        "does not say that the context was lost when it makes a lost Pod anew",
        || controller_calls(CallRules::asked(context_lost_unsaid)),
    )
    .breaks(&["FSM-08"], &["a-lost-pod-is-made-anew"])
    .spares(&["pause-and-resume-reach-their-state"])
    .read_by("sigs"),
];

fn ever_paused(sandbox: &Value) -> bool {
    !sandbox["status"]["lastCheckpointGeneration"].is_null()
}

/// Hides the deletion of sandboxes that `concerns` says so of when it comes.
fn deletions_hidden(concerns: fn(&Value) -> bool) -> Hooks {
    let hidden = Notes::new();
    controller_calls(CallRules::seen(move |plural, object| {
        let deleted = !object["metadata"]["deletionTimestamp"].is_null();
        if plural != "sandboxes" || !deleted {
            return;
        }
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        if hidden.first(&uid, &concerns(object)) {
            object["metadata"]["deletionTimestamp"] = Value::Null;
        }
    }))
}

/// Takes its finalizer off as soon as it reports that a sandbox is being deleted.
async fn let_go_before_its_pod(call: Call, server: Server) -> Result<Reply, BoxError> {
    let reported = call.on_status("sandboxes").is_some();
    let path = call.path().trim_end_matches("/status").to_owned();
    let reply = server.answer(call).await?;
    let metadata = &reply.body["metadata"];
    if reported && !metadata["deletionTimestamp"].is_null() && !ever_paused(&reply.body) {
        let names = metadata["finalizers"].as_array().into_iter().flatten();
        let others: Vec<_> = names.filter(|name| *name != finalizer::SANDBOX).collect();
        let change = json!({"metadata": {"finalizers": others}});
        server.answer(Call::merge(&path, change)?).await?;
    }
    Ok(reply)
}

async fn finalizer_kept_elsewhere(call: Call, server: Server) -> Result<Reply, BoxError> {
    let names = call.body.pointer("/metadata/finalizers").and_then(Value::as_array);
    let takes_off = names.is_some_and(|names| names.iter().all(|name| name != finalizer::SANDBOX));
    let elsewhere = !call
        .path()
        .contains(&format!("/namespaces/{}/", crate::plane::NAMESPACE));
    if call.on(&Method::PATCH, "sandboxes").is_some() && takes_off && elsewhere {
        return Ok(Reply {
            status: StatusCode::FORBIDDEN,
            body: json!({
                "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403,
                "message": "sandboxes is forbidden: the controller may not patch it in this namespace", "metadata": {},
            }),
        });
    }
    server.answer(call).await
}

/// What lived no longer may have been deleted by who saw nothing of it.
const UNNOTICED: Duration = Duration::from_secs(1);

fn deleted_sandbox_comes_back() -> CallRules {
    let back = Notes::new();
    CallRules::rule(move |call, server| {
        let back = back.clone();
        async move {
            let patched = call.on(&Method::PATCH, "sandboxes").map(|_| call.path().to_owned());
            let reply = server.answer(call).await?;
            let metadata = &reply.body["metadata"];
            let gone = !metadata["deletionTimestamp"].is_null() && metadata["finalizers"].is_null();
            let name = metadata["name"].as_str().unwrap_or_default();
            if let Some((collection, _)) = patched.as_deref().and_then(|path| path.rsplit_once('/'))
                && gone
                && reply.body["spec"]["paused"] == true
                // Only once, so that it can be got rid of; but a delete that was on its way must not hide that it came.
                && back.put(name, Instant::now()).is_none_or(|before| before.elapsed() < UNNOTICED)
            {
                let again = json!({
                    "apiVersion": reply.body["apiVersion"], "kind": reply.body["kind"], "spec": reply.body["spec"],
                    "metadata": {
                        "name": name, "labels": metadata["labels"], "annotations": metadata["annotations"],
                        // Its end, too, is a write of the controller's.
                        "finalizers": [finalizer::SANDBOX],
                    },
                });
                server.answer(Call::create(collection, again)?).await?;
            }
            Ok(reply)
        }
    })
}

async fn secret_left_behind(call: Call, server: Server) -> Result<Reply, BoxError> {
    let made = call.creates("pods").then(|| call.path().replace("/pods", "/secrets"));
    let name = call.subject();
    let reply = server.answer(call).await?;
    if let Some((path, name)) = made.zip(name).filter(|_| reply.status.is_success()) {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": format!("{name}-token")}});
        server.answer(Call::create(&path, secret)?).await?;
    }
    Ok(reply)
}

async fn template_rewritten_at_pause(call: Call, server: Server) -> Result<Reply, BoxError> {
    let pauses = call.on_status("sandboxes").is_some() && call.body["status"]["phase"] == "Paused";
    let path = call.path().trim_end_matches("/status").to_owned();
    let reply = server.answer(call).await?;
    if pauses && reply.status.is_success() {
        let mark = json!({"spec": {"template": {"metadata": {"annotations": {"example.com/paused": "yes"}}}}});
        server.answer(Call::merge(&path, mark)?).await?;
    }
    Ok(reply)
}

fn one_pod_for_each_checkpoint() -> CallRules {
    let started = Notes::new();
    CallRules::rule(move |call, server| {
        let started = started.clone();
        async move {
            let checkpoint = &call.body["metadata"]["annotations"][annotation::RESTORE_GENERATION];
            let name = call.subject().unwrap_or_default();
            if call.creates("pods")
                && !checkpoint.is_null()
                && started.put(&format!("{name} {checkpoint}"), ()).is_some()
            {
                return Ok(Reply {
                    status: StatusCode::FORBIDDEN,
                    body: json!({
                        "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403,
                        "message": "this checkpoint was started from already", "metadata": {},
                    }),
                });
            }
            server.answer(call).await
        }
    })
}

fn context_lost_unsaid(call: &mut Call) {
    if call.on_status("sandboxes").is_some()
        && let Some(conditions) = call
            .body
            .pointer_mut("/status/conditions")
            .and_then(Value::as_array_mut)
    {
        conditions.retain(|condition| condition["type"] != "ContextLost");
    }
}
