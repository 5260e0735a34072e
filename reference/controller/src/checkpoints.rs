//! Which Checkpoints there are of each sandbox: what their watch has brought, and what this controller has written since.
//!
//! To list those of one sandbox, an API server looks through those of all. So they are watched, and of each
//! only its number, name and UID is kept. What is known may lag behind, and no harm comes of that: one that is created twice is refused the second
//! time, one that is deleted twice is gone, what has taken its name is another, and one whose UID the watch has not brought yet stays until it has. Nothing waits for the watch: until its first list nothing is said of any Checkpoint.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::ResourceExt;
use kube::runtime::watcher::Event;
use torpor_api::Checkpoint;

/// A Checkpoint: the UID of its sandbox, and its generation.
type Key = (String, u64);

/// How a Checkpoint is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Described {
    /// Its name.
    pub(crate) name: String,
    /// Its `metadata.uid`; of one that was there already when it was to be created, not before the watch brings it.
    pub(crate) uid: Option<String>,
}

/// The Checkpoints of all sandboxes of a watch; a cheap handle.
#[derive(Clone, Debug, Default)]
pub(crate) struct Checkpoints {
    names: Arc<Mutex<Names>>,
}

#[derive(Debug, Default)]
struct Names {
    /// `None` before the first list.
    known: Option<BTreeMap<Key, Described>>,
    /// What the list under way has brought.
    listed: BTreeMap<Key, Described>,
}

impl Checkpoints {
    /// Takes in what the watch reports.
    pub(crate) fn follow(&self, event: Event<Checkpoint>) {
        let mut names = self.lock();
        match event {
            Event::Init => names.listed.clear(),
            Event::InitApply(checkpoint) => names.listed.extend(entry(checkpoint)),
            Event::InitDone => names.known = Some(std::mem::take(&mut names.listed)),
            Event::Apply(checkpoint) => {
                if let Some(known) = &mut names.known {
                    known.extend(entry(checkpoint));
                }
            }
            Event::Delete(checkpoint) => {
                if let (Some(known), Some((key, _))) = (&mut names.known, entry(checkpoint)) {
                    known.remove(&key);
                }
            }
        }
    }

    /// A sandbox's Checkpoints by their generation; `None` as long as nothing is known.
    pub(crate) fn of(&self, sandbox_uid: &str) -> Option<BTreeMap<u64, Described>> {
        let names = self.lock();
        let bounds = |generation| (sandbox_uid.to_owned(), generation);
        let of_sandbox = names.known.as_ref()?.range(bounds(0)..=bounds(u64::MAX));
        Some(
            of_sandbox
                .map(|((_, number), described)| (*number, described.clone()))
                .collect(),
        )
    }

    /// Notes one that was just created, or is there already. Of that the watch may have brought more meanwhile.
    pub(crate) fn created(&self, checkpoint: Checkpoint) {
        if let (Some(known), Some((key, described))) = (&mut self.lock().known, entry(checkpoint))
            && (described.uid.is_some() || !known.contains_key(&key))
        {
            known.insert(key, described);
        }
    }

