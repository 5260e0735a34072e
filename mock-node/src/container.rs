//! What a Pod asks this node to run: its sandbox container, read from the spec.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, EnvVarSource, Pod};
use torpor_api::env;

use crate::{expansion::expand, schedule::Limits};

/// The one container of a Pod that this node runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxContainer {
    /// `name` of the container.
    pub name: String,
    /// `image` of the container, reported back and not pulled.
    pub image: String,
    /// Its environment: given values, in which references to variables before them are replaced, and the UID, name and
    /// namespace of the Pod.
    pub env: BTreeMap<String, String>,
    /// `command` of the container, with references to its variables replaced.
    pub command: Vec<String>,
    /// `args` of the container, with references to its variables replaced.
    pub args: Vec<String>,
    /// `resources.limits` of the container.
    pub limits: Limits,
}

/// Why a Pod cannot be run here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContainerRefused {
    /// The spec lists no container.
    #[error("pod has no container")]
    NoContainer,
    /// A variable takes its value from somewhere else.
    #[error(
        "spec.containers[{container}].env[{variable}].valueFrom is not supported by this node; give a literal value, \
         or a fieldRef to metadata.name, metadata.namespace or metadata.uid"
    )]
    ValueFrom {
        /// Name of the container.
        container: String,
        /// Name of the variable.
        variable: String,
    },
}

impl SandboxContainer {
    /// The container that the controller addressed (it carries the agent's variables), or the first.
    ///
    /// # Errors
    /// [`ContainerRefused`] when there is none or this node cannot honour it.
    pub fn of(pod: &Pod) -> Result<Self, ContainerRefused> {
        let containers = pod
            .spec
            .as_ref()
            .map(|spec| spec.containers.as_slice())
            .unwrap_or_default();
        let container = containers
            .iter()
            .find(|container| is_addressed(container))
            .or_else(|| containers.first())
            .ok_or(ContainerRefused::NoContainer)?;
        let env = environment(pod, container)?;
        let expanded = |words: &Option<Vec<String>>| words.iter().flatten().map(|word| expand(word, &env)).collect();
        Ok(Self {
            name: container.name.clone(),
            image: container.image.clone().unwrap_or_default(),
            command: expanded(&container.command),
            args: expanded(&container.args),
            env,
            limits: Limits::of(container),
        })
    }
}

fn is_addressed(container: &Container) -> bool {
    container
        .env
        .iter()
        .flatten()
        .any(|variable| variable.name == env::SANDBOX_UID)
}

fn environment(pod: &Pod, container: &Container) -> Result<BTreeMap<String, String>, ContainerRefused> {
    let mut env = BTreeMap::new();
    for variable in container.env.iter().flatten() {
        let value = match &variable.value_from {
            None => expand(variable.value.as_deref().unwrap_or_default(), &env),
            Some(source) => field_of(pod, source).ok_or_else(|| ContainerRefused::ValueFrom {
                container: container.name.clone(),
                variable: variable.name.clone(),
            })?,
        };
        env.insert(variable.name.clone(), value);
    }
    Ok(env)
}

/// The field of the Pod that a variable refers to; `None` where this node does not know it.
fn field_of(pod: &Pod, source: &EnvVarSource) -> Option<String> {
    match source.field_ref.as_ref()?.field_path.as_str() {
        "metadata.name" => pod.metadata.name.clone(),
        "metadata.namespace" => pod.metadata.namespace.clone(),
        "metadata.uid" => pod.metadata.uid.clone(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(spec: &serde_json::Value) -> Pod {
        serde_json::from_value(json!({ "metadata": { "name": "p" }, "spec": spec })).expect("a pod")
    }

    #[test]
    fn the_container_that_carries_the_agents_variables_is_run() {
        let pod = pod(&json!({ "containers": [
            { "name": "sidecar", "image": "proxy" },
            { "name": "sandbox", "image": "i", "args": ["a"], "env": [{ "name": env::SANDBOX_UID, "value": "u" }] },
        ]}));
        let container = SandboxContainer::of(&pod).expect("a container");
        assert_eq!(
            (container.name.as_str(), container.args.as_slice()),
            ("sandbox", ["a".to_owned()].as_slice())
        );
        assert_eq!(container.env[env::SANDBOX_UID], "u");
    }

    #[test]
    fn limits_are_read_in_thousandths_of_a_core_and_bytes() {
        let limited = json!({ "name": "c", "resources": { "limits": { "cpu": "1500m", "memory": "256Mi" } } });
        let pod = pod(&json!({ "containers": [limited] }));
        let limits = SandboxContainer::of(&pod).expect("a container").limits;
        assert_eq!((limits.cpu_millis, limits.memory_bytes), (Some(1500), Some(256 << 20)));
    }

    #[test]
    fn a_variable_may_name_the_pod_that_it_is_of() {
        let variable = |name: &str| {
            let path = format!("metadata.{name}");
            json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } })
        };
        let variables = ["name", "namespace", "uid"].map(variable);
        let mut pod = pod(&json!({ "containers": [{ "name": "c", "env": variables }] }));
        (pod.metadata.namespace, pod.metadata.uid) = (Some("n".to_owned()), Some("u".to_owned()));
        let env = SandboxContainer::of(&pod).expect("a container").env;
        let expected = [("name", "p"), ("namespace", "n"), ("uid", "u")];
        assert_eq!(
            env,
            expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
        );
    }

    #[test]
    fn variables_refer_to_those_before_them_and_commands_to_all() {
        let env = [("A", "1"), ("B", "$(A)$(C)"), ("C", "$$(A)"), ("A", "2$(A)")];
        let env = env.map(|(name, value)| json!({ "name": name, "value": value }));
        let container =
            json!({ "name": "c", "env": env, "command": ["run", "$(C)"], "args": ["$(A)", "$$(A)", "$(D)"] });
        let container = SandboxContainer::of(&pod(&json!({ "containers": [container] }))).expect("a container");
        let value = |name: &str| container.env[name].as_str();
        assert_eq!([value("A"), value("B"), value("C")], ["21", "1$(C)", "$(A)"]);
        assert_eq!(container.command, ["run", "$(A)"]);
        assert_eq!(container.args, ["21", "$(A)", "$(D)"]);
    }

    #[test]
    fn a_value_from_elsewhere_is_refused_by_name() {
        for source in [
            json!({ "secretKeyRef": { "name": "s", "key": "k" } }),
            json!({ "fieldRef": { "fieldPath": "status.podIP" } }),
        ] {
            let variable = json!({ "name": "SECRET", "valueFrom": source });
            let pod = pod(&json!({ "containers": [{ "name": "c", "env": [variable] }] }));
            let refused = SandboxContainer::of(&pod).expect_err("refused");
            assert!(
                refused.to_string().contains("spec.containers[c].env[SECRET].valueFrom"),
                "{refused}"
            );
        }
    }

    #[test]
    fn a_pod_without_containers_is_refused() {
        assert_eq!(
            SandboxContainer::of(&pod(&json!({ "containers": [] }))),
            Err(ContainerRefused::NoContainer)
        );
    }
}
