//! What is compiled once for each version of a CRD: patterns and rules.

use super::cel::CelRules;
use crate::api::meta;
use crate::fields::{ListKind, Shape};
use regex::Regex;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

/// The keywords that combine schemas for the same value.
const COMBINATIONS: [&str; 4] = ["allOf", "anyOf", "oneOf", "not"];

/// The compiled parts of a schema.
#[derive(Debug, Default)]
pub(crate) struct CompiledRules {
    patterns: BTreeMap<String, Regex>,
    /// The schema has objects inside of objects.
    pub(crate) has_embedded: bool,
    /// The schema has `allOf`, `anyOf`, `oneOf` or `not`.
    pub(super) has_combinations: bool,
    /// The schema has lists whose items can be told apart.
    pub(super) has_keyed_lists: bool,
    /// `None` if the schema has no rules.
    pub(super) cel: Option<CelRules>,
    /// UIDs of objects that went on breaking rules when they were written last.
    broken: Mutex<BTreeSet<String>>,
}

impl CompiledRules {
    /// Compiles the patterns and rules of a schema; those that do not compile are reported by [`Self::problems`].
    pub(crate) fn new(schema: &Value) -> Self {
        let (mut patterns, mut has_embedded) = (BTreeMap::new(), false);
        let (mut has_keyed_lists, mut has_combinations) = (false, false);
        visit(schema, &mut |node| {
            has_embedded |= node.get("x-kubernetes-embedded-resource") == Some(&Value::Bool(true));
            has_combinations |= COMBINATIONS.iter().any(|keyword| node.get(keyword).is_some());
            has_keyed_lists |= Shape::Schema(node).list_kind() != ListKind::Atomic;
            if let Some(text) = node.get("pattern").and_then(Value::as_str)
                && let Ok(pattern) = Regex::new(text)
            {
                patterns.insert(text.to_owned(), pattern);
            }
        });
        Self {
            patterns,
            has_embedded,
            has_combinations,
            has_keyed_lists,
            cel: CelRules::new(schema),
            broken: Mutex::default(),
        }
    }

    /// Whether a stored object may break rules that are in force since a revision. All others were judged by them.
    pub(super) fn may_be_broken(&self, object: &Value, since: u64) -> bool {
        let written: u64 = meta::resource_version(object).parse().unwrap_or_default();
        self.cel.is_some() && (written < since || self.known().contains(meta::uid(object)))
    }

    /// Notes that an object goes on breaking rules.
    pub(super) fn note_broken(&self, object: &Value) {
        self.known().insert(meta::uid(object).to_owned());
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        // A set of texts is whole after a panic, too.
        self.broken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a text matches a pattern of the schema. A pattern that does not compile matches nothing.
    pub(super) fn matches(&self, pattern: &str, text: &str) -> bool {
        self.patterns.get(pattern).is_some_and(|pattern| pattern.is_match(text))
    }
}

fn visit(node: &Value, see: &mut impl FnMut(&Value)) {
    match node {
        Value::Object(map) => {
            see(node);
            map.values().for_each(|child| visit(child, see));
        }
        Value::Array(items) => items.iter().for_each(|child| visit(child, see)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
