//! Field ownership of sets, of keyed lists with sets in their items, and of maps, against a small model of paths.

use crate::support::*;
use kube::Client;
use mock_apiserver::MockApiServer;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const PLURALS: &str = "/apis/nested.example.com/v1/plurals";

/// A leaf or an item of the object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Path {
    InSet(String),
    Item(String),
    Name(String),
    Value(String),
    Tag(String, String),
    Entry(String),
}

/// What a manager applies, and what the object is: a set, items by name with a number and tags, and a map.
#[derive(Debug, Clone, Default, PartialEq)]
struct Spec {
    set: BTreeSet<String>,
    items: BTreeMap<String, (Option<u8>, BTreeSet<String>)>,
    map: BTreeMap<String, u8>,
}

impl Spec {
    /// Every path with what stands there.
    fn paths(&self) -> BTreeMap<Path, Option<u8>> {
        let mut paths = BTreeMap::new();
        paths.extend(self.set.iter().map(|value| (Path::InSet(value.clone()), None)));
        paths.extend(
            self.map
                .iter()
                .map(|(key, value)| (Path::Entry(key.clone()), Some(*value))),
        );
        for (name, (value, tags)) in &self.items {
            paths.insert(Path::Item(name.clone()), None);
            paths.insert(Path::Name(name.clone()), None);
            if let Some(value) = value {
                paths.insert(Path::Value(name.clone()), Some(*value));
            }
            paths.extend(tags.iter().map(|tag| (Path::Tag(name.clone(), tag.clone()), None)));
        }
        paths
    }

    fn take(&mut self, path: &Path, value: Option<u8>) {
        match path {
            Path::InSet(text) => drop(self.set.insert(text.clone())),
            Path::Entry(key) => drop(self.map.insert(key.clone(), value.unwrap())),
            Path::Item(name) | Path::Name(name) => drop(self.items.entry(name.clone()).or_default()),
            Path::Value(name) => self.items.entry(name.clone()).or_default().0 = value,
            Path::Tag(name, tag) => drop(self.items.entry(name.clone()).or_default().1.insert(tag.clone())),
        }
    }

    fn drop(&mut self, path: &Path) {
        match path {
            Path::InSet(text) => drop(self.set.remove(text)),
            Path::Entry(key) => drop(self.map.remove(key)),
            Path::Item(name) => drop(self.items.remove(name)),
            // An item is known by its name for as long as it is there.
            Path::Name(_) => {}
            Path::Value(name) => drop(self.items.get_mut(name).map(|item| item.0 = None)),
            Path::Tag(name, tag) => drop(self.items.get_mut(name).map(|item| item.1.remove(tag))),
        }
    }

    fn json(&self) -> Value {
        let item = |(name, (value, tags)): (&String, &(Option<u8>, BTreeSet<String>))| {
            let mut item = json!({ "name": name });
            if let Some(value) = value {
                item["v"] = json!(value);
            }
            if !tags.is_empty() {
                item["tags"] = json!(tags);
            }
            item
        };
        let mut spec = json!({});
        if !self.set.is_empty() {
            spec["set"] = json!(self.set);
        }
        if !self.items.is_empty() {
            spec["list"] = self.items.iter().map(item).collect();
        }
        if !self.map.is_empty() {
            spec["map"] = json!(self.map);
        }
        spec
    }

