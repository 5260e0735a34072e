//! What a webhook is told about a request: the `AdmissionRequest` of `admission.k8s.io/v1`.

use crate::access::User;
use crate::catalog::Resource;
use serde_json::{Value, json};
use std::sync::Arc;

/// What is to happen to the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Update,
    Delete,
}

impl Operation {
    /// As rules and reviews spell it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }
}

/// The kind of the object that is admitted; for `scale`, `binding` and `eviction` not that of the resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupVersionKind {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
}

impl GroupVersionKind {
    /// The kind of the resource's own objects.
    pub(crate) fn of(resource: &Resource) -> Self {
        Self {
            group: resource.group.clone(),
            version: resource.version.clone(),
            kind: resource.kind.clone(),
        }
    }

    fn json(&self) -> Value {
        json!({"group": self.group, "version": self.version, "kind": self.kind})
    }
}

/// All about a request but the objects.
#[derive(Debug, Clone)]
pub(crate) struct Attributes {
    pub(crate) operation: Operation,
    pub(crate) resource: Arc<Resource>,
    pub(crate) kind: GroupVersionKind,
    /// Empty for the object itself.
    pub(crate) subresource: String,
    /// Empty in the cluster scope.
    pub(crate) namespace: String,
    /// Empty while the server has yet to generate it.
    pub(crate) name: String,
    pub(crate) user: User,
    pub(crate) dry_run: bool,
    /// `CreateOptions`, `UpdateOptions`, `PatchOptions` or `DeleteOptions`.
    pub(crate) options: Value,
}

impl Attributes {
    /// Whether the objects are of another kind than the resource's own.
    pub(crate) fn is_of_subresource(&self) -> bool {
        self.kind != GroupVersionKind::of(&self.resource)
    }

    /// The request as a webhook sees it which knows the resource by the version of `seen`.
    pub(crate) fn request(&self, uid: &str, seen: &Resource, object: Option<&Value>, old: Option<&Value>) -> Value {
        let resource = |resource: &Resource| json!({"group": resource.group, "version": resource.version, "resource": resource.plural});
        let mut kind = self.kind.clone();
        if !self.is_of_subresource() {
            kind = GroupVersionKind::of(seen);
        }
        let mut request = json!({
            "uid": uid,
            "kind": kind.json(), "resource": resource(seen),
            "requestKind": self.kind.json(), "requestResource": resource(&self.resource),
            "operation": self.operation.as_str(), "userInfo": self.user.info(),
            "object": object, "oldObject": old,
            "dryRun": self.dry_run, "options": self.options,
        });
        for (member, text) in [
            ("subResource", &self.subresource),
            ("requestSubResource", &self.subresource),
            ("name", &self.name),
            ("namespace", &self.namespace),
        ] {
            if !text.is_empty() {
                request[member] = text.as_str().into();
            }
        }
        request
    }
}
