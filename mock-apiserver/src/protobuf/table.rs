//! The messages of the built-in kinds, read once from `messages.txt`.
//!
//! A line without indent names a message; the lines below it are its fields: number, JSON name (`-`: its members belong to the
//! holder), type (`s` string, `b` bool, `i` integer, `d` double, `y` bytes, else a message; `*` repeated, `%` map from strings),
//! and `z` if a zero value is left out.

use std::collections::HashMap;
use std::sync::LazyLock;

/// How often a field occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Single,
    Repeated,
    Map,
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    String,
    Bool,
    Integer,
    Double,
    Bytes,
    Message(&'static str),
}

/// A field of a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    /// The JSON member; `None` if the members of the message belong to its holder.
    pub(super) name: Option<&'static str>,
    pub(super) shape: Shape,
    pub(super) kind: Kind,
    pub(super) omit_zero: bool,
}

type Message = HashMap<u64, Field>;

static MESSAGES: LazyLock<HashMap<&'static str, Message>> = LazyLock::new(|| {
    let mut messages: HashMap<&str, Message> = HashMap::new();
    let mut current = "";
    for line in include_str!("messages.txt").lines() {
        match line.strip_prefix(' ').map(str::split_whitespace) {
            None => {
                current = line;
                messages.entry(line).or_default();
            }
            Some(mut words) => {
                let number = words.next().and_then(|number| number.parse().ok());
                if let (Some(number), Some(name), Some(kind)) = (number, words.next(), words.next()) {
                    messages
                        .entry(current)
                        .or_default()
                        .insert(number, field(name, kind, words.next().is_some()));
                }
            }
        }
    }
    messages
});

fn field(name: &'static str, kind: &'static str, omit_zero: bool) -> Field {
    let (shape, kind) = match (kind.strip_prefix('*'), kind.strip_prefix('%')) {
        (Some(kind), _) => (Shape::Repeated, kind),
        (None, Some(kind)) => (Shape::Map, kind),
        (None, None) => (Shape::Single, kind),
    };
    let kind = match kind {
        "s" => Kind::String,
        "b" => Kind::Bool,
        "i" => Kind::Integer,
        "d" => Kind::Double,
        "y" => Kind::Bytes,
        message => Kind::Message(message),
    };
    Field {
        name: (name != "-").then_some(name),
        shape,
        kind,
        omit_zero,
    }
}

/// The fields of a message by number.
pub(super) fn message(name: &str) -> Option<&'static Message> {
    MESSAGES.get(name)
}

/// The message of a kind, e.g. `core.v1.Pod` for `v1` and `Pod`.
pub(super) fn message_of(api_version: &str, kind: &str) -> Option<&'static str> {
    let (group, version) = api_version.split_once('/').unwrap_or(("core", api_version));
    let package = group.split('.').next().unwrap_or_default();
    let own = format!("{package}.{version}.{kind}");
    let meta = format!("meta.{kind}");
    [own, meta]
        .iter()
        .find_map(|name| MESSAGES.get_key_value(name.as_str()).map(|(name, _)| *name))
}
