//! What a CEL rule reads of the value that it is about, so that no more of it has to be made a CEL value.
//!
//! Decided from the expression alone: `self.a.b` reads the member `b` of `a`, `has(self.a)` whether `a` is there, and every other
//! use of `self` or `oldSelf` the whole value. More than is read may be named, less never.

use kube_cel::cel::common::ast::{EntryExpr, Expr, IdedEntryExpr, IdedExpr};
use serde_json::Value;
use std::collections::BTreeMap;

/// Parts of a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reads {
    /// Everything.
    Whole,
    /// These members; of one without members only that it is there, and of what type.
    Members(BTreeMap<String, Self>),
}

impl Reads {
    /// Nothing but that there is a value.
    pub(super) const fn nothing() -> Self {
        Self::Members(BTreeMap::new())
    }

    /// Adds what an expression reads of `self` and `oldSelf`.
    pub(super) fn add(&mut self, expression: &IdedExpr) {
        if let Some(chain) = Chain::of(expression) {
            self.follow(&chain.members, chain.end);
            return;
        }
        match &expression.expr {
            Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => {}
            Expr::Call(call) => {
                call.target.iter().for_each(|target| self.add(target));
                call.args.iter().for_each(|argument| self.add(argument));
            }
            Expr::Comprehension(comprehension) => {
                self.add(&comprehension.iter_range);
                self.add(&comprehension.accu_init);
                self.add(&comprehension.loop_cond);
                self.add(&comprehension.loop_step);
                self.add(&comprehension.result);
            }
            Expr::List(list) => list.elements.iter().for_each(|element| self.add(element)),
            Expr::Map(map) => self.add_entries(&map.entries),
            Expr::Struct(built) => self.add_entries(&built.entries),
            Expr::Select(select) => self.add(&select.operand),
        }
    }

    fn add_entries(&mut self, entries: &[IdedEntryExpr]) {
        for entry in entries {
            match &entry.expr {
                EntryExpr::StructField(field) => self.add(&field.value),
                EntryExpr::MapEntry(entry) => {
                    self.add(&entry.key);
                    self.add(&entry.value);
                }
            }
        }
    }

    fn follow(&mut self, members: &[&str], end: End) {
        match (&mut *self, members.split_first()) {
            (Self::Whole, _) | (Self::Members(_), None) if end == End::Presence => {}
            (_, None) => *self = Self::Whole,
            (Self::Whole, Some(_)) => {}
            (Self::Members(known), Some((first, rest))) => {
                let below = known.entry((*first).to_owned()).or_insert_with(Self::nothing);
                below.follow(rest, end);
            }
        }
    }

    /// Whether two values are the same in what is read.
    pub(super) fn agree(&self, one: &Value, other: &Value) -> bool {
        match (self, one, other) {
            (Self::Members(members), Value::Object(one), Value::Object(other)) => {
                members
                    .iter()
                    .all(|(name, below)| match (one.get(name), other.get(name)) {
                        (None, None) => true,
                        (Some(one), Some(other)) => below.agree(one, other),
                        (Some(_), None) | (None, Some(_)) => false,
                    })
            }
            (Self::Members(_), Value::Array(_), Value::Array(_)) => true,
            (Self::Whole | Self::Members(_), one, other) => one == other,
        }
    }

    /// The value without what is not read. What is neither read nor left out, such as the items of a list that only has to be
    /// there, is empty.
    pub(super) fn of(&self, value: &Value) -> Value {
        match (self, value) {
            (Self::Members(members), Value::Object(map)) => {
                let read = members.iter().filter_map(|(name, below)| {
                    let member = map.get(name)?;
                    Some((name.clone(), below.of(member)))
                });
                Value::Object(read.collect())
            }
            (Self::Members(_), Value::Array(_)) => Value::Array(Vec::new()),
            (Self::Whole, _)
            | (Self::Members(_), Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => value.clone(),
        }
    }
}

/// How a chain of members ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// In the use of a value.
    Use,
    /// In the question whether it is there.
    Presence,
}

