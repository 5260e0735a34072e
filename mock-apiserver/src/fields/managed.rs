//! `metadata.managedFields`: who owns what.

use super::compare::compare;
use super::path::Element;
use super::set::FieldSet;
use super::shape::Shape;
use crate::api::meta;
use serde_json::{Map, Value, json};

/// How a manager wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Apply,
    Update,
}

impl Operation {
    fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// Who writes, how, in which version and through which subresource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manager {
    pub(crate) name: String,
    pub(crate) operation: Operation,
    pub(crate) api_version: String,
    pub(crate) subresource: String,
}

/// What one manager owns.
#[derive(Debug, Clone)]
pub(super) struct Ownership {
    pub(super) manager: Manager,
    pub(super) time: Value,
    pub(super) fields: FieldSet,
}

impl Ownership {
    /// The order of the entries: applied ones first, then from the oldest, then by manager.
    fn rank(&self) -> (bool, &str, &str, &str, &str) {
        let Manager {
            name,
            operation,
            api_version,
            subresource,
        } = &self.manager;
        let time = self.time.as_str().unwrap_or_default();
        (*operation == Operation::Update, time, name, api_version, subresource)
    }

    /// The entry as `managedFields` lists it.
    fn encode(&self) -> Value {
        let manager = &self.manager;
        let mut listed = Map::from_iter(
            [
                ("manager", manager.name.as_str()),
                ("operation", manager.operation.as_str()),
                ("apiVersion", &manager.api_version),
                ("fieldsType", "FieldsV1"),
            ]
            .map(|(member, text)| (member.to_owned(), text.into())),
        );
        listed.insert("fieldsV1".to_owned(), self.fields.encode());
        if !self.time.is_null() {
            listed.insert("time".to_owned(), self.time.clone());
        }
        if !manager.subresource.is_empty() {
            listed.insert("subresource".to_owned(), manager.subresource.as_str().into());
        }
        Value::Object(listed)
    }
}

/// All entries of an object.
pub(super) fn read(object: &Value) -> Vec<Ownership> {
    let entries = object["metadata"]["managedFields"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    entries
        .iter()
        .map(|entry| {
            let text = |member: &str| entry[member].as_str().unwrap_or_default().to_owned();
            let operation = if entry["operation"] == "Apply" {
                Operation::Apply
            } else {
                Operation::Update
            };
            Ownership {
                manager: Manager {
                    name: text("manager"),
                    operation,
                    api_version: text("apiVersion"),
                    subresource: text("subresource"),
                },
                time: entry["time"].clone(),
                fields: FieldSet::decode(&entry["fieldsV1"]),
            }
        })
        .collect()
}

/// Writes the entries, without those that own nothing.
pub(super) fn write(object: &mut Value, entries: &[Ownership]) {
    let mut listed: Vec<&Ownership> = entries.iter().filter(|entry| !entry.fields.is_empty()).collect();
    listed.sort_by_key(|entry| entry.rank());
    let listed: Vec<Value> = listed.into_iter().map(Ownership::encode).collect();
    meta::set(
        object,
        "managedFields",
        (!listed.is_empty()).then_some(Value::Array(listed)),
    );
}

/// Members of `metadata` that nobody owns: identity and what the server keeps.
const SERVER_KEPT: &[&str] = &[
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "generation",
    "managedFields",
    "resourceVersion",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
];

/// Without the fields that nobody owns.
pub(super) fn ownable(mut set: FieldSet) -> FieldSet {
    set.retain_members(|name, below| match name {
        "apiVersion" | "kind" => false,
        "metadata" => {
            below.drop_path(&[]);
            below.retain_members(|name, _| !SERVER_KEPT.contains(&name));
            !below.is_empty()
        }
        _ => true,
    });
    set
}

/// The entry of a manager, made if absent.
pub(super) fn entry<'a>(entries: &'a mut Vec<Ownership>, manager: &Manager) -> &'a mut Ownership {
    let index = entries
        .iter()
        .position(|entry| entry.manager == *manager)
        .unwrap_or_else(|| {
            entries.push(Ownership {
                manager: manager.clone(),
                time: Value::Null,
                fields: FieldSet::default(),
            });
            entries.len() - 1
        });
    &mut entries[index]
}

/// Records a plain write: what it changed belongs to its manager and to nobody else.
pub(crate) fn record_update(shape: Shape<'_>, old: &Value, new: &mut Value, manager: &Manager, now: &Value) {
    // Plain writes go on with ownership that is kept already; only a creation or an apply begins to keep it.
    record_difference(shape, old, new, manager, now, !old.is_null());
}

/// Records a creation; `zero` is what the type of the object makes of nothing.
pub(crate) fn record_creation(shape: Shape<'_>, zero: &Value, new: &mut Value, manager: &Manager, now: &Value) {
    record_difference(shape, zero, new, manager, now, false);
}

fn record_difference(shape: Shape<'_>, old: &Value, new: &mut Value, manager: &Manager, now: &Value, goes_on: bool) {
    let difference = compare(shape, old, new);
    let changed = ownable(difference.changed);
    let removed = ownable(difference.removed);
    // A client may reset the ownership by sending an empty list, and may edit it.
    let sent = &new["metadata"]["managedFields"];
    let mut entries = if *sent == json!([]) || *sent == json!([{}]) {
        Vec::new()
    } else if sent.is_array() {
        read(new)
    } else {
        read(old)
    };
    if entries.is_empty() && goes_on {
        return write(new, &entries);
    }
    for entry in entries.iter_mut().filter(|entry| entry.manager != *manager) {
        entry.fields.subtract(&changed);
        entry.fields.subtract(&removed);
    }
    if !changed.is_empty() || entries.iter().any(|entry| entry.manager == *manager) {
        let own = entry(&mut entries, manager);
        let before = own.fields.clone();
        own.fields.subtract(&removed);
        let is_changed = !changed.is_empty();
        own.fields.extend(changed);
        if is_changed || own.fields != before {
            own.time = now.clone();
        }
    }
    write(new, &entries);
}

/// Whose a number of replicas is after it was written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Replicas<'a> {
    /// It is the same number, and theirs who had it.
    Same,
    /// A zero is left out, so nobody can own it.
    Nobodys,
    Of(&'a Manager),
}

/// Records a write of the number of replicas through the scale subresource. Who owned it keeps the rest, in an entry of its own.
pub(crate) fn record_scaling(old: &Value, new: &mut Value, path: &[&str], whose: Replicas<'_>) {
    let path: Vec<Element> = path.iter().map(|name| Element::Field((*name).to_owned())).collect();
    let mut entries = read(old);
    let mut owners = Vec::new();
    for entry in entries.iter_mut().filter(|entry| entry.fields.has(&path)) {
        entry.fields.drop_path(&path);
        owners.push(entry.manager.clone());
    }
    match whose {
        Replicas::Same => {}
        Replicas::Nobodys => owners.clear(),
        Replicas::Of(manager) => owners = vec![manager.clone()],
    }
    entries.extend(owners.into_iter().map(|manager| Ownership {
        manager,
        time: Value::Null,
        fields: FieldSet::of_path(&path),
    }));
    write(new, &entries);
}
