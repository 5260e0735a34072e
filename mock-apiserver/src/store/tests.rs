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

proptest! {
    /// Independent model: the whole collection as a list, cut by hand.
    #[test]
    fn a_part_of_a_collection_is_what_a_filter_of_the_whole_gives(
        writes in prop::collection::vec((0u8..6, any::<bool>()), 1..40),
        (age, after, namespaced) in (0usize..10, prop::option::of(0u8..6), any::<bool>()),
    ) {
        let at = |number: u8| ObjectName::new(if number.is_multiple_of(2) { "m" } else { "n" }, &number.to_string());
        let mut store = Store::new(1000);
        let mut copies = vec![(store.revision(), Vec::new())];
        for (number, keep) in writes {
            if keep {
                store.put(&pods(), at(number), json!({"metadata": {}}));
            } else {
                let _ = store.remove(&pods(), &at(number), json!({"metadata": {}}));
            }
            copies.push((store.revision(), store.scan("pods", None).map(|(name, _)| name.clone()).collect()));
        }
        let (revision, whole) = &copies[copies.len().saturating_sub(1 + age)];
        let (namespace, after) = (namespaced.then_some("n"), after.map(at));
        let wanted = |name: &&ObjectName| {
            namespace.is_none_or(|namespace| name.namespace == namespace) && after.as_ref().is_none_or(|after| *name > after)
        };
        let expected: Vec<ObjectName> = whole.iter().filter(wanted).cloned().collect();
        let scan = || store.scan_at("pods", *revision, namespace, after.as_ref()).unwrap();
        prop_assert_eq!(scan().count(), expected.len());
        prop_assert_eq!(scan().map(|(name, _)| name.clone()).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn objects_that_were_not_written_for_long_are_kept_without_their_trees_and_read_the_same() {
    let mut store = Store::new(10_000);
    let name = |number: usize| ObjectName::new("n", &number.to_string());
    for number in 0..3000 {
        store.put(&pods(), name(number), json!({"metadata": {}, "number": number}));
    }
    let warm = |number| store.get("pods", &name(number)).unwrap().is_warm();
    assert_eq!([0, 1000, 2999].map(warm), [false, false, true]);
    for number in 0..3000 {
        assert_eq!(store.get("pods", &name(number)).unwrap()["number"], number);
    }
    // Looking at them does not warm what is stored.
    assert!(!store.get("pods", &name(0)).unwrap().is_warm());
    let changes = store.changes_after("pods", 0, usize::MAX).unwrap();
    assert!(
        changes
            .iter()
            .enumerate()
            .all(|(number, change)| change.object["number"] == number)
    );
}

#[test]
fn a_write_replaces_the_copy_that_was_read_for_it() {
    let mut store = Store::new(10);
    let put = |store: &mut Store, name: &str| store.put(&pods(), ObjectName::new("a", name), json!({"metadata": {}}));
    put(&mut store, "read");
    // It is not among the latest writes any more.
    for number in 0..2000 {
        put(&mut store, &number.to_string());
    }
    let name = ObjectName::new("a", "read");
    let read = store.get("pods", &name).unwrap();
    assert!(!read.is_warm());
    assert_eq!(revision_of(&read), 2);
    assert!(Arc::ptr_eq(&read, &store.get("pods", &name).unwrap()));
    let change = put(&mut store, "read");
    assert!(Arc::ptr_eq(&read, change.previous.as_ref().unwrap()));
    assert_eq!(revision_of(&store.get("pods", &name).unwrap()), change.revision);
}
