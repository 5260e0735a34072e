//! Field ownership under random writes of several managers, against a small model of flat maps.

use crate::support::*;
use kube::Client;
use mock_apiserver::MockApiServer;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// One write to the `data` of a config map.
#[derive(Debug, Clone)]
enum Step {
    Apply {
        manager: &'static str,
        wanted: BTreeMap<&'static str, u8>,
        force: bool,
    },
    /// A merge patch; `None` removes a key.
    Patch {
        manager: &'static str,
        changes: BTreeMap<&'static str, Option<u8>>,
    },
}

fn keys() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "c", "d"])
}

fn steps() -> impl Strategy<Value = Step> {
    let manager = prop::sample::select(vec!["one", "two", "three"]);
    let wanted = prop::collection::btree_map(keys(), 0..3_u8, 1..4);
    let changes = prop::collection::btree_map(keys(), prop::option::weighted(0.7, 0..3_u8), 1..3);
    prop_oneof![
        3 => (manager.clone(), wanted, any::<bool>()).prop_map(|(manager, wanted, force)| Step::Apply { manager, wanted, force }),
        1 => (manager, changes).prop_map(|(manager, changes)| Step::Patch { manager, changes }),
    ]
}

/// Who wrote how.
type Writer = (&'static str, &'static str);

/// What the object should be: values by key, and who owns which keys.
#[derive(Debug, Clone, Default)]
struct Model {
    values: BTreeMap<&'static str, u8>,
    owners: BTreeMap<Writer, BTreeSet<&'static str>>,
}

impl Model {
    /// Makes a step; false if it is to be refused.
    fn take(&mut self, step: &Step) -> bool {
        match step {
            Step::Apply { manager, wanted, force } => self.apply((manager, "Apply"), wanted, *force),
            Step::Patch { manager, changes } => {
                self.patch((manager, "Update"), changes);
                true
            }
        }
    }

    fn apply(&mut self, writer: Writer, wanted: &BTreeMap<&'static str, u8>, force: bool) -> bool {
        let changed: Vec<&str> = wanted
            .iter()
            .filter(|(key, value)| self.values.get(*key) != Some(value))
            .map(|(key, _)| *key)
            .collect();
        let others = |owners: &BTreeMap<Writer, BTreeSet<&str>>, key: &str| {
            owners
                .iter()
                .any(|(other, keys)| *other != writer && keys.contains(key))
        };
        if !force && changed.iter().any(|key| others(&self.owners, key)) {
            return false;
        }
        let before = self.owners.get(&writer).cloned().unwrap_or_default();
        for key in before.iter().filter(|key| !wanted.contains_key(*key)) {
            if !others(&self.owners, key) {
                self.values.remove(key);
            }
        }
        for keys in self.owners.values_mut() {
            keys.retain(|key| !changed.contains(key));
        }
        self.values.extend(wanted.iter().map(|(key, value)| (*key, *value)));
        self.owners.insert(writer, wanted.keys().copied().collect());
        true
    }

    fn patch(&mut self, writer: Writer, changes: &BTreeMap<&'static str, Option<u8>>) {
        for (key, value) in changes
            .iter()
            .filter(|(key, value)| self.values.get(*key) != value.as_ref())
            .collect::<Vec<_>>()
        {
            for keys in self.owners.values_mut() {
                keys.remove(key);
            }
            match value {
                Some(value) => {
                    self.values.insert(*key, *value);
                    self.owners.entry(writer).or_default().insert(*key);
                }
                None => {
                    self.values.remove(key);
                }
            }
        }
    }

    fn data(&self) -> Value {
        Value::Object(
            self.values
                .iter()
                .map(|(key, value)| ((*key).to_owned(), json!(value.to_string())))
                .collect(),
        )
    }

    fn owned(&self) -> BTreeMap<(String, String), BTreeSet<String>> {
        let owners = self.owners.iter().filter(|(_, keys)| !keys.is_empty());
        owners
            .map(|((manager, operation), keys)| {
                let keys = keys.iter().map(|key| (*key).to_owned()).collect();
                (((*manager).to_owned(), (*operation).to_owned()), keys)
            })
            .collect()
    }
}

/// The keys of `data` that each entry of `managedFields` owns.
fn owned(object: &Value) -> BTreeMap<(String, String), BTreeSet<String>> {
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    entries
        .map(|entry| {
            let text = |member: &str| entry[member].as_str().unwrap().to_owned();
            let fields = entry["fieldsV1"]["f:data"].as_object().cloned().unwrap_or_default();
            let keys = fields
                .keys()
                .filter_map(|key| key.strip_prefix("f:"))
                .map(str::to_owned)
                .collect();
            ((text("manager"), text("operation")), keys)
        })
        .collect()
}

async fn send_step(client: &Client, step: &Step) -> (u16, Value) {
    let path = format!("{MAPS}/shared");
    match step {
        Step::Apply { manager, wanted, force } => {
            let data: Map<String, Value> = wanted
                .iter()
                .map(|(key, value)| ((*key).to_owned(), json!(value.to_string())))
                .collect();
            let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shared"}, "data": data});
            let uri = format!("{path}?fieldManager={manager}&force={force}");
            send(
                client,
                "PATCH",
                &uri,
                "application/apply-patch+yaml",
                body.to_string().as_bytes(),
            )
            .await
        }
        Step::Patch { manager, changes } => {
            let data: Map<String, Value> = changes
                .iter()
                .map(|(key, value)| {
                    (
                        (*key).to_owned(),
                        value.map_or(Value::Null, |value| json!(value.to_string())),
                    )
                })
                .collect();
            merge(
                client,
                &format!("{path}?fieldManager={manager}"),
                &json!({ "data": data }),
            )
            .await
        }
    }
}

async fn hold_to_the_model(server: &MockApiServer, steps: &[Step]) -> Result<(), TestCaseError> {
    let client = server.client();
    let mut model = Model::default();
    for step in steps {
        let mut next = model.clone();
        let accepted = next.take(step);
        // A map without members is a value of its own, and a patch needs an object: neither is part of the model.
        let leaves_it = next.values.is_empty() || (model.values.is_empty() && matches!(step, Step::Patch { .. }));
        if leaves_it {
            continue;
        }
        let before = server.revision();
        let (code, answer) = send_step(&client, step).await;
        if !accepted {
            prop_assert_eq!((code, server.revision()), (409, before), "{:?}: {}", step, answer);
            continue;
        }
        prop_assert!(code < 300, "{step:?}: {answer}");
        model = next;
        prop_assert_eq!(&answer["data"], &model.data(), "{:?}", step);
        prop_assert_eq!(owned(&answer), model.owned(), "{:?}", step);
        let after = server.revision();
        let (code, again) = send_step(&client, step).await;
        prop_assert_eq!(
            (code, again, server.revision()),
            (200, answer, after),
            "{:?} twice",
            step
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn every_key_is_owned_by_whom_the_model_says_and_a_refused_write_changes_nothing(steps in prop::collection::vec(steps(), 1..12)) {
        crate::block_on(hold_to_the_model(&server(), &steps))?;
    }
}
