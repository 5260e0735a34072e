//! Steps that speak to what runs inside a sandbox, and requests of any kind.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Span, default_sandbox};

/// See [`super::Step::Run`].
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
    /// Whether to wait for the end; otherwise up to the first output, which it must have, and
    /// the connection stays open until `hang-up` or the end of the case.
    #[serde(default = "yes")]
    pub wait: bool,
}

/// See [`super::Step::HangUp`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HangUp {}

/// See [`super::Step::HungUp`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HungUp {
    /// How long it may take.
    #[serde(default = "soon")]
    pub within: Span,
}

const fn soon() -> Span {
    Span::seconds(10)
}

const fn yes() -> bool {
    true
}

/// See [`super::Step::WriteFile`].
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

/// See [`super::Step::ReadFile`].
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

/// See [`super::Step::ListFiles`].
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

/// See [`super::Step::StatFile`].
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

/// See [`super::Step::DeleteFile`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DeleteFile {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// Absolute path.
    pub path: String,
}

/// See [`super::Step::Http`].
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
    /// JSON pointers into the answer at which something other than null and the empty text must stand.
    #[serde(default)]
    pub has: Vec<String>,
    /// Text that must occur in the answer.
    #[serde(default)]
    pub contains: Option<String>,
    /// Names to keep values under, each with a JSON pointer into the answer.
    #[serde(default)]
    pub save: BTreeMap<String, String>,
    /// Ask again for so long until the answer is as it must be.
    #[serde(default)]
    pub within: Option<Span>,
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

impl Method {
    /// As it stands in a request.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
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
