//! The custom resource of a dialect: names, paths, conditions and triggers.

use std::collections::BTreeMap;

use kube::api::{ApiResource, GroupVersionKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::events::EventsDialect;
use crate::scenario::{ConditionKind, PhaseName};

/// How a custom resource is made, asked, and read.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Dialect {
    /// API group.
    pub group: String,
    /// API version.
    pub version: String,
    /// Kind.
    pub kind: String,
    /// Plural, as in paths.
    pub plural: String,
    /// The smallest manifest; `${name}` and `${image}` are filled in.
    pub manifest: Value,
    /// Container image of a sandbox.
    pub image: String,
    /// Where the Pod template is; absent when a sandbox has none of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<Pointer>,
    /// Name of a sandbox's Pod; `${name}` is the name of the sandbox.
    pub pod_name: String,
    /// How a pause is asked for.
    pub pause: Trigger,
    /// How a resume is asked for.
    pub resume: Trigger,
    /// What the manifest of a sandbox has besides that is created paused; follows from `pause.merge` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_paused: Option<Value>,
    /// What holds of a custom resource that asks for a pause; follows from `pause.merge` when absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asks_for_pause: Vec<Test>,
    /// Where its timers are.
    #[serde(default)]
    pub timers: TimersDialect,
    /// How its status is read.
    pub status: StatusDialect,
    /// The Prometheus series that show what a Pod uses.
    #[serde(default)]
    pub metrics: MetricsDialect,
    /// The words by which its Events tell that a step is over.
    #[serde(default)]
    pub events: EventsDialect,
}

/// A request that asks for something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Trigger {
    /// A merge patch of the custom resource.
    Merge(Value),
    /// A merge patch of a subresource of it.
    MergeSubresource(SubresourcePatch),
    /// Another object that is made, as where a pause is a resource of its own. `${name}` is the sandbox, `${nth}` a fresh number.
    Create(Value),
    /// The call `pause` or `resume` of the adapter.
    Hook,
}

/// See [`Trigger::MergeSubresource`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SubresourcePatch {
    /// Its name, such as `scale`.
    pub name: String,
    /// The merge patch.
    pub merge: Value,
}

/// Where the timers of a custom resource are.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TimersDialect {
    /// The time at which it pauses by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<Pointer>,
    /// The time at which it is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shutdown: Option<Pointer>,
}

/// How the status of a sandbox is read.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct StatusDialect {
    /// The conditions.
    pub conditions: Pointer,
    /// The generation that the whole status speaks of; absent where only conditions say theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<Pointer>,
    /// What holds while it serves.
    pub ready: ConditionIs,
    /// What holds once it is paused.
    pub paused: ConditionIs,
    /// What holds once it serves again.
    pub resumed: ConditionIs,
    /// What holds when context was lost and that is said; absent where it cannot be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_lost: Option<ConditionIs>,
    /// Whether `paused` may still hold while it resumes, so that only the phase tells it is over.
    #[serde(default)]
    pub paused_lingers: bool,
    /// Where it says why it is not as asked; any that says something will do.
    #[serde(default)]
    pub explanations: Vec<Explanation>,
    /// Where it names the Pod that runs.
    #[serde(default, skip_serializing_if = "PodIdentityDialect::is_empty")]
    pub pod_identity: PodIdentityDialect,
    /// The phase is that of the first rule of which every test holds.
    pub phases: Vec<PhaseRule>,
}

/// Where a status names the Pod that runs. A place holds the value itself or a list of values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PodIdentityDialect {
    /// Its `metadata.name`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub name: Vec<Pointer>,
    /// Its `metadata.uid`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub uid: Vec<Pointer>,
    /// Its `status.podIP`, or one of `status.podIPs`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ip: Vec<Pointer>,
    /// Its `spec.nodeName`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub node: Vec<Pointer>,
}

impl PodIdentityDialect {
    /// Whether no place is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Every place of a status that names a Pod.
    pub fn places(&self) -> impl Iterator<Item = &Pointer> {
        [&self.name, &self.uid, &self.ip, &self.node].into_iter().flatten()
    }
}

