//! Label and field selectors: `k8s.io/apimachinery/pkg/{labels,fields}`.

use super::error::{ApiError, ApiResult};
use super::labels::{self, Operator, Term};
use serde_json::Value;

/// One term of a label selector.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    DoesNotExist(String),
    GreaterThan(String, i64),
    LessThan(String, i64),
}

/// A conjunction of label requirements.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct LabelSelector(Vec<Requirement>);

impl LabelSelector {
    /// Parses the string form, e.g. `a=b,!c,d in (e,f)`.
    pub(crate) fn parse(text: &str) -> ApiResult<Self> {
        let terms = labels::parse(text).map_err(ApiError::bad_request)?;
        Ok(Self(terms.into_iter().map(requirement).collect()))
    }

    /// Reads the structured form (`matchLabels` and `matchExpressions`); `None` if it is malformed.
    pub(crate) fn read(selector: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let mut requirements = Vec::new();
        for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
            requirements.push(Requirement::In(key.clone(), vec![text(value)?]));
        }
        for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
            let key = text(&expression["key"])?;
            let values = expression["values"].as_array().into_iter().flatten();
            let values = values.map(text).collect::<Option<Vec<_>>>()?;
            requirements.push(match expression["operator"].as_str()? {
                "In" => Requirement::In(key, values),
                "NotIn" => Requirement::NotIn(key, values),
                "Exists" => Requirement::Exists(key),
                "DoesNotExist" => Requirement::DoesNotExist(key),
                _ => return None,
            });
        }
        Some(Self(requirements))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the object's labels satisfy every requirement.
    pub(crate) fn matches(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        let label = |key: &str| labels.get(key).and_then(Value::as_str);
        let number = |key: &str| label(key).and_then(|value| value.parse::<i64>().ok());
        self.0.iter().all(|requirement| match requirement {
            Requirement::In(key, values) => label(key).is_some_and(|value| values.iter().any(|want| want == value)),
            Requirement::NotIn(key, values) => label(key).is_none_or(|value| values.iter().all(|not| not != value)),
            Requirement::Exists(key) => label(key).is_some(),
            Requirement::DoesNotExist(key) => label(key).is_none(),
            Requirement::GreaterThan(key, bound) => number(key).is_some_and(|value| value > *bound),
            Requirement::LessThan(key, bound) => number(key).is_some_and(|value| value < *bound),
        })
    }
}

fn requirement(Term { key, operator, values }: Term) -> Requirement {
    // A bound was checked to be a number.
    let bound = |values: &[String]| values.first().and_then(|value| value.parse().ok()).unwrap_or_default();
    match operator {
        Operator::In => Requirement::In(key, values),
        Operator::NotIn => Requirement::NotIn(key, values),
        Operator::Exists => Requirement::Exists(key),
        Operator::DoesNotExist => Requirement::DoesNotExist(key),
        Operator::GreaterThan => Requirement::GreaterThan(key, bound(&values)),
        Operator::LessThan => Requirement::LessThan(key, bound(&values)),
    }
}

/// One term of a field selector; `equal` false means `!=`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FieldTerm {
    path: String,
    value: String,
    equal: bool,
}

/// A conjunction of field comparisons.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct FieldSelector(Vec<FieldTerm>);

impl FieldSelector {
    /// Parses the string form; every path must be `metadata.name`, `metadata.namespace` or one of `supported`. Terms are looked at
    /// in the order of their texts, so that the first one that is wrong is told.
    pub(crate) fn parse(text: &str, supported: &[String]) -> ApiResult<Self> {
        let mut parts = split_terms(text);
        parts.retain(|part| !part.is_empty());
        parts.sort_unstable();
        let mut terms = Vec::new();
        for part in parts {
            let Some((path, value, equal)) = split_term(part) else {
                return Err(ApiError::bad_request(format!(
                    "invalid selector: '{text}'; can't understand '{part}'"
                )));
            };
            terms.push(FieldTerm {
                path: path.to_owned(),
                value: unescape(value)
                    .map_err(|why| ApiError::bad_request(format!("invalid field selector: {why}")))?,
                equal,
            });
        }
        let is_known = |path: &str| {
            matches!(path, "metadata.name" | "metadata.namespace") || supported.iter().any(|known| known == path)
        };
        if let Some(FieldTerm { path, .. }) = terms.iter().find(|term| !is_known(&term.path)) {
            return Err(ApiError::bad_request(format!("field label not supported: {path}")));
        }
        Ok(Self(terms))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it asks only for the name and the namespace.
    pub(crate) fn is_about_names(&self) -> bool {
        let named = |path: &str| matches!(path, "metadata.name" | "metadata.namespace");
        self.0.iter().all(|term| named(&term.path))
    }

    /// Whether every comparison holds. Absent fields count as empty, booleans and numbers as their text.
    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.0
            .iter()
            .all(|term| (field_text(object, &term.path) == term.value) == term.equal)
    }
}

