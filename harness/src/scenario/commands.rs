//! Steps that run a command line in a sandbox, as SDKs do.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::default_sandbox;

/// See [`super::Step::Command`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Command {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// The command line, for `/bin/bash -l -c`.
    pub command: String,
    /// Whether it runs in a terminal.
    #[serde(default)]
    pub terminal: bool,
    /// What is typed or sent to it once it has started.
    #[serde(default)]
    pub input: Option<String>,
    /// Standard output, or what the terminal shows, must be so, spaces at the end aside.
    #[serde(default)]
    pub stdout: Option<String>,
    /// Text that must occur in it.
    #[serde(default)]
    pub contains: Option<String>,
    /// The exit code that it must end with.
    #[serde(default)]
    pub exit: i32,
    /// Keep the output, without spaces at its ends, under this name.
    #[serde(default)]
    pub save: Option<String>,
}
