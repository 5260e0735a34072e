//! Objects as Go clients send them: in protobuf, by the table of types. It shares nothing with the decoder but the table.

use base64::Engine;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::LazyLock;

struct Field {
    number: u64,
    /// Empty: the members belong to the holder in JSON.
    name: &'static str,
    kind: &'static str,
}

static MESSAGES: LazyLock<BTreeMap<&'static str, Vec<Field>>> = LazyLock::new(|| {
    let mut messages: BTreeMap<&str, Vec<Field>> = BTreeMap::new();
    let mut current = "";
    for line in include_str!("../../src/types/messages.txt").lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["", number, name, kind, ..] => messages.entry(current).or_default().push(Field {
                number: number.parse().unwrap(),
                name: name.trim_start_matches('-'),
                kind,
            }),
            [name, ..] if !name.starts_with('=') => {
                current = name;
                messages.entry(current).or_default();
            }
            _ => {}
        }
    }
    messages
});

/// The body that stands for an object: `k8s\0` and a `runtime.Unknown` around the message.
pub fn envelope(message: &str, object: &Value) -> Vec<u8> {
    let text = |member: &str| object[member].as_str().unwrap_or_default().as_bytes();
    let mut type_meta = Vec::new();
    put(&mut type_meta, 1, text("apiVersion"));
    put(&mut type_meta, 2, text("kind"));
    let mut unknown = Vec::new();
    put(&mut unknown, 1, &type_meta);
    put(&mut unknown, 2, &encoded(message, object));
    [b"k8s\0".as_slice(), &unknown].concat()
}

/// A message of a type.
pub fn encoded(message: &str, value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    if special(message, value, &mut out) {
        return out;
    }
    let none = Map::new();
    let members = value.as_object().unwrap_or(&none);
    for field in &MESSAGES[message] {
        if field.name.is_empty() {
            put(&mut out, field.number, &encoded(field.kind, value));
            continue;
        }
        let Some(value) = members.get(field.name).filter(|value| !value.is_null()) else {
            continue;
        };
        match (field.kind.strip_prefix('*'), field.kind.strip_prefix('%')) {
            (Some(kind), _) => {
                for item in value.as_array().unwrap() {
                    one(&mut out, field.number, kind, item);
                }
            }
            (None, Some(kind)) => {
                for (key, item) in value.as_object().unwrap() {
                    let mut entry = Vec::new();
                    put(&mut entry, 1, key.as_bytes());
                    one(&mut entry, 2, kind, item);
                    put(&mut out, field.number, &entry);
                }
            }
            (None, None) => one(&mut out, field.number, field.kind, value),
        }
    }
    out
}

fn one(out: &mut Vec<u8>, number: u64, kind: &str, value: &Value) {
    match kind {
        "s" => put(out, number, value.as_str().unwrap().as_bytes()),
        "y" => {
            let text = value.as_str().unwrap();
            put(
                out,
                number,
                &base64::engine::general_purpose::STANDARD.decode(text).unwrap(),
            );
        }
        "b" => varint_field(out, number, u64::from(value.as_bool().unwrap())),
        "n" | "i" => varint_field(out, number, value.as_i64().unwrap().cast_unsigned()),
        "d" => {
            varint(out, number << 3 | 1);
            out.extend(value.as_f64().unwrap().to_le_bytes());
        }
        message => put(out, number, &encoded(message, value)),
    }
}

/// The messages whose JSON is no object of their fields.
fn special(message: &str, value: &Value, out: &mut Vec<u8>) -> bool {
    match message {
        "meta.Time" | "meta.MicroTime" => {
            let at: jiff::Timestamp = value.as_str().unwrap().parse().unwrap();
            varint_field(out, 1, at.as_second().cast_unsigned());
            varint_field(out, 2, u64::try_from(at.subsec_nanosecond()).unwrap());
        }
        "api.resource.Quantity" => put(out, 1, value.as_str().unwrap().as_bytes()),
        "util.intstr.IntOrString" => match value {
            Value::String(text) => {
                varint_field(out, 1, 1);
                put(out, 3, text.as_bytes());
            }
            number => {
                varint_field(out, 1, 0);
                varint_field(out, 2, number.as_i64().unwrap().cast_unsigned());
            }
        },
        "runtime.RawExtension" | "meta.FieldsV1" | "apiextensions.v1.JSON" => put(out, 1, value.to_string().as_bytes()),
        "apiextensions.v1.JSONSchemaPropsOrArray" if value.is_object() => {
            put(out, 1, &encoded("apiextensions.v1.JSONSchemaProps", value));
        }
        "apiextensions.v1.JSONSchemaPropsOrBool" => {
            varint_field(out, 1, u64::from(value != &Value::Bool(false)));
            if value.is_object() {
                put(out, 2, &encoded("apiextensions.v1.JSONSchemaProps", value));
            }
        }
        _ => return false,
    }
    true
}

fn put(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    varint(out, number << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend(bytes);
}

fn varint_field(out: &mut Vec<u8>, number: u64, value: u64) {
    varint(out, number << 3);
    varint(out, value);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap());
}
