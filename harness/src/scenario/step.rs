//! The steps of a scenario.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::condition::{Condition, Counter, EndAt, Metric};
use super::{DEFAULT_SANDBOX, Front, Span};

fn default_sandbox() -> String {
    DEFAULT_SANDBOX.to_owned()
}

const fn yes() -> bool {
    true
}

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
    /// Merge-patch the custom resource.
    Patch(Patch),
    /// Create any Kubernetes object; it is removed at the end.
    CreateObject(CreateObject),
    /// Delete an object that `create-object` made.
    DeleteObject(DeleteObject),
    /// Execute code and judge what it answers.
    Run(Run),
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

/// See [`Step::Create`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Create {
    /// What the scenario calls it; `${that}` is then its name or E2B id.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// The front to use instead of the case's own.
    #[serde(default)]
    pub through: Option<Front>,
    /// Kubernetes: its `metadata.name`; made up when absent.
    #[serde(default)]
    pub name: Option<String>,
    /// Kubernetes: merged into `spec`.
    #[serde(default)]
    pub spec: Option<Value>,
    /// Kubernetes: command of the container.
    #[serde(default)]
    pub command: Vec<String>,
    /// Environment variables inside.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// E2B: metadata.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// E2B: seconds until the timeout; 300 when absent.
    #[serde(default)]
    pub timeout: Option<u32>,
    /// E2B: whether the timeout pauses instead of deletes.
    #[serde(default)]
    pub auto_pause: bool,
    /// E2B: whether traffic wakes it.
    #[serde(default)]
    pub auto_resume: bool,
    /// E2B: which routes to use.
    #[serde(default)]
    pub routes: Routes,
    /// Whether to wait until it serves (a sandbox created paused: until it is paused).
    #[serde(default = "yes")]
    pub wait: bool,
}

/// Which generation of E2B routes to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Routes {
    /// `/sandboxes`
    V1,
    /// `/v2/sandboxes`
    #[default]
    V2,
}

/// See [`Step::Pause`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Pause {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// The front to use instead of the case's own.
    #[serde(default)]
    pub through: Option<Front>,
    /// E2B: accepted status codes.
    #[serde(default = "no_content")]
    pub status: Vec<u16>,
    /// Whether to wait until it is paused.
    #[serde(default = "yes")]
    pub wait: bool,
}

fn no_content() -> Vec<u16> {
    vec![204]
}

/// See [`Step::Resume`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Resume {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// The front to use instead of the case's own.
    #[serde(default)]
    pub through: Option<Front>,
    /// E2B: accepted status codes.
    #[serde(default = "created")]
    pub status: Vec<u16>,
    /// Whether to wait until it serves.
    #[serde(default = "yes")]
    pub wait: bool,
}

fn created() -> Vec<u16> {
    vec![201]
}

/// See [`Step::Delete`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Delete {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// The front to use instead of the case's own.
    #[serde(default)]
    pub through: Option<Front>,
    /// Accepted status codes; 204 of E2B or 200 and 202 of Kubernetes when empty.
    #[serde(default)]
    pub status: Vec<u16>,
    /// Whether to wait until it is gone.
    #[serde(default = "yes")]
    pub wait: bool,
}

/// See [`Step::Connect`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Connect {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// Seconds until the timeout.
    #[serde(default)]
    pub timeout: Option<u32>,
    /// Accepted status codes.
    pub status: Vec<u16>,
    /// Which routes to use.
    #[serde(default)]
    pub routes: Routes,
}

/// See [`Step::SetTimeout`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SetTimeout {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// Seconds from now.
    pub seconds: u32,
    /// Accepted status codes.
    #[serde(default = "no_content")]
    pub status: Vec<u16>,
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
}

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

/// See [`Step::Run`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Run {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// The code.
    pub code: String,
    /// Id of the context to run in instead of the default one.
    #[serde(default)]
    pub context: Option<String>,
    /// The main result must read so.
    #[serde(default)]
    pub text: Option<String>,
    /// Standard output must be so, spaces at the end aside.
    #[serde(default)]
    pub stdout: Option<String>,
    /// It must end with an error of this name, e.g. `NameError`. Without it no error is accepted.
    #[serde(default)]
    pub error: Option<String>,
    /// Keep the text of the main result under this name.
    #[serde(default)]
    pub save: Option<String>,
}

