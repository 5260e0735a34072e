//! Rules about single values: bounds, lengths, patterns, formats.

use super::compiled::CompiledRules;
use crate::api::field::{FieldError, Problem};
use serde_json::Value;

pub(super) fn check(schema: &Value, rules: &CompiledRules, value: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(allowed) = schema["enum"].as_array().filter(|allowed| !allowed.contains(value)) {
        let supported = allowed
            .iter()
            .map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned))
            .collect();
        let problem = Problem::NotSupported {
            shown: value.to_string(),
            supported,
        };
        errors.push(FieldError {
            path: path.to_owned(),
            problem,
        });
    }
    match value {
        Value::Number(_) => errors.extend(number(schema, value, path)),
        Value::String(text) => errors.extend(string(schema, rules, text, path)),
        Value::Array(items) => errors.extend(size(schema, "Items", items.len(), path)),
        Value::Object(map) => errors.extend(size(schema, "Properties", map.len(), path)),
        Value::Null | Value::Bool(_) => {}
    }
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
        errors.push(FieldError::invalid(path, &value, detail));
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
        "uri" => url::Url::parse(text).is_ok(),
        "byte" => base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text).is_ok(),
        _ => true,
    }
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
