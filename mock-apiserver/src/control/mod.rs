//! Faults, the request log, snapshots and the watch history by HTTP, for programs that are not written in Rust.
//!
//! | path | method | what it does |
//! |---|---|---|
//! | `/torpor/faults` | `POST` | puts a [rule](rule::FaultRule) in force, answers with its `id` |
//! | `/torpor/faults` | `GET`, `DELETE` | lists, or ends, all rules made here |
//! | `/torpor/faults/{id}` | `DELETE` | ends one rule, which releases the watches that it holds |
//! | `/torpor/requests` | `GET` | the latest requests, oldest first; `userAgent`, `user`, `verb` and `resource` choose |
//! | `/torpor/snapshots` | `POST` | keeps the whole state, answers with its `id` |
//! | `/torpor/snapshots/{id}/restore` | `POST` | comes back to it |
//! | `/torpor/compact` | `POST` | forgets the watch history |
//!
//! What is refused is answered as a `Status`, like everything else that the server refuses.

mod rule;

use crate::api::error::{ApiError, ApiResult, Reason};
use crate::api::options::Query;
use crate::faults::RuleGuard;
use crate::request_log::LoggedRequest;
use crate::rest::Method;
use crate::shim::Shared;
use crate::snapshot::Snapshot;
use rule::FaultRule;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Where the paths begin.
pub(crate) const PREFIX: &str = "/torpor/";

/// What was set up by HTTP.
#[derive(Default)]
pub(crate) struct Control(Mutex<State>);

#[derive(Default)]
struct State {
    last: u64,
    rules: BTreeMap<u64, InForce>,
    snapshots: BTreeMap<u64, Snapshot>,
}

/// A rule that ends, and lets go of the watches it holds, when it is dropped.
struct InForce {
    rule: FaultRule,
    _guard: RuleGuard,
    _release: DropGuard,
}

/// An answer as JSON.
pub(crate) struct ControlAnswer {
    pub(crate) code: u16,
    pub(crate) body: Value,
}

impl Control {
    /// Answers a request; `path` is what follows the [`PREFIX`].
    pub(crate) fn answer(
        &self,
        shared: &Shared,
        method: Method,
        path: &str,
        query: &Query,
        body: &[u8],
    ) -> ControlAnswer {
        match self.carry_out(shared, method, path, query, body) {
            Ok(body) if method == Method::Post && body["id"].is_u64() => ControlAnswer { code: 201, body },
            Ok(body) => ControlAnswer { code: 200, body },
            Err(refused) => ControlAnswer {
                code: refused.code(),
                body: refused.body(),
            },
        }
    }

    fn carry_out(&self, shared: &Shared, method: Method, path: &str, query: &Query, body: &[u8]) -> ApiResult<Value> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let parts: Vec<&str> = path.trim_end_matches('/').split('/').collect();
        match (method, parts.as_slice()) {
            (Method::Get, ["requests"]) => Ok(json!({"requests": chosen(shared.requests.entries(), query)})),
            (Method::Get, ["faults"]) => Ok(json!({"faults": state.list()})),
            (Method::Post, ["faults"]) => state.add(shared, body),
            (Method::Delete, ["faults"]) => {
                state.rules.clear();
                Ok(json!({}))
            }
            (Method::Delete, ["faults", id]) => {
                let known = id.parse().ok().and_then(|id: u64| state.rules.remove(&id));
                known.map(|_| json!({})).ok_or_else(|| not_found("fault", id))
            }
            (Method::Post, ["snapshots"]) => {
                let id = state.next();
                state.snapshots.insert(id, Snapshot::take(&shared.core()));
                Ok(json!({ "id": id }))
            }
            (Method::Post, ["snapshots", id, "restore"]) => {
                let known = id.parse().ok().and_then(|id: u64| state.snapshots.get(&id));
                known
                    .ok_or_else(|| not_found("snapshot", id))?
                    .restore(&mut shared.core());
                Ok(json!({}))
            }
            (Method::Post, ["compact"]) => {
                shared.core().store.compact();
                Ok(json!({}))
            }
            (_, _) => Err(ApiError::new(
                Reason::NotFound,
                format!("{PREFIX}{path} is none of faults, requests, snapshots and compact, or not with this method"),
            )),
        }
    }
}

impl State {
    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn list(&self) -> Vec<Value> {
        let rules = self.rules.iter();
        rules
            .map(|(id, in_force)| json!({"id": id, "rule": in_force.rule}))
            .collect()
    }

    fn add(&mut self, shared: &Shared, body: &[u8]) -> ApiResult<Value> {
        let rule: FaultRule = serde_json::from_slice(body)
            .map_err(|error| ApiError::bad_request(format!("read the fault rule: {error}")))?;
        let revision = shared.core().store.revision();
        if let Some(problem) = rule.problem(revision) {
            return Err(ApiError::bad_request(format!("read the fault rule: {problem}")));
        }
        let until = CancellationToken::new();
        let guard = shared.faults.add(rule.judge(revision, &until));
        let id = self.next();
        let in_force = InForce {
            rule,
            _guard: guard,
            _release: until.drop_guard(),
        };
        self.rules.insert(id, in_force);
        Ok(json!({ "id": id }))
    }
}

fn not_found(what: &str, id: &str) -> ApiError {
    ApiError::new(Reason::NotFound, format!("there is no {what} {id:?}"))
}

/// The requests that the query asks for; the user agent by its beginning.
fn chosen(requests: Vec<LoggedRequest>, query: &Query) -> Vec<LoggedRequest> {
    let is = |name: &str, value: &str| query.get(name).is_none_or(|wanted| wanted == value);
    let wanted = |entry: &LoggedRequest| {
        let request = &entry.request;
        let agent = query
            .get("userAgent")
            .is_none_or(|prefix| request.user_agent.starts_with(prefix));
        agent && is("user", &request.user) && is("verb", request.verb) && is("resource", &request.resource)
    };
    requests.into_iter().filter(wanted).collect()
}
