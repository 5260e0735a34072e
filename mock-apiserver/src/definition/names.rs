//! `spec.names` and `spec.group`.

use super::path;
use crate::api::field::FieldError;
use crate::api::meta;
use crate::api::names::NameRule;
use serde_json::Value;

/// The names that must be there, and the rules of all names.
pub(super) fn problems(names: &Value) -> Vec<FieldError> {
    const PATH: &str = "spec.names";
    let text = |member: &str| names[member].as_str().unwrap_or_default();
    let given = |member: &&str| !text(member).is_empty();
    let members = ["plural", "singular", "kind", "listKind"];
    let missing = members.iter().filter(|member| !given(member));
    let mut errors: Vec<FieldError> = missing
        .map(|member| FieldError::required(path::child(PATH, member), ""))
        .collect();
    errors.extend(of_names(names, PATH));
    errors
}

/// The rules of the names that a definition has got.
pub(super) fn problems_of_accepted(names: &Value) -> Vec<FieldError> {
    of_names(names, "status.acceptedNames")
}

fn of_names(names: &Value, at: &str) -> Vec<FieldError> {
    let text = |member: &str| names[member].as_str().unwrap_or_default();
    let given = |member: &&str| !text(member).is_empty();
    let members = ["plural", "singular", "kind", "listKind"];
    let mut errors = Vec::new();
    for member in members.into_iter().filter(given) {
        let mixed_case = matches!(member, "kind" | "listKind");
        let judged = if mixed_case {
            text(member).to_lowercase()
        } else {
            text(member).to_owned()
        };
        let prefix = if mixed_case {
            "may have mixed case, but should otherwise match: "
        } else {
            ""
        };
        errors.extend(label(&path::child(at, member), &judged, &names[member], prefix));
    }
    errors.extend(labels(names, at, "shortNames"));
    if given(&"kind") && names["kind"] == names["listKind"] {
        let detail = "kind and listKind may not be the same";
        errors.push(FieldError::invalid(
            path::child(at, "listKind"),
            &names["listKind"],
            detail,
        ));
    }
    errors.extend(labels(names, at, "categories"));
    errors
}

fn labels(names: &Value, at: &str, member: &str) -> Vec<FieldError> {
    let at = path::child(at, member);
    let texts = meta::strings(&names[member]).into_iter().enumerate();
    texts
        .filter_map(|(index, text)| label(&path::index(&at, index), text, &Value::from(text), ""))
        .collect()
}

/// A DNS-1035 label.
pub(super) fn label(path: &str, judged: &str, shown: &Value, prefix: &str) -> Option<FieldError> {
    let problems = NameRule::Label1035.problems(judged);
    (!problems.is_empty()).then(|| FieldError::invalid(path, shown, format!("{prefix}{}", problems.join(","))))
}

/// A domain.
pub(super) fn group(group: &Value) -> Option<FieldError> {
    const PATH: &str = "spec.group";
    let text = group.as_str().unwrap_or_default();
    if text.is_empty() {
        return Some(FieldError::required(PATH, ""));
    }
    let problems = NameRule::Subdomain.problems(text);
    if !problems.is_empty() {
        return Some(FieldError::invalid(PATH, group, problems.join(",")));
    }
    let detail = "should be a domain with at least one dot";
    (!text.contains('.')).then(|| FieldError::invalid(PATH, group, detail))
}
