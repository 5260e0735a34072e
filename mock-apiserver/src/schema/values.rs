//! Rules about single values: bounds, lengths, patterns, formats.

use super::compiled::CompiledRules;
use crate::api::field::{FieldError, Problem};
use crate::api::names::NameRule;
use crate::api::place::Place;
use serde_json::Value;

/// A value that is not one of those that the schema lists.
pub(super) fn unlisted(schema: &Value, value: &Value, place: &Place<'_>) -> Option<FieldError> {
    let allowed = schema["enum"].as_array().filter(|allowed| !allowed.contains(value))?;
    let shown = |allowed: &Value| allowed.as_str().map_or_else(|| allowed.to_string(), str::to_owned);
    let problem = Problem::NotSupported {
        shown: value.to_string(),
        supported: allowed.iter().map(shown).collect(),
    };
    Some(FieldError {
        path: place.to_string(),
        problem,
    })
}

pub(super) fn check(schema: &Value, rules: &CompiledRules, value: &Value, place: &Place<'_>) -> Vec<FieldError> {
    let mut errors = match value {
        Value::Number(_) => number(schema, value, place),
        Value::String(text) => string(schema, rules, text, place),
        Value::Array(items) => size(schema, ["minItems", "maxItems"], items.len(), place),
        Value::Object(map) => size(schema, ["minProperties", "maxProperties"], map.len(), place),
        Value::Null | Value::Bool(_) => Vec::new(),
    };
    errors.extend(unlisted(schema, value, place));
    errors
}

fn number(schema: &Value, value: &Value, place: &Place<'_>) -> Vec<FieldError> {
    let Some(number) = value.as_f64() else {
        return Vec::new();
    };
    let mut errors = Vec::new();
    let mut refuse = |text: String| {
        errors.push(FieldError::invalid(
            place.to_string(),
            value,
            format!("{place} in body {text}"),
        ));
    };
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

fn string(schema: &Value, rules: &CompiledRules, text: &str, place: &Place<'_>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let length = || text.chars().count() as u64;
    let refused = |detail: String| FieldError::invalid(place.to_string(), &Value::from(text), detail);
    if let Some(max) = schema["maxLength"].as_u64().filter(|max| length() > *max) {
        let problem = Problem::TooLong {
            detail: format!("may not be more than {max} bytes"),
        };
        errors.push(FieldError {
            path: place.to_string(),
            problem,
        });
    }
    if let Some(min) = schema["minLength"].as_u64().filter(|min| length() < *min) {
        errors.push(refused(format!("{place} in body should be at least {min} chars long")));
    }
    if let Some(pattern) = schema["pattern"]
        .as_str()
        .filter(|pattern| !rules.matches(pattern, text))
    {
        errors.push(refused(format!("{place} in body should match '{pattern}'")));
    }
    if let Some(format) = schema["format"].as_str().filter(|format| !fits_format(format, text)) {
        let shown = Value::from(text).to_string();
        let detail = format!("{place} in body must be of type {format}: {shown}");
        errors.push(FieldError {
            path: place.to_string(),
            problem: Problem::TypeInvalid { shown, detail },
        });
    }
    errors
}

/// The formats that are checked; others accept everything.
fn fits_format(format: &str, text: &str) -> bool {
    match format {
        "date-time" => is_date_time(text),
        "date" => is_date(text),
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

/// Looked at is the form, as kube-openapi does, not whether there is such a moment or such a zone: years end with 9999
/// in any zone, and whatever follows a second `T` is not looked at.
fn is_date_time(text: &str) -> bool {
    let mut parts = text.split(['t', 'T']);
    let (Some(date), Some(rest)) = (parts.next(), parts.next()) else {
        return false;
    };
    let (Some(time), Some(rest)) = (rest.get(..8), rest.get(8..)) else {
        return false;
    };
    let fraction = match rest.strip_suffix(['z', 'Z']) {
        Some(fraction) => Some(fraction),
        None => rest.len().checked_sub(6).and_then(|at| {
            let (fraction, zone) = rest.split_at_checked(at)?;
            (has_form(zone, "+00:00") || has_form(zone, "-00:00")).then_some(fraction)
        }),
    };
    let clock = has_form(time, "00:00:00") && time[..2] <= *"23" && time[3..5] <= *"59" && time[6..] <= *"59";
    is_date(date) && clock && fraction.is_some_and(is_fraction)
}

/// Nothing, or any one character and digits.
fn is_fraction(text: &str) -> bool {
    let mut characters = text.chars();
    let first = characters.next();
    let digits = characters.as_str();
    first.is_none() || !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit())
}

fn is_date(text: &str) -> bool {
    has_form(text, "0000-00-00") && text.parse::<jiff::civil::Date>().is_ok()
}

/// Whether a text has digits where the form has `0`, and is the same everywhere else.
fn has_form(text: &str, form: &str) -> bool {
    let fits = |(byte, wanted): (u8, u8)| {
        if wanted == b'0' {
            byte.is_ascii_digit()
        } else {
            byte == wanted
        }
    };
    text.len() == form.len() && text.bytes().zip(form.bytes()).all(fits)
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

/// How many items or members a value has; the keywords are those of the least and the most.
fn size(schema: &Value, [least, most]: [&str; 2], actual: usize, place: &Place<'_>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(max) = schema[most].as_u64().filter(|max| actual as u64 > *max) {
        errors.push(FieldError {
            path: place.to_string(),
            problem: Problem::TooMany { actual, max },
        });
    }
    if let Some(min) = schema[least].as_u64().filter(|min| (actual as u64) < *min) {
        let words = least.trim_start_matches("min").to_lowercase();
        let detail = format!("{place} in body should have at least {min} {words}");
        errors.push(FieldError::invalid(place.to_string(), &Value::from(actual), detail));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_by_its_form_as_a_real_server_does() {
        for taken in [
            "2027-01-01T00:00:00Z",
            "9999-12-31T23:59:59Z",
            "9999-12-31t23:59:59.123456789012z",
            "0000-01-01T00:00:00Z",
            "2027-01-01T00:00:00+99:99",
            "2027-01-01T00:00:00,5-08:00",
            "2027-01-01T00:00:00ZT",
        ] {
            assert!(fits_format("date-time", taken), "{taken}");
        }
        for refused in [
            "",
            "x",
            "2027-01-01",
            "2027-01-01 00:00:00Z",
            "2027-01-01T00:00:00",
            "2027-02-29T00:00:00Z",
            "+002027-01-01T00:00:00Z",
            "2027-01-01T24:00:00Z",
            "2027-01-01T23:60:00Z",
            "2027-01-01T23:59:60Z",
            "2027-01-01T00:00Z",
            "2027-01-01T00:00:00.Z",
            "2027-01-01T00:00:00+0800",
            "2027-01-01T00:00:00é8:00",
            "10000-01-01T00:00:00Z",
        ] {
            assert!(!fits_format("date-time", refused), "{refused}");
        }
        assert!(fits_format("date", "2027-01-01"));
        assert!(!fits_format("date", "20270101"));
    }
}
