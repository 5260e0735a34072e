//! Agents over HTTP: `http://<Pod IP>:<control port>/v1/...`, as `torpor_api::agent` documents it.

use std::fmt::Display;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Limited};
use reqwest::redirect::Policy;
use reqwest::{Body, Method, StatusCode};
use torpor_api::{
    Addressee, AgentRefusal, AgentState, CHECKPOINT_PATH, CheckpointRequest, FREEZE_PATH, STATE_PATH, THAW_PATH,
    WorkloadState, port,
};

use crate::{AgentAddress, AgentError, SandboxAgents};

/// Reading the state needs no work of the agent.
const STATE_TIMEOUT: Duration = Duration::from_secs(5);
/// A checkpoint call answers within ten seconds; a freeze waits as long for files and as long again for code.
const CALL_TIMEOUT: Duration = Duration::from_secs(25);

/// For how long a connection without a call is kept. One that is waited for is called every second (`look::SOON`); one that serves is not
/// called again until its next pause, and among ten thousand that changed within a minute each would still hold a file descriptor of its own.
const IDLE_TIMEOUT: Duration = Duration::from_secs(2);

/// Bytes of an answer that are read. A state is some hundred; an agent is in a container of its tenant's making, and could send without end.
const ANSWER_LIMIT: usize = 1 << 20;

/// Reaches agents on their Pod IPs, past any proxy of the environment and to no place that one sends it to: an order to a Pod never leaves
/// the cluster, and an agent cannot have the controller order another's.
#[derive(Clone, Debug)]
pub struct HttpAgents {
    client: reqwest::Client,
    port: u16,
}

impl HttpAgents {
    /// On the port that agents listen on by themselves, with a connection pool of its own.
    #[must_use]
    pub fn new() -> Self {
        Self::on_port(port::CONTROL)
    }

    /// On another port of the Pod IP.
    ///
    /// # Panics
    /// Never: a client can only fail to be built over its TLS or its proxies, and this one has neither.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "only TLS and proxies can fail to be set up, and there are none"
    )]
    pub fn on_port(port: u16) -> Self {
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build();
        Self {
            client: client.expect("a client without TLS and proxies"),
            port,
        }
    }

    fn request(
        &self,
        method: Method,
        agent: &AgentAddress,
        path: &str,
        body: Option<CheckpointRequest>,
    ) -> reqwest::RequestBuilder {
        let timeout = if method == Method::GET {
            STATE_TIMEOUT
        } else {
            CALL_TIMEOUT
        };
        let request = self
            .client
            .request(method, url(&agent.pod_ip, self.port, path))
            .query(&agent.addressee)
            .timeout(timeout);
        match body {
            Some(body) => request.json(&body),
            None => request,
        }
    }

    async fn call(
        &self,
        method: Method,
        agent: &AgentAddress,
        path: &str,
        body: Option<CheckpointRequest>,
    ) -> Result<AgentState, AgentError> {
        let unreachable = |error: &dyn Display| AgentError::Unreachable {
            message: format!("{path} on {}: {error}", agent.pod_ip),
        };
        let response = self.request(method, agent, path, body).send().await;
        let response = response.map_err(|error| unreachable(&error))?;
        let status = response.status();
        let answer = Limited::new(Body::from(response), ANSWER_LIMIT).collect().await;
        let answer = answer.map_err(|error| unreachable(&error))?.to_bytes();
        let text = String::from_utf8_lossy(&answer);
        let ours = |state: &AgentState| match another(&state.addressee, &agent.addressee) {
            Some(another) => Err(unreachable(&another)),
            None => Ok(()),
        };
        match status {
            StatusCode::CONFLICT => {
                let refused: Option<AgentRefusal> = serde_json::from_str(&text).ok();
                refused.as_ref().map_or(Ok(()), |refused| ours(&refused.state))?;
                Err(AgentError::Refused {
                    message: refusal(path, refused, &text),
                })
            }
            StatusCode::MISDIRECTED_REQUEST => Err(unreachable(&format!("another's agent answers: {}", start(&text)))),
            status if status.is_success() => {
                let state: AgentState = serde_json::from_str(&text).map_err(|error| unreachable(&error))?;
                ours(&state)?;
                Ok(state)
            }
            status => Err(unreachable(&format!("HTTP status {status}"))),
        }
    }
}

