use super::*;
use serde_json::json;

fn scope() -> Scope {
    let schema = json!({"type": "object", "properties": {
        "n": {"type": "integer"}, "text": {"type": "string", "maxLength": 10}, "anything": {"x-kubernetes-int-or-string": true},
        "list": {"type": "array", "maxItems": 3, "items": {"type": "string", "maxLength": 5}},
        "map": {"type": "object", "additionalProperties": {"type": "integer"}}, "in": {"type": "boolean"},
    }});
    Scope::new(&schema, true).unwrap()
}

fn refused(text: &str) -> String {
    scope().compile(text, false, Expected::Bool).unwrap_err()
}

#[test]
fn what_fits_the_schema_compiles() {
    for text in [
        "self.n > 1 && self.text.startsWith('a')",
        "self.list.all(x, x.size() < 3 || self.list.exists(y, y == x))",
        "self.map.all(k, self.map[k] > 0) && has(self.map.a)",
        "self.list.map(x, x + 'a').filter(x, x != '').size() > 0",
        "self.__in__ && self.metadata.name != 'x'",
        "oldSelf.n <= self.n ? true : self.text.matches('^a')",
        "self.list[0] in ['a', 'b'] && quantity('1').isLessThan(quantity('2'))",
        "type(self.anything) == int ? self.anything < 5 : self.anything.contains('%')",
        "self.?text.orValue('') == 'a' && optional.of(1).hasValue()",
        "duration('1s') < duration('2s') && timestamp('2020-01-01T00:00:00Z').getFullYear() == 2020",
        "sets.contains(['a'], self.list) && self.list.indexOf('a') == 0 && self.n / 2 * 3 % 2 - 1 == -1",
        "self.map.all(k, v, v > 0)",
    ] {
        scope()
            .compile(text, false, Expected::Bool)
            .unwrap_or_else(|why| panic!("{text}: {why}"));
    }
}

#[test]
fn what_does_not_fit_is_refused_where_it_stands() {
    for (text, place, message) in [
        ("self.m == 1", "1:5", "undefined field 'm'"),
        (
            "self.list.all(x, x > other)",
            "1:22",
            "undeclared reference to 'other' (in container '')",
        ),
        (
            "self.n + 'a' == 2",
            "1:8",
            "found no matching overload for '_+_' applied to '(int, string)'",
        ),
        (
            "self.n.foo()",
            "1:11",
            "undeclared reference to 'foo' (in container '')",
        ),
        (
            "self.text.contains(1)",
            "1:19",
            "found no matching overload for 'contains' applied to 'string.(int)'",
        ),
        (
            "self.n.all(x, true)",
            "1:5",
            "expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)",
        ),
    ] {
        let why = refused(text);
        assert!(
            why.starts_with(&format!(
                "compilation failed: ERROR: <input>:{place}: {message}\n | {text}\n | "
            )),
            "{why}"
        );
    }
    assert_eq!(refused("self.n"), "cel expression must evaluate to a bool");
}

#[test]
fn costs_grow_with_the_bounds_of_what_is_gone_through() {
    let cost = |text: &str| scope().compile(text, false, Expected::Bool).unwrap().cost;
    let single = cost("self.list.all(x, x != 'a')");
    assert!(cost("self.list.all(x, self.list.all(y, x != y))") > 2 * single);
    assert!(cost("self.map.all(k, k != 'a')") > 100_000);
    assert!(cost("self.n > 1") < 10);
}

#[test]
fn only_rules_about_the_old_value_mention_it() {
    let uses = |text: &str| scope().compile(text, false, Expected::Bool).unwrap().uses_old;
    assert!(uses("self.n > oldSelf.n"));
    assert!(!uses("self.text != 'oldSelf'"));
}
