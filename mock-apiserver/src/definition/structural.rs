//! Whether a schema is structural: every field has a type outside of logical combinations, which only restrict values.

use super::path;
use crate::api::field::FieldError;
use serde_json::{Map, Value, json};

const PRESERVE: &str = "x-kubernetes-preserve-unknown-fields";
const EMBEDDED: &str = "x-kubernetes-embedded-resource";
const INT_OR_STRING: &str = "x-kubernetes-int-or-string";

/// Where in its parent a schema stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// Why a schema has no structural form at all.
pub(super) fn unsupported(schema: &Value) -> Option<String> {
    let given = |member: &str| match &schema[member] {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Object(map) => member == "additionalItems" || !map.is_empty(),
        Value::Bool(true) | Value::Number(_) | Value::Array(_) => true,
    };
    for (member, name) in [
        ("id", "id"),
        ("$schema", "schema"),
        ("$ref", "$ref"),
        ("patternProperties", "patternProperties"),
        ("dependencies", "dependencies"),
        ("additionalItems", "additionalItems"),
        ("definitions", "definitions"),
    ] {
        if given(member) {
            return Some(format!("OpenAPIV3Schema '{name}' is not supported"));
        }
    }
    if schema["items"].as_array().is_some_and(|items| !items.is_empty()) {
        return Some("OpenAPIV3Schema 'items' must be a schema, but is an array".to_owned());
    }
    if schema[PRESERVE] == false {
        return Some(format!("internal error: '{PRESERVE}' must be true or undefined"));
    }
    children(schema).find_map(unsupported)
}

/// All schemas directly inside of a schema.
fn children(schema: &Value) -> impl Iterator<Item = &Value> {
    let single = ["items", "additionalProperties", "not"]
        .into_iter()
        .map(|member| &schema[member]);
    let branches = ["allOf", "anyOf", "oneOf"].into_iter();
    let branches = branches.flat_map(|member| schema[member].as_array().into_iter().flatten());
    let properties = schema["properties"].as_object().into_iter().flat_map(Map::values);
    single
        .chain(branches)
        .chain(properties)
        .filter(|child| child.is_object())
}

/// What keeps a schema from being structural, ordered by text as the real server orders it.
pub(super) fn problems(schema: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    invariants(schema, Level::Root, path, &mut errors);
    complete(schema, schema, path, path, &mut errors);
    errors.sort_by_cached_key(ToString::to_string);
    errors
}

fn invariants(schema: &Value, level: Level, path: &str, errors: &mut Vec<FieldError>) {
    let at = |member: &str| path::child(path, member);
    if schema["type"] == "array" && !schema["items"].is_object() {
        errors.push(FieldError::required(at("items"), "must be specified"));
    }
    if schema["items"].is_object() {
        invariants(&schema["items"], Level::Item, &at("items"), errors);
    }
    for (name, child) in schema["properties"].as_object().into_iter().flatten() {
        invariants(child, Level::Field, &path::key(&at("properties"), name), errors);
    }
    let additional = &schema["additionalProperties"];
    if !additional.is_null() {
        if level == Level::Root {
            errors.push(FieldError::forbidden(
                at("additionalProperties"),
                "must not be used at the root",
            ));
        }
        if additional.is_object() {
            invariants(additional, Level::Field, &at("additionalProperties"), errors);
        }
    }
    if schema[INT_OR_STRING] == true {
        for member in [PRESERVE, EMBEDDED]
            .into_iter()
            .filter(|member| schema[*member] == true)
        {
            let detail = "must be false if x-kubernetes-int-or-string is true";
            errors.push(FieldError::invalid(at(member), &schema[member], detail));
        }
    }
    let skips = Skips {
        any_of: is_int_or_string(&schema["anyOf"]),
        first_all_of: is_int_or_string(&schema["allOf"][0]["anyOf"]),
    };
    restrictions(schema, skips, path, errors);
    types(schema, level, path, errors);
    metadata(schema, level, path, errors);
    if schema[EMBEDDED] == true
        && schema[PRESERVE] != true
        && schema["properties"].as_object().is_none_or(Map::is_empty)
    {
        let detail =
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
        errors.push(FieldError::required(at("properties"), detail));
    }
}

