//! Messages whose JSON form is not an object of their fields.

use super::wire::{Fields, Malformed, Raw};
use crate::types::{self, Special};
use jiff::Timestamp;
use serde_json::Value;

/// The JSON form of a special message; `None` if the message is an ordinary one. Null stands for an absent value.
pub(super) fn decode(message: &str, bytes: &[u8]) -> Option<Result<Value, Malformed>> {
    Some(match types::special(message)? {
        Special::Time => time(bytes, 0),
        Special::MicroTime => time(bytes, 6),
        Special::Quantity => text(bytes, 1),
        Special::IntOrString => int_or_string(bytes),
        Special::Any => embedded(bytes),
        Special::Duration => duration(bytes),
        // Decoded as the message that wraps them.
        Special::Strings | Special::OneOf => return None,
    })
}

fn numbers(bytes: &[u8]) -> Result<[u64; 4], Malformed> {
    let mut found = [0; 4];
    for field in Fields(bytes) {
        if let (number @ 0..=3, Raw::Number(value)) = field? {
            found[usize::try_from(number).unwrap_or(0)] = value;
        }
    }
    Ok(found)
}

fn bytes_of(bytes: &[u8], wanted: u64) -> Result<&[u8], Malformed> {
    let mut found: &[u8] = &[];
    for field in Fields(bytes) {
        if let (number, Raw::Bytes(value)) = field?
            && number == wanted
        {
            found = value;
        }
    }
    Ok(found)
}

fn text(bytes: &[u8], wanted: u64) -> Result<Value, Malformed> {
    Ok(String::from_utf8_lossy(bytes_of(bytes, wanted)?).into_owned().into())
}

/// Seconds and nanoseconds since 1970; Go's zero time is far in the past and means "none".
fn time(bytes: &[u8], digits: usize) -> Result<Value, Malformed> {
    let [_, seconds, nanos, _] = numbers(bytes)?;
    let (seconds, nanos) = (seconds.cast_signed(), i32::try_from(nanos).unwrap_or(0));
    if bytes.is_empty() || seconds <= -62_135_596_800 {
        return Ok(Value::Null);
    }
    let format = if digits == 0 {
        "%Y-%m-%dT%H:%M:%SZ"
    } else {
        "%Y-%m-%dT%H:%M:%S.%6fZ"
    };
    Ok(Timestamp::new(seconds, nanos).map_or(Value::Null, |at| at.strftime(format).to_string().into()))
}

fn int_or_string(bytes: &[u8]) -> Result<Value, Malformed> {
    let [_, kind, number, _] = numbers(bytes)?;
    if kind == 0 {
        Ok(number.cast_signed().into())
    } else {
        text(bytes, 3)
    }
}

fn duration(bytes: &[u8]) -> Result<Value, Malformed> {
    let [_, nanos, _, _] = numbers(bytes)?;
    Ok(format!("{}ns", nanos.cast_signed()).into())
}

/// JSON inside a message.
fn embedded(bytes: &[u8]) -> Result<Value, Malformed> {
    Ok(serde_json::from_slice(bytes_of(bytes, 1)?).unwrap_or(Value::Null))
}
