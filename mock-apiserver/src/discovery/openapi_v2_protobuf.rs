//! OpenAPI v2 in protobuf: kubectl checks the items of a `List` by itself, and against this form only.
//!
//! The messages are those of `openapi.v2.Document` in gnostic's `OpenAPIv2.proto`. The definitions are encoded; the paths,
//! which kubectl takes from v3, are left out.

use serde_json::{Map, Value};

/// The media type of this form.
pub(super) const MEDIA_TYPE: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
/// What clients ask for. It is no valid media type, so no answer can be named by it.
pub(super) const REQUESTED: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

/// How the value of a keyword of a schema is written.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Texts,
    Double,
    Count,
    Flag,
    /// Any value, as YAML.
    Any,
    Anys,
    /// One type in a message of its own.
    Type,
    /// A schema, or whether anything is allowed.
    SchemaOrFlag,
    /// The schema of the items in a message of its own.
    Items,
    Schemas,
    Named,
}

/// The keywords of a schema: their field in the message `Schema`, and their form.
const KEYWORDS: [(&str, u64, Form); 23] = [
    ("$ref", 1, Form::Text),
    ("format", 2, Form::Text),
    ("title", 3, Form::Text),
    ("description", 4, Form::Text),
    ("default", 5, Form::Any),
    ("multipleOf", 6, Form::Double),
    ("maximum", 7, Form::Double),
    ("exclusiveMaximum", 8, Form::Flag),
    ("minimum", 9, Form::Double),
    ("exclusiveMinimum", 10, Form::Flag),
    ("maxLength", 11, Form::Count),
    ("minLength", 12, Form::Count),
    ("pattern", 13, Form::Text),
    ("maxItems", 14, Form::Count),
    ("minItems", 15, Form::Count),
    ("uniqueItems", 16, Form::Flag),
    ("maxProperties", 17, Form::Count),
    ("minProperties", 18, Form::Count),
    ("required", 19, Form::Texts),
    ("enum", 20, Form::Anys),
    ("additionalProperties", 21, Form::SchemaOrFlag),
    ("type", 22, Form::Type),
    ("items", 23, Form::Items),
];
/// Keywords that hold further schemas.
const BRANCHES: [(&str, u64, Form); 2] = [("allOf", 24, Form::Schemas), ("properties", 25, Form::Named)];
/// The field of everything that begins with `x-`.
const EXTENSION: u64 = 31;

/// A message under construction.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut number: u64) {
        while number > 0x7f {
            self.0.push(0x80 | (number & 0x7f).to_le_bytes()[0]);
            number >>= 7;
        }
        self.0.push(number.to_le_bytes()[0]);
    }

    fn number(&mut self, field: u64, number: u64) {
        self.varint(field << 3);
        self.varint(number);
    }

    fn double(&mut self, field: u64, number: f64) {
        self.varint(field << 3 | 1);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn message(&mut self, field: u64, message: &Self) {
        self.bytes(field, &message.0);
    }

    /// The message whose field 1 is `message`.
    fn around(message: &Self) -> Self {
        let mut outer = Self::default();
        outer.message(1, message);
        outer
    }
}

/// The document, which is in JSON so far.
pub(super) fn encode(document: &Value) -> Vec<u8> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut info = Message::default();
    info.bytes(1, text(&document["info"]["title"]).as_bytes());
    info.bytes(2, text(&document["info"]["version"]).as_bytes());
    let mut message = Message::default();
    message.bytes(1, text(&document["swagger"]).as_bytes());
    message.message(2, &info);
    if let Some(definitions) = document["definitions"].as_object() {
        message.message(9, &named(definitions));
    }
    message.0
}

fn named(schemas: &Map<String, Value>) -> Message {
    let mut message = Message::default();
    for (name, value) in schemas {
        let mut entry = Message::default();
        entry.bytes(1, name.as_bytes());
        entry.message(2, &schema(value));
        message.message(1, &entry);
    }
    message
}

fn schema(schema: &Value) -> Message {
    let mut message = Message::default();
    for (keyword, value) in schema.as_object().into_iter().flatten() {
        let known = KEYWORDS.iter().chain(&BRANCHES).find(|(name, ..)| name == keyword);
        if let Some((_, field, form)) = known {
            write(&mut message, *field, *form, value);
        } else if keyword.starts_with("x-") {
            let mut extension = Message::default();
            extension.bytes(1, keyword.as_bytes());
            extension.message(2, &any(value));
            message.message(EXTENSION, &extension);
        }
    }
    message
}

fn write(message: &mut Message, field: u64, form: Form, value: &Value) {
    let items = || value.as_array().into_iter().flatten();
    match form {
        Form::Text => message.bytes(field, value.as_str().unwrap_or_default().as_bytes()),
        Form::Texts => items()
            .filter_map(Value::as_str)
            .for_each(|text| message.bytes(field, text.as_bytes())),
        Form::Double => message.double(field, value.as_f64().unwrap_or_default()),
        Form::Count => message.number(field, value.as_u64().unwrap_or_default()),
        Form::Flag => message.number(field, value.as_bool().unwrap_or_default().into()),
        Form::Any => message.message(field, &any(value)),
        Form::Anys => items().for_each(|item| message.message(field, &any(item))),
        Form::Type => {
            let mut one = Message::default();
            one.bytes(1, value.as_str().unwrap_or_default().as_bytes());
            message.message(field, &one);
        }
        Form::SchemaOrFlag => match value.as_bool() {
            Some(allowed) => {
                let mut flag = Message::default();
                flag.number(2, allowed.into());
                message.message(field, &flag);
            }
            None => message.message(field, &Message::around(&schema(value))),
        },
        Form::Items => message.message(field, &Message::around(&schema(value))),
        Form::Schemas => items().for_each(|item| message.message(field, &schema(item))),
        Form::Named => message.message(field, &value.as_object().map(named).unwrap_or_default()),
    }
}

/// JSON is YAML.
fn any(value: &Value) -> Message {
    let mut message = Message::default();
    message.bytes(2, value.to_string().as_bytes());
    message
}