/// Every schema has a type, unless it is one of the two that need none.
fn types(schema: &Value, level: Level, path: &str, errors: &mut Vec<FieldError>) {
    let kind = schema["type"].as_str().unwrap_or_default();
    let at = path::child(path, "type");
    if schema[EMBEDDED] == true && kind != "object" {
        let detail = "must be object if x-kubernetes-embedded-resource is true";
        errors.push(if kind.is_empty() {
            FieldError::required(&at, detail)
        } else {
            FieldError::invalid(&at, &schema["type"], detail)
        });
    } else if kind.is_empty() && schema[INT_OR_STRING] != true && schema[PRESERVE] != true {
        let place = match level {
            Level::Root => "at the root",
            Level::Item => "for specified array items",
            Level::Field => "for specified object fields",
        };
        errors.push(FieldError::required(&at, format!("must not be empty {place}")));
    }
    if schema[EMBEDDED] == true && !schema["additionalProperties"].is_null() {
        let detail = "must not be used if x-kubernetes-embedded-resource is set";
        errors.push(FieldError::forbidden(path::child(path, "additionalProperties"), detail));
    }
    if level == Level::Root && !kind.is_empty() && kind != "object" {
        errors.push(FieldError::invalid(&at, &schema["type"], "must be object at the root"));
    }
}

/// A resource's own members are described by the server; a definition may only restrict its names.
fn metadata(schema: &Value, level: Level, path: &str, errors: &mut Vec<FieldError>) {
    let is_resource = level == Level::Root || schema[EMBEDDED] == true;
    for (member, expected) in [("kind", "string"), ("apiVersion", "string"), ("metadata", "object")] {
        let Some(property) = schema["properties"].get(member).filter(|_| is_resource) else {
            continue;
        };
        let kind = property["type"].as_str().unwrap_or_default();
        if kind != expected {
            let at = path::child(&path::key(&path::child(path, "properties"), member), "type");
            errors.push(FieldError::invalid(
                at,
                &Value::from(kind),
                format!("must be {expected}"),
            ));
        }
    }
    let metadata = &schema["properties"]["metadata"];
    if level == Level::Root && metadata.is_object() && says_more_than_names(metadata) {
        let at = path::key(&path::child(path, "properties"), "metadata");
        let detail = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        errors.push(FieldError::forbidden(at, detail));
    }
}

fn says_more_than_names(metadata: &Value) -> bool {
    let is_name = |member: &String| matches!(member.as_str(), "name" | "generateName");
    metadata
        .as_object()
        .into_iter()
        .flatten()
        .any(|(member, value)| match member.as_str() {
            "type" | "default" => false,
            "properties" => value.as_object().is_some_and(|names| !names.keys().all(is_name)),
            _ => !matches!(value, Value::Null | Value::Bool(false)) && value != "",
        })
}

/// `anyOf` of an integer and a text, which is how `IntOrString` is spelled out.
fn is_int_or_string(any_of: &Value) -> bool {
    *any_of == json!([{"type": "integer"}, {"type": "string"}])
}

/// Which branches spell out `IntOrString` and may have types.
#[derive(Debug, Clone, Copy, Default)]
struct Skips {
    any_of: bool,
    first_all_of: bool,
}

/// What a schema, or a branch of one, says about values.
fn restrictions(schema: &Value, skips: Skips, path: &str, errors: &mut Vec<FieldError>) {
    let at = |member: &str| path::child(path, member);
    for member in ["anyOf", "allOf", "oneOf"] {
        if member == "anyOf" && skips.any_of {
            continue;
        }
        for (index, branch) in schema[member].as_array().into_iter().flatten().enumerate() {
            let skips = Skips {
                any_of: member == "allOf" && index == 0 && skips.first_all_of,
                first_all_of: false,
            };
            nested(branch, skips, &path::index(&at(member), index), errors);
        }
    }
    if schema["not"].is_object() {
        nested(&schema["not"], Skips::default(), &at("not"), errors);
    }
    if let Some(pattern) = schema["pattern"].as_str()
        && let Err(error) = regex::Regex::new(pattern)
    {
        let why = go_words(pattern, &error);
        let detail = format!("must be a valid regular expression, but isn't: error parsing regexp: {why}");
        errors.push(FieldError::invalid(at("pattern"), &schema["pattern"], detail));
    }
}

