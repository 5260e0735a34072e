//! Asking the CEL rules of a schema: only those parts of an object that rules are about, and whose answer can be news.
//!
//! Making CEL values is most of the work of a write, so what cannot change the outcome is left out: parts without rules, parts
//! that the rules about them do not read ([`Reads`]), and parts that an update leaves as they were in what the rules read, unless
//! one of these compares with the old value. What held last holds again of values that look the same to the rules.

use super::reads::Reads;
use super::{correlate, idioms, macros};
use crate::api::place::Place;
use crate::fields::{ListKind, Shape};
use kube_cel::cel::{ExecutionError, Program, Value as CelValue};
use kube_cel::{CompilationResult, CompiledSchema, ErrorKind, ValidationError, Validator, compile_schema};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

const RULES: &str = "x-kubernetes-validations";
/// The keywords that hold several schemas for the same value.
const BRANCHES: [&str; 3] = ["allOf", "oneOf", "anyOf"];

/// The compiled rules of a schema.
#[derive(Debug)]
pub(super) struct CelRules {
    root: Node,
    validator: Mutex<Validator>,
}

/// A node of the schema that has rules, or leads to some.
#[derive(Debug)]
struct Node {
    own: Option<Own>,
    properties: BTreeMap<String, Self>,
    /// Rules about items, and how these are told apart.
    items: Option<Box<(Self, ListKind)>>,
    /// Members that are not declared, and what is declared.
    additional: Option<Box<(Self, Map<String, Value>)>>,
    /// Whether a rule here or below mentions the old value.
    has_transitions: bool,
}

/// The rules of one node.
#[derive(Debug)]
struct Own {
    /// The node without the rules of its parts.
    schema: CompiledSchema,
    /// The same for a value that takes no other one's place, if some rule has an optional old value.
    fresh: Option<CompiledSchema>,
    reads: Reads,
    has_transitions: bool,
    held: Held,
}

/// What was read of the value, and of the old one, that the rules of a node held of last. They have no other inputs.
#[derive(Debug, Default)]
struct Held(Mutex<Option<(Value, Option<Value>)>>);

impl Held {
    fn is(&self, reads: &Reads, value: &Value, old: Option<&Value>) -> bool {
        let same = |one: Option<&Value>, other: Option<&Value>| match (one, other) {
            (None, None) => true,
            (Some(one), Some(other)) => reads.agree(one, other),
            (Some(_), None) | (None, Some(_)) => false,
        };
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref()
            .is_some_and(|(known, known_old)| reads.agree(known, value) && same(known_old.as_ref(), old))
    }

    fn note(&self, value: Value, old: Option<Value>) {
        // A pair is whole after a panic, too.
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((value, old));
    }
}

impl CelRules {
    /// Compiles the rules of a schema; `None` if it has none.
    pub(super) fn new(schema: &Value) -> Option<Self> {
        Some(Self {
            root: Node::new(schema)?,
            validator: Mutex::new(Validator::new()),
        })
    }

    /// The rules that an object breaks, ordered by path. Those that it broke before in the same way may be left out, unless `all`
    /// are asked for.
    pub(super) fn broken(&self, old: Option<&Value>, object: &Value, all: bool) -> Vec<ValidationError> {
        // It only reads its functions, so it is whole after a panic, too.
        let validator = self.validator.lock().unwrap_or_else(PoisonError::into_inner);
        let mut asking = Asking {
            validator: &validator,
            all,
            found: Vec::new(),
        };
        self.root.ask(&mut asking, old, object, &Place::ROOT);
        asking.found.sort_by(|one, other| one.field_path.cmp(&other.field_path));
        asking.found
    }
}

/// Asking all rules about one object.
struct Asking<'a> {
    validator: &'a Validator,
    /// Parts that are as they were are asked about, too.
    all: bool,
    found: Vec<ValidationError>,
}

