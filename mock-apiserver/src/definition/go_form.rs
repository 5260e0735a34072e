//! Parts of a definition as JSON of the real server's internal types, which its messages show: members in the order of their
//! declaration, none left out.

use crate::api::field::go_json as json;
use serde_json::Value;

/// How a member is written.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// A text; empty if absent.
    Text,
    /// A flag; false if absent.
    Flag,
    /// A number; 0 if absent.
    Count,
    /// Any JSON; null if absent.
    Any,
    Schema,
    Schemas,
    SchemaMap,
    /// A schema, or a list of them.
    Items,
    /// A schema, or whether anything is allowed.
    Additional,
    Struct(Members),
    Structs(Members),
}

/// Names of members in Go, in JSON, and their forms.
type Members = &'static [(&'static str, &'static str, Form)];

const VERSION: Members = &[
    ("Name", "name", Form::Text),
    ("Served", "served", Form::Flag),
    ("Storage", "storage", Form::Flag),
    ("Deprecated", "deprecated", Form::Flag),
    ("DeprecationWarning", "deprecationWarning", Form::Any),
    (
        "Schema",
        "schema",
        Form::Struct(&[("OpenAPIV3Schema", "openAPIV3Schema", Form::Schema)]),
    ),
    ("Subresources", "subresources", Form::Struct(SUBRESOURCES)),
    (
        "AdditionalPrinterColumns",
        "additionalPrinterColumns",
        Form::Structs(COLUMN),
    ),
    (
        "SelectableFields",
        "selectableFields",
        Form::Structs(&[("JSONPath", "jsonPath", Form::Text)]),
    ),
];

const SUBRESOURCES: Members = &[
    ("Status", "status", Form::Struct(&[])),
    (
        "Scale",
        "scale",
        Form::Struct(&[
            ("SpecReplicasPath", "specReplicasPath", Form::Text),
            ("StatusReplicasPath", "statusReplicasPath", Form::Text),
            ("LabelSelectorPath", "labelSelectorPath", Form::Any),
        ]),
    ),
];

const COLUMN: Members = &[
    ("Name", "name", Form::Text),
    ("Type", "type", Form::Text),
    ("Format", "format", Form::Text),
    ("Description", "description", Form::Text),
    ("Priority", "priority", Form::Count),
    ("JSONPath", "jsonPath", Form::Text),
];

const RULE: Members = &[
    ("Rule", "rule", Form::Text),
    ("Message", "message", Form::Text),
    ("MessageExpression", "messageExpression", Form::Text),
    ("Reason", "reason", Form::Any),
    ("FieldPath", "fieldPath", Form::Text),
    ("OptionalOldSelf", "optionalOldSelf", Form::Any),
];

