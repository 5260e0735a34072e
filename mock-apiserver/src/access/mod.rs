//! Who a request is from and whether it may be carried out.
//!
//! ```text
//!   headers --authentication--> User --impersonation--> User --+
//!   method, path, query --attributes--> AccessRequest ---------+--> judge --> carried out, or 403
//!                       store --grants--> rules of the user ---+
//! ```
//! Both parts are off unless switched on: then every request is the administrator's and allowed.

mod admit;
mod authentication;
pub(crate) mod bootstrap;
pub(crate) mod escalation;
mod grants;
mod impersonation;
mod people;
mod rules;
mod token;
mod user;

pub(crate) use admit::{admit, claimed};
pub use authentication::Authentication;
pub(crate) use authentication::Credentials;
pub(crate) use rules::{AccessRequest, ResourceAccess, Rule};
pub(crate) use token::issue;
pub use user::User;

use crate::store::Store;
use rules::{Decision, authorize};
use token::Key;
use user::MASTERS;

const GROUP: &str = "rbac.authorization.k8s.io";

/// The switches.
#[derive(Debug, Default)]
pub(crate) struct Access {
    /// Roles and bindings decide.
    rbac: bool,
    /// Requests from outside must show who they are from.
    authentication: Option<Authentication>,
    key: Key,
}

/// Whether a user may do something, and why (empty if there is nothing to say).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Judgement {
    pub(crate) allowed: bool,
    pub(crate) reason: String,
}

/// The rules that count for a user in a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RulesOf {
    pub(crate) rules: Vec<Rule>,
    /// Why there may be more than that, empty if it is all.
    pub(crate) error: String,
}

impl Access {
    /// Whether roles and bindings decide.
    pub(crate) fn by_rules(&self) -> bool {
        self.rbac
    }

    /// Whether a user may do everything, whatever the rules say.
    pub(crate) fn lets_do_all(&self, user: &User) -> bool {
        !self.rbac || user.is_in(MASTERS)
    }

    /// Judges a request of a user.
    pub(crate) fn judge(&self, store: &Store, user: &User, request: &AccessRequest) -> Judgement {
        if self.lets_do_all(user) {
            return Judgement {
                allowed: true,
                reason: String::new(),
            };
        }
        let found = grants::grants(store, user, request.namespace());
        let (allowed, reason) = match authorize(&found.granted, request) {
            Decision::Allowed(grant) => (true, format!("RBAC: allowed by {}", grant.origin)),
            Decision::Denied if found.problems.is_empty() => (false, String::new()),
            Decision::Denied => (false, format!("RBAC: {}", joined(&found.problems))),
        };
        Judgement { allowed, reason }
    }

    /// All that a user may do in a namespace.
    pub(crate) fn rules_of(&self, store: &Store, user: &User, namespace: &str) -> RulesOf {
        if self.lets_do_all(user) {
            let all = || vec!["*".to_owned()];
            let everything = Rule {
                verbs: all(),
                groups: all(),
                resources: all(),
                ..Rule::default()
            };
            let every_path = Rule {
                verbs: all(),
                paths: all(),
                ..Rule::default()
            };
            return RulesOf {
                rules: vec![everything, every_path],
                error: String::new(),
            };
        }
        let found = grants::grants(store, user, namespace);
        RulesOf {
            rules: found.granted.into_iter().flat_map(|grant| grant.rules).collect(),
            error: joined(&found.problems),
        }
    }
}

fn joined(problems: &[String]) -> String {
    match problems {
        [] => String::new(),
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}
