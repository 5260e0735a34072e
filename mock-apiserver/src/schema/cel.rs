//! Asking the CEL rules of a schema: only those parts of an object that rules are about, and whose answer can be news.
//!
//! Making CEL values is most of the work of a write, so what cannot change the outcome is left out: branches without rules, and
//! parts that an update leaves as they were, unless a rule of the schema compares with the old value.

use super::join;
use kube_cel::{CompiledSchema, ValidationError, Validator, compile_schema};
use serde_json::Value;
use std::sync::{Mutex, PoisonError};

/// The compiled rules of a schema.
#[derive(Debug)]
pub(super) struct CelRules {
    schema: CompiledSchema,
    /// Whether a rule mentions the old value.
    has_transitions: bool,
    validator: Mutex<Validator>,
}

impl CelRules {
    /// Compiles the rules of a schema that has some.
    pub(super) fn new(schema: &Value, has_transitions: bool) -> Self {
        let mut schema = compile_schema(schema);
        drop_branches_without_rules(&mut schema);
        Self {
            schema,
            has_transitions,
            validator: Mutex::new(Validator::new()),
        }
    }

    /// The rules that an object breaks, ordered by path. Those that it broke before in the same way may be left out.
    pub(super) fn broken(&self, old: Option<&Value>, object: &Value) -> Vec<ValidationError> {
        let mut found = Vec::new();
        self.walk(&self.schema, old, object, "", &mut found);
        found.sort_by(|one, other| one.field_path.cmp(&other.field_path));
        found
    }

    fn walk(
        &self,
        schema: &CompiledSchema,
        old: Option<&Value>,
        value: &Value,
        path: &str,
        found: &mut Vec<ValidationError>,
    ) {
        if !self.has_transitions && old == Some(value) {
            return;
        }
        if is_asked_as_a_whole(schema) {
            // It only reads its functions, so it is whole after a panic, too.
            let validator = self.validator.lock().unwrap_or_else(PoisonError::into_inner);
            let Err(broken) = validator.validate_compiled(schema, value, old) else {
                return;
            };
            found.extend(broken.into_vec().into_iter().map(|mut error| {
                error.field_path = below(path, &error.field_path);
                error
            }));
            return;
        }
        for (member, schema) in &schema.properties {
            if let Some(child) = value.get(member) {
                let old = old.and_then(|old| old.get(member));
                self.walk(schema, old, child, &join(path, member), found);
            }
        }
        if let (Some(schema), Some(items)) = (&schema.items, value.as_array()) {
            for (index, item) in items.iter().enumerate() {
                let old = old.and_then(|old| old.get(index));
                self.walk(schema, old, item, &format!("{path}[{index}]"), found);
            }
        }
    }
}

/// Whether the rules of a node are its own, or where rules apply is for the evaluator to say.
fn is_asked_as_a_whole(schema: &CompiledSchema) -> bool {
    let branches = [&schema.all_of, &schema.one_of, &schema.any_of];
    !schema.validations.is_empty()
        || schema.additional_properties.is_some()
        || branches.iter().any(|branches| !branches.is_empty())
}

/// Keeps what leads to a rule. Below a node that has rules everything stays: it says how values become those of CEL.
fn drop_branches_without_rules(schema: &mut CompiledSchema) {
    for branches in [&mut schema.all_of, &mut schema.one_of, &mut schema.any_of] {
        if !branches.iter().any(has_rules) {
            branches.clear();
        }
    }
    if !schema.additional_properties.as_deref().is_some_and(has_rules) {
        schema.additional_properties = None;
    }
    if is_asked_as_a_whole(schema) {
        return;
    }
    schema.properties.retain(|_, child| has_rules(child));
    schema.properties.values_mut().for_each(drop_branches_without_rules);
    match schema.items.as_deref_mut() {
        Some(items) if has_rules(items) => drop_branches_without_rules(items),
        Some(_) | None => schema.items = None,
    }
}