    fn read(spec: &Value) -> Self {
        let texts = |list: &Value| -> BTreeSet<String> {
            let list = list.as_array().into_iter().flatten();
            list.map(|text| text.as_str().unwrap().to_owned()).collect()
        };
        let number = |value: &Value| value.as_u64().map(|value| u8::try_from(value).unwrap());
        let items = spec["list"].as_array().into_iter().flatten();
        let map = spec["map"].as_object().into_iter().flatten();
        Self {
            set: texts(&spec["set"]),
            items: items
                .map(|item| {
                    (
                        item["name"].as_str().unwrap().to_owned(),
                        (number(&item["v"]), texts(&item["tags"])),
                    )
                })
                .collect(),
            map: map.map(|(key, value)| (key.clone(), number(value).unwrap())).collect(),
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Apply {
        manager: &'static str,
        spec: Spec,
        force: bool,
    },
    /// A merge patch of the whole set, of some entries of the map, and of the whole list with another number for one item.
    Update {
        manager: &'static str,
        set: BTreeSet<String>,
        map: BTreeMap<String, Option<u8>>,
        number: (String, u8),
    },
}

fn steps() -> impl Strategy<Value = Step> {
    let manager = prop::sample::select(vec!["one", "two"]);
    let set = || prop::collection::btree_set("[ab]", 0..3);
    let item = (prop::option::of(0..2_u8), set());
    let spec = (
        set(),
        prop::collection::btree_map("[kl]", item, 0..3),
        prop::collection::btree_map("[mn]", 0..2_u8, 0..3),
    );
    let spec = spec.prop_map(|(set, items, map)| Spec { set, items, map });
    let changes = prop::collection::btree_map("[mn]", prop::option::of(0..2_u8), 0..2);
    prop_oneof![
        3 => (manager.clone(), spec, any::<bool>()).prop_map(|(manager, spec, force)| Step::Apply { manager, spec, force }),
        1 => (manager, set(), changes, ("[kl]", 0..4_u8)).prop_map(|(manager, set, map, number)| Step::Update { manager, set, map, number }),
    ]
}

type Owners = BTreeMap<(String, String), BTreeSet<Path>>;

#[derive(Debug, Clone, Default)]
struct Model {
    spec: Spec,
    owners: Owners,
}

impl Model {
    /// Makes a step; false if it is to be refused.
    fn step(&mut self, step: &Step) -> bool {
        match step {
            Step::Apply { manager, spec, force } => self.apply(manager, spec, *force),
            Step::Update {
                manager,
                set,
                map,
                number,
            } => {
                self.update(manager, set, map, number);
                true
            }
        }
    }

    fn apply(&mut self, manager: &str, spec: &Spec, force: bool) -> bool {
        let writer = (manager.to_owned(), "Apply".to_owned());
        let (live, wanted) = (self.spec.paths(), spec.paths());
        let changed: BTreeSet<Path> = wanted
            .iter()
            .filter(|(path, value)| live.get(*path) != Some(*value))
            .map(|(path, _)| path.clone())
            .collect();
        let others: BTreeSet<Path> = self
            .owners
            .iter()
            .filter(|(other, _)| **other != writer)
            .flat_map(|(_, paths)| paths.clone())
            .collect();
        if !force && changed.iter().any(|path| others.contains(path)) {
            return false;
        }
        for path in self.owners.get(&writer).cloned().unwrap_or_default() {
            if !wanted.contains_key(&path) && !others.contains(&path) {
                self.spec.drop(&path);
            }
        }
        for (path, value) in &wanted {
            self.spec.take(path, *value);
        }
        for paths in self.owners.values_mut() {
            paths.retain(|path| !changed.contains(path));
        }
        self.owners.insert(writer, wanted.into_keys().collect());
        self.forget_what_is_gone();
        true
    }

    fn update(
        &mut self,
        manager: &str,
        set: &BTreeSet<String>,
        map: &BTreeMap<String, Option<u8>>,
        (name, number): &(String, u8),
    ) {
        let before = self.spec.paths();
        self.spec.set = set.iter().cloned().chain(["base".to_owned()]).collect();
        for (key, value) in map {
            match value {
                Some(value) => drop(self.spec.map.insert(key.clone(), *value)),
                None => drop(self.spec.map.remove(key)),
            }
        }
        if let Some(item) = self.spec.items.get_mut(name) {
            item.0 = Some(*number);
        }
        let changed = self
            .spec
            .paths()
            .into_iter()
            .filter(|(path, value)| before.get(path) != Some(value));
        let changed: BTreeSet<Path> = changed.map(|(path, _)| path).collect();
        for paths in self.owners.values_mut() {
            paths.retain(|path| !changed.contains(path));
        }
        self.owners
            .entry((manager.to_owned(), "Update".to_owned()))
            .or_default()
            .extend(changed);
        self.forget_what_is_gone();
    }

    fn forget_what_is_gone(&mut self) {
        let there = self.spec.paths();
        for paths in self.owners.values_mut() {
            paths.retain(|path| there.contains_key(path));
        }
        self.owners.retain(|_, paths| !paths.is_empty());
    }
}

/// What each manager owns, as `managedFields` says.
fn owners(object: &Value) -> Owners {
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    let owned = entries.map(|entry| {
        let text = |member: &str| entry[member].as_str().unwrap().to_owned();
        (
            (text("manager"), text("operation")),
            paths_of(&entry["fieldsV1"]["f:spec"]),
        )
    });
    owned.filter(|(_, paths)| !paths.is_empty()).collect()
}

fn paths_of(fields: &Value) -> BTreeSet<Path> {
    let members = |fields: &Value| fields.as_object().cloned().unwrap_or_default().into_iter();
    let value = |key: &str| serde_json::from_str::<String>(key.strip_prefix("v:")?).ok();
    let mut paths = BTreeSet::new();
    paths.extend(members(&fields["f:set"]).filter_map(|(key, _)| Some(Path::InSet(value(&key)?))));
    paths
        .extend(members(&fields["f:map"]).filter_map(|(key, _)| Some(Path::Entry(key.strip_prefix("f:")?.to_owned()))));
    for (key, below) in members(&fields["f:list"]) {
        let Some(key) = key.strip_prefix("k:") else { continue };
        let key: Value = serde_json::from_str(key).unwrap();
        let name = key["name"].as_str().unwrap().to_owned();
        let has = |member: &str| below.get(member).is_some();
        let own = [
            (".", Path::Item(name.clone())),
            ("f:name", Path::Name(name.clone())),
            ("f:v", Path::Value(name.clone())),
        ];
        paths.extend(own.into_iter().filter(|(member, _)| has(member)).map(|(_, path)| path));
        paths.extend(members(&below["f:tags"]).filter_map(|(key, _)| Some(Path::Tag(name.clone(), value(&key)?))));
    }
    paths
}

fn definition() -> Value {
    let set = json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}});
    let item = json!({"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}, "v": {"type": "integer"}, "tags": set}});
    let list = json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": item});
    let map = json!({"type": "object", "additionalProperties": {"type": "integer"}});
    let spec = json!({"type": "object", "properties": {"set": set, "list": list, "map": map}});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "plurals.nested.example.com"},
        "spec": {
            "group": "nested.example.com", "scope": "Cluster", "names": {"plural": "plurals", "kind": "Plural"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}}],
        },
    })
}

