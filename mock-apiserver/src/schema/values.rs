//! Rules about single values: bounds, lengths, patterns, formats.

use super::compiled::CompiledRules;
use crate::api::field::{FieldError, Problem};
use crate::api::names::NameRule;
use serde_json::Value;

/// A value that is not one of those that the schema lists.
pub(super) fn unlisted(schema: &Value, value: &Value, path: &str) -> Option<FieldError> {
    let allowed = schema["enum"].as_array().filter(|allowed| !allowed.contains(value))?;
    let shown = |allowed: &Value| allowed.as_str().map_or_else(|| allowed.to_string(), str::to_owned);
    let problem = Problem::NotSupported {
        shown: value.to_string(),
        supported: allowed.iter().map(shown).collect(),
    };
    Some(FieldError {
        path: path.to_owned(),
        problem,
    })
}

pub(super) fn check(schema: &Value, rules: &CompiledRules, value: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = match value {
        Value::Number(_) => number(schema, value, path),
        Value::String(text) => string(schema, rules, text, path),
        Value::Array(items) => size(schema, "Items", items.len(), path),
        Value::Object(map) => size(schema, "Properties", map.len(), path),
        Value::Null | Value::Bool(_) => Vec::new(),
    };
    errors.extend(unlisted(schema, value, path));
    errors
}

fn number(schema: &Value, value: &Value, path: &str) -> Vec<FieldError> {
    let Some(number) = value.as_f64() else {
        return Vec::new();
    };
    let mut errors = Vec::new();
    let mut refuse = |text: String| errors.push(FieldError::invalid(path, value, format!("{path} in body {text}")));
    if let Some(minimum) = schema["minimum"].as_f64() {
        let exclusive = schema["exclusiveMinimum"] == true;
        if number < minimum || (exclusive && number <= minimum) {
            let words = if exclusive {
                "greater than"
            } else {
                "greater than or equal to"
            };
            refuse(format!("should be {words} {minimum}"));
        }
    }
    if let Some(maximum) = schema["maximum"].as_f64() {
        let exclusive = schema["exclusiveMaximum"] == true;
        if number > maximum || (exclusive && number >= maximum) {
            let words = if exclusive {
                "less than"
            } else {
                "less than or equal to"
            };
            refuse(format!("should be {words} {maximum}"));
        }
    }
    if let Some(step) = schema["multipleOf"].as_f64().filter(|step| *step > 0.0) {
        let times = number / step;
        if (times - times.round()).abs() > 1e-9 {
            refuse(format!("should be a multiple of {step}"));
        }
    }
    errors
}

fn string(schema: &Value, rules: &CompiledRules, text: &str, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let value = Value::from(text);
    let length = text.chars().count() as u64;
    if let Some(max) = schema["maxLength"].as_u64().filter(|max| length > *max) {
        let problem = Problem::TooLong {
            detail: format!("may not be more than {max} bytes"),
        };
        errors.push(FieldError {
            path: path.to_owned(),
            problem,
        });
    }
    if let Some(min) = schema["minLength"].as_u64().filter(|min| length < *min) {
        errors.push(FieldError::invalid(
            path,
            &value,
            format!("{path} in body should be at least {min} chars long"),
        ));
    }
    if let Some(pattern) = schema["pattern"]
        .as_str()
        .filter(|pattern| !rules.matches(pattern, text))
    {
        errors.push(FieldError::invalid(
            path,
            &value,
            format!("{path} in body should match '{pattern}'"),
        ));
    }
    if let Some(format) = schema["format"].as_str().filter(|format| !fits_format(format, text)) {
        let detail = format!("{path} in body must be of type {format}: {value}");
        let shown = value.to_string();
        errors.push(FieldError {
            path: path.to_owned(),
            problem: Problem::TypeInvalid { shown, detail },
        });
    }
    errors
}

/// The formats that are checked; others accept everything.
fn fits_format(format: &str, text: &str) -> bool {
    match format {
        "date-time" => text.parse::<jiff::Timestamp>().is_ok(),
        "date" => text.parse::<jiff::civil::Date>().is_ok(),
        "uuid" => uuid::Uuid::parse_str(text).is_ok(),
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        "cidr" => is_cidr(text),
        "mac" => is_mac(text),
        "email" => text
            .split_once('@')
            .is_some_and(|(user, host)| !user.is_empty() && is_hostname(host)),
        "hostname" => is_hostname(text),
        "k8s-short-name" => NameRule::Label.problems(text).is_empty(),
        "k8s-long-name" => NameRule::Subdomain.problems(text).is_empty(),
        "uri" => url::Url::parse(text).is_ok(),
        "byte" => base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text).is_ok(),
        _ => true,
    }
}

/// An address and the length of its prefix.
fn is_cidr(text: &str) -> bool {
    text.split_once('/').is_some_and(|(address, length)| {
        let bits = match address.parse::<std::net::IpAddr>() {
            Ok(std::net::IpAddr::V4(_)) => 32,
            Ok(std::net::IpAddr::V6(_)) => 128,
            Err(_) => return false,
        };
        length.parse::<u8>().is_ok_and(|length| length <= bits)
    })
}

/// Six or eight bytes in hexadecimal, parted by colons or dashes.
fn is_mac(text: &str) -> bool {
    let bytes: Vec<&str> = text.split([':', '-']).collect();
    let is_byte = |byte: &&str| byte.len() == 2 && byte.bytes().all(|digit| digit.is_ascii_hexdigit());
    matches!(bytes.len(), 6 | 8) && bytes.iter().all(is_byte)
}

/// Labels of letters, digits and dashes, parted by dots.
fn is_hostname(text: &str) -> bool {
    let is_label = |label: &str| {
        let inner = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        matches!(label.len(), 1..=63) && inner && !label.starts_with('-') && !label.ends_with('-')
    };
    text.len() <= 255 && text.split('.').all(is_label)
}

fn size(schema: &Value, what: &str, actual: usize, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let words = what.to_lowercase();
    if let Some(max) = schema[format!("max{what}")].as_u64().filter(|max| actual as u64 > *max) {
        errors.push(FieldError {
            path: path.to_owned(),
            problem: Problem::TooMany { actual, max },
        });
    }
    if let Some(min) = schema[format!("min{what}")]
        .as_u64()
        .filter(|min| (actual as u64) < *min)
    {
        let detail = format!("{path} in body should have at least {min} {words}");
        errors.push(FieldError::invalid(path, &Value::from(actual), detail));
    }
    errors
}
