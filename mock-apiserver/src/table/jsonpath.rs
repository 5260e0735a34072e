//! The dialect of `JSONPath` that printer columns use: members, quoted members, indices, `[*]` and filters on equality.

use serde_json::Value;

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Member(String),
    Index(i64),
    All,
    /// Keep the elements whose path compares (`true`: equal) with the literal.
    Filter(Vec<Step>, bool, Value),
}

/// A parsed path.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct JsonPath(Vec<Step>);

impl JsonPath {
    /// Parses a path such as `.status.conditions[?(@.type=="Ready")].status`; `None` if it is not understood.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text
            .strip_prefix('{')
            .and_then(|inner| inner.strip_suffix('}'))
            .unwrap_or(text);
        steps(text.strip_prefix('$').unwrap_or(text)).map(Self)
    }

    /// All values the path finds.
    pub(super) fn find<'a>(&self, root: &'a Value) -> Vec<&'a Value> {
        walk(&self.0, root)
    }
}

fn walk<'a>(steps: &[Step], root: &'a Value) -> Vec<&'a Value> {
    let mut found = vec![root];
    for step in steps {
        found = found.into_iter().flat_map(|value| take(step, value)).collect();
    }
    found
}

fn take<'a>(step: &Step, value: &'a Value) -> Vec<&'a Value> {
    match (step, value) {
        (Step::Member(name), _) => value.get(name).into_iter().collect(),
        (Step::Index(index), Value::Array(items)) => {
            let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
            let index = if *index < 0 { length + index } else { *index };
            usize::try_from(index)
                .ok()
                .and_then(|index| items.get(index))
                .into_iter()
                .collect()
        }
        (Step::All, Value::Array(items)) => items.iter().collect(),
        (Step::All, Value::Object(members)) => members.values().collect(),
        (Step::Filter(path, equal, literal), Value::Array(items)) => items
            .iter()
            .filter(|item| {
                let found = walk(path, item);
                !found.is_empty() && found.contains(&literal) == *equal
            })
            .collect(),
        (Step::Index(_) | Step::All | Step::Filter(..), _) => Vec::new(),
    }
}

fn steps(text: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        match first {
            '[' => {
                let end = bracket_end(rest)?;
                steps.push(bracket(&rest[1..end])?);
                rest = &rest[end + 1..];
            }
            '.' => rest = &rest[1..],
            _ => {
                let (name, after) = member(rest);
                steps.push(if name == "*" { Step::All } else { Step::Member(name) });
                rest = after;
            }
        }
    }
    Some(steps)
}

/// A bare member; a backslash keeps the next character.
fn member(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => name.extend(chars.next().map(|(_, escaped)| escaped)),
            '.' | '[' => return (name, &text[at..]),
            other => name.push(other),
        }
    }
    (name, "")
}

/// The closing bracket, outside quotes and parentheses.
fn bracket_end(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut depth = 0usize;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            (Some(_) | None, _) => {}
        }
    }
    None
}

fn quoted(text: &str) -> Option<String> {
    let quote = text.chars().next().filter(|c| ['"', '\''].contains(c))?;
    let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
    Some(inner.to_owned())
}

fn bracket(inner: &str) -> Option<Step> {
    let inner = inner.trim();
    if inner == "*" {
        return Some(Step::All);
    }
    if let Some(name) = quoted(inner) {
        return Some(Step::Member(name));
    }
    if let Some(filter) = inner.strip_prefix("?(").and_then(|filter| filter.strip_suffix(')')) {
        let (path, equal, literal) = match (filter.split_once("=="), filter.split_once("!=")) {
            (Some((path, literal)), _) => (path, true, literal),
            (None, Some((path, literal))) => (path, false, literal),
            (None, None) => return None,
        };
        let literal = literal.trim();
        let literal = quoted(literal)
            .map(Value::String)
            .or_else(|| serde_json::from_str(literal).ok())?;
        return Some(Step::Filter(steps(path.trim().strip_prefix('@')?)?, equal, literal));
    }
    inner.parse().ok().map(Step::Index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_paths_of_real_crds_find_their_values() {
        let object = json!({
            "metadata": {"labels": {"a.b/c": "dotted"}},
            "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Old", "status": "False"}]},
        });
        for (path, expected) in [
            (".status.conditions[?(@.type==\"Ready\")].status", json!(["True"])),
            (".status.conditions[?(@.type=='Old')].status", json!(["False"])),
            (".status.conditions[?(@.type!='Old')].status", json!(["True"])),
            (".status.conditions[*].type", json!(["Ready", "Old"])),
            (".status.conditions[-1:].type", json!(null)),
            (".status.conditions[1].type", json!(["Old"])),
            (".metadata.labels['a.b/c']", json!(["dotted"])),
            (".metadata.labels.a\\.b/c", json!(["dotted"])),
            ("{.status.conditions[0].type}", json!(["Ready"])),
            (".spec.gone", json!([])),
        ] {
            let found = JsonPath::parse(path)
                .map(|parsed| json!(parsed.find(&object)))
                .unwrap_or_default();
            assert_eq!(found, expected, "{path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn parsing_never_panics(text in ".{0,30}") {
            if let Some(path) = JsonPath::parse(&text) {
                path.find(&json!({"a": [1, {"b": 2}]}));
            }
        }
    }
}