impl StatusDialect {
    /// What a condition is called here, if it can be said.
    #[must_use]
    pub const fn named(&self, kind: ConditionKind) -> Option<&ConditionIs> {
        match kind {
            ConditionKind::Ready => Some(&self.ready),
            ConditionKind::Paused => Some(&self.paused),
            ConditionKind::Resumed => Some(&self.resumed),
            ConditionKind::ContextLost => self.context_lost.as_ref(),
        }
    }
}

/// A condition with the status that means yes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ConditionIs {
    /// Its type.
    pub condition: String,
    /// Its status: `True`, `False` or `Unknown`.
    #[serde(default = "so")]
    pub is: String,
}

fn so() -> String {
    "True".to_owned()
}

/// A place that may say why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Explanation {
    /// A text that is not empty.
    Path(Pointer),
    /// The message of this condition, when it has another status than `True`.
    Condition(String),
}

impl std::fmt::Display for Explanation {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path(path) => out.write_str(path.as_str()),
            Self::Condition(kind) => write!(out, "the message of condition {kind}"),
        }
    }
}

/// When a sandbox is in a phase.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PhaseRule {
    /// The phase, by the names of the contract.
    pub is: PhaseName,
    /// Tests that all hold then; none holds always.
    #[serde(default)]
    pub when: Vec<Test>,
}

/// One look at a custom resource. Has either `path` or `condition`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Test {
    /// The field to look at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<Pointer>,
    /// The type of the condition whose status to look at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// The value that it has. Absent: that it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is: Option<Value>,
    /// The value that it does not have; what is not there does not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_not: Option<Value>,
    /// `false`: that it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub present: Option<bool>,
}

/// Prometheus series of what a Pod uses.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MetricsDialect {
    /// Label with the namespace.
    pub namespace_label: String,
    /// Label with the Pod name.
    pub pod_label: String,
    /// Counter of CPU seconds.
    pub cpu: String,
    /// Gauge of memory bytes.
    pub memory: String,
}

impl Default for MetricsDialect {
    /// The series of the kubelet's cAdvisor.
    fn default() -> Self {
        Self {
            namespace_label: "namespace".to_owned(),
            pod_label: "pod".to_owned(),
            cpu: "container_cpu_usage_seconds_total".to_owned(),
            memory: "container_memory_working_set_bytes".to_owned(),
        }
    }
}

/// A JSON pointer that is not empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Pointer(#[schemars(regex(pattern = "^/"))] String);

/// A text that is no JSON pointer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no JSON pointer: it must start with `/`, as in /status/conditions")]
pub struct PointerError(String);

impl TryFrom<String> for Pointer {
    type Error = PointerError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.len() > 1 && text.starts_with('/') {
            Ok(Self(text))
        } else {
            Err(PointerError(text))
        }
    }
}

impl From<Pointer> for String {
    fn from(pointer: Pointer) -> Self {
        pointer.0
    }
}

impl Pointer {
    /// As written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What it points at; null counts as nothing.
    #[must_use]
    pub fn of<'v>(&self, object: &'v Value) -> Option<&'v Value> {
        object.pointer(&self.0).filter(|value| !value.is_null())
    }

    /// An object that has nothing but `value`, there: a merge patch that sets it.
    #[must_use]
    pub fn holding(&self, value: Value) -> Value {
        let keys = self.0.split('/').skip(1).collect::<Vec<_>>();
        keys.into_iter().rev().fold(value, |inside, key| {
            let key = key.replace("~1", "/").replace("~0", "~");
            json!(BTreeMap::from([(key, inside)]))
        })
    }
}

impl Dialect {
    pub(crate) fn api_resource(&self) -> ApiResource {
        ApiResource::from_gvk_with_plural(
            &GroupVersionKind::gvk(&self.group, &self.version, &self.kind),
            &self.plural,
        )
    }

    /// `group/version`, as in manifests.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// What is merged into the manifest of a sandbox that is created paused; nothing where none can be.
    #[must_use]
    pub fn of_created_paused(&self) -> Option<&Value> {
        let by_trigger = match &self.pause {
            Trigger::Merge(patch) => Some(patch),
            Trigger::MergeSubresource(_) | Trigger::Create(_) | Trigger::Hook => None,
        };
        self.created_paused.as_ref().or(by_trigger)
    }

    /// The name of a sandbox's Pod.
    #[must_use]
    pub fn pod_name_of(&self, sandbox: &str) -> String {
        self.pod_name.replace("${name}", sandbox)
    }
}