/// See [`Step::WriteFile`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WriteFile {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// Absolute path.
    pub path: String,
    /// The content.
    pub content: String,
}

/// See [`Step::ReadFile`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ReadFile {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// Absolute path.
    pub path: String,
    /// The content that it must have.
    #[serde(default)]
    pub content: Option<String>,
    /// Whether the file must not exist.
    #[serde(default)]
    pub missing: bool,
}

/// See [`Step::ListFiles`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ListFiles {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// Absolute path of the folder.
    pub path: String,
    /// Names that must stand in it.
    #[serde(default)]
    pub has: Vec<String>,
    /// Names that must not.
    #[serde(default)]
    pub lacks: Vec<String>,
}

/// See [`Step::StatFile`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct StatFile {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// Absolute path.
    pub path: String,
    /// What it must be.
    #[serde(default)]
    pub kind: Option<FileKind>,
    /// Keep size, mode, modification time and link target as one text under this name.
    #[serde(default)]
    pub save: Option<String>,
    /// That text must be the same as this, usually `${saved}`.
    #[serde(default)]
    pub same_as: Option<String>,
}

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    /// A regular file.
    File,
    /// A folder.
    Directory,
    /// A symbolic link.
    Symlink,
}

/// See [`Step::DeleteFile`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DeleteFile {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// Absolute path.
    pub path: String,
}

/// See [`Step::Http`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Http {
    /// Where to.
    #[serde(default)]
    pub plane: Plane,
    /// Data planes: which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// The method.
    pub method: Method,
    /// Path and query, percent-encoded.
    pub path: String,
    /// JSON body.
    #[serde(default)]
    pub body: Option<Value>,
    /// Body as is, sent as `application/json`.
    #[serde(default)]
    pub raw: Option<String>,
    /// Further headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Control plane: which API key to send.
    #[serde(default)]
    pub key: KeyUse,
    /// Data planes: which token to send.
    #[serde(default)]
    pub token: TokenUse,
    /// Accepted status codes.
    pub status: Vec<u16>,
    /// JSON pointers into the answer and the values that must stand there.
    #[serde(default)]
    pub json: BTreeMap<String, Value>,
    /// JSON pointers into the answer at which something other than null must stand.
    #[serde(default)]
    pub has: Vec<String>,
    /// Text that must occur in the answer.
    #[serde(default)]
    pub contains: Option<String>,
    /// Names to keep values under, each with a JSON pointer into the answer.
    #[serde(default)]
    pub save: BTreeMap<String, String>,
}

/// A server of an E2B endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Plane {
    /// The API.
    #[default]
    Control,
    /// The file and process server of a sandbox.
    Envd,
    /// The code interpreter of a sandbox.
    CodeInterpreter,
}

/// A method of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

/// Which API key to send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeyUse {
    /// That of the target.
    #[default]
    Valid,
    /// None.
    None,
}

/// Which access token to send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TokenUse {
    /// Those of the sandbox.
    #[default]
    Own,
    /// Made-up ones.
    Wrong,
    /// None.
    None,
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
    /// How long it may take.
    #[serde(default = "default_wait")]
    pub within: Span,
}

fn default_wait() -> Span {
    Span::seconds(30)
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
            Self::Patch(_) => "patch",
            Self::CreateObject(_) => "create-object",
            Self::DeleteObject(_) => "delete-object",
            Self::Run(_) => "run",
            Self::WriteFile(_) => "write-file",
            Self::ReadFile(_) => "read-file",
            Self::ListFiles(_) => "list-files",
            Self::StatFile(_) => "stat-file",
            Self::DeleteFile(_) => "delete-file",
            Self::Http(_) => "http",
            Self::Remember(_) => "remember",
            Self::Mark(_) => "mark",
            Self::Wait(_) => "wait",
            Self::Expect(_) => "expect",
            Self::Observe(_) => "observe",
            Self::Repeat(_) => "repeat",
            Self::Race(_) => "race",
        }
    }
}
