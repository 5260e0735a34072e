//! Faults on purpose: rules that look at a request and give a verdict.
//!
//! ```text
//!   request --> rules in the order they were made --> first verdict that is not `Pass` --> carried out by the shim
//! ```
//! A rule lives as long as its [`RuleGuard`].

use serde::Serialize;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What a rule sees of a request.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestInfo {
    /// `User-Agent`.
    pub user_agent: String,
    /// The name of the user, after impersonation; empty if the credentials are not known.
    pub user: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: &'static str,
    /// The API group, empty for the core group and for paths that name no resource.
    pub group: String,
    /// The plural, or the whole path if it names no resource.
    pub resource: String,
    /// The subresource, if any.
    pub subresource: Option<String>,
    /// The namespace, if any.
    pub namespace: Option<String>,
    /// The object's name, if any.
    pub name: Option<String>,
}

/// An error answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status code.
    pub code: u16,
    /// `status.reason`, e.g. `TooManyRequests`.
    pub reason: String,
    /// `status.message`.
    pub message: String,
    /// Seconds for `Retry-After`.
    pub retry_after_seconds: Option<u32>,
}

impl Refusal {
    /// The `Status` object.
    pub(crate) fn body(&self) -> Value {
        let mut body = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        });
        if let Some(seconds) = self.retry_after_seconds {
            body["details"] = json!({"retryAfterSeconds": seconds});
        }
        body
    }
}

/// What becomes of a request.
#[derive(Debug, Clone, Default)]
pub enum Verdict {
    /// Nothing; the next rule is asked.
    #[default]
    Pass,
    /// It is carried out after a while.
    Delay(Duration),
    /// It is not carried out and answered with an error.
    Refuse(Refusal),
    /// It is carried out, and then the connection breaks before the answer.
    LoseAnswer,
    /// The connection breaks before it is carried out.
    LoseRequest,
    /// A watch ends without notice after that many events (its initial events count).
    CutWatch(usize),
    /// A watch delivers nothing until the token is cancelled.
    HoldWatch(CancellationToken),
    /// A read is answered as it would have been at an earlier revision, as by a server whose cache lags behind. A watch gives the
    /// state of then, and what happened since once the token is cancelled. Writes are carried out as usual.
    ServeStale {
        /// The revision, such as [`MockApiServer::revision`](crate::MockApiServer::revision) when the rule was made.
        revision: u64,
        /// Releases the watches that were opened meanwhile.
        until: CancellationToken,
    },
}

type Rule = dyn Fn(&RequestInfo) -> Verdict + Send + Sync;
/// The rules with their numbers, in the order they were made.
type Rules = Mutex<Vec<(u64, Arc<Rule>)>>;

/// The rules in force.
#[derive(Default)]
pub(crate) struct Faults {
    rules: Arc<Rules>,
}

impl Faults {
    /// Adds a rule.
    pub(crate) fn add(&self, rule: impl Fn(&RequestInfo) -> Verdict + Send + Sync + 'static) -> RuleGuard {
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let id = rules.last().map_or(0, |(id, _)| id + 1);
        rules.push((id, Arc::new(rule)));
        RuleGuard {
            id,
            rules: Arc::downgrade(&self.rules),
        }
    }

    /// The first verdict that is not `Pass`. Rules run without the lock, so a rule may add or drop rules.
    pub(crate) fn judge(&self, request: &RequestInfo) -> Verdict {
        let rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut verdicts = rules.iter().map(|(_, rule)| rule(request));
        verdicts
            .find(|verdict| !matches!(verdict, Verdict::Pass))
            .unwrap_or_default()
    }
}

/// Keeps a fault rule in force; dropping it removes the rule.
#[must_use = "the rule ends when the guard is dropped"]
pub struct RuleGuard {
    id: u64,
    rules: Weak<Rules>,
}

impl Drop for RuleGuard {
    fn drop(&mut self) {
        if let Some(rules) = self.rules.upgrade() {
            rules
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .retain(|(id, _)| *id != self.id);
        }
    }
}
