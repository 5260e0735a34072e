//! The schema of a version: which members and values OpenAPI allows in a custom resource, part by part.

use super::rules::{self, Costs, Times};
use super::{defaults, go_form, lists, path, structural};
use crate::api::field::{FieldError, Problem};
use serde_json::Value;

const PRESERVE: &str = "x-kubernetes-preserve-unknown-fields";
const EMBEDDED: &str = "x-kubernetes-embedded-resource";
const MAP: &str = "x-kubernetes-map-type";
const LIST: &str = "x-kubernetes-list-type";
const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
/// What a schema may say at its root where the status is a subresource, by the names of Go.
const AT_ROOT_WITH_STATUS: [&str; 22] = [
    "Description",
    "Type",
    "Format",
    "Title",
    "Maximum",
    "ExclusiveMaximum",
    "Minimum",
    "ExclusiveMinimum",
    "MaxLength",
    "MinLength",
    "Pattern",
    "MaxItems",
    "MinItems",
    "UniqueItems",
    "MultipleOf",
    "Required",
    "Items",
    "Properties",
    "ExternalDocs",
    "Example",
    "XPreserveUnknownFields",
    "XValidations",
];

/// What of its surroundings decides about a schema.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schemas {
    /// Objects have a status subresource.
    pub(super) has_status: bool,
    /// An update leaves the schema as it was.
    pub(super) is_unchanged: bool,
}

/// What is wrong with `validation.openAPIV3Schema`.
pub(super) fn problems(validation: &Value, path: &str, about: Schemas) -> Vec<FieldError> {
    let schema = &validation["openAPIV3Schema"];
    if !schema.is_object() {
        return Vec::new();
    }
    let at = path::child(path, "openAPIV3Schema");
    let mut errors = Vec::new();
    if about.has_status {
        errors.extend(root_with_status(schema, &at));
    }
    if schema["nullable"] == true {
        let at = path::child(&at, "nullable");
        errors.push(FieldError::forbidden(at, "nullable cannot be true at the root"));
    }
    let unsupported = structural::unsupported(schema);
    let before = errors.len();
    if unsupported.is_none() {
        errors.extend(structural::problems(schema, &at));
        if errors.len() == before {
            errors.extend(defaults::problems(schema, &at));
        }
    }
    // Rules rely on types, which only sound schemas have.
    let asks_rules = unsupported.is_none() && errors.len() == before;
    let mut walk = Walk {
        costs: Costs::new(about.is_unchanged),
    };
    let found = walk.node(schema, &Scope::root(&at, asks_rules));
    errors.extend(found.schema);
    errors.extend(found.rules);
    if let Some(why) = unsupported.filter(|_| errors.is_empty()) {
        errors.push(FieldError::invalid(&at, &Value::from(""), why));
    }
    errors.extend(walk.costs.problems(&at));
    errors
}

/// The status is judged by its part of the schema alone, so nothing may be said at the root that concerns it.
fn root_with_status(schema: &Value, at: &str) -> Option<FieldError> {
    for (go, member) in go_form::members() {
        let value = schema.get(member).filter(|value| !is_zero(value));
        match (go, value) {
            ("Type", Some(value)) if value != "object" => {
                let detail = "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled";
                return Some(FieldError::invalid(path::child(at, "type"), value, detail));
            }
            (go, Some(_)) if !AT_ROOT_WITH_STATUS.contains(&go) => {
                let detail = format!(
                    "only [{}] fields are allowed at the root of the schema if the status subresource is enabled",
                    AT_ROOT_WITH_STATUS.join(" ")
                );
                let shown = go_form::schema(schema);
                return Some(FieldError {
                    path: at.to_owned(),
                    problem: Problem::Invalid { shown, detail },
                });
            }
            (_, None | Some(_)) => {}
        }
    }
    None
}

/// Whether Go takes a value for one that was not given.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Bool(true) | Value::Number(_) | Value::Array(_) | Value::Object(_) => false,
    }
}

/// Where a schema stands.
#[derive(Debug, Clone)]
struct Scope {
    path: String,
    is_root: bool,
    /// Why defaults are forbidden here.
    no_defaults: Option<String>,
    /// It describes type or metadata of a resource.
    inside_meta: bool,
    /// The first part around it whose values have no certain counterparts in the old object.
    uncorrelatable: Option<String>,
    /// How often such a value can occur; `None` where rules are not looked at.
    times: Option<Times>,
}

