//! What happens at the end of a case, whatever came of it: everything that it made is deleted, and the watches catch up.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::own::{Own, all_gone};
use super::world::World;
use crate::probe::{Body, Fault};
use crate::scenario::{Front, Method};

/// How long the watches may take to report the deletions at the end of a case.
const SETTLE: Duration = Duration::from_secs(1);
/// How long they must be silent then: each kind of object comes by a watch of its own.
const QUIET: Duration = Duration::from_millis(50);
/// How long to rest between two looks at what is being deleted.
const REST: Duration = Duration::from_millis(200);

/// Deletes everything that the case made; gives what is still there afterwards.
pub(super) async fn clean_up(world: &World) -> Vec<String> {
    let (made, objects, aliases) = {
        let state = world.state();
        let aliases: Vec<_> = state.sandboxes.keys().cloned().collect();
        (state.made.clone(), state.objects.clone(), aliases)
    };
    world.release().await;
    for made in &made {
        // A sandbox that is gone already answers 404, which is as good.
        if made.front == Front::E2b
            && let Ok(e2b) = world.e2b()
        {
            let path = format!("/sandboxes/{}", made.id);
            let _ = e2b.api(Method::Delete, &path, Body::None).await;
        }
        if let (Some(name), Ok(cluster)) = (&made.name, world.cluster()) {
            let _ = cluster.delete_sandbox(name, None).await;
        }
    }
    let mut leftovers = Vec::new();
    for (kind, name) in &objects {
        if let Ok(cluster) = world.cluster()
            && let Err(fault) = cluster.delete_object(kind, name).await
        {
            leftovers.push(format!("{} {name}: {}", kind.kind, fault.message()));
        }
    }
    for alias in aliases {
        leftovers.extend(
            still_there(world, &alias)
                .await
                .map(|why| format!("sandbox {alias}: {why}")),
        );
    }
    leftovers
}

async fn still_there(world: &World, alias: &str) -> Option<String> {
    let deadline = world.pulse.deadline(world.target.limits().delete.duration());
    let mut changes = world.journal.changes();
    loop {
        changes.mark_unchanged();
        match world.gone(alias).await {
            Ok(Ok(())) => return None,
            Ok(Err(why)) if deadline.is_over() => return Some(why),
            Ok(Err(_)) => {
                // Who writes finalizers from what it had read before puts those back that were taken away.
                world.release().await;
                let _ = tokio::time::timeout(REST, changes.changed()).await;
            }
            Err(fault) => return Some(fault.message().to_owned()),
        }
    }
}

/// Lets the watches catch up, so that the record ends with the deletion of everything in it.
pub(super) async fn settle(world: &World) {
    let Ok(dialect) = world.dialect() else {
        return;
    };
    let own = Own::of(world, dialect);
    let deadline = Instant::now() + SETTLE;
    let mut changes = world.journal.changes();
    while Instant::now() < deadline {
        changes.mark_unchanged();
        let complete = all_gone(&world.journal.history(), &own);
        let quiet = tokio::time::timeout(QUIET, changes.changed()).await.is_err();
        if complete && quiet {
            return;
        }
    }
}

/// An object that a step gave finalizers, which nobody else takes away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    kind: HeldKind,
    name: String,
    /// The finalizers.
    by: Vec<String>,
}

/// What kind of object is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeldKind {
    /// The custom resource.
    Sandbox,
    /// A Pod.
    Pod,
}

impl World {
    /// Remembers the finalizers that a step gives an object, as they stand in a merge patch.
    pub(super) fn holds(&self, kind: HeldKind, name: &str, object: &Value) {
        let listed = object.pointer("/metadata/finalizers").and_then(Value::as_array);
        let by: Vec<_> = listed
            .into_iter()
            .flatten()
            .filter_map(|finalizer| finalizer.as_str().map(str::to_owned))
            .collect();
        if !by.is_empty() {
            let name = name.to_owned();
            self.state().held.push(Held { kind, name, by });
        }
    }

    /// Takes the finalizers away that steps gave, and leaves those of others; what is gone needs no more.
    async fn release(&self) {
        let held = self.state().held.clone();
        for Held { kind, name, by } in held {
            // What could not be released is found to be still there.
            let _ = self.release_one(kind, &name, &by).await;
        }
    }

    async fn release_one(&self, kind: HeldKind, name: &str, by: &[String]) -> Result<(), Fault> {
        let cluster = self.cluster()?;
        let api = match kind {
            HeldKind::Sandbox => cluster.sandboxes(),
            HeldKind::Pod => cluster.pods(),
        };
        cluster.release(&api, name, by).await
    }
}