    /// Notes that the one of this number was just deleted.
    pub(crate) fn deleted(&self, sandbox_uid: &str, generation: u64) {
        if let Some(known) = &mut self.lock().known {
            known.remove(&(sandbox_uid.to_owned(), generation));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `metadata.uid` of the sandbox that a Checkpoint is of.
fn sandbox_uid(checkpoint: &Checkpoint) -> Option<&str> {
    let mut owners = checkpoint.owner_references().iter();
    let owner = owners.find(|owner| owner.controller == Some(true))?;
    Some(&owner.uid)
}

/// One that no sandbox controls, or that has no number, is none of ours.
fn entry(checkpoint: Checkpoint) -> Option<(Key, Described)> {
    let sandbox_uid = sandbox_uid(&checkpoint)?.to_owned();
    let generation = checkpoint.status?.generation;
    let described = Described {
        name: checkpoint.metadata.name?,
        uid: checkpoint.metadata.uid,
    };
    Some(((sandbox_uid, generation), described))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn checkpoint(uid: &str, generation: u64) -> Checkpoint {
        let owner = json!({"apiVersion": "v1", "kind": "Sandbox", "name": "one", "uid": uid, "controller": true});
        let object = json!({
            "metadata": {
                "name": format!("{uid}-{generation}"), "uid": format!("uid-of-{uid}-{generation}"), "ownerReferences": [owner],
            },
            "spec": {"sandboxName": "one", "podName": "one"},
            "status": {
                "phase": "Succeeded", "checkpointId": "x", "generation": generation, "engine": "sim", "digest": "",
                "sizeBytes": 0, "storedBytes": 0,
            },
        });
        serde_json::from_value(object).expect("a Checkpoint")
    }

    fn generations(checkpoints: &Checkpoints, uid: &str) -> Option<Vec<u64>> {
        Some(checkpoints.of(uid)?.into_keys().collect())
    }

    /// After a first list that brought these.
    fn listed(brought: impl IntoIterator<Item = Checkpoint>) -> Checkpoints {
        let checkpoints = Checkpoints::default();
        checkpoints.follow(Event::Init);
        for checkpoint in brought {
            checkpoints.follow(Event::InitApply(checkpoint));
            assert_eq!(checkpoints.of("a"), None, "a list that has only begun says nothing");
        }
        checkpoints.follow(Event::InitDone);
        checkpoints
    }

    #[test]
    fn nothing_is_said_before_the_first_list() {
        let checkpoints = Checkpoints::default();
        checkpoints.created(checkpoint("a", 1));
        checkpoints.deleted("a", 1);
        assert_eq!(checkpoints.of("a"), None);
        assert_eq!(generations(&listed([]), "a"), Some(vec![]));
    }

    #[test]
    fn each_sandbox_has_its_own_in_the_order_of_their_numbers() {
        let checkpoints = listed([checkpoint("b", 9), checkpoint("a", 10), checkpoint("a", 2)]);
        assert_eq!(generations(&checkpoints, "a"), Some(vec![2, 10]));
        assert_eq!(generations(&checkpoints, "b"), Some(vec![9]));
        let described = Described {
            name: "a-2".to_owned(),
            uid: Some("uid-of-a-2".to_owned()),
        };
        assert_eq!(checkpoints.of("a").expect("known")[&2], described);
    }

    #[test]
    fn reports_and_own_writes_are_taken_in_and_a_new_list_replaces_them() {
        let checkpoints = listed([checkpoint("a", 1)]);
        checkpoints.follow(Event::Apply(checkpoint("a", 2)));
        checkpoints.created(checkpoint("a", 3));
        checkpoints.follow(Event::Delete(checkpoint("a", 1)));
        assert_eq!(generations(&checkpoints, "a"), Some(vec![2, 3]));
        checkpoints.deleted("a", 2);
        assert_eq!(generations(&checkpoints, "a"), Some(vec![3]));
        checkpoints.follow(Event::Init);
        checkpoints.follow(Event::InitApply(checkpoint("a", 4)));
        assert_eq!(
            generations(&checkpoints, "a"),
            Some(vec![3]),
            "until the list is complete"
        );
        checkpoints.follow(Event::InitDone);
        assert_eq!(generations(&checkpoints, "a"), Some(vec![4]));
    }

    #[test]
    fn what_the_watch_has_brought_is_not_forgotten_for_what_was_only_meant() {
        let mut meant = checkpoint("a", 1);
        meant.metadata.uid = None;
        let uids = |checkpoints: &Checkpoints| checkpoints.of("a").expect("known")[&1].uid.clone();
        let checkpoints = listed([]);
        checkpoints.created(meant.clone());
        assert_eq!(uids(&checkpoints), None);
        checkpoints.follow(Event::Apply(checkpoint("a", 1)));
        checkpoints.created(meant);
        assert_eq!(uids(&checkpoints).as_deref(), Some("uid-of-a-1"));
    }

    #[test]
    fn what_no_sandbox_controls_is_none_of_ours() {
        let mut foreign = checkpoint("a", 1);
        foreign.owner_references_mut()[0].controller = None;
        let mut numberless = checkpoint("a", 2);
        numberless.status = None;
        assert_eq!(generations(&listed([foreign, numberless]), "a"), Some(vec![]));
    }
}
