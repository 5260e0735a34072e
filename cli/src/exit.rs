//! What the exit code says.

use std::process::ExitCode;

use torpor_harness::for_terminal;

use crate::say;

/// The outcome of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done; for the suite: conformant. Code 0.
    Success,
    /// The suite found a requirement broken. Code 1.
    NotConformant,
    /// The command itself failed. Code 2.
    Error,
    /// The command line or an input file is wrong. Code 3.
    Usage,
}

impl Exit {
    /// Says what is wrong with the input.
    pub fn usage(error: &anyhow::Error) -> Self {
        complain(error);
        Self::Usage
    }
}

/// Says what went wrong. A target or a file may have had a hand in the words.
pub fn complain(error: &anyhow::Error) {
    say::aside(format_args!("torpor: {}", for_terminal(&format!("{error:#}"), 0)));
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Success => 0,
            Exit::NotConformant => 1,
            Exit::Error => 2,
            Exit::Usage => 3,
        })
    }
}
