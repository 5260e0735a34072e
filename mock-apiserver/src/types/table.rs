//! The messages of the built-in kinds, read once from `messages.txt`.
//!
//! | Line | Meaning |
//! |---|---|
//! | `core.v1.Pod` | A message; `a` after it: it merges as a whole. |
//! | ` 2 spec core.v1.PodSpec z` | A field of the message above: number, JSON name (`-`: its members belong to the holder), type, flags. |
//! | `=core.v1.Protocol SCTP\|TCP\|UDP` | The values of an enumeration. |
//!
//! Types are `s` string, `b` bool, `n` 32-bit and `i` 64-bit integer, `d` double, `y` bytes, or a message; `*` before one is a
//! list of it, `%` a map from strings to it. Flags are `z` (a zero value is left out), `r` (required), `v` (a struct, list or map that Go writes even when nothing is in it), `a` (a map that merges as
//! a whole), `t=` (the Go type), `l=` (the list type: `ATOMIC`, `SET` or the keys of a map list), `p=` (strategy and key of a
//! strategic merge patch) and `d=` (the default).

use std::collections::HashMap;
use std::sync::LazyLock;

/// How often a field occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Multiplicity {
    Single,
    Repeated,
    Map,
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    String,
    Bool,
    Int32,
    Int64,
    Double,
    Bytes,
    Message(&'static str),
}

/// How a list merges in server-side apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ListType {
    Atomic,
    Set,
    Map(Vec<&'static str>),
}

/// How a strategic merge patch treats a list or an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PatchStrategy {
    /// `merge`, `replace`, `retainKeys`, or several of them with commas.
    pub(crate) strategies: &'static str,
    /// The member that identifies the items of a list; empty for lists of scalars and for objects.
    pub(crate) key: &'static str,
}

/// A field of a message.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "flags of the table, each by itself")]
pub(crate) struct Field {
    pub(crate) number: u64,
    /// The JSON member; `None` if the members of the message belong to its holder.
    pub(crate) name: Option<&'static str>,
    pub(crate) multiplicity: Multiplicity,
    pub(crate) kind: Kind,
    pub(crate) omit_zero: bool,
    pub(crate) required: bool,
    /// A struct, list or map that Go writes even when nothing is in it.
    pub(crate) always_written: bool,
    pub(crate) atomic: bool,
    /// The Go type, where it has a name of its own: `core.v1.Protocol`.
    pub(crate) go_type: Option<&'static str>,
    pub(crate) list_type: Option<ListType>,
    pub(crate) patch: Option<PatchStrategy>,
    /// A default as JSON text.
    pub(crate) default: Option<&'static str>,
}

/// A message with its fields.
#[derive(Debug)]
pub(crate) struct Message {
    /// Package and name: `core.v1.Pod`.
    pub(crate) name: &'static str,
    /// It merges as a whole.
    pub(crate) atomic: bool,
    fields: Vec<Field>,
}

impl Message {
    /// The field of a number.
    pub(crate) fn numbered(&self, number: u64) -> Option<&Field> {
        self.fields.iter().find(|field| field.number == number)
    }

    /// The field that is a JSON member, own or of an embedded message.
    pub(crate) fn member(&self, name: &str) -> Option<&Field> {
        let own = self.fields.iter().find(|field| field.name == Some(name));
        own.or_else(|| self.embedded().find_map(|inner| inner.member(name)))
    }

    /// All fields that are JSON members, those of embedded messages included.
    pub(crate) fn members(&self) -> Vec<&Field> {
        let mut members: Vec<&Field> = self.fields.iter().filter(|field| field.name.is_some()).collect();
        for inner in self.embedded() {
            members.extend(inner.members());
        }
        members
    }

    fn embedded(&self) -> impl Iterator<Item = &'static Self> {
        self.fields.iter().filter_map(|field| match (field.name, field.kind) {
            (None, Kind::Message(inner)) => message(inner),
            (
                Some(_) | None,
                Kind::Message(_) | Kind::String | Kind::Bool | Kind::Int32 | Kind::Int64 | Kind::Double | Kind::Bytes,
            ) => None,
        })
    }
}

#[derive(Debug, Default)]
struct Table {
    messages: HashMap<&'static str, Message>,
    enums: HashMap<&'static str, Vec<&'static str>>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut table = Table::default();
    let mut current = "";
    for line in include_str!("messages.txt").lines() {
        let mut words = line.split(' ');
        match words.next() {
            Some("") => {
                if let (Some(message), Some(field)) = (table.messages.get_mut(current), field(words)) {
                    message.fields.push(field);
                }
            }
            Some(name) if name.starts_with('=') => {
                let (name, values) = line[1..].split_once(' ').unwrap_or((&line[1..], ""));
                table.enums.insert(name, values.split('|').collect());
            }
            Some(name) => {
                current = name;
                let atomic = words.next() == Some("a");
                let fields = Vec::new();
                table.messages.insert(name, Message { name, atomic, fields });
            }
            None => {}
        }
    }
    table
});