/// Why a pattern does not compile, in the words of Go where they are known.
fn go_words(pattern: &str, error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
    let rest = |from: char| pattern.rfind(from).map_or(pattern, |at| &pattern[at..]);
    match last {
        "unclosed character class" => format!("missing closing ]: `{}`", rest('[')),
        "unclosed group" => format!("missing closing ): `{pattern}`"),
        "unopened group" => format!("unexpected ): `{pattern}`"),
        "repetition operator missing expression" => {
            let operator = pattern
                .trim_start_matches(['(', '^', '|'])
                .chars()
                .next()
                .unwrap_or('*');
            format!("missing argument to repetition operator: `{operator}`")
        }
        "incomplete escape sequence, reached end of pattern prematurely" => {
            "trailing backslash at end of expression: ``".to_owned()
        }
        other => format!("{other}: `{pattern}`"),
    }
}

/// A branch may restrict values, and nothing else.
fn nested(branch: &Value, skips: Skips, path: &str, errors: &mut Vec<FieldError>) {
    let at = |member: &str| path::child(path, member);
    restrictions(branch, skips, path, errors);
    if branch["items"].is_object() {
        nested(&branch["items"], Skips::default(), &at("items"), errors);
    }
    for (name, child) in branch["properties"].as_object().into_iter().flatten() {
        nested(child, Skips::default(), &path::key(&at("properties"), name), errors);
    }
    for (member, must) in [
        ("type", "empty"),
        ("additionalProperties", "undefined"),
        ("default", "undefined"),
        ("title", "empty"),
        ("description", "empty"),
        ("nullable", "false"),
        (PRESERVE, "false"),
        (EMBEDDED, "false"),
        (INT_OR_STRING, "false"),
        ("x-kubernetes-list-map-keys", "empty"),
        ("x-kubernetes-list-type", "undefined"),
        ("x-kubernetes-map-type", "undefined"),
        ("x-kubernetes-validations", "empty"),
    ] {
        let given = match &branch[member] {
            Value::Null | Value::Bool(false) => false,
            Value::String(text) => !text.is_empty(),
            Value::Array(items) => member == "default" || !items.is_empty(),
            Value::Bool(true) | Value::Number(_) | Value::Object(_) => true,
        };
        if given || (member == "default" && branch[member] == false) {
            errors.push(FieldError::forbidden(
                at(member),
                format!("must be {must} to be structural"),
            ));
        }
    }
    if branch["properties"].get("metadata").is_some() {
        let at = path::key(&at("properties"), "metadata");
        errors.push(FieldError::forbidden(at, "must not be specified in a nested context"));
    }
}

/// What branches restrict must be declared outside of them. `whole` is the declaration that a branch is about.
fn complete(branch: &Value, whole: &Value, whole_path: &str, path: &str, errors: &mut Vec<FieldError>) {
    for member in ["not", "allOf", "anyOf", "oneOf"] {
        let at = path::child(path, member);
        match &branch[member] {
            inner @ Value::Object(_) => complete_branch(inner, whole, whole_path, &at, errors),
            Value::Array(inner) => {
                for (index, inner) in inner.iter().enumerate() {
                    complete_branch(inner, whole, whole_path, &path::index(&at, index), errors);
                }
            }
            _ => {}
        }
    }
}

fn complete_branch(branch: &Value, whole: &Value, whole_path: &str, path: &str, errors: &mut Vec<FieldError>) {
    complete(branch, whole, whole_path, path, errors);
    let mut below = |inner: &Value, declared: Option<&Value>, whole_path: &str, path: &str| match declared {
        Some(declared) if declared.is_object() => complete_branch(inner, declared, whole_path, path, errors),
        Some(_) | None => {
            errors.push(FieldError::required(
                whole_path,
                format!("because it is defined in {path}"),
            ));
        }
    };
    if branch["items"].is_object() {
        let at = |path: &str| path::child(path, "items");
        below(&branch["items"], whole.get("items"), &at(whole_path), &at(path));
    }
    for (name, inner) in branch["properties"].as_object().into_iter().flatten() {
        let at = |path: &str| path::key(&path::child(path, "properties"), name);
        below(inner, whole["properties"].get(name), &at(whole_path), &at(path));
    }
}