fn object(spec: &Value) -> Value {
    json!({"apiVersion": "nested.example.com/v1", "kind": "Plural", "metadata": {"name": "a"}, "spec": spec})
}

async fn send_step(client: &Client, before: &Spec, step: &Step) -> (u16, Value) {
    match step {
        Step::Apply { manager, spec, force } => {
            let uri = format!("{PLURALS}/a?fieldManager={manager}&force={force}");
            let body = object(&spec.json()).to_string();
            send(client, "PATCH", &uri, "application/apply-patch+yaml", body.as_bytes()).await
        }
        Step::Update {
            manager,
            set,
            map,
            number: (name, number),
        } => {
            let mut changed = before.clone();
            if let Some(item) = changed.items.get_mut(name) {
                item.0 = Some(*number);
            }
            let list = changed.json()["list"].take();
            let set: Vec<&str> = set.iter().map(String::as_str).chain(["base"]).collect();
            let uri = format!("{PLURALS}/a?fieldManager={manager}");
            merge(client, &uri, &json!({"spec": {"set": set, "map": map, "list": list}})).await
        }
    }
}

async fn hold_to_the_model(server: &MockApiServer, steps: &[Step]) -> Result<(), TestCaseError> {
    let client = server.client();
    post(&client, CRDS, &definition()).await;
    // Something of the creator's is always there, so that no part is ever empty.
    let base = json!({"set": ["base"], "list": [{"name": "base"}], "map": {"base": 0}});
    let (code, made) = post(&client, &format!("{PLURALS}?fieldManager=base"), &object(&base)).await;
    prop_assert_eq!(code, 201, "{}", made);
    let mut model = Model {
        spec: Spec::read(&base),
        owners: owners(&made),
    };
    for step in steps {
        let before = server.revision();
        let mut next = model.clone();
        let accepted = next.step(step);
        let (code, answer) = send_step(&client, &model.spec, step).await;
        if !accepted {
            prop_assert_eq!((code, server.revision()), (409, before), "{:?}: {}", step, answer);
            continue;
        }
        prop_assert_eq!(code, 200, "{:?}: {}", step, answer);
        model = next;
        prop_assert_eq!(&Spec::read(&answer["spec"]), &model.spec, "{:?}", step);
        prop_assert_eq!(&owners(&answer), &model.owners, "{:?}", step);
        let after = server.revision();
        let (code, again) = send_step(&client, &model.spec, step).await;
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
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]
    #[test]
    fn every_item_and_field_is_owned_by_whom_the_model_says_and_nobody_loses_one(steps in prop::collection::vec(steps(), 1..10)) {
        crate::block_on(hold_to_the_model(&server(), &steps))?;
    }
}