impl Default for HttpAgents {
    fn default() -> Self {
        Self::new()
    }
}

impl SandboxAgents for HttpAgents {
    fn state<'a>(&'a self, agent: &'a AgentAddress) -> BoxFuture<'a, Result<AgentState, AgentError>> {
        self.call(Method::GET, agent, STATE_PATH, None).boxed()
    }

    fn freeze<'a>(&'a self, agent: &'a AgentAddress) -> BoxFuture<'a, Result<AgentState, AgentError>> {
        self.call(Method::POST, agent, FREEZE_PATH, None).boxed()
    }

    fn thaw<'a>(&'a self, agent: &'a AgentAddress) -> BoxFuture<'a, Result<AgentState, AgentError>> {
        self.call(Method::POST, agent, THAW_PATH, None).boxed()
    }

    fn checkpoint<'a>(
        &'a self,
        agent: &'a AgentAddress,
        generation: u64,
    ) -> BoxFuture<'a, Result<AgentState, AgentError>> {
        self.call(
            Method::POST,
            agent,
            CHECKPOINT_PATH,
            Some(CheckpointRequest { generation }),
        )
        .boxed()
    }
}

fn url(pod_ip: &str, port: u16, path: &str) -> String {
    if pod_ip.contains(':') {
        format!("http://[{pod_ip}]:{port}{path}")
    } else {
        format!("http://{pod_ip}:{port}{path}")
    }
}

/// What is wrong if the agent that answers is not the one that was called.
fn another(answers: &Addressee, called: &Addressee) -> Option<String> {
    answers.is_another_than(called).then(|| {
        format!(
            "another's agent answers: it is that of {answers}, and not of {called}; see whether the node of the Pod is lost"
        )
    })
}

/// The start of a text that is nobody's JSON.
fn start(text: &str) -> String {
    text.chars().take(200).collect()
}

/// Why an agent did not do what it was asked for: as it says, or else what it is doing.
fn refusal(path: &str, refused: Option<AgentRefusal>, body: &str) -> String {
    let Some(AgentRefusal { state, refusal }) = refused else {
        return format!("{path}: {}", start(body));
    };
    match (state.workload, refusal) {
        (WorkloadState::Torn { message }, _) => format!("{path}: the restored workload is lost: {message}"),
        (WorkloadState::Failed { message }, _) => format!("{path}: the workload failed: {message}"),
        (WorkloadState::Serving | WorkloadState::Starting | WorkloadState::Frozen, Some(refusal)) => {
            format!("{path}: {refusal}")
        }
        (WorkloadState::Serving, None) => format!("{path}: the workload is busy and cannot be stopped now"),
        (WorkloadState::Starting, None) => format!("{path}: the workload is still starting"),
        (WorkloadState::Frozen, None) => format!("{path}: the workload is frozen"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_address_is_put_in_brackets() {
        assert_eq!(url("10.0.0.7", 49982, STATE_PATH), "http://10.0.0.7:49982/v1/state");
        assert_eq!(url("fd00::7", 1, STATE_PATH), "http://[fd00::7]:1/v1/state");
    }

    #[test]
    fn a_refusal_says_what_is_in_the_way_or_else_what_the_agent_is_doing() {
        let refusal = |path: &str, body: &str| refusal(path, serde_json::from_str(body).ok(), body);
        let busy = r#"{"engine":"sim","workload":{"state":"serving"},"checkpoint":{"state":"none"}}"#;
        assert!(refusal(FREEZE_PATH, busy).contains("busy"));
        assert_eq!(refusal(FREEZE_PATH, "no"), "/v1/freeze: no");
        let told = busy.replacen('{', r#"{"refusal":"criu dump: no","#, 1);
        assert_eq!(refusal(FREEZE_PATH, &told), "/v1/freeze: criu dump: no");
        let failed = told.replace(r#""serving""#, r#""failed","message":"it ended""#);
        assert_eq!(
            refusal(FREEZE_PATH, &failed),
            "/v1/freeze: the workload failed: it ended"
        );
    }
}
