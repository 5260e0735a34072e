//! Errors about one field of an object, with the texts of `k8s.io/apimachinery/pkg/util/validation/field`.

use serde_json::{Value, json};
use std::fmt::{self, Write as _};

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Problem {
    Required {
        detail: String,
    },
    /// `shown` is the value as the message shows it.
    Invalid {
        shown: String,
        detail: String,
    },
    /// Not of the declared type.
    TypeInvalid {
        shown: String,
        detail: String,
    },
    NotSupported {
        shown: String,
        supported: Vec<String>,
    },
    Forbidden {
        detail: String,
    },
    Duplicate {
        shown: String,
    },
    /// It names something that is not there.
    NotFound {
        shown: String,
    },
    TooLong {
        detail: String,
    },
    TooMany {
        actual: usize,
        max: u64,
    },
}

impl Problem {
    /// Whether the object lacks the shape that the rules of its schema rely on.
    pub(crate) fn blocks_rules(&self) -> bool {
        match self {
            Self::Required { .. }
            | Self::TypeInvalid { .. }
            | Self::NotSupported { .. }
            | Self::TooLong { .. }
            | Self::TooMany { .. } => true,
            Self::Invalid { .. } | Self::Forbidden { .. } | Self::Duplicate { .. } | Self::NotFound { .. } => false,
        }
    }
}

/// A problem and where it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FieldError {
    pub(crate) path: String,
    pub(crate) problem: Problem,
}

/// A JSON value as the messages show it: strings quoted, composites as JSON.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(_) | Value::Object(_) => go_json(value),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// Any JSON as Go writes it: what is special in HTML is escaped.
pub(crate) fn go_json(value: &Value) -> String {
    let text = value.to_string();
    text.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
}

/// The type in which Go holds a JSON value.
pub(crate) fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// A text in quotes as Go's `%q` writes it.
pub(crate) fn quoted(text: &str) -> String {
    let mut shown = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => shown.push_str("\\\""),
            '\\' => shown.push_str("\\\\"),
            '\u{7}' => shown.push_str("\\a"),
            '\u{8}' => shown.push_str("\\b"),
            '\u{c}' => shown.push_str("\\f"),
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            '\u{b}' => shown.push_str("\\v"),
            control if u32::from(control) < 0x20 || control == '\u{7f}' => {
                // Writing to a text cannot fail.
                let _ = write!(shown, "\\x{:02x}", u32::from(control));
            }
            control if control.is_control() => {
                let _ = write!(shown, "\\u{:04x}", u32::from(control));
            }
            other => shown.push(other),
        }
    }
    shown.push('"');
    shown
}

impl FieldError {
    pub(crate) fn required(path: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            problem: Problem::Required { detail: detail.into() },
        }
    }

    pub(crate) fn invalid(path: impl Into<String>, value: &Value, detail: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            problem: Problem::Invalid {
                shown: shown(value),
                detail: detail.into(),
            },
        }
    }

    pub(crate) fn forbidden(path: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            problem: Problem::Forbidden { detail: detail.into() },
        }
    }

    pub(crate) fn duplicate(path: impl Into<String>, value: &Value) -> Self {
        Self {
            path: path.into(),
            problem: Problem::Duplicate { shown: shown(value) },
        }
    }

    pub(crate) fn not_found(path: impl Into<String>, value: &Value) -> Self {
        Self {
            path: path.into(),
            problem: Problem::NotFound { shown: shown(value) },
        }
    }

    pub(crate) fn not_supported(path: impl Into<String>, value: &Value, supported: &[&str]) -> Self {
        let supported = supported.iter().map(|text| (*text).to_owned()).collect();
        Self {
            path: path.into(),
            problem: Problem::NotSupported {
                shown: shown(value),
                supported,
            },
        }
    }

    /// Has a message about what is "in body" name it from a part of the object on.
    pub(crate) fn shorten(&mut self, part: &str) {
        if let Problem::Invalid { detail, .. } | Problem::TypeInvalid { detail, .. } = &mut self.problem
            && detail.contains(" in body ")
            && let Some(rest) = detail.strip_prefix(part)
        {
            *detail = rest.to_owned();
        }
    }

    fn reason(&self) -> &'static str {
        match self.problem {
            Problem::Required { .. } => "FieldValueRequired",
            Problem::Invalid { .. } => "FieldValueInvalid",
            Problem::TypeInvalid { .. } => "FieldValueTypeInvalid",
            Problem::NotSupported { .. } => "FieldValueNotSupported",
            Problem::Forbidden { .. } => "FieldValueForbidden",
            Problem::Duplicate { .. } => "FieldValueDuplicate",
            Problem::NotFound { .. } => "FieldValueNotFound",
            Problem::TooLong { .. } => "FieldValueTooLong",
            Problem::TooMany { .. } => "FieldValueTooMany",
        }
    }

    fn body(&self) -> String {
        match &self.problem {
            Problem::Required { detail } if detail.is_empty() => "Required value".to_owned(),
            Problem::Required { detail } => format!("Required value: {detail}"),
            Problem::Invalid { shown, detail } if shown.is_empty() => format!("Invalid value: {detail}"),
            Problem::Invalid { shown, detail } | Problem::TypeInvalid { shown, detail } => {
                format!("Invalid value: {shown}: {detail}")
            }
            Problem::NotSupported { shown, supported } => {
                let quoted: Vec<String> = supported.iter().map(|text| format!("{text:?}")).collect();
                format!("Unsupported value: {shown}: supported values: {}", quoted.join(", "))
            }
            Problem::Forbidden { detail } => format!("Forbidden: {detail}"),
            Problem::Duplicate { shown } if shown.is_empty() => "Duplicate value".to_owned(),
            Problem::Duplicate { shown } => format!("Duplicate value: {shown}"),
            Problem::NotFound { shown } => format!("Not found: {shown}"),
            Problem::TooLong { detail } => format!("Too long: {detail}"),
            Problem::TooMany { actual, max: 1 } => format!("Too many: {actual}: must have at most 1 item"),
            Problem::TooMany { actual, max } => format!("Too many: {actual}: must have at most {max} items"),
        }
    }

    /// The entry in `status.details.causes`.
    pub(crate) fn cause(&self) -> Value {
        json!({ "reason": self.reason(), "message": self.body(), "field": self.path })
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.body())
    }
}
