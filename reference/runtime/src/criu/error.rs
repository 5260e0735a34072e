//! Why the CRIU engine did not do what it was asked for.

use std::io;
use std::path::{Path, PathBuf};

use crate::payload::PayloadError;

/// Why the CRIU engine failed.
#[derive(Debug, thiserror::Error)]
pub enum CriuError {
    /// The program is not there.
    #[error("run {program}; the sandbox's image has to have CRIU 4.1.1 or later (see fixtures/image)")]
    NotInstalled {
        /// Its name.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is too old.
    #[error("CRIU {found} is too old, {needed} or later is needed")]
    TooOld {
        /// The version that is installed.
        found: String,
        /// The oldest that does.
        needed: String,
    },
    /// This is not the first process of a container.
    #[error("the CRIU engine takes the whole container for its sandbox; run it as the first process of one")]
    NotFirstProcess,
    /// It cannot work here.
    #[error("criu check: {message}; run the container with the capabilities that docs/engines.md lists")]
    Check {
        /// What it printed.
        message: String,
    },
    /// It could not write the tree down. The tree goes on.
    #[error("criu dump: {message}")]
    Dump {
        /// The last errors of its log.
        message: String,
    },
    /// It could not bring the tree back.
    #[error("criu restore: {message}")]
    Restore {
        /// The last errors of its log.
        message: String,
    },
    /// Pages of a checkpoint cannot be given to the processes that need them. Nothing of the sandbox runs any more; the
    /// checkpoint is as it was.
    #[error("page in the memory of the sandbox: {message}")]
    Pages {
        /// What went wrong.
        message: String,
    },
    /// A file of the engine or of the sandbox cannot be read or written.
    #[error("{attempt} {path}")]
    File {
        /// What was attempted.
        attempt: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The payload is not one of this engine.
    #[error("read the checkpoint's payload")]
    Payload(#[from] PayloadError),
    /// Init cannot be started or asked.
    #[error("ask the init of the sandbox to {attempt}")]
    Init {
        /// What it was asked.
        attempt: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Init has ended, which keeps all that is reached of a sandbox.
    #[error("the first process of the sandbox has ended; it was killed, or the sandbox is out of memory")]
    InitEnded,
    /// Init could not do it.
    #[error("{0}")]
    Refused(String),
    /// A process of the tree cannot be signalled.
    #[error("signal process {pid}")]
    Signal {
        /// Its pid.
        pid: u32,
        /// What the system said.
        source: io::Error,
    },
}

impl CriuError {
    /// Whether CRIU met a process that was dying, whose first thread had ended and others not. Source followed:
    /// `criu/seize.c`.
    pub(super) fn is_of_dying_process(&self) -> bool {
        matches!(self, Self::Dump { message } if message.contains("Zombies with threads"))
    }

    pub(super) fn file(attempt: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { attempt, path, source }
    }

    pub(super) fn init(attempt: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Init { attempt, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_was_dying_is_told_from_other_failures_of_a_dump() {
        let dump = |message: &str| CriuError::Dump {
            message: message.to_owned(),
        };
        let dying = "Error (criu/seize.c:882): Zombies with threads are not supported; Error (criu/cr-dump.c:1975): Dumping FAILED.";
        assert!(dump(dying).is_of_dying_process());
        assert!(!dump("Error (criu/cr-dump.c:1975): Dumping FAILED.").is_of_dying_process());
    }
}