fn field(mut words: std::str::Split<'static, char>) -> Option<Field> {
    let (number, name, kind) = (words.next()?.parse().ok()?, words.next()?, words.next()?);
    let (multiplicity, kind) = match (kind.strip_prefix('*'), kind.strip_prefix('%')) {
        (Some(kind), _) => (Multiplicity::Repeated, kind),
        (None, Some(kind)) => (Multiplicity::Map, kind),
        (None, None) => (Multiplicity::Single, kind),
    };
    let mut field = Field {
        number,
        name: (name != "-").then_some(name),
        multiplicity,
        kind: kind_of(kind),
        omit_zero: false,
        required: false,
        always_written: false,
        atomic: false,
        go_type: None,
        list_type: None,
        patch: None,
        default: None,
    };
    for flag in words {
        match flag.split_once('=') {
            None => match flag {
                "z" => field.omit_zero = true,
                "r" => field.required = true,
                "v" => field.always_written = true,
                "a" => field.atomic = true,
                _ => return None,
            },
            Some(("t", name)) => field.go_type = Some(name),
            Some(("l", text)) => field.list_type = Some(list_type(text)),
            Some(("p", text)) => {
                let (strategies, key) = text.split_once(':')?;
                field.patch = Some(PatchStrategy { strategies, key });
            }
            Some(("d", text)) => field.default = Some(text),
            Some(_) => return None,
        }
    }
    Some(field)
}

fn kind_of(word: &'static str) -> Kind {
    match word {
        "s" => Kind::String,
        "b" => Kind::Bool,
        "n" => Kind::Int32,
        "i" => Kind::Int64,
        "d" => Kind::Double,
        "y" => Kind::Bytes,
        message => Kind::Message(message),
    }
}

fn list_type(text: &'static str) -> ListType {
    match text {
        "ATOMIC" => ListType::Atomic,
        "SET" => ListType::Set,
        keys => ListType::Map(keys.split(',').collect()),
    }
}

/// A message by package and name.
pub(crate) fn message(name: &str) -> Option<&'static Message> {
    TABLE.messages.get(name)
}

/// The message of a kind, e.g. `core.v1.Pod` for `v1` and `Pod`.
pub(crate) fn message_of(api_version: &str, kind: &str) -> Option<&'static Message> {
    let (group, version) = api_version.split_once('/').unwrap_or(("core", api_version));
    let package = group.split('.').next().unwrap_or_default();
    message(&format!("{package}.{version}.{kind}")).or_else(|| message(&format!("meta.{kind}")))
}

/// The values of an enumeration, by the Go type.
pub(crate) fn enumeration(go_type: &str) -> Option<&'static [&'static str]> {
    TABLE.enums.get(go_type).map(Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_understood_and_every_message_that_a_field_names_is_there() {
        let lines = include_str!("messages.txt").lines();
        let fields = lines.filter(|line| line.starts_with(' ')).count();
        assert_eq!(
            TABLE
                .messages
                .values()
                .map(|message| message.fields.len())
                .sum::<usize>(),
            fields
        );
        for message in TABLE.messages.values() {
            for field in &message.fields {
                if let Kind::Message(inner) = field.kind {
                    assert!(TABLE.messages.contains_key(inner), "{} of {}", inner, message.name);
                }
            }
        }
    }

    #[test]
    fn the_markers_of_ports_are_read() {
        let ports = message("core.v1.Container").unwrap().member("ports").unwrap();
        assert_eq!(ports.list_type, Some(ListType::Map(vec!["containerPort", "protocol"])));
        assert_eq!(ports.patch.unwrap().key, "containerPort");
        let protocol = message("core.v1.ContainerPort").unwrap().member("protocol").unwrap();
        assert_eq!((protocol.default, protocol.required), (Some("\"TCP\""), false));
        assert_eq!(
            enumeration(protocol.go_type.unwrap()),
            Some(&["SCTP", "TCP", "UDP"][..])
        );
    }

    #[test]
    fn members_of_embedded_messages_belong_to_their_holder() {
        let container = message("core.v1.EphemeralContainer").unwrap();
        assert!(container.member("image").is_some() && container.member("targetContainerName").is_some());
    }
}
