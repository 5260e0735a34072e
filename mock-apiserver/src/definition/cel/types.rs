//! Types of CEL with bounds on the size of their values, and which of them a schema declares.

use super::MAX_REQUEST;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

/// The type of an expression. Texts, lists and maps carry the most characters, items or members that they can have.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Type {
    /// Nothing is known here, and nothing is refused.
    Unknown,
    /// CEL's own `dyn`: checked when it is evaluated.
    Dyn(u64),
    Null,
    Bool,
    Int,
    Uint,
    Double,
    String(u64),
    Bytes(u64),
    Duration,
    Timestamp,
    List(Box<Type>, u64),
    Map(Box<Type>, Box<Type>, u64),
    Object(Rc<BTreeMap<String, Type>>),
    Optional(Box<Type>),
    /// A type as a value.
    Meta,
    /// A type of Kubernetes' libraries, by its name.
    Named(&'static str),
}

impl Type {
    /// The size that costs are counted by, of a value that a schema declares. Only fields, items and values of objects have
    /// none: the real server asks their declarations, which bound texts, lists and maps alone.
    pub(super) fn declared_size(&self) -> u64 {
        match self {
            Self::Dyn(size) | Self::String(size) | Self::Bytes(size) | Self::List(_, size) | Self::Map(_, _, size) => {
                *size
            }
            Self::Optional(inner) => inner.declared_size(),
            Self::Duration | Self::Timestamp => 32,
            Self::Null | Self::Bool | Self::Int | Self::Uint | Self::Double | Self::Object(_) | Self::Unknown => 0,
            Self::Meta | Self::Named(_) => u64::MAX,
        }
    }

    /// The same of a value that an expression makes.
    pub(super) fn made_size(&self) -> u64 {
        match self {
            Self::Null | Self::Bool | Self::Int | Self::Uint | Self::Double | Self::Duration | Self::Timestamp => 1,
            Self::Optional(inner) => inner.made_size(),
            Self::Dyn(_)
            | Self::String(_)
            | Self::Bytes(_)
            | Self::List(..)
            | Self::Map(..)
            | Self::Object(_)
            | Self::Meta
            | Self::Named(_) => u64::MAX,
            // What is not followed is not held against an expression.
            Self::Unknown => 0,
        }
    }

    /// Whether a value of either type can be one of the other: bounds do not matter.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unknown | Self::Dyn(_), _) | (_, Self::Unknown | Self::Dyn(_)) => true,
            (Self::List(one, _), Self::List(other, _)) | (Self::Optional(one), Self::Optional(other)) => {
                one.agrees(other)
            }
            (Self::Map(key, value, _), Self::Map(other_key, other_value, _)) => {
                key.agrees(other_key) && value.agrees(other_value)
            }
            (Self::Object(one), Self::Object(other)) => Rc::ptr_eq(one, other) || one == other,
            (Self::Named(one), Self::Named(other)) => one == other,
            (Self::Null, other) | (other, Self::Null) => matches!(
                other,
                Self::Null | Self::Object(_) | Self::Duration | Self::Timestamp | Self::Named(_) | Self::Optional(_)
            ),
            (one, other) => std::mem::discriminant(one) == std::mem::discriminant(other),
        }
    }

    /// Whether nothing can be said against it.
    pub(super) fn is_open(&self) -> bool {
        matches!(self, Self::Unknown | Self::Dyn(_))
    }

    /// The narrowest type of both branches.
    pub(super) fn join(self, other: Self) -> Self {
        match (self, other) {
            (Self::String(one), Self::String(other)) => Self::String(one.max(other)),
            (Self::Bytes(one), Self::Bytes(other)) => Self::Bytes(one.max(other)),
            (Self::List(one, size), Self::List(other, other_size)) => {
                Self::List(Box::new(one.join(*other)), size.max(other_size))
            }
            (Self::Map(key, value, size), Self::Map(other_key, other_value, other_size)) => Self::Map(
                Box::new(key.join(*other_key)),
                Box::new(value.join(*other_value)),
                size.max(other_size),
            ),
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::Dyn(one), other) | (other, Self::Dyn(one)) => Self::Dyn(one.max(other.declared_size())),
            (one, _) => one,
        }
    }
}

/// As error messages of CEL name it.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // What is not known is so because of an error, as far as messages show it.
            Self::Unknown => f.write_str("!error!"),
            Self::Dyn(_) => f.write_str("dyn"),
            Self::Null => f.write_str("null"),
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Uint => f.write_str("uint"),
            Self::Double => f.write_str("double"),
            Self::String(_) => f.write_str("string"),
            Self::Bytes(_) => f.write_str("bytes"),
            Self::Duration => f.write_str("google.protobuf.Duration"),
            Self::Timestamp => f.write_str("google.protobuf.Timestamp"),
            Self::List(item, _) => write!(f, "list({item})"),
            Self::Map(key, value, _) => write!(f, "map({key}, {value})"),
            Self::Object(_) => f.write_str("object"),
            Self::Optional(inner) => write!(f, "optional_type({inner})"),
            Self::Meta => f.write_str("type"),
            Self::Named(name) => f.write_str(name),
        }
    }
}

