//! Whether traffic goes through to a sandbox, wakes it, or is turned away.

use super::{access::Access, refusal::DataRefusal};
use crate::{
    id::SandboxId,
    state::{Endpoint, SandboxState},
};

/// What becomes of a request that is not turned away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Passage {
    /// It goes to the Pod.
    Forward(Endpoint),
    /// The sandbox is woken first.
    Wake,
}

/// Decides on a request to `port` of the sandbox `id`.
///
/// # Errors
/// If it is turned away. A request without the right token learns nothing about a sandbox that
/// does not serve, and never wakes one.
pub(super) fn passage(
    id: &SandboxId,
    port: u16,
    access: Access,
    state: &SandboxState,
    endpoint: Option<Endpoint>,
    auto_resume: bool,
) -> Result<Passage, DataRefusal> {
    let not_found = || Err(DataRefusal::NotFound { id: id.to_string() });
    match (access, endpoint) {
        (Access::Internal, _) => Err(DataRefusal::Internal { port }),
        (Access::Granted | Access::Unasked, Some(endpoint)) => Ok(Passage::Forward(endpoint)),
        (Access::Denied { header, presented }, Some(_)) => Err(DataRefusal::Denied { header, presented }),
        (Access::Granted, None) if auto_resume && can_wake(state) => Ok(Passage::Wake),
        (Access::Denied { header, .. }, None) if auto_resume && can_wake(state) => Err(DataRefusal::WakeDenied {
            id: id.to_string(),
            header,
        }),
        (Access::Granted | Access::Unasked | Access::Denied { .. }, None) => not_found(),
    }
}

/// Whether waiting for a sandbox in this state, or resuming it, can make it serve.
const fn can_wake(state: &SandboxState) -> bool {
    match state {
        SandboxState::Serving
        | SandboxState::Pausing
        | SandboxState::Paused
        | SandboxState::Resuming
        | SandboxState::PauseRefused { .. }
        | SandboxState::ResumeFailed { .. } => true,
        SandboxState::Starting | SandboxState::Failed { .. } | SandboxState::Terminating => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(access: Access, state: &SandboxState, serves: bool, auto_resume: bool) -> Result<Passage, DataRefusal> {
        let endpoint = serves.then(|| Endpoint {
            pod_uid: "u".to_owned(),
            ip: [127, 0, 0, 1].into(),
        });
        passage(
            &SandboxId::parse("iabc").unwrap(),
            49983,
            access,
            state,
            endpoint,
            auto_resume,
        )
    }

    const DENIED: Access = Access::Denied {
        header: "X-Access-Token",
        presented: true,
    };

    #[test]
    fn a_paused_sandbox_wakes_only_where_declared_and_only_for_the_right_token() {
        let paused = SandboxState::Paused;
        assert_eq!(decide(Access::Granted, &paused, false, true), Ok(Passage::Wake));
        let not_found = Err(DataRefusal::NotFound { id: "iabc".to_owned() });
        assert_eq!(decide(Access::Granted, &paused, false, false), not_found);
        assert_eq!(decide(Access::Unasked, &paused, false, true), not_found);
        assert!(matches!(
            decide(DENIED, &paused, false, true),
            Err(DataRefusal::WakeDenied { .. })
        ));
        assert_eq!(decide(DENIED, &paused, false, false), not_found);
    }

    #[test]
    fn a_serving_sandbox_takes_what_may_pass_and_nothing_else() {
        let serving = SandboxState::Serving;
        assert!(matches!(
            decide(Access::Unasked, &serving, true, false),
            Ok(Passage::Forward(_))
        ));
        assert!(matches!(
            decide(DENIED, &serving, true, false),
            Err(DataRefusal::Denied { .. })
        ));
        assert!(matches!(
            decide(Access::Internal, &serving, true, true),
            Err(DataRefusal::Internal { .. })
        ));
    }

    #[test]
    fn a_sandbox_that_cannot_come_back_is_not_woken() {
        for state in [
            SandboxState::Terminating,
            SandboxState::Starting,
            SandboxState::Failed { reason: String::new() },
        ] {
            assert!(decide(Access::Granted, &state, false, true).is_err(), "{state:?}");
        }
    }
}
