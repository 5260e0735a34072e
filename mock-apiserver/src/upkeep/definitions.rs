//! Gives definitions their names and establishes them.

use crate::api::meta;
use crate::core::Core;
use crate::definition;
use crate::fields::{Manager, Operation, Shape, record_update};
use crate::store::{Object, ObjectName};
use serde_json::Value;
use std::sync::Arc;

const DEFINITIONS: &str = "customresourcedefinitions.apiextensions.k8s.io";
/// In whose name the server writes.
const SERVER: &str = "kube-apiserver";

/// Carries out what is next for a definition; writing it puts it on the agenda again.
pub(super) fn settle(core: &mut Core, name: &str) {
    let Some(stored) = core.store.get(DEFINITIONS, &ObjectName::new("", name)) else {
        return;
    };
    let now = core.now();
    let others = in_group(core, &stored["spec"]["group"], name);
    let Some(status) = definition::next_status(&stored, others.iter().map(|other| &***other), &now) else {
        return;
    };
    let freed = stored["status"]["acceptedNames"] != status["acceptedNames"];
    write_status(core, &stored, status, &now);
    if freed {
        settle_others(core, &others);
    }
}

/// A definition is gone: its names are free for others of its group.
pub(super) fn settle_group(core: &mut Core, name: &str) {
    let group = name.split_once('.').map_or("", |(_, group)| group);
    let others = in_group(core, &Value::from(group), name);
    settle_others(core, &others);
}

fn settle_others(core: &mut Core, others: &[Arc<Object>]) {
    for other in others {
        core.agenda.reconsider(meta::name(other));
    }
}

fn in_group(core: &Core, group: &Value, but: &str) -> Vec<Arc<Object>> {
    let all = core.store.scan(DEFINITIONS, None).map(|(_, object)| object);
    all.filter(|other| other["spec"]["group"] == *group && meta::name(other) != but)
        .collect()
}

fn write_status(core: &mut Core, stored: &Object, status: Value, now: &Value) {
    let Some(resource) = core
        .catalog
        .by_kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition")
    else {
        return;
    };
    let mut next = Value::clone(stored);
    next["status"] = status;
    let manager = Manager {
        name: SERVER.to_owned(),
        operation: Operation::Update,
        api_version: resource.api_version(),
        subresource: "status".to_owned(),
    };
    record_update(Shape::of(&resource), stored, &mut next, &manager, now);
    core.put(&resource, next);
}
