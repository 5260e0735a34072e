//! One webhook of a configuration, with the defaults of `admissionregistration.k8s.io/v1`, and whom it is asked about.

use super::client_config::ClientConfig;
use super::conditions::{self, Condition};
use super::matching::Matching;
use serde_json::Value;
use std::time::Duration;

const DEFAULT_TIMEOUT_SECONDS: u64 = 10;

/// What becomes of a request whose webhook cannot be asked, or whose policy cannot be evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailurePolicy {
    Fail,
    Ignore,
}

impl FailurePolicy {
    /// `Fail` unless it says `Ignore`.
    pub(crate) fn read(policy: &Value) -> Self {
        if policy == "Ignore" { Self::Ignore } else { Self::Fail }
    }
}

/// One webhook.
#[derive(Debug)]
pub(crate) struct Webhook {
    pub(crate) name: String,
    pub(crate) client: ClientConfig,
    pub(crate) failure_policy: FailurePolicy,
    pub(crate) timeout: Duration,
    /// It is asked again if another webhook changed the object after it.
    pub(crate) reinvoked: bool,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) matching: Matching,
}

impl Webhook {
    /// Reads a webhook of a configuration.
    pub(crate) fn read(webhook: &Value) -> Self {
        let text = |member: &str| webhook[member].as_str().unwrap_or_default();
        Self {
            name: text("name").to_owned(),
            client: ClientConfig::read(&webhook["clientConfig"]),
            failure_policy: FailurePolicy::read(&webhook["failurePolicy"]),
            timeout: Duration::from_secs(webhook["timeoutSeconds"].as_u64().unwrap_or(DEFAULT_TIMEOUT_SECONDS)),
            reinvoked: text("reinvocationPolicy") == "IfNeeded",
            conditions: conditions::read(&webhook["matchConditions"]),
            matching: Matching::read(webhook, "rules"),
        }
    }
}
