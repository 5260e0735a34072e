//! The world as it was after each change.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Change, History, Watched};

/// The world right after one change.
#[derive(Clone, Debug)]
pub struct Moment<'a> {
    /// The change.
    pub change: &'a Change,
    /// The sandboxes that exist, by UID.
    pub sandboxes: BTreeMap<&'a str, &'a Value>,
    /// The Pods that exist, by UID.
    pub pods: BTreeMap<&'a str, &'a Value>,
}

/// The sandbox that an object says it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner<'a> {
    /// Its UID.
    pub uid: &'a str,
    /// Its name.
    pub name: &'a str,
}

impl<'a> Owner<'a> {
    /// The controlling owner of `object`, when it is of that kind.
    #[must_use]
    pub fn of(object: &'a Value, kind: &str) -> Option<Self> {
        let owners = object.pointer("/metadata/ownerReferences")?.as_array()?;
        let text = |owner: &'a Value, field: &str| owner.get(field).and_then(Value::as_str).unwrap_or_default();
        owners
            .iter()
            .find(|owner| text(owner, "kind") == kind && owner.get("controller") == Some(&Value::Bool(true)))
            .map(|owner| Self {
                uid: text(owner, "uid"),
                name: text(owner, "name"),
            })
    }
}

impl<'a> Moment<'a> {
    /// The Pods of a sandbox that still hold resources: they exist, and have not ended.
    #[must_use]
    pub fn live_pods(&self, sandbox_uid: &str, kind: &str) -> Vec<&'a Value> {
        let ended = |pod: &Value| {
            matches!(
                pod.pointer("/status/phase").and_then(Value::as_str),
                Some("Succeeded" | "Failed")
            )
        };
        self.pods
            .values()
            .copied()
            .filter(|pod| Owner::of(pod, kind).is_some_and(|owner| owner.uid == sandbox_uid) && !ended(pod))
            .collect()
    }
}

/// Every moment of a history, in order of the API server's revisions.
#[must_use]
pub fn replay(history: &History) -> Vec<Moment<'_>> {
    let mut sandboxes = BTreeMap::new();
    let mut pods = BTreeMap::new();
    history
        .changes()
        .into_iter()
        .map(|change| {
            let world = match change.object {
                Watched::Sandbox => &mut sandboxes,
                Watched::Pod => &mut pods,
            };
            let uid = change.text("/metadata/uid");
            if change.deleted {
                world.remove(uid);
            } else {
                world.insert(uid, change.state.as_ref());
            }
            Moment {
                change,
                sandboxes: sandboxes.clone(),
                pods: pods.clone(),
            }
        })
        .collect()
}
