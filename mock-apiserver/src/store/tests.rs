use super::*;
use proptest::prelude::*;
use serde_json::json;

fn pods() -> CollectionName {
    Arc::from("pods")
}

fn revision_of(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

#[test]
fn every_write_gets_the_next_revision() {
    let mut store = Store::new(10);
    let before = store.revision();
    let first = store.put(&pods(), ObjectName::new("a", "x"), json!({"metadata": {}}));
    let second = store.put(&Arc::from("nodes"), ObjectName::new("", "n"), json!({"metadata": {}}));
    assert_eq!((first.revision, second.revision), (before + 1, before + 2));
    assert_eq!(revision_of(&second.object), before + 2);
}

#[test]
fn a_compacted_store_refuses_older_revisions_and_serves_the_present_one() {
    let mut store = Store::new(10);
    let old = store
        .put(&pods(), ObjectName::new("a", "x"), json!({"metadata": {}}))
        .revision;
    store.put(&pods(), ObjectName::new("a", "y"), json!({"metadata": {}}));
    store.compact();
    assert!(store.changes_after("pods", old, 10).is_err());
    assert!(store.scan_at("pods", old, None, None).is_err());
    assert!(store.changes_after("pods", store.revision(), 10).unwrap().is_empty());
}

#[test]
fn a_full_ring_forgets_the_oldest_change_only() {
    let mut store = Store::new(2);
    let start = store.revision();
    for name in ["a", "b", "c"] {
        store.put(&pods(), ObjectName::new("n", name), json!({"metadata": {}}));
    }
    assert!(store.changes_after("pods", start, 10).is_err());
    assert_eq!(store.changes_after("pods", start + 1, 10).unwrap().len(), 2);
}

proptest! {
    /// Independent model: a plain list of full copies of the state after each write.
    #[test]
    fn the_state_at_any_revision_and_the_replay_of_changes_agree_with_full_copies(
        writes in prop::collection::vec((0u8..4, any::<bool>()), 1..40),
    ) {
        let mut store = Store::new(1000);
        let mut copies = vec![(store.revision(), BTreeMap::new())];
        for (step, (name, keep)) in writes.into_iter().enumerate() {
            let name = ObjectName::new("n", &name.to_string());
            let mut state = copies.last().unwrap().1.clone();
            if keep {
                state.insert(name.clone(), step);
                store.put(&pods(), name, json!({"metadata": {}, "step": step}));
            } else if state.remove(&name).is_some() {
                store.remove(&pods(), &name, json!({"metadata": {}})).unwrap();
            } else {
                let removed = store.remove(&pods(), &name, json!({"metadata": {}}));
                prop_assert!(removed.is_err());
                continue;
            }
            copies.push((store.revision(), state));
        }
        for (revision, expected) in &copies {
            let seen: BTreeMap<_, _> = store.scan_at("pods", *revision, None, None).unwrap()
                .map(|(name, object)| (name.clone(), usize::try_from(object["step"].as_u64().unwrap()).unwrap())).collect();
            prop_assert_eq!(&seen, expected);
            let mut replayed = expected.clone();
            for change in store.changes_after("pods", *revision, usize::MAX).unwrap() {
                match change.event {
                    Event::Deleted => { replayed.remove(&change.name); }
                    Event::Added | Event::Modified => {
                        replayed.insert(change.name.clone(), usize::try_from(change.object["step"].as_u64().unwrap()).unwrap());
                    }
                }
            }
            prop_assert_eq!(&replayed, &copies.last().unwrap().1);
        }
    }
}
