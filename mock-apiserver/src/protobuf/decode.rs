//! From a protobuf body to the object it stands for.

use super::special;
use super::wire::{Fields, Malformed, Raw};
use crate::api::json;
use crate::types::{self, Field, Kind, Message, Multiplicity, Special};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

const MAGIC: &[u8] = b"k8s\0";
/// Messages nest no deeper in the API; more is refused instead of exhausting the stack.
const MAX_DEPTH: usize = 64;

/// Why a body could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Undecodable {
    #[error("the body does not start with the protobuf prefix")]
    NoPrefix,
    #[error("the protobuf form of {0} is not known")]
    UnknownKind(String),
    #[error("the message is nested too deeply")]
    TooDeep,
    #[error("the body is not a valid message")]
    Malformed(#[from] Malformed),
}

/// The object in an envelope.
pub(crate) fn decode(body: &[u8]) -> Result<Value, Undecodable> {
    let envelope = body.strip_prefix(MAGIC).ok_or(Undecodable::NoPrefix)?;
    let (mut type_meta, mut raw): (&[u8], &[u8]) = (&[], &[]);
    for field in Fields(envelope) {
        match field? {
            (1, Raw::Bytes(bytes)) => type_meta = bytes,
            (2, Raw::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let (mut api_version, mut kind) = (String::new(), String::new());
    for field in Fields(type_meta) {
        match field? {
            (1, Raw::Bytes(bytes)) => api_version = String::from_utf8_lossy(bytes).into_owned(),
            (2, Raw::Bytes(bytes)) => kind = String::from_utf8_lossy(bytes).into_owned(),
            _ => {}
        }
    }
    let message = types::message_of(&api_version, &kind)
        .ok_or_else(|| Undecodable::UnknownKind(format!("{api_version}, Kind={kind}")))?;
    let mut object = members(message, raw, MAX_DEPTH)?;
    object.insert("apiVersion".to_owned(), api_version.into());
    object.insert("kind".to_owned(), kind.into());
    Ok(Value::Object(object))
}

fn members(message: &'static Message, bytes: &[u8], depth: usize) -> Result<Map<String, Value>, Undecodable> {
    let depth = depth.checked_sub(1).ok_or(Undecodable::TooDeep)?;
    let mut object = Map::new();
    for found in Fields(bytes) {
        let (number, raw) = found?;
        // Fields of a newer version are left out.
        let Some(field) = message.numbered(number) else {
            continue;
        };
        match (field.name, field.multiplicity) {
            (None, _) => {
                if let (Kind::Message(inner), Raw::Bytes(bytes)) = (field.kind, raw) {
                    object.append(&mut members(known(inner)?, bytes, depth)?);
                }
            }
            (Some(name), Multiplicity::Single) => {
                let value = value(field.kind, raw, depth)?;
                let left_out = value.is_null() || (field.omit_zero && is_zero(&value));
                if !left_out {
                    object.insert(name.to_owned(), value);
                }
            }
            (Some(name), Multiplicity::Repeated) => {
                let value = value(field.kind, raw, depth)?;
                match object.entry(name).or_insert_with(|| Value::Array(Vec::new())) {
                    Value::Array(items) => items.push(value),
                    Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {}
                }
            }
            (Some(name), Multiplicity::Map) => {
                let (key, value) = entry(field, raw, depth)?;
                object.entry(name).or_insert_with(|| Value::Object(Map::new()))[key] = value;
            }
        }
    }
    Ok(object)
}

fn known(message: &str) -> Result<&'static Message, Undecodable> {
    types::message(message).ok_or_else(|| Undecodable::UnknownKind(message.to_owned()))
}

/// One entry of a map: key 1, value 2; an absent value is the zero of its kind.
fn entry(field: &Field, raw: Raw<'_>, depth: usize) -> Result<(String, Value), Undecodable> {
    let mut key = String::new();
    let mut value_of = value(field.kind, Raw::Bytes(&[]), depth)?;
    if let Raw::Bytes(bytes) = raw {
        for part in Fields(bytes) {
            match part? {
                (1, Raw::Bytes(bytes)) => key = String::from_utf8_lossy(bytes).into_owned(),
                (2, raw) => value_of = value(field.kind, raw, depth)?,
                _ => {}
            }
        }
    }
    Ok((key, value_of))
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(set) => !set,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(_) | Value::Object(_) => false,
    }
}

fn value(kind: Kind, raw: Raw<'_>, depth: usize) -> Result<Value, Undecodable> {
    Ok(match (kind, raw) {
        (Kind::String, Raw::Bytes(bytes)) => String::from_utf8_lossy(bytes).into_owned().into(),
        (Kind::Bytes, Raw::Bytes(bytes)) => STANDARD.encode(bytes).into(),
        (Kind::Bool, Raw::Number(number)) => (number != 0).into(),
        (Kind::Int32 | Kind::Int64, Raw::Number(number)) => number.cast_signed().into(),
        (Kind::Double, Raw::Number(number)) => json::number(f64::from_bits(number)),
        (Kind::Message(name), Raw::Bytes(bytes)) => match special::decode(name, bytes) {
            Some(special) => special?,
            None => wrapped(members(known(name)?, bytes, depth)?, name),
        },
        (Kind::Bool | Kind::Int32 | Kind::Int64 | Kind::Double, Raw::Bytes(_))
        | (Kind::String | Kind::Bytes | Kind::Message(_), Raw::Number(_)) => Value::Null,
    })
}

/// Messages that only wrap a list, or one of several forms, are what they wrap in JSON.
fn wrapped(mut object: Map<String, Value>, name: &str) -> Value {
    let forms: &[&str] = match types::special(name) {
        Some(Special::Strings) => &["items"],
        Some(Special::OneOf) => &["schema", "jSONSchemas", "property", "allows"],
        Some(
            Special::Time
            | Special::MicroTime
            | Special::Duration
            | Special::Quantity
            | Special::IntOrString
            | Special::Any,
        )
        | None => return Value::Object(object),
    };
    forms.iter().find_map(|form| object.remove(*form)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), kind in 0usize..3) {
            let kind = ["Pod", "Event", "Secret"][kind];
            let mut body = MAGIC.to_vec();
            body.extend([0x0a, 4 + 2 + u8::try_from(kind.len()).unwrap(), 0x0a, 2]);
            body.extend(b"v1");
            body.extend([0x12, u8::try_from(kind.len()).unwrap()]);
            body.extend(kind.bytes());
            body.extend([0x12, u8::try_from(bytes.len()).unwrap()]);
            body.extend(bytes);
            let _ = decode(&body);
        }
    }
}
