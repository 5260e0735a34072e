//! Plays the controller: follows `spec.paused` with the status that it would report, fails where told
//! to. It never looks at a timer.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use futures::StreamExt;
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
    runtime::{WatchStreamExt, watcher},
};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use torpor_api::{Phase, Sandbox};

/// What goes wrong, and what has been done.
#[derive(Clone)]
pub struct Faults {
    /// Pauses fail.
    pub checkpoint: Arc<AtomicBool>,
    /// Resumes fail.
    pub restore: Arc<AtomicBool>,
    /// New sandboxes have a template that gives no Pod.
    pub template: Arc<AtomicBool>,
    /// Pauses stay in `Pausing` while this is true.
    pub hold_pause: Arc<watch::Sender<bool>>,
    /// Resumes stay in `Resuming` while this is true.
    pub hold_resume: Arc<watch::Sender<bool>>,
    /// How many Pods were started.
    pub starts: Arc<AtomicU64>,
}

pub fn start(client: Client, ip: Ipv4Addr, shutdown: &CancellationToken) -> Faults {
    let faults = Faults {
        checkpoint: Arc::default(),
        restore: Arc::default(),
        template: Arc::default(),
        hold_pause: Arc::new(watch::Sender::new(false)),
        hold_resume: Arc::new(watch::Sender::new(false)),
        starts: Arc::default(),
    };
    let api: Api<Sandbox> = Api::namespaced(client, "default");
    let ended = shutdown.clone().cancelled_owned();
    let watched = faults.clone();
    tokio::spawn(async move {
        let events = watcher(api.clone(), watcher::Config::default())
            .default_backoff()
            .applied_objects();
        let mut events = std::pin::pin!(events.take_until(ended));
        while let Some(event) = events.next().await {
            if let Ok(sandbox) = event {
                tokio::spawn(follow(api.clone(), sandbox, ip, watched.clone()));
            }
        }
    });
    faults
}

/// Takes the next step for `sandbox`, if it is still the newest version of it.
async fn follow(api: Api<Sandbox>, sandbox: Sandbox, ip: Ipv4Addr, faults: Faults) {
    let status = sandbox.status.clone().unwrap_or_default();
    let done = status.observed_generation == sandbox.metadata.generation;
    let next = match (sandbox.spec.paused, status.phase) {
        (true, Some(Phase::Running)) if !done => step(&sandbox, "Pausing", &[]),
        (true, Some(Phase::Pausing)) => {
            let _ = faults.hold_pause.subscribe().wait_for(|held| !held).await;
            paused(&sandbox, ip, &faults)
        }
        (false, None) if faults.template.load(Ordering::SeqCst) => step(
            &sandbox,
            "Pending",
            &[("Ready", "False", "TemplateInvalid", "no containers")],
        ),
        (false, None) => running(&sandbox, ip, &faults, &[]),
        (false, Some(Phase::Resuming)) => {
            let _ = faults.hold_resume.subscribe().wait_for(|held| !held).await;
            if faults.restore.load(Ordering::SeqCst) {
                restore_failed(&sandbox)
            } else {
                running(&sandbox, ip, &faults, &[])
            }
        }
        (false, Some(Phase::Paused)) if !done && faults.restore.load(Ordering::SeqCst) => restore_failed(&sandbox),
        (false, Some(Phase::Paused | Phase::Pausing)) if !done => step(&sandbox, "Resuming", &[]),
        (true, Some(Phase::Paused)) if !done => step(
            &sandbox,
            "Paused",
            &[("SandboxPaused", "True", "SnapshotPauseSucceed", "")],
        ),
        (false, Some(Phase::Running)) if !done => json!({ "observedGeneration": sandbox.metadata.generation }),
        _ => return,
    };
    let patch = json!({ "metadata": { "resourceVersion": sandbox.resource_version() }, "status": next });
    // Refused if the sandbox has changed meanwhile: then its next event decides.
    let _ = api
        .patch_status(&sandbox.name_any(), &PatchParams::default(), &Patch::Merge(patch))
        .await;
}

/// The end of a pause, one way or the other.
fn paused(sandbox: &Sandbox, ip: Ipv4Addr, faults: &Faults) -> Value {
    if faults.checkpoint.load(Ordering::SeqCst) {
        let failed = ("SandboxPaused", "False", "CheckpointFailed", "disk full");
        return running(sandbox, ip, faults, &[failed]);
    }
    let complete = ("SandboxPaused", "True", "SnapshotPauseSucceed", "");
    step(sandbox, "Paused", &[complete])
}

fn restore_failed(sandbox: &Sandbox) -> Value {
    let failed = ("SandboxResumed", "False", "RestoreFailed", "checkpoint is torn");
    step(sandbox, "Paused", &[failed])
}

/// Reports that the run of a sandbox was lost.
pub async fn lose_the_run(api: &Api<Sandbox>, id: &str) {
    let sandbox = api.get(id).await.unwrap();
    report(api, id, restore_failed(&sandbox)).await;
}

/// Reports that the run of a sandbox is another one, which has begun five minutes after [`NOW`](super::NOW).
pub async fn begin_anew(api: &Api<Sandbox>, id: &str) {
    let since = super::NOW + jiff::SignedDuration::from_mins(5);
    report(api, id, json!({ "runningSince": since.to_string() })).await;
}

async fn report(api: &Api<Sandbox>, id: &str, status: Value) {
    let patch = json!({ "status": status });
    api.patch_status(id, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap();
}

fn running(sandbox: &Sandbox, ip: Ipv4Addr, faults: &Faults, more: &[(&str, &str, &str, &str)]) -> Value {
    let ready = ("Ready", "True", "PodReady", "");
    let mut status = step(sandbox, "Running", &[&[ready], more].concat());
    let stays = sandbox.spec.paused;
    if !stays {
        let start = faults.starts.fetch_add(1, Ordering::SeqCst) + 1;
        status["podInfo"] = json!({ "podUID": format!("pod-{start}"), "podIP": ip.to_string() });
        status["runningSince"] = json!(super::NOW.to_string());
    }
    status
}

/// A status of `phase`. Pausing keeps the Pod's address, as the real one does.
fn step(sandbox: &Sandbox, phase: &str, conditions: &[(&str, &str, &str, &str)]) -> Value {
    let conditions: Vec<_> = conditions
        .iter()
        .map(|(kind, status, reason, message)| {
            json!({ "type": kind, "status": status, "reason": reason, "message": message,
                "observedGeneration": sandbox.metadata.generation, "lastTransitionTime": super::NOW.to_string() })
        })
        .collect();
    let mut status =
        json!({ "phase": phase, "conditions": conditions, "observedGeneration": sandbox.metadata.generation });
    if phase == "Paused" {
        status["podInfo"] = Value::Null;
    }
    status
}
