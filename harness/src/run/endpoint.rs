//! Whether an E2B endpoint can be judged at all, found out before a run: it answers, and takes the key. Else every case
//! would fail, and say nothing of the target.

use std::time::Duration;

use super::case::http_client;
use crate::history::Journal;
use crate::probe::{Body, E2bClient};
use crate::pulse::{Patience, Pulse};
use crate::scenario::Method;
use crate::target::Target;

/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(35);

/// Why an E2B endpoint cannot be judged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointRefusal {
    /// Nobody answers.
    #[error("the E2B API does not answer: {0}; is --e2b-url right?")]
    Unreachable(String),
    /// It does not know the key.
    #[error("the E2B API at {url} answers {status} to the key; is --e2b-api-key right?")]
    KeyRefused {
        /// The address.
        url: String,
        /// 401 or 403.
        status: u16,
    },
}

/// Asks the E2B endpoint of a target, if it has one, for a list by the key.
///
/// # Errors
/// Why it is no use to go on.
pub async fn endpoint_answers(target: &Target) -> Result<(), EndpointRefusal> {
    let Some(endpoint) = &target.e2b else {
        return Ok(());
    };
    let unreachable = |why: String| EndpointRefusal::Unreachable(why);
    let http = http_client("preflight", target).map_err(|error| unreachable(error.to_string()))?;
    let patience = Patience {
        pulse: Pulse::start(),
        limit: PATIENCE,
    };
    let client = E2bClient::new(http, endpoint.clone(), Journal::new(), patience);
    let answer = client.api(Method::Get, "/v2/sandboxes", Body::None).await;
    let status = answer.map_err(|fault| unreachable(fault.message().to_owned()))?.status;
    // Whether it is the right answer, cases judge.
    if matches!(status, 401 | 403) {
        let url = endpoint.url.to_string();
        return Err(EndpointRefusal::KeyRefused { url, status });
    }
    Ok(())
}