/// The terms of a field selector: commas part them, but for those behind a backslash.
fn split_terms(text: &str) -> Vec<&str> {
    let mut is_escaped = false;
    let is_comma = |letter: char| {
        let parts = letter == ',' && !is_escaped;
        is_escaped = letter == '\\' && !is_escaped;
        parts
    };
    text.split(is_comma).collect()
}

/// Path, value, and whether they are to be equal.
fn split_term(term: &str) -> Option<(&str, &str, bool)> {
    let at = term
        .match_indices(['!', '='])
        .find(|(at, _)| ["!=", "="].iter().any(|operator| term[*at..].starts_with(operator)))?
        .0;
    let (path, rest) = term.split_at(at);
    if let Some(value) = rest.strip_prefix("!=") {
        return Some((path, value, false));
    }
    let value = rest.strip_prefix("==").or_else(|| rest.strip_prefix('='))?;
    Some((path, value, true))
}

/// A value without its backslashes. They stand before themselves, commas and equals signs, and these nowhere without one.
fn unescape(value: &str) -> Result<String, String> {
    let mut text = String::with_capacity(value.len());
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some(escaped @ ('\\' | ',' | '=')) => text.push(escaped),
                other => {
                    let other = other.map(String::from).unwrap_or_default();
                    return Err(format!("invalid escape sequence: \\{other}"));
                }
            },
            ',' | '=' => return Err(format!("unescaped character in value: {}", u32::from(letter))),
            other => text.push(other),
        }
    }
    Ok(text)
}

/// The text of a field for comparison; a few fields are not where their label says.
fn field_text(object: &Value, path: &str) -> String {
    let path = match path {
        "source" => "source.component",
        "reportingComponent" if object.get("reportingController").is_some() => "reportingController",
        "status.podIPs" => "status.podIP",
        other => other,
    };
    let found = path.split('.').try_fold(object, |value, member| value.get(member));
    match found {
        None | Some(Value::Null) if matches!(path, "spec.unschedulable" | "spec.hostNetwork") => "false".to_owned(),
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn labels(pairs: &[(&str, &str)]) -> Value {
        let labels: serde_json::Map<_, _> = pairs.iter().map(|(k, v)| ((*k).to_owned(), json!(v))).collect();
        json!({"metadata": {"labels": labels}})
    }

    #[test]
    fn set_based_terms_behave_as_documented() {
        let object = labels(&[("app", "web"), ("n", "5")]);
        for yes in [
            "",
            "app=web",
            "app==web",
            "app",
            "!gone",
            "app in (db, web)",
            "gone notin (x)",
            "gone!=x",
            "n>4",
            "n<6",
        ] {
            assert!(LabelSelector::parse(yes).unwrap().matches(&object), "{yes}");
        }
        for no in [
            "app=db",
            "gone",
            "!app",
            "app notin (web)",
            "app!=web",
            "app=web,gone",
            "gone in (x)",
            "n>5",
        ] {
            assert!(!LabelSelector::parse(no).unwrap().matches(&object), "{no}");
        }
    }

    #[test]
    fn malformed_selectors_are_bad_requests() {
        for text in ["a b", "=x", "a in x", "a in (x", "a,,b", "-x", "a>b"] {
            assert_eq!(LabelSelector::parse(text).unwrap_err().code(), 400, "{text}");
        }
    }

    #[test]
    fn an_unknown_field_is_named_in_the_refusal() {
        let refused = FieldSelector::parse("spec.foo=1", &[]).unwrap_err();
        assert_eq!(
            (refused.code(), refused.message.as_str()),
            (400, "field label not supported: spec.foo")
        );
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in ".{0,40}") {
            let _ = LabelSelector::parse(&text);
            let _ = FieldSelector::parse(&text, &[]);
        }

        /// Independent model: what the operators mean, over one label that may be absent.
        #[test]
        fn operators_agree_with_their_meaning(value in prop::option::of("[ab]"), wanted in "[ab]", operator in 0usize..4) {
            let object = value.as_deref().map_or(labels(&[]), |value| labels(&[("k", value)]));
            let (text, expected) = match operator {
                0 => (format!("k={wanted}"), value.as_ref() == Some(&wanted)),
                1 => (format!("k!={wanted}"), value.as_ref() != Some(&wanted)),
                2 => ("k".to_owned(), value.is_some()),
                _ => ("!k".to_owned(), value.is_none()),
            };
            prop_assert_eq!(LabelSelector::parse(&text).unwrap().matches(&object), expected);
        }
    }
}
