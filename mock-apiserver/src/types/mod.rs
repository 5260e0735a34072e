//! The types of the built-in kinds: which fields their objects have, of what type, and how these merge.
//!
//! One table (`messages.txt`, made by `tools/type_table.py`) says how protobuf bodies are decoded, which JSON is refused, how
//! fields merge and what the OpenAPI documents publish. What fields mean is not here: defaults and rules are the `kinds`'.

mod canonical;
mod check;
mod encoded;
mod special;
mod table;
mod zero;

pub(crate) use canonical::amount;
pub(crate) use check::{check, settle};
pub(crate) use special::{Special, special};
pub(crate) use table::{Field, Kind, ListType, Message, Multiplicity, enumeration, message, message_of};
pub(crate) use zero::zero;
