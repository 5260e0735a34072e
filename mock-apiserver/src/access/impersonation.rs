//! Acting as somebody else: the `Impersonate-*` headers, each of which needs the verb `impersonate`.
//! Follows `k8s.io/apiserver/pkg/endpoints/filters/impersonation.go`.

use super::rules::{AccessRequest, ResourceAccess};
use super::user::{AUTHENTICATED, UNAUTHENTICATED, User};
use http::HeaderMap;
use std::collections::BTreeMap;

const GROUP: &str = "authentication.k8s.io";
const EXTRA: &str = "impersonate-extra-";

/// Whom a request wants to act as.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Impersonation {
    user: String,
    uid: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

impl Impersonation {
    pub(super) fn read(headers: &HeaderMap) -> Self {
        let all = |name: &str| -> Vec<String> {
            let values = headers.get_all(name).iter();
            values
                .filter_map(|value| value.to_str().ok().map(str::to_owned))
                .collect()
        };
        let first = |name: &str| all(name).into_iter().next().unwrap_or_default();
        let mut extra = BTreeMap::new();
        for header in headers.keys() {
            if let Some(key) = header.as_str().strip_prefix(EXTRA) {
                let key = percent_encoding::percent_decode_str(key).decode_utf8_lossy();
                extra.insert(key.into_owned(), all(header.as_str()));
            }
        }
        Self {
            user: first("impersonate-user"),
            uid: first("impersonate-uid"),
            groups: all("impersonate-group"),
            extra,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Something is asked for, but not as whom.
    pub(super) fn lacks_user(&self) -> bool {
        self.user.is_empty() && !self.is_empty()
    }

    /// What must be allowed for it.
    pub(super) fn needed(&self) -> Vec<AccessRequest> {
        let access = |group: &str, resource: &str, subresource: &str, namespace: &str, name: &str| {
            AccessRequest::Resource(ResourceAccess {
                verb: "impersonate".to_owned(),
                group: group.to_owned(),
                resource: resource.to_owned(),
                subresource: subresource.to_owned(),
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            })
        };
        let mut needed = vec![match User::service_account_of(&self.user) {
            Some((namespace, name)) => access("", "serviceaccounts", "", namespace, name),
            None => access("", "users", "", "", &self.user),
        }];
        needed.extend(self.groups.iter().map(|group| access("", "groups", "", "", group)));
        for (key, values) in &self.extra {
            needed.extend(values.iter().map(|value| access(GROUP, "userextras", key, "", value)));
        }
        if !self.uid.is_empty() {
            needed.push(access(GROUP, "uids", "", "", &self.uid));
        }
        needed
    }

    /// Whom the request acts as.
    pub(super) fn user(&self) -> User {
        let mut groups = self.groups.clone();
        if groups.is_empty()
            && let Some((namespace, _)) = User::service_account_of(&self.user)
        {
            groups = vec![
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{namespace}"),
            ];
        }
        let implied = if self.user == User::anonymous().name {
            UNAUTHENTICATED
        } else {
            AUTHENTICATED
        };
        if !groups
            .iter()
            .any(|group| group == AUTHENTICATED || group == UNAUTHENTICATED)
        {
            groups.push(implied.to_owned());
        }
        User {
            name: self.user.clone(),
            uid: self.uid.clone(),
            groups,
            extra: self.extra.clone(),
        }
    }
}
