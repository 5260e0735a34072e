//! The webhooks in force, kept in step with their configurations.

use super::attributes::Attributes;
use super::client_config::{Address, ServiceAddresses};
use super::policy::Policies;
use super::run::Phase;
use super::webhook::Webhook;
use crate::catalog::Resource;
use crate::conversion::Line;
use crate::core::Core;
use crate::store::{Change, Event, Object, ObjectName};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) const GROUP: &str = "admissionregistration.k8s.io";

/// The webhooks by the names of their configurations: these order them.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    mutating: BTreeMap<String, Vec<Arc<Webhook>>>,
    validating: BTreeMap<String, Vec<Arc<Webhook>>>,
    pub(crate) services: ServiceAddresses,
    pub(crate) policies: Policies,
}

/// A webhook that is to be asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) webhook: Arc<Webhook>,
    /// Identifies the review.
    pub(crate) uid: String,
    /// The version in which it is shown the objects.
    pub(crate) seen: Arc<Resource>,
    pub(crate) address: Result<Address, String>,
    /// Who converts objects between the version of the request and the one that the webhook is shown, if these are not the same.
    pub(crate) line: Option<Line>,
}

impl Registry {
    /// Follows a change of any object.
    pub(crate) fn follow(&mut self, resource: &Resource, change: &Change) {
        if resource.group != GROUP {
            return;
        }
        let configurations = match resource.kind.as_str() {
            "MutatingWebhookConfiguration" => &mut self.mutating,
            "ValidatingWebhookConfiguration" => &mut self.validating,
            _ => return self.policies.follow(resource, change),
        };
        let name = change.name.name.clone();
        match change.event {
            Event::Deleted => {
                configurations.remove(&name);
            }
            Event::Added | Event::Modified => {
                let webhooks = change.object["webhooks"].as_array().into_iter().flatten();
                let webhooks = webhooks.map(|webhook| Arc::new(Webhook::read(webhook)));
                configurations.insert(name, webhooks.collect());
            }
        }
    }

    /// Whether no webhook is there to be asked.
    pub(crate) fn is_empty(&self, phase: Phase) -> bool {
        self.of(phase).is_empty()
    }

    fn of(&self, phase: Phase) -> &BTreeMap<String, Vec<Arc<Webhook>>> {
        match phase {
            Phase::Mutating => &self.mutating,
            Phase::Validating => &self.validating,
        }
    }
}

/// The webhooks whose rules and namespaces cover a request, in the order they are asked.
pub(crate) fn covering(core: &mut Core, phase: Phase, attributes: &Attributes, object: &Value) -> Vec<Asked> {
    let registry = &core.webhooks;
    // Webhooks cannot lock people out of the configurations by which they are called.
    if registry.of(phase).is_empty() || attributes.resource.group == GROUP {
        return Vec::new();
    }
    let versions = core.catalog.versions(&attributes.resource);
    let namespace = namespace(core, attributes, object);
    let covering: Vec<_> = registry
        .of(phase)
        .values()
        .flatten()
        .filter(|webhook| {
            webhook
                .matching
                .wants_namespace(namespace.as_deref().map(|namespace| &**namespace))
        })
        .filter_map(|webhook| Some((webhook.clone(), webhook.matching.covers(attributes, &versions)?.clone())))
        .collect();
    let mut asked = Vec::new();
    for (webhook, seen) in covering {
        let is_other = seen.version != attributes.resource.version && !attributes.is_of_subresource();
        asked.push(Asked {
            line: if is_other { Line::of(core, &seen) } else { None },
            uid: core.random.uid(),
            address: webhook.client.address(&core.store, &core.webhooks.services),
            webhook,
            seen,
        });
    }
    asked
}

/// The namespace that `namespaceSelector` looks at: that of the object, or the object itself if it is one.
pub(super) fn namespace(core: &Core, attributes: &Attributes, object: &Value) -> Option<Arc<Object>> {
    if attributes.resource.is("", "Namespace") {
        return Some(Arc::new(Object::new(object.clone())));
    }
    if attributes.namespace.is_empty() {
        return None;
    }
    core.store
        .get("namespaces", &ObjectName::new("", &attributes.namespace))
}
