//! How the parts of an object merge: from a CRD's schema, or from the known lists and maps of the built-in kinds.

use crate::api::meta::strings;
use crate::catalog::{Origin, Resource};
use serde_json::Value;

/// How a list merges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ListKind {
    /// As a whole.
    Atomic,
    /// Item by item, each its own key.
    Set,
    /// Item by item, identified by these members.
    Map(Vec<String>),
}

/// The place in the type of an object.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape<'a> {
    /// A node of a structural schema.
    Schema(&'a Value),
    /// A member of a built-in kind, by its name and the member that holds it.
    BuiltIn { name: &'a str, parent: &'a str },
}

const NULL: &Value = &Value::Null;

impl<'a> Shape<'a> {
    /// The shape of a whole object.
    pub(crate) fn of(resource: &'a Resource) -> Self {
        match &resource.origin {
            Origin::Custom(custom) => Self::Schema(&custom.schema),
            Origin::BuiltIn(_) => Self::BuiltIn { name: "", parent: "" },
        }
    }

    /// The shape of a member. The metadata of every kind is built in.
    pub(crate) fn member(self, member: &'a str, at_root: bool) -> Self {
        match self {
            Self::Schema(_) if at_root && member == "metadata" => Self::BuiltIn {
                name: "metadata",
                parent: "",
            },
            Self::Schema(schema) => {
                let declared = schema["properties"]
                    .get(member)
                    .or_else(|| schema.get("additionalProperties"));
                Self::Schema(declared.unwrap_or(NULL))
            }
            Self::BuiltIn { name, .. } => Self::BuiltIn {
                name: member,
                parent: name,
            },
        }
    }

    /// The shape of a list's items.
    pub(crate) fn item(self) -> Self {
        match self {
            Self::Schema(schema) => Self::Schema(schema.get("items").unwrap_or(NULL)),
            Self::BuiltIn { .. } => self,
        }
    }

    /// Whether an object here merges as a whole.
    pub(crate) fn is_atomic_map(self) -> bool {
        match self {
            Self::Schema(schema) => schema["x-kubernetes-map-type"] == "atomic",
            Self::BuiltIn { name, .. } => {
                matches!(
                    name,
                    "selector" | "nodeSelector" | "podSelector" | "namespaceSelector" | "labelSelector"
                ) || name.ends_with("KeyRef")
                    || matches!(
                        name,
                        "fieldRef" | "resourceFieldRef" | "involvedObject" | "claimRef" | "configMapRef"
                    )
            }
        }
    }

    /// How a list here merges.
    pub(crate) fn list_kind(self) -> ListKind {
        match self {
            Self::Schema(schema) => match schema["x-kubernetes-list-type"].as_str() {
                Some("set") => ListKind::Set,
                Some("map") => ListKind::Map(
                    strings(&schema["x-kubernetes-list-map-keys"])
                        .into_iter()
                        .map(str::to_owned)
                        .collect(),
                ),
                _ => ListKind::Atomic,
            },
            Self::BuiltIn { name, parent } => built_in_list(name, parent),
        }
    }
}

fn built_in_list(name: &str, parent: &str) -> ListKind {
    let keys: &[&str] = match (name, parent) {
        ("finalizers", _) | ("accessModes" | "loadBalancerSourceRanges", "") => return ListKind::Set,
        (
            "containers"
            | "initContainers"
            | "ephemeralContainers"
            | "volumes"
            | "env"
            | "imagePullSecrets"
            | "secrets"
            | "resourceClaims"
            | "schedulingGates"
            | "webhooks"
            | "validations",
            _,
        ) => &["name"],
        ("ports", "spec") => &["port", "protocol"],
        ("ports", "containers" | "initContainers" | "ephemeralContainers") => &["containerPort", "protocol"],
        ("volumeMounts", _) => &["mountPath"],
        ("volumeDevices", _) => &["devicePath"],
        ("conditions", _) | ("addresses", "status") => &["type"],
        ("ownerReferences", _) => &["uid"],
        ("hostAliases" | "podIPs" | "hostIPs", _) => &["ip"],
        ("topologySpreadConstraints", _) => &["topologyKey", "whenUnsatisfiable"],
        _ => return ListKind::Atomic,
    };
    ListKind::Map(keys.iter().map(|key| (*key).to_owned()).collect())
}
