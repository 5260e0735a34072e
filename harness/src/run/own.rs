//! By which a case tells its own objects among those of all cases, which the same watches report.

use std::collections::BTreeSet;

use super::world::World;
use crate::history::{Change, History, Occurrence, Owner, Watched};
use crate::profile::Dialect;

/// By which a case tells its own objects.
pub(super) struct Own {
    /// The kind of its sandboxes.
    kind: String,
    /// Their names.
    names: Vec<String>,
    /// What their Pods are called.
    pods: Vec<String>,
}

impl Own {
    pub(super) fn of(world: &World, dialect: &Dialect) -> Self {
        let names = world.own_names();
        Self {
            kind: dialect.kind.clone(),
            pods: names.iter().map(|name| dialect.pod_name_of(name)).collect(),
            names,
        }
    }

    /// Whether a change is one of its sandboxes, of a Pod that they own, or of one of nobody that has the name of theirs.
    fn has(&self, change: &Change) -> bool {
        let called = change.text("/metadata/name");
        let (known, name) = match (Owner::of(&change.state, &self.kind), change.object) {
            (Some(owner), _) => (&self.names, owner.name),
            (None, Watched::Sandbox) => (&self.names, called),
            (None, Watched::Pod) => (&self.pods, called),
        };
        known.iter().any(|known| known == name)
    }
}

/// Whether the last that was heard of every object of these sandboxes is its deletion.
pub(super) fn all_gone(history: &History, own: &Own) -> bool {
    let mut alive = BTreeSet::new();
    for change in history.changes() {
        let uid = change.text("/metadata/uid");
        if change.deleted {
            alive.remove(uid);
        } else if own.has(change) {
            alive.insert(uid);
        }
    }
    alive.is_empty()
}

/// Drops what the watches saw of other cases.
pub(super) fn keep_only(history: &mut History, own: &Own) {
    history.entries.retain(|entry| match &entry.what {
        Occurrence::Change(change) => own.has(change),
        Occurrence::StepStarted { .. }
        | Occurrence::StepEnded { .. }
        | Occurrence::Request { .. }
        | Occurrence::WatchLost { .. }
        | Occurrence::Command { .. }
        | Occurrence::Probe { .. } => true,
    });
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_of_nobody_is_a_cases_own_by_the_name_that_the_profile_gives_it() {
        let own = Own {
            kind: "Box".to_owned(),
            names: vec!["a".to_owned()],
            pods: vec!["a-0".to_owned()],
        };
        let owner = json!([{"kind": "Box", "name": "a", "uid": "u", "controller": true}]);
        let cases = [
            (Watched::Sandbox, json!({"name": "a"}), true),
            (Watched::Sandbox, json!({"name": "a-0"}), false),
            (Watched::Pod, json!({"name": "a-0"}), true),
            (Watched::Pod, json!({"name": "a"}), false),
            (Watched::Pod, json!({"name": "any", "ownerReferences": owner}), true),
        ];
        for (object, metadata, mine) in cases {
            let state = Arc::new(json!({"metadata": metadata}));
            let change = Change {
                object,
                deleted: false,
                state,
            };
            assert_eq!(own.has(&change), mine, "{change:?}");
        }
    }
}