impl Scope {
    fn root(path: &str, asks_rules: bool) -> Self {
        Self {
            path: path.to_owned(),
            is_root: true,
            no_defaults: None,
            inside_meta: false,
            uncorrelatable: None,
            times: asks_rules.then_some(Times::AtMost(1)),
        }
    }

    /// A part of the schema below it.
    fn below(&self, path: String) -> Self {
        Self {
            path,
            is_root: false,
            ..self.clone()
        }
    }

    /// A branch of a logical combination, whose rules are forbidden elsewhere.
    fn branch(&self, path: String) -> Self {
        Self {
            times: None,
            ..self.below(path)
        }
    }
}

/// Problems of a schema and all below it.
#[derive(Debug, Default)]
struct Found {
    schema: Vec<FieldError>,
    rules: Vec<FieldError>,
}

impl Found {
    fn take(&mut self, other: Self) {
        self.schema.extend(other.schema);
        self.rules.extend(other.rules);
    }
}

struct Walk {
    costs: Costs,
}

impl Walk {
    fn node(&mut self, schema: &Value, scope: &Scope) -> Found {
        let mut found = Found::default();
        if !schema.is_object() {
            return found;
        }
        found.schema.extend(members(schema, scope));
        self.values(schema, scope, &mut found);
        self.branches(schema, scope, &mut found);
        self.items(schema, scope, &mut found);
        found.schema.extend(extensions(schema, &scope.path));
        found.schema.extend(lists::problems(schema, &scope.path));
        found.schema.extend(rules::texts(schema, &scope.path));
        if let Some(times) = scope.times.filter(|_| found.schema.is_empty()) {
            let about = rules::About {
                path: &scope.path,
                is_resource: scope.is_root || schema[EMBEDDED] == true,
                uncorrelatable: scope.uncorrelatable.as_deref(),
                times,
            };
            found.rules.extend(rules::problems(schema, &about, &mut self.costs));
        }
        found
    }

    /// `additionalProperties` and `properties`.
    fn values(&mut self, schema: &Value, scope: &Scope, found: &mut Found) {
        let (properties, additional) = (&schema["properties"], &schema["additionalProperties"]);
        let times = scope.times.map(|times| times.inside(schema));
        if !additional.is_null() {
            let at = path::child(&scope.path, "additionalProperties");
            if properties.as_object().is_some_and(|properties| !properties.is_empty()) && *additional != true {
                let detail = "additionalProperties and properties are mutual exclusive";
                found.schema.push(FieldError::forbidden(&at, detail));
            }
            let mut inner = Scope {
                times,
                ..scope.below(at)
            };
            if scope.inside_meta {
                inner.no_defaults = Some("inside additionalProperties applying to object metadata".to_owned());
            }
            found.take(self.node(additional, &inner));
        }
        let is_resource = scope.is_root || schema[EMBEDDED] == true;
        for (name, child) in properties.as_object().into_iter().flatten() {
            let at = path::key(&path::child(&scope.path, "properties"), name);
            let mut inner = Scope {
                times,
                ..scope.below(at)
            };
            if schema[MAP] == "atomic" {
                inner.uncorrelatable.get_or_insert_with(|| scope.path.clone());
            }
            if is_resource && matches!(name.as_str(), "metadata" | "kind" | "apiVersion") {
                inner.inside_meta = true;
                if scope.is_root {
                    inner.no_defaults = Some(format!("in top-level {name}"));
                }
            }
            found.take(self.node(child, &inner));
        }
    }

    fn branches(&mut self, schema: &Value, scope: &Scope, found: &mut Found) {
        found.take(self.node(&schema["not"], &scope.branch(path::child(&scope.path, "not"))));
        for name in ["allOf", "oneOf", "anyOf"] {
            let at = path::child(&scope.path, name);
            for (index, branch) in schema[name].as_array().into_iter().flatten().enumerate() {
                found.take(self.node(branch, &scope.branch(path::index(&at, index))));
            }
        }
        for (name, inner) in schema["definitions"].as_object().into_iter().flatten() {
            let at = path::key(&path::child(&scope.path, "definitions"), name);
            found.take(self.node(inner, &scope.branch(at)));
        }
    }

