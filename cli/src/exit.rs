//! What the exit code says.

use std::fmt;
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

/// The command line or an input file is wrong: found where it is used and not where it is read.
#[derive(Debug)]
struct WrongInput(String);

impl fmt::Display for WrongInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WrongInput {}

/// An error that ends the command as one that made no sense. The text is what is wrong and what would do.
pub fn wrong_input(text: impl Into<String>) -> anyhow::Error {
    WrongInput(text.into()).into()
}

impl Exit {
    /// What a command ends with that failed so.
    pub fn of(error: &anyhow::Error) -> Self {
        complain(error);
        if error.is::<WrongInput>() {
            Self::Usage
        } else {
            Self::Error
        }
    }

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