impl Node {
    fn new(schema: &Value) -> Option<Self> {
        let branches = || {
            BRANCHES
                .iter()
                .filter_map(|branch| schema.get(branch)?.as_array())
                .flatten()
        };
        if branches().any(|branch| Self::new(branch).is_some()) {
            // Where the rules of branches apply is for the evaluator to say.
            return Some(Self::leaf(Some(Own::whole(schema))));
        }
        let parts = schema.get("properties").and_then(Value::as_object);
        let below = |keyword: &str| schema.get(keyword).and_then(Self::new);
        let properties = parts.into_iter().flatten();
        let mut node = Self {
            properties: properties
                .filter_map(|(name, schema)| Some((name.clone(), Self::new(schema)?)))
                .collect(),
            items: below("items").map(|node| Box::new((node, Shape::Schema(schema).list_kind()))),
            additional: below("additionalProperties")
                .filter(|_| schema["x-kubernetes-preserve-unknown-fields"] != true)
                .map(|node| Box::new((node, parts.cloned().unwrap_or_default()))),
            ..Self::leaf(Own::new(schema))
        };
        let additional = node.additional.as_deref().map(|(node, _)| node);
        let mut below = node
            .properties
            .values()
            .chain(node.items.as_deref().map(|(node, _)| node))
            .chain(additional)
            .peekable();
        let has_rules = node.own.is_some() || below.peek().is_some();
        node.has_transitions |= below.any(|node| node.has_transitions);
        has_rules.then_some(node)
    }

    fn leaf(own: Option<Own>) -> Self {
        Self {
            has_transitions: own.as_ref().is_some_and(|own| own.has_transitions),
            own,
            properties: BTreeMap::new(),
            items: None,
            additional: None,
        }
    }

    fn ask(&self, asking: &mut Asking<'_>, old: Option<&Value>, value: &Value, place: &Place<'_>) {
        let is_settled = old == Some(value) && !asking.all;
        if is_settled && !self.has_transitions {
            return;
        }
        if let Some(own) = &self.own
            && (own.has_transitions || !is_settled)
        {
            own.ask(asking, old, value, place);
        }
        for (member, node) in &self.properties {
            if let Some(child) = value.get(member) {
                let old = old.and_then(|old| old.get(member));
                node.ask(asking, old, child, &place.member(member));
            }
        }
        if let (Some(items), Some(list)) = (&self.items, value.as_array()) {
            let (node, kind) = &**items;
            for (index, item) in list.iter().enumerate() {
                let old = correlate::item_of(kind, old, item);
                node.ask(asking, old, item, &place.index(index));
            }
        }
        if let (Some(additional), Some(map)) = (&self.additional, value.as_object()) {
            let (node, declared) = &**additional;
            for (member, child) in map.iter().filter(|(member, _)| !declared.contains_key(*member)) {
                let old = old.and_then(|old| old.get(member));
                node.ask(asking, old, child, &place.key(member));
            }
        }
    }
}

impl Own {
    /// The rules of a node that has some.
    fn new(schema: &Value) -> Option<Self> {
        let rules = schema.get(RULES)?.as_array().filter(|rules| !rules.is_empty())?;
        let compiled = compile_schema(&Value::Object(Map::from_iter([(
            RULES.to_owned(),
            Value::Array(rules.clone()),
        )])));
        let (mut reads, mut has_transitions) = (Reads::nothing(), false);
        for rule in compiled.validations.iter().flatten() {
            reads.add(rule.program.expression());
            rule.message_program
                .iter()
                .for_each(|message| reads.add(message.expression()));
            has_transitions |= rule.is_transition_rule;
        }
        let mut shape = shape(schema, &reads);
        shape.insert(RULES.to_owned(), Value::Array(rules.clone()));
        let shape = Value::Object(shape);
        let is_optional = |rule: &Value| rule["optionalOldSelf"] == true;
        Some(Self {
            schema: reworded(&shape, "optional.of(oldSelf)"),
            fresh: rules.iter().any(is_optional).then(|| fresh(&shape)),
            reads,
            has_transitions,
            held: Held::default(),
        })
    }

    /// A node whose parts the evaluator asks, too.
    fn whole(schema: &Value) -> Self {
        Self {
            schema: compile_schema(schema),
            fresh: None,
            reads: Reads::Whole,
            has_transitions: schema.to_string().contains("oldSelf"),
            held: Held::default(),
        }
    }

    fn ask(&self, asking: &mut Asking<'_>, old: Option<&Value>, value: &Value, place: &Place<'_>) {
        let is_settled = !self.has_transitions && !asking.all;
        if is_settled && old.is_some_and(|old| self.reads.agree(old, value)) || self.held.is(&self.reads, value, old) {
            return;
        }
        let (value, old) = (self.reads.of(value), old.map(|old| self.reads.of(old)));
        let fresh = self.fresh.as_ref().filter(|_| old.is_none());
        let schema = fresh.unwrap_or(&self.schema);
        let Err(broken) = asking.validator.validate_compiled(schema, &value, old.as_ref()) else {
            return self.held.note(value, old);
        };
        asking.found.extend(broken.into_vec().into_iter().map(|mut error| {
            if error.kind != ErrorKind::ValidationFailure {
                error.message = self.failure(&error);
            }
            error.field_path = below(place, &error.field_path);
            error
        }));
    }

