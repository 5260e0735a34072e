//! Who a request is from.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Whoever is in this group may do everything.
pub(crate) const MASTERS: &str = "system:masters";
pub(crate) const AUTHENTICATED: &str = "system:authenticated";
pub(crate) const UNAUTHENTICATED: &str = "system:unauthenticated";
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

/// Who a request is from, as authentication found it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct User {
    /// The name that bindings and error texts use.
    pub name: String,
    /// The identity behind the name, may be empty.
    pub uid: String,
    /// The groups, `system:authenticated` included.
    pub groups: Vec<String>,
    /// Whatever else is known.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// An authenticated user without further groups.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            groups: vec![AUTHENTICATED.to_owned()],
            ..Self::default()
        }
    }

    /// The user in one more group.
    #[must_use]
    pub fn in_group(mut self, group: &str) -> Self {
        if !self.groups.iter().any(|known| known == group) {
            // As the real server does, `system:authenticated` stays last.
            self.groups
                .insert(self.groups.len().saturating_sub(1), group.to_owned());
        }
        self
    }

    /// The user that Pods of a service account are.
    #[must_use]
    pub fn service_account(namespace: &str, name: &str) -> Self {
        Self::new(&format!("{SERVICE_ACCOUNT}{namespace}:{name}"))
            .in_group("system:serviceaccounts")
            .in_group(&format!("system:serviceaccounts:{namespace}"))
    }

    /// The administrator, who may do everything.
    #[must_use]
    pub fn admin() -> Self {
        Self::new("kubernetes-admin").in_group(MASTERS)
    }

    /// Somebody who showed no credentials.
    #[must_use]
    pub fn anonymous() -> Self {
        Self {
            name: "system:anonymous".to_owned(),
            groups: vec![UNAUTHENTICATED.to_owned()],
            ..Self::default()
        }
    }

    pub(crate) fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|known| known == group)
    }

    /// Namespace and name of a service account's user name.
    pub(crate) fn service_account_of(name: &str) -> Option<(&str, &str)> {
        name.strip_prefix(SERVICE_ACCOUNT)?.split_once(':')
    }

    /// The `UserInfo` of reviews; what is empty is left out.
    pub(crate) fn info(&self) -> Value {
        let mut info = json!({"username": self.name, "groups": self.groups});
        if !self.uid.is_empty() {
            info["uid"] = self.uid.as_str().into();
        }
        if !self.extra.is_empty() {
            info["extra"] = self
                .extra
                .iter()
                .map(|(key, values)| (key.clone(), json!(values)))
                .collect::<Map<_, _>>()
                .into();
        }
        info
    }
}