/// The type that a schema declares, and the fewest bytes that its values take; `None` if expressions cannot refer to it.
pub(super) fn declared(schema: &Value, is_resource: bool) -> Option<(Type, u64)> {
    let bound = |member: &str| schema[member].as_u64();
    if schema["x-kubernetes-int-or-string"] == true {
        let size = bound("maxLength").map_or(MAX_REQUEST - 2, |max| max.saturating_mul(4));
        return Some((Type::Dyn(size), 1));
    }
    match schema["type"].as_str()? {
        "array" => {
            let (item, smallest) = part(&schema["items"])?;
            let size = bound("maxItems").unwrap_or((MAX_REQUEST - 2) / (smallest + 1));
            Some((Type::List(Box::new(item), size), 2))
        }
        "object" => match &schema["additionalProperties"] {
            additional @ Value::Object(_) if !is_resource => {
                let (value, smallest) = part(additional)?;
                let size = bound("maxProperties").unwrap_or((MAX_REQUEST - 2) / (smallest + 6));
                // The real server bounds keys by nothing, which it counts as 0.
                let key = Type::String(0);
                Some((Type::Map(Box::new(key), Box::new(value), size), 2))
            }
            _ => Some(object(schema, is_resource)),
        },
        "string" => Some(text(schema)),
        "boolean" => Some((Type::Bool, 4)),
        "number" => Some((Type::Double, 1)),
        "integer" => Some((Type::Int, 1)),
        _ => None,
    }
}

fn part(schema: &Value) -> Option<(Type, u64)> {
    declared(schema, schema["x-kubernetes-embedded-resource"] == true)
}

fn object(schema: &Value, is_resource: bool) -> (Type, u64) {
    let required = crate::api::meta::strings(&schema["required"]);
    let mut fields = BTreeMap::new();
    let mut smallest = 2;
    for (name, child) in schema["properties"].as_object().into_iter().flatten() {
        if is_resource && matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
            continue;
        }
        let Some((field, size)) = part(child) else { continue };
        if required.contains(&name.as_str()) && child["default"].is_null() {
            smallest += name.len() as u64 + size + 4;
        }
        fields.extend(escaped(name).map(|name| (name, field)));
    }
    if is_resource {
        let text = Type::String(MAX_REQUEST - 2);
        let names = ["name", "generateName"].map(|name| (name.to_owned(), text.clone()));
        fields.insert("metadata".to_owned(), Type::Object(Rc::new(names.into())));
        for member in ["apiVersion", "kind"] {
            fields.insert(member.to_owned(), text.clone());
        }
    }
    (Type::Object(Rc::new(fields)), smallest)
}

fn text(schema: &Value) -> (Type, u64) {
    let max = schema["maxLength"].as_u64();
    match schema["format"].as_str() {
        Some("byte") => (Type::Bytes(max.unwrap_or(MAX_REQUEST - 2)), 2),
        Some("duration") => (Type::Duration, 3),
        Some("date") => (Type::Timestamp, 12),
        Some("date-time") => (Type::Timestamp, 21),
        Some(_) | None => {
            let longest = |values: &Vec<Value>| values.iter().filter_map(Value::as_str).map(str::len).max();
            let listed = schema["enum"].as_array().filter(|values| !values.is_empty());
            let listed = listed.map(|values| longest(values).unwrap_or_default() as u64);
            let size = max.map(|max| max.saturating_mul(4)).or(listed);
            (Type::String(size.unwrap_or(MAX_REQUEST - 2)), 2)
        }
    }
}

/// Words that mean something else in expressions; fields of these names are escaped.
const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// The name by which a field may be called as well, though it is escaped.
pub(super) fn reserved(name: &str) -> Option<String> {
    RESERVED.contains(&name).then(|| format!("__{name}__"))
}

/// The name of a field in expressions; `None` if it cannot be named.
fn escaped(name: &str) -> Option<String> {
    if RESERVED.contains(&name) {
        return Some(format!("__{name}__"));
    }
    if name.is_empty() || name.starts_with(|letter: char| letter.is_ascii_digit()) {
        return None;
    }
    let name = name.replace("__", "__underscores__");
    let mut escaped = String::new();
    for letter in name.chars() {
        match letter {
            '.' => escaped.push_str("__dot__"),
            '-' => escaped.push_str("__dash__"),
            '/' => escaped.push_str("__slash__"),
            letter if letter.is_ascii_alphanumeric() || letter == '_' => escaped.push(letter),
            _ => return None,
        }
    }
    Some(escaped)
}
