//! Why a pass broke off. It is tried again with a growing delay; nothing is decided from it.

use crate::AgentError;

/// A pass over one sandbox that could not be finished.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReconcileError {
    /// The API server did not do what was asked.
    #[error("{attempt}")]
    Api {
        /// What was attempted.
        attempt: &'static str,
        /// What it answered.
        #[source]
        source: kube::Error,
    },
    /// The agent did not do what was asked.
    #[error("{attempt}")]
    Agent {
        /// What was attempted.
        attempt: &'static str,
        /// What it answered.
        #[source]
        source: AgentError,
    },
    /// The definition in the cluster is not ours: it let a part of the status fall.
    #[error(
        "write the status: {api_version} does not keep the checkpoint on record; install the definitions of Torpor"
    )]
    StatusDropped {
        /// `apiVersion` of the definition.
        api_version: String,
    },
    /// The status kept changing; the rest is left to the next pass.
    #[error("come to rest within {steps} steps")]
    Restless {
        /// Steps made in this pass.
        steps: usize,
    },
    /// The object lacks what every stored object has.
    #[error("read metadata.{field} of the sandbox: it is missing")]
    Incomplete {
        /// The missing field.
        field: &'static str,
    },
}

impl ReconcileError {
    /// Names the attempt that the API server refused.
    pub(crate) fn api(attempt: &'static str) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self::Api { attempt, source }
    }

    /// Whether somebody else wrote or deleted first: then what was read is old, and nothing is wrong.
    pub(crate) fn is_outdated(&self) -> bool {
        match self {
            Self::Api {
                source: kube::Error::Api(status),
                ..
            } => matches!(status.code, 404 | 409),
            Self::Api { .. }
            | Self::Agent { .. }
            | Self::StatusDropped { .. }
            | Self::Restless { .. }
            | Self::Incomplete { .. } => false,
        }
    }

    /// The whole chain in one line.
    pub(crate) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            text = format!("{text}: {error}");
            source = error.source();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn answered(code: u16) -> ReconcileError {
        let status = Status::failure("no", "Reason").with_code(code);
        ReconcileError::api("write the status")(kube::Error::Api(status.boxed()))
    }

    #[test]
    fn that_somebody_else_was_first_is_told_from_a_failure() {
        for (code, outdated) in [(404, true), (409, true), (403, false), (500, false)] {
            assert_eq!(answered(code).is_outdated(), outdated, "{code}");
        }
        assert!(!ReconcileError::Restless { steps: 48 }.is_outdated());
    }

    #[test]
    fn a_chain_names_the_attempt_and_then_what_came_of_it() {
        let error = ReconcileError::Agent {
            attempt: "freeze the workload",
            source: AgentError::Refused {
                message: "busy".to_owned(),
            },
        };
        assert_eq!(error.chain(), "freeze the workload: the agent refused: busy");
    }
}
