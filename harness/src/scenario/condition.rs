//! What can hold at a moment.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::columns::Columns;
use super::compare::Compare;
use super::dialect::{Asked, Explained};
use super::faults::{Crashes, Handovers};
use super::pod::{PodIdentity, Terminating};
use super::series::Series;
use super::{Span, default_sandbox};

const fn yes() -> bool {
    true
}

/// Something that holds or does not. A condition has exactly one key.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// The custom resource reports one of these phases.
    Phase(PhaseIs),
    /// The custom resource reports a condition so.
    Condition(ConditionTruth),
    /// The custom resource asks for this.
    Asked(Asked),
    /// The custom resource says why it is not as asked.
    Explained(Explained),
    /// A field of the custom resource.
    Field(Field),
    /// So many live Pods of the sandbox exist; one that is being deleted still lives.
    Pods(Pods),
    /// Whether the scheduler has found a node for its Pod, or has said that none has room.
    Scheduled(Scheduled),
    /// Whether its Pod is being deleted.
    Terminating(Terminating),
    /// What the status says of the Pod is right.
    PodIdentity(PodIdentity),
    /// The sandbox exists on neither front.
    Gone(Gone),
    /// No object that it owns or that bears its name, no byte in the store and no route is left.
    NothingLeft(NothingLeft),
    /// What E2B answers as its state.
    SdkState(SdkStateIs),
    /// What E2B lists, over all pages.
    Listed(Listed),
    /// A series of the sandbox's Pod.
    Metric(Metric),
    /// A series of the controller.
    Series(Series),
    /// Bytes of the sandbox in the checkpoint store.
    Storage(Storage),
    /// Fields are as they were at the mark.
    Unchanged(Unchanged),
    /// A Kubernetes Event of the sandbox was reported.
    Event(Event),
    /// The log of the sandbox's Pod, so far.
    Logs(Logs),
    /// Two values stand so to each other: as numbers, else as times, else as text.
    Compare(Compare),
    /// E2B says that the timeout ends in so many seconds.
    EndsIn(EndsIn),
    /// The controller crashed so often because of `crash-controller`.
    Crashes(Crashes),
    /// Leadership has changed between controllers at least so often.
    Handovers(Handovers),
    /// A column of `kubectl get` tells whether it is paused, by marks of its lines.
    Columns(Columns),
}

/// A stage of a sandbox, by the names of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum PhaseName {
    /// On its first way up.
    Pending,
    /// It serves.
    Running,
    /// On its way to `Paused`.
    Pausing,
    /// Context kept, compute released.
    Paused,
    /// On its way back to `Running`.
    Resuming,
    /// Nothing is safe without a person.
    Failed,
    /// It is being deleted.
    Terminating,
}

impl PhaseName {
    /// As written in scenarios.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Pausing => "Pausing",
            Self::Paused => "Paused",
            Self::Resuming => "Resuming",
            Self::Failed => "Failed",
            Self::Terminating => "Terminating",
        }
    }
}

/// See [`Condition::Phase`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PhaseIs {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// One of these.
    pub is: Vec<PhaseName>,
}

/// See [`Condition::Condition`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ConditionTruth {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// Which condition.
    pub kind: ConditionKind,
    /// How it must stand.
    pub is: Truth,
}

/// A condition of the custom resource, by its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ConditionKind {
    /// It serves.
    Ready,
    /// It is paused.
    Paused,
    /// It serves again.
    Resumed,
    /// Context was lost.
    ContextLost,
}

/// How a condition stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Truth {
    /// Status `True`.
    Holds,
    /// Status `False` or `Unknown`, or no such condition.
    DoesNotHold,
}

/// See [`Condition::Field`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Field {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// JSON pointer.
    pub path: String,
    /// What must stand there; when absent, anything but null.
    #[serde(default)]
    pub is: Option<Value>,
    /// Whether anything stands there.
    #[serde(default = "yes")]
    pub present: bool,
}

/// See [`Condition::Pods`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Pods {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// How many.
    pub count: usize,
}

/// See [`Condition::Scheduled`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scheduled {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// The Pod's condition `PodScheduled`; one that is not there yet is neither.
    pub is: Truth,
}

/// See [`Condition::Gone`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Gone {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
}

/// See [`Condition::NothingLeft`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NothingLeft {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
}

/// See [`Condition::SdkState`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SdkStateIs {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// The state.
    pub is: SdkState,
}

/// What E2B says of a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SdkState {
    /// `running`
    Running,
    /// `paused`
    Paused,
    /// 404
    NotFound,
}

/// See [`Condition::Listed`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Listed {
    /// Path and query of the list, without `limit` and `nextToken`.
    #[serde(default = "all_sandboxes")]
    pub path: String,
    /// Entries asked for per page.
    #[serde(default)]
    pub limit: Option<u32>,
    /// Sandboxes that must be there.
    #[serde(default)]
    pub has: Vec<String>,
    /// Sandboxes that must not.
    #[serde(default)]
    pub lacks: Vec<String>,
    /// Whether those of `has` must come in that order.
    #[serde(default)]
    pub in_order: bool,
    /// Every entry of `has` has these values at these JSON pointers.
    #[serde(default)]
    pub json: BTreeMap<String, Value>,
}

fn all_sandboxes() -> String {
    "/v2/sandboxes".to_owned()
}

/// See [`Condition::Metric`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Metric {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// Which series.
    pub of: PodSeries,
    /// Whether a series of the Pod exists with a value above zero.
    #[serde(default = "yes")]
    pub positive: bool,
}

/// A series of a Pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PodSeries {
    /// CPU seconds so far.
    Cpu,
    /// Bytes of the working set.
    Memory,
}

/// See [`Condition::Storage`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Storage {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// How much.
    pub is: StorageAmount,
}

/// Bytes of a sandbox in the checkpoint store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StorageAmount {
    /// None.
    Zero,
    /// Some.
    Positive,
}

/// See [`Condition::Unchanged`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Unchanged {
    /// Name of the mark.
    pub since: String,
}

/// See [`Condition::Event`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Event {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// Text that occurs in the reason or the message, in any case. `paused` and `resumed` stand for the words that the
    /// profile has for them, in an Event that is no warning: a pause that could not be is none.
    pub about: String,
    /// Whether there is such an Event.
    #[serde(default = "yes")]
    pub present: bool,
}

/// See [`Condition::Logs`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Logs {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// Lines of this prefix and a number: the first is 1, each is one more than the one
    /// before, and the last is above `above`.
    pub counter: String,
    /// See `counter`.
    #[serde(default = "zero")]
    pub above: String,
}

fn zero() -> String {
    "0".to_owned()
}

/// The numbers of a log, see [`Logs::counter`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Counter {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// What a line starts with.
    pub prefix: String,
}

/// When E2B says that the timeout of a sandbox ends.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct EndAt {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
}

/// See [`Condition::EndsIn`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct EndsIn {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// How long from now.
    pub after: Span,
    /// By how much it may differ.
    #[serde(default = "default_tolerance")]
    pub tolerance: Span,
}

fn default_tolerance() -> Span {
    Span::seconds(15)
}
