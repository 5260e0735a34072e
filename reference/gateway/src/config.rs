//! What an operator decides about a gateway: where sandboxes live, who may call, how long calls may take.

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use jiff::Timestamp;

/// Reads the wall clock. Injected, so that tests and simulations own the time that timers are made of.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How a [`Gateway`](crate::Gateway) is set up.
#[derive(Clone)]
pub struct GatewayConfig {
    /// The namespace that holds the `Sandbox` and `SandboxTemplate` objects.
    pub namespace: String,
    /// What follows `<port>-<id>.` in host names of sandboxes, e.g. `localhost:3000`; told to clients as `domain`. Other host
    /// names are none of a sandbox then, unless it is an IP address.
    pub domain: Option<String>,
    /// Access tokens are derived from this key. The same key keeps the tokens of living sandboxes valid.
    pub token_key: [u8; 32],
    /// Who may call the control plane.
    pub api_keys: ApiKeys,
    /// Source of the time that timers are set by.
    pub clock: Clock,
    /// How long calls may take.
    pub limits: WaitLimits,
    /// The largest `timeout` that a sandbox may be given.
    pub max_timeout: Duration,
}

impl GatewayConfig {
    /// A configuration with the defaults: any API key, system clock, no domain, timeouts of at most 24 hours.
    #[must_use]
    pub fn new(namespace: impl Into<String>, token_key: [u8; 32]) -> Self {
        Self {
            namespace: namespace.into(),
            domain: None,
            token_key,
            api_keys: ApiKeys::Any,
            clock: Arc::new(Timestamp::now),
            limits: WaitLimits::default(),
            max_timeout: Duration::from_hours(24),
        }
    }
}

impl fmt::Debug for GatewayConfig {
    /// Leaves out the key material.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayConfig")
            .field("namespace", &self.namespace)
            .field("domain", &self.domain)
            .field("limits", &self.limits)
            .field("max_timeout", &self.max_timeout)
            .finish_non_exhaustive()
    }
}

/// Which values of `X-API-KEY` open the control plane.
#[derive(Clone)]
pub enum ApiKeys {
    /// Any that is not empty. For a gateway that only its own machine can reach.
    Any,
    /// These, and no other.
    Listed(BTreeSet<String>),
}

/// What a presented API key is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyVerdict {
    Accepted,
    Missing,
    Unknown,
}

impl ApiKeys {
    /// Judges the value of the `X-API-KEY` header. Looks at every listed key in full, so that the
    /// time it takes says nothing about how much of a guess was right.
    pub(crate) fn judge(&self, presented: Option<&str>) -> KeyVerdict {
        let Some(presented) = presented.filter(|key| !key.is_empty()) else {
            return KeyVerdict::Missing;
        };
        match self {
            Self::Any => KeyVerdict::Accepted,
            Self::Listed(keys) => {
                let known = keys.iter().fold(false, |known, key| {
                    known | same_bytes(key.as_bytes(), presented.as_bytes())
                });
                if known {
                    KeyVerdict::Accepted
                } else {
                    KeyVerdict::Unknown
                }
            }
        }
    }
}

fn same_bytes(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

/// How long a call may wait for the controller before it answers that it gave up, and what it asked for is given up.
///
/// The SDKs give up on a call after 60 s: the defaults of calls are below that, so that the caller learns why.
#[derive(Clone, Copy, Debug)]
pub struct WaitLimits {
    /// For a new or resumed sandbox to serve.
    pub start: Duration,
    /// For a resume to come about, whether or not its caller still waits: then it is given up. A call that joins it
    /// gives it that long again.
    pub resume: Duration,
    /// For a pause to complete.
    pub pause: Duration,
    /// For the body of a call to arrive.
    pub body: Duration,
    /// For a TCP connection to an agent.
    pub connect: Duration,
    /// For the index of sandboxes to be filled after a start of the gateway.
    pub index: Duration,
}

impl Default for WaitLimits {
    fn default() -> Self {
        Self {
            start: Duration::from_secs(55),
            resume: Duration::from_mins(10),
            pause: Duration::from_secs(55),
            body: Duration::from_secs(30),
            connect: Duration::from_secs(5),
            index: Duration::from_secs(10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listed_key_is_accepted_and_a_prefix_of_it_is_not() {
        let keys = ApiKeys::Listed(BTreeSet::from(["e2b_00".to_owned(), "e2b_11".to_owned()]));
        assert_eq!(keys.judge(Some("e2b_11")), KeyVerdict::Accepted);
        assert_eq!(keys.judge(Some("e2b_1")), KeyVerdict::Unknown);
        assert_eq!(keys.judge(None), KeyVerdict::Missing);
    }

    #[test]
    fn an_empty_key_is_missing_even_where_any_is_accepted() {
        assert_eq!(ApiKeys::Any.judge(Some("")), KeyVerdict::Missing);
        assert_eq!(ApiKeys::Any.judge(Some("x")), KeyVerdict::Accepted);
    }
}