/// A path from `self` or `oldSelf` on.
struct Chain<'a> {
    members: Vec<&'a str>,
    end: End,
    /// What is selected further on is not known by its name in the object.
    closed: bool,
}

impl<'a> Chain<'a> {
    fn of(expression: &'a IdedExpr) -> Option<Self> {
        match &expression.expr {
            Expr::Ident(name) => matches!(name.as_str(), "self" | "oldSelf").then(|| Self {
                members: Vec::new(),
                end: End::Use,
                closed: false,
            }),
            Expr::Select(select) => {
                let mut chain = Self::of(&select.operand)?;
                if chain.closed {
                    return Some(chain);
                }
                // Names that are no CEL identifiers are written with escapes of two underscores.
                chain.closed = select.test || select.field.contains("__");
                if !select.field.contains("__") {
                    chain.members.push(&select.field);
                    chain.end = if select.test { End::Presence } else { End::Use };
                }
                Some(chain)
            }
            Expr::Unspecified
            | Expr::Call(_)
            | Expr::Comprehension(_)
            | Expr::List(_)
            | Expr::Literal(_)
            | Expr::Map(_)
            | Expr::Struct(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube_cel::cel::Program;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(rule: &str, value: &Value) -> Value {
        let mut reads = Reads::nothing();
        reads.add(Program::compile(rule).unwrap().expression());
        reads.of(value)
    }

    #[test]
    fn a_rule_gets_the_members_it_names_and_no_others() {
        let value = json!({"a": {"b": 1, "c": 2}, "d": [1, 2], "e": {"f": 3}, "x__y": 4, "namespace": "n"});
        for (rule, expected) in [
            ("self.a.b > 1", json!({"a": {"b": 1}})),
            ("has(self.a) != has(self.absent)", json!({"a": {}})),
            ("has(self.d) && has(self.e.f)", json!({"d": [], "e": {"f": 3}})),
            (
                "self.d.all(item, item < oldSelf.a.c)",
                json!({"a": {"c": 2}, "d": [1, 2]}),
            ),
            ("has(self.a) && self.a.b == 1", json!({"a": {"b": 1}})),
            (
                "has(self.a) ? self.a : {'k': self.e.f}",
                json!({"a": {"b": 1, "c": 2}, "e": {"f": 3}}),
            ),
            ("1 < 2", json!({})),
        ] {
            assert_eq!(read(rule, &value), expected, "{rule}");
        }
    }

    proptest! {
        /// The model: what is left of both values.
        #[test]
        fn values_agree_when_what_is_read_of_them_is_the_same(one in values(), other in values()) {
            for rule in ["self.a.b > 1", "has(self.a)", "has(self.a.b) && has(self.b)", "self.b == 1", "self == oldSelf", "1 < 2"] {
                let mut reads = Reads::nothing();
                reads.add(Program::compile(rule).unwrap().expression());
                prop_assert_eq!(reads.agree(&one, &other), reads.of(&one) == reads.of(&other), "{}", rule);
            }
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![Just(json!(1)), Just(json!([])), Just(json!([1])), Just(Value::Null)];
        leaf.prop_recursive(2, 8, 2, |inner| {
            prop::collection::btree_map("[ab]", inner, 0..3).prop_map(|map| Value::Object(map.into_iter().collect()))
        })
    }

    #[test]
    fn a_rule_that_uses_the_value_itself_or_an_escaped_name_gets_all_of_it() {
        let value = json!({"a": {"b": 1}, "namespace": "n", "l": [1]});
        for rule in [
            "self == oldSelf",
            "size(self) > 1",
            "self.__namespace__ == 'n'",
            "[self].all(s, s.a.b == 1)",
            "self['a'].b == 1",
        ] {
            assert_eq!(read(rule, &value), value, "{rule}");
        }
        assert_eq!(read("self.a.__namespace__ == 'n'", &value), json!({"a": {"b": 1}}));
    }
}
