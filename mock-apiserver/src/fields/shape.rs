//! How the parts of an object merge: from a CRD's schema, or from the types of the built-in kinds.

use crate::api::meta::strings;
use crate::catalog::{Origin, Resource};
use crate::types::{self, Field, Kind, ListType, Message, Multiplicity};
use serde_json::Value;

/// How a list merges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ListKind {
    /// As a whole.
    Atomic,
    /// Item by item, each its own key.
    Set,
    /// Item by item, identified by these members.
    Map(Vec<String>),
}

/// The place in the type of an object.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape<'a> {
    /// A node of a structural schema.
    Schema(&'a Value),
    /// An object of a built-in type.
    Message(&'static Message),
    /// The whole value of a field of a built-in type.
    Field(&'static Field),
    /// An item of a list or map that is a field of a built-in type.
    Item(&'static Field),
}

const NULL: &Value = &Value::Null;

/// A part that no type describes.
const UNKNOWN: Shape<'static> = Shape::Schema(NULL);

impl<'a> Shape<'a> {
    /// The shape of a whole object.
    pub(crate) fn of(resource: &'a Resource) -> Self {
        match &resource.origin {
            Origin::Custom(custom) => Self::Schema(&custom.schema),
            Origin::BuiltIn(builtin) => builtin.message.map_or(UNKNOWN, Self::Message),
        }
    }

    /// The shape of a member. The metadata of every kind is built in.
    pub(crate) fn member(self, member: &'a str, at_root: bool) -> Self {
        match self {
            Self::Schema(_) if at_root && member == "metadata" => {
                types::message("meta.ObjectMeta").map_or(UNKNOWN, Self::Message)
            }
            Self::Schema(schema) => {
                let declared = schema["properties"]
                    .get(member)
                    .or_else(|| schema.get("additionalProperties"));
                Self::Schema(declared.unwrap_or(NULL))
            }
            Self::Field(field) if field.multiplicity == Multiplicity::Map => Self::Item(field),
            Self::Message(_) | Self::Field(_) | Self::Item(_) => {
                let field = self.message().and_then(|message| message.member(member));
                field.map_or(UNKNOWN, Self::Field)
            }
        }
    }

    /// The shape of a list's items.
    pub(crate) fn item(self) -> Self {
        match self {
            Self::Schema(schema) => Self::Schema(schema.get("items").unwrap_or(NULL)),
            Self::Field(field) => Self::Item(field),
            Self::Message(_) | Self::Item(_) => UNKNOWN,
        }
    }

    /// The built-in type of an object here.
    fn message(self) -> Option<&'static Message> {
        match self {
            Self::Message(message) => Some(message),
            Self::Field(field) | Self::Item(field) => match field.kind {
                Kind::Message(name) if types::special(name).is_none() => types::message(name),
                Kind::Message(_)
                | Kind::String
                | Kind::Bool
                | Kind::Int32
                | Kind::Int64
                | Kind::Double
                | Kind::Bytes => None,
            },
            Self::Schema(_) => None,
        }
    }

    /// What a schema wants in place of a value; types of built-in kinds are checked elsewhere.
    pub(super) fn mismatch(self, value: &Value) -> Option<&'static str> {
        let Self::Schema(schema) = self else { return None };
        if value.is_null() || schema["x-kubernetes-int-or-string"] == true {
            return None;
        }
        match schema["type"].as_str()? {
            "object" if !value.is_object() => Some("map"),
            "array" if !value.is_array() => Some("list"),
            "string" if !value.is_string() => Some("string"),
            "boolean" if !value.is_boolean() => Some("boolean"),
            "integer" | "number" if !value.is_number() => Some("numeric (int or float)"),
            _ => None,
        }
    }

    /// The value by which an item of a map list is known, with the default that its schema gives it.
    pub(super) fn item_key(self, item: &Value, key: &str) -> Option<Value> {
        let default = || match self.item() {
            Self::Schema(schema) => schema["properties"][key].get("default").cloned(),
            // A missing protocol is the default one, as the schema of ports says.
            Self::Message(_) | Self::Field(_) | Self::Item(_) => (key == "protocol").then(|| "TCP".into()),
        };
        item.get(key).cloned().or_else(default)
    }

    /// Whether a member is a key of a map rather than a field of a type.
    pub(super) fn is_map_key(self, member: &str, at_root: bool) -> bool {
        match self {
            Self::Schema(_) if at_root && matches!(member, "apiVersion" | "kind" | "metadata") => false,
            Self::Schema(schema) => schema["properties"].get(member).is_none(),
            Self::Field(field) => field.multiplicity == Multiplicity::Map,
            Self::Message(_) | Self::Item(_) => false,
        }
    }

    /// Whether an object here merges as a whole.
    pub(crate) fn is_atomic_map(self) -> bool {
        match self {
            Self::Schema(schema) => schema["x-kubernetes-map-type"] == "atomic",
            Self::Field(field) if field.multiplicity == Multiplicity::Map => field.atomic,
            Self::Field(field) => field.atomic || self.message().is_none_or(|message| message.atomic),
            Self::Message(_) | Self::Item(_) => self.message().is_none_or(|message| message.atomic),
        }
    }

    /// How a list here merges.
    pub(crate) fn list_kind(self) -> ListKind {
        match self {
            Self::Schema(schema) => match schema["x-kubernetes-list-type"].as_str() {
                Some("set") => ListKind::Set,
                Some("map") => ListKind::Map(
                    strings(&schema["x-kubernetes-list-map-keys"])
                        .into_iter()
                        .map(str::to_owned)
                        .collect(),
                ),
                _ => ListKind::Atomic,
            },
            Self::Field(field) => match &field.list_type {
                Some(ListType::Set) => ListKind::Set,
                Some(ListType::Map(keys)) => ListKind::Map(keys.iter().map(|key| (*key).to_owned()).collect()),
                Some(ListType::Atomic) | None => ListKind::Atomic,
            },
            Self::Message(_) | Self::Item(_) => ListKind::Atomic,
        }
    }

    /// How a strategic merge patch merges a list here: the items by one key, scalars as a set, or not at all.
    pub(crate) fn patched_list(self) -> ListKind {
        match self {
            Self::Field(field) => match field.patch {
                Some(patch) if !patch.strategies.split(',').any(|strategy| strategy == "merge") => ListKind::Atomic,
                Some(patch) if patch.key.is_empty() => ListKind::Set,
                Some(patch) => ListKind::Map(vec![patch.key.to_owned()]),
                None => ListKind::Atomic,
            },
            Self::Schema(_) | Self::Message(_) | Self::Item(_) => ListKind::Atomic,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(kind: &str, path: &[&'static str]) -> Shape<'static> {
        let root = Shape::Message(types::message(kind).unwrap());
        path.iter().fold(root, |shape, step| match *step {
            "[]" => shape.item(),
            member => shape.member(member, false),
        })
    }

    #[test]
    fn lists_of_built_in_kinds_merge_by_the_keys_of_their_types() {
        let keys = |names: &[&str]| ListKind::Map(names.iter().map(|name| (*name).to_owned()).collect());
        let ports = at(
            "apps.v1.Deployment",
            &["spec", "template", "spec", "containers", "[]", "ports"],
        );
        assert_eq!(ports.list_kind(), keys(&["containerPort", "protocol"]));
        assert_eq!(ports.patched_list(), keys(&["containerPort"]));
        let finalizers = at("core.v1.Pod", &["metadata", "finalizers"]);
        assert_eq!(
            (finalizers.list_kind(), finalizers.patched_list()),
            (ListKind::Set, ListKind::Set)
        );
        let tolerations = at("core.v1.Pod", &["spec", "tolerations"]);
        assert_eq!(
            (tolerations.list_kind(), tolerations.patched_list()),
            (ListKind::Atomic, ListKind::Atomic)
        );
    }

    #[test]
    fn selectors_and_references_merge_as_a_whole_and_other_objects_do_not() {
        assert!(at("apps.v1.Deployment", &["spec", "selector"]).is_atomic_map());
        assert!(at("core.v1.Pod", &["spec", "nodeSelector"]).is_atomic_map());
        assert!(!at("core.v1.Pod", &["metadata", "labels"]).is_atomic_map());
        assert!(!at("core.v1.Pod", &["spec", "containers", "[]", "resources", "limits"]).is_atomic_map());
    }
}
