//! A fault rule as JSON: which requests, which fault, how often.

use crate::faults::{Refusal, RequestInfo, Verdict};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A rule such as `{"match": {"verbs": ["create"], "resource": "pods"}, "fault": {"type": "loseAnswer"}, "times": 1}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct FaultRule {
    /// Which requests it is about; all if absent.
    #[serde(default, rename = "match")]
    requests: RequestMatch,
    fault: Fault,
    /// How many requests it strikes; all if absent. Those that the fault changes nothing of are not struck.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    times: Option<u64>,
}

/// Which requests a rule is about. What is absent matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct RequestMatch {
    /// The beginning of the `User-Agent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    verbs: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    /// The plural.
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<String>,
    /// Empty for requests on the object itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    subresource: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

/// What strikes; see [`Verdict`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
enum Fault {
    Delay {
        milliseconds: u64,
    },
    Refuse {
        code: u16,
        reason: String,
        #[serde(default)]
        message: String,
        #[serde(default)]
        retry_after_seconds: Option<u32>,
    },
    LoseAnswer,
    LoseRequest,
    CutWatch {
        after_events: usize,
    },
    HoldWatch,
    ServeStale {
        /// That of the moment when the rule is made, if absent.
        #[serde(default)]
        revision: Option<u64>,
    },
}

impl RequestMatch {
    fn covers(&self, request: &RequestInfo) -> bool {
        let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        let agent = self.user_agent.as_ref();
        agent.is_none_or(|prefix| request.user_agent.starts_with(prefix))
            && is(&self.user, &request.user)
            && (self.verbs.is_empty() || self.verbs.iter().any(|verb| verb == request.verb))
            && is(&self.group, &request.group)
            && is(&self.resource, &request.resource)
            && is(&self.subresource, request.subresource.as_deref().unwrap_or_default())
            && is(&self.namespace, request.namespace.as_deref().unwrap_or_default())
            && is(&self.name, request.name.as_deref().unwrap_or_default())
    }
}

/// The verbs of requests, as rules name them.
const VERBS: &[&str] = &[
    "get",
    "list",
    "watch",
    "create",
    "update",
    "patch",
    "delete",
    "deletecollection",
];

impl Fault {
    /// Of which requests it changes something.
    fn verbs(&self) -> &'static [&'static str] {
        match self {
            Self::Delay { .. } | Self::Refuse { .. } | Self::LoseAnswer | Self::LoseRequest => VERBS,
            Self::CutWatch { .. } | Self::HoldWatch => &["watch"],
            Self::ServeStale { .. } => &["get", "list", "watch"],
        }
    }

    /// Whether it changes something of a request.
    fn concerns(&self, request: &RequestInfo) -> bool {
        let is_path = request.resource.starts_with('/');
        self.verbs().contains(&request.verb) && !(is_path && matches!(self, Self::ServeStale { .. }))
    }

    /// What is wrong with it while the server is at `revision`.
    fn problem(&self, revision: u64) -> Option<String> {
        match self {
            Self::Refuse { code, .. } if !(400..=599).contains(code) => {
                Some(format!("code {code} refuses nothing: 400 to 599 do"))
            }
            Self::ServeStale { revision: Some(asked) } if *asked > revision => {
                Some(format!("revision {asked} is still to come: the latest is {revision}"))
            }
            Self::Delay { .. }
            | Self::Refuse { .. }
            | Self::LoseAnswer
            | Self::LoseRequest
            | Self::CutWatch { .. }
            | Self::HoldWatch
            | Self::ServeStale { .. } => None,
        }
    }

    fn verdict(&self, revision: u64, until: &CancellationToken) -> Verdict {
        match self {
            Self::Delay { milliseconds } => Verdict::Delay(Duration::from_millis(*milliseconds)),
            Self::Refuse {
                code,
                reason,
                message,
                retry_after_seconds,
            } => Verdict::Refuse(Refusal {
                code: *code,
                reason: reason.clone(),
                message: message.clone(),
                retry_after_seconds: *retry_after_seconds,
            }),
            Self::LoseAnswer => Verdict::LoseAnswer,
            Self::LoseRequest => Verdict::LoseRequest,
            Self::CutWatch { after_events } => Verdict::CutWatch(*after_events),
            Self::HoldWatch => Verdict::HoldWatch(until.clone()),
            Self::ServeStale { revision: asked } => Verdict::ServeStale {
                revision: asked.unwrap_or(revision),
                until: until.clone(),
            },
        }
    }
}

impl FaultRule {
    /// Why it could never do what it says, with the server at `revision`.
    pub(super) fn problem(&self, revision: u64) -> Option<String> {
        let (asked, struck) = (&self.requests.verbs, self.fault.verbs());
        if let Some(unknown) = asked.iter().find(|verb| !VERBS.contains(&verb.as_str())) {
            return Some(format!("verb {unknown:?} is none of {}", VERBS.join(", ")));
        }
        if !asked.is_empty() && !asked.iter().any(|verb| struck.contains(&verb.as_str())) {
            return Some(format!("the fault strikes {} only", struck.join(", ")));
        }
        self.fault.problem(revision)
    }

    /// The rule as the server asks it; `revision` is that of now, and `until` is cancelled when it ends.
    pub(super) fn judge(
        &self,
        revision: u64,
        until: &CancellationToken,
    ) -> impl Fn(&RequestInfo) -> Verdict + Send + Sync + 'static {
        let (requests, fault) = (self.requests.clone(), self.fault.clone());
        let verdict = fault.verdict(revision, until);
        let left = self.times.map(AtomicU64::new);
        move |request| {
            let strikes = || {
                let Some(left) = &left else { return true };
                let count = |left: u64| left.checked_sub(1);
                left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count).is_ok()
            };
            if fault.concerns(request) && requests.covers(request) && strikes() {
                verdict.clone()
            } else {
                Verdict::Pass
            }
        }
    }
}