    /// Why a rule could not be evaluated, in the words of the real server where these are known.
    fn failure(&self, error: &ValidationError) -> String {
        let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<ExecutionError>());
        let cause = cause.and_then(|cause| match cause {
            ExecutionError::IndexOutOfBounds(CelValue::Int(place)) => Some(format!("index out of bounds: {place}")),
            ExecutionError::NoSuchKey(key) => Some(format!("no such key: {key}")),
            ExecutionError::DivisionByZero(_) => Some("division by zero".to_owned()),
            ExecutionError::RemainderByZero(_) => Some("modulus by zero".to_owned()),
            ExecutionError::NoSuchOverload => Some("no such overload".to_owned()),
            _ => None,
        });
        let mut rules = self.schema.validations.iter().flatten();
        let rule = rules.find(|known| known.rule.rule == error.rule);
        let told = rule
            .and_then(|known| known.rule.message.as_deref())
            .unwrap_or(&error.rule);
        match cause {
            Some(cause) => format!("{cause} evaluating rule: {}", told.trim()),
            None => format!("rule {:?} could not be evaluated: {}", error.rule, error.message),
        }
    }
}

/// A schema whose rules are put into words that the evaluator knows. Rules with an optional old value read it as an expression.
fn reworded(shape: &Value, optional: &str) -> CompiledSchema {
    let mut schema = compile_schema(shape);
    for rule in schema.validations.iter_mut().flatten() {
        let is_optional = rule.rule.optional_old_self.take() == Some(true);
        let said = |text: &str| {
            let spelt_out = macros::spelt_out(text);
            let typed = idioms::without_types(spelt_out.as_deref().unwrap_or(text)).or(spelt_out);
            let text = typed.as_deref().unwrap_or(text);
            if is_optional {
                Some(idioms::with_old(text, optional))
            } else {
                typed
            }
        };
        let program = |text: &str| Program::compile(&said(text)?).ok();
        if let Some(program) = program(&rule.rule.rule) {
            rule.program = program;
        }
        if let Some(message) = rule.rule.message_expression.as_deref().and_then(program) {
            rule.message_program = Some(message);
        }
    }
    schema
}

/// The schema for a value that takes no other one's place.
fn fresh(shape: &Value) -> CompiledSchema {
    let mut schema = reworded(shape, "optional.none()");
    let optional: Vec<bool> = shape[RULES]
        .as_array()
        .into_iter()
        .flatten()
        .map(|rule| rule["optionalOldSelf"] == true)
        .collect();
    for (rule, is_optional) in schema.validations.iter_mut().zip(optional) {
        if let Ok(CompilationResult { is_transition_rule, .. }) = rule
            && is_optional
        {
            *is_transition_rule = false;
        }
    }
    schema
}

/// A schema without rules and defaults, and without the members that are not read: it says how values become those of CEL.
fn shape(schema: &Value, reads: &Reads) -> Map<String, Value> {
    let mut shape = schema.as_object().cloned().unwrap_or_default();
    shape.remove(RULES);
    // Objects have their defaults when rules are asked about them.
    shape.remove("default");
    shape.retain(|keyword, _| !BRANCHES.contains(&keyword.as_str()));
    for keyword in ["items", "additionalProperties"] {
        if let Some(part) = shape.get_mut(keyword).filter(|part| part.is_object()) {
            *part = Value::Object(self::shape(part, &Reads::Whole));
        }
    }
    if let Some(Value::Object(properties)) = shape.remove("properties") {
        let read = properties.iter().filter_map(|(name, part)| {
            let below = match reads {
                Reads::Whole => &Reads::Whole,
                Reads::Members(members) => members.get(name)?,
            };
            Some((name.clone(), Value::Object(self::shape(part, below))))
        });
        shape.insert("properties".to_owned(), Value::Object(read.collect()));
    }
    shape
}

/// A path that goes on from another one. Rules that name a field of their value do so with a dot in front.
fn below(place: &Place<'_>, rest: &str) -> String {
    if rest.is_empty() || rest.starts_with('[') {
        format!("{place}{rest}")
    } else {
        place.member(rest.trim_start_matches('.')).to_string()
    }
}

#[cfg(test)]
mod tests;
