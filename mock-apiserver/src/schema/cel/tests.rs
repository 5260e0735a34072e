//! Rules that are asked again only about what changed say what rules that are asked of everything say.

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

/// The evaluator joins the keys of maps as if they were members.
fn by_key(told: Vec<(String, String)>) -> Vec<(String, String)> {
    let bracketed = |path: String| match path.strip_prefix("spec.named.") {
        Some(key) => format!("spec.named[{key}]"),
        None => path,
    };
    told.into_iter().map(|(path, rule)| (bracketed(path), rule)).collect()
}

proptest! {
    /// The model: the evaluator asked about the whole object.
    #[test]
    fn a_new_object_breaks_what_it_breaks_when_every_part_is_asked(object in objects(), transition: bool) {
        let schema = schema(transition);
        let all = Validator::new().validate(&schema, &object, None).err().map(ValidationErrors::into_vec).unwrap_or_default();
        let rules = CelRules::new(&schema).unwrap();
        prop_assert_eq!(told(rules.broken(None, &object, false)), by_key(told(all)));
    }

    #[test]
    fn an_update_breaks_the_same_but_for_what_it_leaves_as_it_was(old in objects(), new in objects(), transition: bool) {
        let schema = schema(transition);
        let all = Validator::new().validate(&schema, &new, Some(&old)).err().map(ValidationErrors::into_vec).unwrap_or_default();
        let found = told(CelRules::new(&schema).unwrap().broken(Some(&old), &new, false));
        let (all, left_out): (Vec<_>, Vec<_>) = by_key(told(all)).into_iter().partition(|error| found.contains(error));
        prop_assert_eq!(all, found);
        let at = |object: &Value, path: &str| {
            object.pointer(&format!("/{}", path.replace(['.', '['], "/").replace(']', ""))).cloned()
        };
        for (path, rule) in left_out {
            prop_assert!(!rule.contains("oldSelf"), "{rule}");
            prop_assert_eq!(at(&old, &path), at(&new, &path));
        }
    }

    #[test]
    fn what_held_before_hides_nothing_that_is_broken_now(
        asked in prop::collection::vec((prop::option::of(objects()), objects()), 2..6), transition: bool, all: bool,
    ) {
        let schema = schema(transition);
        let rules = CelRules::new(&schema).unwrap();
        for (old, new) in &asked {
            let alone = CelRules::new(&schema).unwrap().broken(old.as_ref(), new, all);
            prop_assert_eq!(told(rules.broken(old.as_ref(), new, all)), told(alone));
        }
    }
}