    fn items(&mut self, schema: &Value, scope: &Scope, found: &mut Found) {
        let at = path::child(&scope.path, "items");
        let mut inner = Scope {
            times: scope.times.map(|times| times.inside(schema)),
            ..scope.below(at.clone())
        };
        if schema[LIST] != "map" {
            inner.uncorrelatable.get_or_insert_with(|| scope.path.clone());
        }
        match &schema["items"] {
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    inner.path = path::index(&at, index);
                    found.take(self.node(item, &inner));
                }
            }
            item => found.take(self.node(item, &inner)),
        }
    }
}

/// Members that OpenAPI does not have, or custom resources may not use.
fn members(schema: &Value, scope: &Scope) -> Vec<FieldError> {
    let at = |member: &str| path::child(&scope.path, member);
    let mut errors = Vec::new();
    let kind = schema["type"].as_str().unwrap_or_default();
    if !kind.is_empty() && !TYPES.contains(&kind) {
        errors.push(FieldError::not_supported(at("type"), &schema["type"], &TYPES));
    }
    if let (Some(why), false) = (&scope.no_defaults, schema["default"].is_null()) {
        errors.push(FieldError::forbidden(at("default"), format!("must not be set {why}")));
    }
    let given = |member: &str| match &schema[member] {
        Value::Object(map) => member == "additionalItems" || member == "dependencies" || !map.is_empty(),
        other => !is_zero(other),
    };
    let unsupported = [
        "id",
        "additionalItems",
        "patternProperties",
        "definitions",
        "dependencies",
        "$ref",
    ];
    for member in unsupported.into_iter().filter(|member| given(member)) {
        errors.push(FieldError::forbidden(at(member), format!("{member} is not supported")));
    }
    if kind == "null" {
        let detail = "type cannot be set to null, use nullable as an alternative";
        errors.push(FieldError::forbidden(at("type"), detail));
    }
    if schema["items"].as_array().is_some_and(|items| !items.is_empty()) {
        let detail = "items must be a schema object and not an array";
        errors.push(FieldError::forbidden(at("items"), detail));
    }
    if scope.inside_meta && schema[EMBEDDED] == true {
        errors.push(FieldError::forbidden(
            at(EMBEDDED),
            "must not be used inside of resource meta",
        ));
    }
    if schema["uniqueItems"] == true {
        let detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errors.push(FieldError::forbidden(at("uniqueItems"), detail));
    }
    errors
}

/// A type that an extension needs.
fn needs_type(schema: &Value, at: String, expected: &str, extension: &str) -> Option<FieldError> {
    let detail = format!("must be {expected} if {extension} is specified");
    match schema["type"].as_str().unwrap_or_default() {
        kind if kind == expected => None,
        "" => Some(FieldError::required(at, detail)),
        _ => Some(FieldError::invalid(at, &schema["type"], detail)),
    }
}

/// The extensions of Kubernetes.
fn extensions(schema: &Value, path: &str) -> Vec<FieldError> {
    let at = |member: &str| path::child(path, member);
    let mut errors = Vec::new();
    if schema[PRESERVE] == false {
        errors.push(FieldError::invalid(
            at(PRESERVE),
            &schema[PRESERVE],
            "must be true or undefined",
        ));
    }
    if let Some(map_type) = schema[MAP].as_str() {
        errors.extend(needs_type(schema, at("type"), "object", MAP));
        if !matches!(map_type, "atomic" | "granular") {
            errors.push(FieldError::not_supported(
                at(MAP),
                &schema[MAP],
                &["atomic", "granular"],
            ));
        }
    }
    let Some(list_type) = schema[LIST].as_str() else {
        return errors;
    };
    match needs_type(schema, at("type"), "array", LIST) {
        Some(error) => errors.push(error),
        None if list_type == "set" => errors.extend(atomic_items(&schema["items"], &at("items"))),
        None => {}
    }
    if !matches!(list_type, "atomic" | "set" | "map") {
        errors.push(FieldError::not_supported(
            at(LIST),
            &schema[LIST],
            &["atomic", "set", "map"],
        ));
    }
    errors
}

/// The items of a set are compared as wholes.
fn atomic_items(items: &Value, path: &str) -> Option<FieldError> {
    let (list, map) = (&items[LIST], &items[MAP]);
    let member = match items["type"].as_str() {
        Some("array") if !list.is_null() && list != "atomic" => LIST,
        Some("object") if map != "atomic" => MAP,
        Some(_) | None => return None,
    };
    // The real server shows the type of the list in either case.
    let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
    Some(FieldError::invalid(path::child(path, member), list, detail))
}
