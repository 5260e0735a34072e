//! What a new pod refers to and has to be there: its service account and its priority class.

use crate::api::error::{ApiError, ApiResult};
use crate::api::meta;
use crate::core::Core;
use crate::store::ObjectName;
use serde_json::Value;

/// The classes of every cluster, and their priorities.
const SYSTEM_CLASSES: [(&str, i64); 2] = [
    ("system-cluster-critical", 2_000_000_000),
    ("system-node-critical", 2_000_001_000),
];

/// Refuses a pod whose service account or priority class is not there, and gives it the priority of its class.
pub(in crate::kinds) fn admit(core: &Core, pod: &mut Value) -> ApiResult<()> {
    prioritise(core, pod)?;
    let (namespace, account) = (
        meta::namespace(pod),
        pod["spec"]["serviceAccountName"].as_str().unwrap_or_default(),
    );
    let at = ObjectName::new(namespace, account);
    if core.store.get("serviceaccounts", &at).is_none() {
        let why =
            format!("error looking up service account {namespace}/{account}: serviceaccount {account:?} not found");
        return Err(ApiError::forbidden("pods", "", meta::name(pod), &why));
    }
    Ok(())
}

fn prioritise(core: &Core, pod: &mut Value) -> ApiResult<()> {
    let name = pod["spec"]["priorityClassName"].as_str().unwrap_or_default();
    if name.is_empty() {
        return Ok(());
    }
    let class = core
        .store
        .get("priorityclasses.scheduling.k8s.io", &ObjectName::new("", name));
    let system = SYSTEM_CLASSES.iter().find(|(known, _)| *known == name);
    let (priority, policy) = match (class, system) {
        (Some(class), _) => (class["value"].clone(), class["preemptionPolicy"].clone()),
        (None, Some((_, priority))) => (Value::from(*priority), Value::Null),
        (None, None) => {
            let why = format!("no PriorityClass with name {name} was found");
            return Err(ApiError::forbidden("pods", "", meta::name(pod), &why));
        }
    };
    pod["spec"]["priority"] = priority;
    if policy.is_string() {
        pod["spec"]["preemptionPolicy"] = policy;
    }
    Ok(())
}
