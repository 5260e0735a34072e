//! The steps of a scenario.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::commands::Command;
use super::condition::{Condition, Counter, EndAt, Metric};
use super::dialect::{Ask, PatchTemplate, SetTimer};
use super::faults::{ApiFault, CrashController, CutLeaderOff, ElectLeader, EndFaults, Reconnect, RefuseRemovals};
use super::inside::{DeleteFile, HangUp, Http, HungUp, ListFiles, ReadFile, Run, StatFile, WriteFile};
use super::lifecycle::{Connect, Create, Delete, Pause, Resume, SetTimeout};
use super::pod::{DeletePod, FindNode, PatchPod};
use super::probe::{ProbeRead, ProbeWrite};
use super::series::MarkSeries;
use super::storage::{DamageStorage, RepairStorage};
use super::work::{Recall, Work};
use super::{Span, default_sandbox};

/// One thing that is done, or that must hold. A step has exactly one key.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Make a sandbox and wait until it serves.
    Create(Create),
    /// Pause it and wait until it is paused.
    Pause(Pause),
    /// Resume it and wait until it serves.
    Resume(Resume),
    /// Delete it and wait until it is gone.
    Delete(Delete),
    /// E2B connect: resumes a paused sandbox, extends a running one.
    Connect(Connect),
    /// E2B timeout: may shorten or extend.
    SetTimeout(SetTimeout),
    /// Ask for a pause or a resume by the custom resource, and do not wait for it.
    Ask(Ask),
    /// Merge-patch the Pod template in the custom resource.
    PatchTemplate(PatchTemplate),
    /// Set a timer of the custom resource.
    SetTimer(SetTimer),
    /// Merge-patch the custom resource.
    Patch(Patch),
    /// Delete the namespace that was made for the case, and wait until it is gone.
    DeleteNamespace(DeleteNamespace),
    /// Create any Kubernetes object; it is removed at the end.
    CreateObject(CreateObject),
    /// Delete an object that `create-object` made.
    DeleteObject(DeleteObject),
    /// Find the node with the most free CPU that takes Pods of sandboxes; `${node}` is its host name then.
    FindNode(FindNode),
    /// Merge-patch the sandbox's Pod.
    PatchPod(PatchPod),
    /// Delete the sandbox's Pod, as an operator would.
    DeletePod(DeletePod),
    /// Damage what the checkpoint store holds of a sandbox.
    DamageStorage(DamageStorage),
    /// Put back what steps have damaged.
    RepairStorage(RepairStorage),
    /// Write a value inside by the target's adapter.
    ProbeWrite(ProbeWrite),
    /// Read a value inside by the target's adapter, and judge it.
    ProbeRead(ProbeRead),
    /// Crash the controller before or after one of its next writes about the sandbox, and start it anew.
    CrashController(CrashController),
    /// Run two controllers from now on, of which one leads.
    ElectLeader(ElectLeader),
    /// Cut the leader off from the API server at one of its next writes about the sandbox, which stays on its way.
    CutLeaderOff(CutLeaderOff),
    /// Connect the controller again that was cut off: what it had sent arrives.
    Reconnect(Reconnect),
    /// Let the API server delay, refuse or lose requests, cut or hold watches, or answer what is outdated.
    ApiFault(ApiFault),
    /// Let the removal of checkpoint data fail.
    RefuseRemovals(RefuseRemovals),
    /// End every fault that steps have put in.
    EndFaults(EndFaults),
    /// Execute code and judge what it answers.
    Run(Run),
    /// Close the connections of all `run` steps that did not wait.
    HangUp(HangUp),
    /// The connections of all `run` steps that did not wait are ended by the target.
    HungUp(HungUp),
    /// Run a command line and judge how it ends.
    Command(Command),
    /// Let it carry out random commands, and record those that it acknowledges.
    Work(Work),
    /// It holds what the commands leave that it acknowledged.
    Recall(Recall),
    /// Write a file.
    WriteFile(WriteFile),
    /// Read a file and judge its content.
    ReadFile(ReadFile),
    /// Judge what stands in a folder.
    ListFiles(ListFiles),
    /// Judge the attributes of a file.
    StatFile(StatFile),
    /// Delete a file or folder.
    DeleteFile(DeleteFile),
    /// Any request, with the answer that it must get.
    Http(Http),
    /// Keep a value for later steps, which read it as `${name}`.
    Remember(Remember),
    /// Keep fields for a later `unchanged`.
    Mark(Mark),
    /// Keep every series of the controller for a later `series`.
    MarkSeries(MarkSeries),
    /// Wait until all conditions hold at once.
    Wait(Wait),
    /// All conditions hold now.
    Expect(Vec<Condition>),
    /// All conditions hold all the time for that long.
    Observe(Observe),
    /// Do steps several times; `${i}` counts from 1.
    Repeat(Repeat),
    /// Do several lists of steps at the same time.
    Race(Race),
}

