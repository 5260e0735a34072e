//! Who a request is from: bearer tokens, and what clients in process say of themselves.

use super::token::{self, Key};
use super::user::{AUTHENTICATED, User};
use super::{Access, impersonation::Impersonation};
use crate::core::Core;
use http::{HeaderMap, header};
use std::collections::BTreeMap;

/// How requests from outside the process are authenticated: by static bearer tokens, by tokens of service accounts, or not at all.
///
/// Give it to [`Builder::authentication`](crate::Builder::authentication).
///
/// ```
/// use mock_apiserver::{Authentication, User};
/// let authentication = Authentication::new().token("s3cret", User::new("alice").in_group("dev")).anonymous(false);
/// # let _ = authentication;
/// ```
#[derive(Clone)]
#[must_use]
pub struct Authentication {
    tokens: BTreeMap<String, User>,
    anonymous: bool,
}

impl Default for Authentication {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Authentication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authentication")
            .field("users", &self.tokens.values())
            .field("anonymous", &self.anonymous)
            .finish_non_exhaustive()
    }
}

impl Authentication {
    /// Only tokens of service accounts are known; requests without credentials are anonymous, as is usual.
    pub fn new() -> Self {
        Self {
            tokens: BTreeMap::new(),
            anonymous: true,
        }
    }

    /// A bearer token and whose it is.
    pub fn token(mut self, token: &str, user: User) -> Self {
        let user = if user.is_in(AUTHENTICATED) {
            user
        } else {
            let mut user = user;
            user.groups.push(AUTHENTICATED.to_owned());
            user
        };
        self.tokens.insert(token.to_owned(), user);
        self
    }

    /// Whether requests without credentials are `system:anonymous` (the default) or refused with 401.
    pub fn anonymous(mut self, allowed: bool) -> Self {
        self.anonymous = allowed;
        self
    }
}

/// What a request shows of its sender.
#[derive(Debug, Clone, Default)]
pub(crate) struct Credentials {
    /// Set by a client in process, or shown by the certificate of the connection; it is believed.
    pub(crate) in_process: Option<User>,
    bearer: Option<String>,
    pub(crate) impersonation: Impersonation,
}

impl Credentials {
    pub(crate) fn read(headers: &HeaderMap, in_process: Option<User>) -> Self {
        let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let bearer = authorization
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim().to_owned())
            .filter(|token| !token.is_empty());
        Self {
            in_process,
            bearer,
            impersonation: Impersonation::read(headers),
        }
    }
}

impl Access {
    /// The switches of a server with that seed.
    pub(crate) fn new(authentication: Option<Authentication>, rbac: bool, seed: u64) -> Self {
        Self {
            authentication,
            rbac,
            key: Key::of_seed(seed),
        }
    }

    /// The user of a bearer token.
    pub(crate) fn user_of(&self, core: &Core, token: &str) -> Option<User> {
        let known = self
            .authentication
            .as_ref()
            .and_then(|authentication| authentication.tokens.get(token));
        known.cloned().or_else(|| token::verify(core, token))
    }

    /// Who a request is from, before impersonation; `None` if that is not known.
    pub(super) fn authenticate(&self, core: &Core, credentials: &Credentials) -> Option<User> {
        if let Some(user) = &credentials.in_process {
            return Some(user.clone());
        }
        match (&self.authentication, &credentials.bearer) {
            (None, _) => Some(User::admin()),
            (Some(_), Some(token)) => self.user_of(core, token),
            (Some(authentication), None) => authentication.anonymous.then(User::anonymous),
        }
    }
}