const SCHEMA: Members = &[
    ("ID", "id", Form::Text),
    ("Schema", "$schema", Form::Text),
    ("Ref", "$ref", Form::Any),
    ("Description", "description", Form::Text),
    ("Type", "type", Form::Text),
    ("Nullable", "nullable", Form::Flag),
    ("Format", "format", Form::Text),
    ("Title", "title", Form::Text),
    ("Default", "default", Form::Any),
    ("Maximum", "maximum", Form::Any),
    ("ExclusiveMaximum", "exclusiveMaximum", Form::Flag),
    ("Minimum", "minimum", Form::Any),
    ("ExclusiveMinimum", "exclusiveMinimum", Form::Flag),
    ("MaxLength", "maxLength", Form::Any),
    ("MinLength", "minLength", Form::Any),
    ("Pattern", "pattern", Form::Text),
    ("MaxItems", "maxItems", Form::Any),
    ("MinItems", "minItems", Form::Any),
    ("UniqueItems", "uniqueItems", Form::Flag),
    ("MultipleOf", "multipleOf", Form::Any),
    ("Enum", "enum", Form::Any),
    ("MaxProperties", "maxProperties", Form::Any),
    ("MinProperties", "minProperties", Form::Any),
    ("Required", "required", Form::Any),
    ("Items", "items", Form::Items),
    ("AllOf", "allOf", Form::Schemas),
    ("OneOf", "oneOf", Form::Schemas),
    ("AnyOf", "anyOf", Form::Schemas),
    ("Not", "not", Form::Schema),
    ("Properties", "properties", Form::SchemaMap),
    ("AdditionalProperties", "additionalProperties", Form::Additional),
    ("PatternProperties", "patternProperties", Form::SchemaMap),
    ("Dependencies", "dependencies", Form::Any),
    ("AdditionalItems", "additionalItems", Form::Additional),
    ("Definitions", "definitions", Form::SchemaMap),
    (
        "ExternalDocs",
        "externalDocs",
        Form::Struct(&[("Description", "description", Form::Text), ("URL", "url", Form::Text)]),
    ),
    ("Example", "example", Form::Any),
    (
        "XPreserveUnknownFields",
        "x-kubernetes-preserve-unknown-fields",
        Form::Any,
    ),
    ("XEmbeddedResource", "x-kubernetes-embedded-resource", Form::Flag),
    ("XIntOrString", "x-kubernetes-int-or-string", Form::Flag),
    ("XListMapKeys", "x-kubernetes-list-map-keys", Form::Any),
    ("XListType", "x-kubernetes-list-type", Form::Any),
    ("XMapType", "x-kubernetes-map-type", Form::Any),
    ("XValidations", "x-kubernetes-validations", Form::Structs(RULE)),
];

/// A list of versions.
pub(super) fn versions(versions: &Value) -> String {
    write(versions, Form::Structs(VERSION))
}

/// A schema.
pub(super) fn schema(schema: &Value) -> String {
    write(schema, Form::Schema)
}

/// A rule.
pub(super) fn rule(rule: &Value) -> String {
    write(rule, Form::Struct(RULE))
}

fn write(value: &Value, form: Form) -> String {
    match (form, value) {
        (Form::Text, Value::String(_)) => json(value),
        (Form::Text, _) => "\"\"".to_owned(),
        (Form::Count, Value::Null) => "0".to_owned(),
        (Form::Flag, _) => (value == true).to_string(),
        (Form::Additional, Value::Bool(allows)) => format!("{{\"Allows\":{allows},\"Schema\":null}}"),
        (Form::Additional, Value::Object(_)) => format!("{{\"Allows\":true,\"Schema\":{}}}", schema(value)),
        (Form::Items, Value::Array(_)) => {
            format!("{{\"Schema\":null,\"JSONSchemas\":{}}}", write(value, Form::Schemas))
        }
        (Form::Items, Value::Object(_)) => format!("{{\"Schema\":{},\"JSONSchemas\":null}}", schema(value)),
        (Form::Schema, Value::Object(_)) => write(value, Form::Struct(SCHEMA)),
        (Form::Schemas, Value::Array(_)) => write(value, Form::Structs(SCHEMA)),
        (Form::SchemaMap, Value::Object(map)) => {
            let members = map
                .iter()
                .map(|(name, child)| format!("{}:{}", json(&name.as_str().into()), schema(child)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        (Form::Struct(members), Value::Object(map)) => {
            let members = members
                .iter()
                .map(|(go, name, form)| format!("\"{go}\":{}", write(map.get(*name).unwrap_or(&Value::Null), *form)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        (Form::Structs(members), Value::Array(items)) => {
            let items = items.iter().map(|item| write(item, Form::Struct(members)));
            format!("[{}]", items.collect::<Vec<_>>().join(","))
        }
        (Form::Any | Form::Count, _) => json(value),
        (
            Form::Additional
            | Form::Items
            | Form::Schema
            | Form::Schemas
            | Form::SchemaMap
            | Form::Struct(_)
            | Form::Structs(_),
            _,
        ) => "null".to_owned(),
    }
}

/// The members of a schema, by their names in Go and in JSON.
pub(super) fn members() -> impl Iterator<Item = (&'static str, &'static str)> {
    SCHEMA.iter().map(|(go, name, _)| (*go, *name))
}