/// See [`Step::Patch`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Patch {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// The merge patch.
    pub merge: Value,
    /// Accepted status codes.
    #[serde(default = "ok")]
    pub status: Vec<u16>,
}

fn ok() -> Vec<u16> {
    vec![200]
}

/// See [`Step::DeleteNamespace`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteNamespace {}

/// See [`Step::CreateObject`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CreateObject {
    /// The object; its namespace is set to that of the target.
    pub manifest: Value,
}

/// See [`Step::DeleteObject`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DeleteObject {
    /// Its kind.
    pub kind: String,
    /// Its `metadata.name`.
    pub name: String,
}

/// See [`Step::Remember`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Remember {
    /// The name to keep it under.
    pub name: String,
    /// What to keep.
    pub value: Source,
}

/// A value that can be kept.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The largest number that the log shows after a prefix.
    Counter(Counter),
    /// A series of a Pod; `absent` when there is none.
    Metric(Metric),
    /// When E2B says that the timeout ends.
    EndAt(EndAt),
    /// A text, with its variables filled in now.
    Text(String),
}

/// See [`Step::Mark`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Mark {
    /// What later steps call it.
    pub name: String,
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// Of which object.
    pub of: MarkOf,
    /// JSON pointers to what is kept.
    pub fields: Vec<String>,
}

/// An object that speaks of a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MarkOf {
    /// The custom resource.
    Resource,
    /// Its line of `kubectl get`, by column; the field `""` is the whole.
    Columns,
    /// Its Pod.
    Pod,
    /// What E2B answers to `GET /sandboxes/{id}`.
    E2b,
}

/// See [`Step::Wait`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Wait {
    /// What must hold.
    pub until: Vec<Condition>,
    /// How long it may take; when absent, as long as any change may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
    /// How long it must hold without a break, so that a state which comes and goes is not taken for reached. It may
    /// begin to hold as late as `within` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable: Option<Span>,
}

/// See [`Step::Observe`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Observe {
    /// How long.
    pub during: Span,
    /// What must hold all the time.
    pub holds: Vec<Condition>,
}

/// See [`Step::Repeat`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Repeat {
    /// How often.
    pub times: u32,
    /// What.
    pub steps: Vec<Step>,
}

/// See [`Step::Race`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Race {
    /// Lists of steps that start at the same time.
    pub branches: Vec<Vec<Step>>,
}

impl Step {
    /// The key of the step.
    #[must_use]
    pub const fn key(&self) -> &'static str {
        match self {
            Self::Create(_) => "create",
            Self::Pause(_) => "pause",
            Self::Resume(_) => "resume",
            Self::Delete(_) => "delete",
            Self::Connect(_) => "connect",
            Self::SetTimeout(_) => "set-timeout",
            Self::Ask(_) => "ask",
            Self::PatchTemplate(_) => "patch-template",
            Self::SetTimer(_) => "set-timer",
            Self::Patch(_) => "patch",
            Self::DeleteNamespace(_) => "delete-namespace",
            Self::CreateObject(_) => "create-object",
            Self::DeleteObject(_) => "delete-object",
            Self::FindNode(_) => "find-node",
            Self::PatchPod(_) => "patch-pod",
            Self::DeletePod(_) => "delete-pod",
            Self::DamageStorage(_) => "damage-storage",
            Self::RepairStorage(_) => "repair-storage",
            Self::ProbeWrite(_) => "probe-write",
            Self::ProbeRead(_) => "probe-read",
            Self::CrashController(_) => "crash-controller",
            Self::ElectLeader(_) => "elect-leader",
            Self::CutLeaderOff(_) => "cut-leader-off",
            Self::Reconnect(_) => "reconnect",
            Self::ApiFault(_) => "api-fault",
            Self::RefuseRemovals(_) => "refuse-removals",
            Self::EndFaults(_) => "end-faults",
            Self::Run(_) => "run",
            Self::HangUp(_) => "hang-up",
            Self::HungUp(_) => "hung-up",
            Self::Command(_) => "command",
            Self::Work(_) => "work",
            Self::Recall(_) => "recall",
            Self::WriteFile(_) => "write-file",
            Self::ReadFile(_) => "read-file",
            Self::ListFiles(_) => "list-files",
            Self::StatFile(_) => "stat-file",
            Self::DeleteFile(_) => "delete-file",
            Self::Http(_) => "http",
            Self::Remember(_) => "remember",
            Self::Mark(_) => "mark",
            Self::MarkSeries(_) => "mark-series",
            Self::Wait(_) => "wait",
            Self::Expect(_) => "expect",
            Self::Observe(_) => "observe",
            Self::Repeat(_) => "repeat",
            Self::Race(_) => "race",
        }
    }
}
