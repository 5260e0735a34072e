//! One served resource in one version.

use super::custom::{CustomVersion, ScalePaths};
use crate::api::error::qualified;
use crate::api::names::NameRule;
use crate::conversion::Converter;
use crate::schema::{self, Nulls};
use crate::store::{CollectionName, Object};
use crate::types::Message;
use serde_json::Value;
use std::sync::Arc;

/// How a built-in kind differs from the ordinary.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BuiltIn {
    /// `metadata.generation` is kept.
    pub(crate) generation: bool,
    /// A PUT to an absent name creates.
    pub(crate) create_on_update: bool,
    /// Objects are questions: POST answers them, nothing is stored.
    pub(crate) review: bool,
    pub(crate) name_rule: NameRule,
    /// The fields of its objects; `None` if the kind has no declared type.
    pub(crate) message: Option<&'static Message>,
}

/// Where a resource comes from.
#[derive(Debug, Clone)]
pub(crate) enum Origin {
    BuiltIn(BuiltIn),
    Custom(Arc<CustomVersion>),
}

/// A resource in a version, as discovery describes it.
#[derive(Debug, Clone)]
pub(crate) struct Resource {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    pub(crate) list_kind: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) namespaced: bool,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
    /// The status subresource is on: it and the rest are written apart.
    pub(crate) status: bool,
    pub(crate) scale: Option<ScalePaths>,
    /// Where the objects of all versions are stored.
    pub(crate) collection: CollectionName,
    /// Fields beyond `metadata.name` and `metadata.namespace` that field selectors may use.
    pub(crate) selectable: Vec<String>,
    pub(crate) origin: Origin,
}

impl Resource {
    /// `group/version`, or the bare version for the core group.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// `plural.group`, as error texts name it.
    pub(crate) fn qualified(&self) -> String {
        qualified(&self.plural, &self.group)
    }

    pub(crate) fn is(&self, group: &str, kind: &str) -> bool {
        self.group == group && self.kind == kind
    }

    pub(crate) fn is_custom(&self) -> bool {
        matches!(self.origin, Origin::Custom(_))
    }

    /// Whether its objects are questions that are answered and not stored.
    pub(crate) fn is_review(&self) -> bool {
        match &self.origin {
            Origin::BuiltIn(builtin) => builtin.review,
            Origin::Custom(_) => false,
        }
    }

    /// Whether a write without a resource version is an unconditional one.
    pub(crate) fn allows_unconditional_update(&self) -> bool {
        !self.is_custom()
    }

    pub(crate) fn creates_on_update(&self) -> bool {
        match &self.origin {
            Origin::BuiltIn(builtin) => builtin.create_on_update,
            Origin::Custom(_) => false,
        }
    }

    pub(crate) fn keeps_generation(&self) -> bool {
        match &self.origin {
            Origin::BuiltIn(builtin) => builtin.generation,
            Origin::Custom(_) => true,
        }
    }

    pub(crate) fn name_rule(&self) -> NameRule {
        match &self.origin {
            Origin::BuiltIn(builtin) => builtin.name_rule,
            Origin::Custom(_) => NameRule::Subdomain,
        }
    }

    /// The webhook that converts its objects between versions, if they differ in more than their names.
    pub(crate) fn converter(&self) -> Option<Arc<Converter>> {
        match &self.origin {
            Origin::BuiltIn(_) => None,
            Origin::Custom(custom) => custom.converter.clone(),
        }
    }

    /// `group/version` in which its objects are stored.
    pub(crate) fn storage_version(&self) -> String {
        match &self.origin {
            Origin::BuiltIn(_) => self.api_version(),
            Origin::Custom(custom) => format!("{}/{}", self.group, custom.storage),
        }
    }

    /// Whether its objects are stored in another form than it shows.
    pub(crate) fn converts(&self) -> bool {
        match &self.origin {
            Origin::BuiltIn(_) => false,
            Origin::Custom(custom) => custom.converter.is_some() || custom.storage_schema.is_some(),
        }
    }

    /// A stored object as it is read, if no webhook converts it: with the defaults that the schema of the storage has got since
    /// it was written, and without what this version's schema does not know.
    pub(crate) fn read(&self, stored: &Arc<Object>) -> Arc<Object> {
        let Origin::Custom(custom) = &self.origin else {
            return stored.clone();
        };
        let is_new = stored.revision() >= custom.since;
        match &custom.storage_schema {
            None if is_new => stored.clone(),
            Some(_) if is_new && stored.is_of(&self.api_version(), &self.kind) => stored.clone(),
            schema => {
                let mut read = Value::clone(stored);
                if !is_new {
                    let schema = schema.as_ref().unwrap_or(&custom.schema);
                    schema::default_fields(schema, &mut read, Nulls::Drop);
                }
                self.settle(&mut read);
                Arc::new(Object::new(read))
            }
        }
    }

    /// Gives an object this version's name, and takes off what its schema does not know.
    pub(crate) fn settle(&self, object: &mut Value) {
        object["apiVersion"] = self.api_version().into();
        if let Origin::Custom(custom) = &self.origin
            && !custom.preserve_unknown
            && custom.schema.is_object()
        {
            schema::prune(&custom.schema, object);
        }
    }

    /// The type of its objects, if it is built in.
    pub(crate) fn message(&self) -> Option<&'static Message> {
        match &self.origin {
            Origin::BuiltIn(builtin) => builtin.message,
            Origin::Custom(_) => None,
        }
    }

    /// The object as this version shows it.
    pub(crate) fn present(&self, object: &Arc<Object>) -> Arc<Object> {
        let api_version = self.api_version();
        // Events are stored with the fields of both of their versions.
        let both = self.kind == "Event" && !self.is_custom();
        if object.is_of(&api_version, &self.kind) && !both {
            return object.clone();
        }
        let mut shown = Value::clone(object);
        if let (true, Some(message), Some(fields)) = (both, self.message(), shown.as_object_mut()) {
            fields.retain(|name, _| message.member(name).is_some());
        }
        shown["apiVersion"] = api_version.into();
        shown["kind"] = self.kind.as_str().into();
        Arc::new(Object::new(shown))
    }
}