fn has_rules(schema: &CompiledSchema) -> bool {
    let branches = [&schema.all_of, &schema.one_of, &schema.any_of];
    !schema.validations.is_empty()
        || schema.properties.values().any(has_rules)
        || schema.items.as_deref().is_some_and(has_rules)
        || schema.additional_properties.as_deref().is_some_and(has_rules)
        || branches.iter().any(|branches| branches.iter().any(has_rules))
}

/// A path that goes on from another one.
fn below(path: &str, rest: &str) -> String {
    if rest.is_empty() || rest.starts_with('[') {
        format!("{path}{rest}")
    } else {
        join(path, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube_cel::ValidationErrors;
    use proptest::prelude::*;
    use serde_json::json;

    fn rule(rule: &str) -> Value {
        json!([{ "rule": rule, "message": rule }])
    }

    /// Rules at the root of a part, in items, in maps, behind a map of arbitrary names, and one about the old value.
    fn schema(with_transition: bool) -> Value {
        let mut schema = json!({"type": "object", "properties": {
            "spec": {"type": "object", "properties": {
                "size": {"type": "integer", "x-kubernetes-validations": rule("self < 3")},
                "free": {"type": "object", "additionalProperties": {"type": "integer"}},
                "named": {"type": "object", "additionalProperties": {
                    "type": "integer", "x-kubernetes-validations": rule("self < 2"),
                }},
                "list": {"type": "array", "items": {"type": "object", "properties": {
                    "v": {"type": "integer", "x-kubernetes-validations": rule("self != 1")},
                }}},
                "pair": {
                    "type": "object", "x-kubernetes-validations": rule("self.a == self.b"),
                    "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
                },
            }},
            "status": {"type": "object", "properties": {"n": {"type": "integer"}}},
        }});
        if with_transition {
            schema["properties"]["status"]["properties"]["n"]["x-kubernetes-validations"] = rule("self > oldSelf");
        }
        schema
    }

    fn objects() -> impl Strategy<Value = Value> {
        let number = || 0..4_i64;
        let map = || prop::collection::btree_map("[xy]", 0..4_i64, 0..3);
        let list = prop::collection::vec(number().prop_map(|v| json!({ "v": v })), 0..3);
        let content = (number(), map(), map(), list, (number(), number()), number());
        content.prop_map(|(size, free, named, list, (a, b), n)| {
            json!({
                "spec": {"size": size, "free": free, "named": named, "list": list, "pair": {"a": a, "b": b}},
                "status": {"n": n},
            })
        })
    }

    fn told(errors: Vec<ValidationError>) -> Vec<(String, String)> {
        let mut told: Vec<_> = errors.into_iter().map(|error| (error.field_path, error.rule)).collect();
        told.sort();
        told
    }

    proptest! {
        /// The model: the evaluator asked about the whole object.
        #[test]
        fn a_new_object_breaks_what_it_breaks_when_every_part_is_asked(object in objects(), transition: bool) {
            let schema = schema(transition);
            let all = Validator::new().validate(&schema, &object, None).err().map(ValidationErrors::into_vec).unwrap_or_default();
            let rules = CelRules::new(&schema, transition);
            prop_assert_eq!(told(rules.broken(None, &object)), told(all));
        }

        #[test]
        fn an_update_breaks_the_same_but_for_what_it_leaves_as_it_was(old in objects(), new in objects(), transition: bool) {
            let schema = schema(transition);
            let all = Validator::new().validate(&schema, &new, Some(&old)).err().map(ValidationErrors::into_vec).unwrap_or_default();
            let found = told(CelRules::new(&schema, transition).broken(Some(&old), &new));
            let (all, left_out): (Vec<_>, Vec<_>) = told(all).into_iter().partition(|error| found.contains(error));
            prop_assert_eq!(all, found);
            prop_assert!(!transition || left_out.is_empty(), "{left_out:?}");
            let at = |object: &Value, path: &str| {
                object.pointer(&format!("/{}", path.replace(['.', '['], "/").replace(']', ""))).cloned()
            };
            for (path, _) in left_out {
                prop_assert_eq!(at(&old, &path), at(&new, &path));
            }
        }
    }
}
