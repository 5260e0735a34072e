//! The CEL rules of a schema (`x-kubernetes-validations`): that they are complete, compile, and cost no more than allowed.

use super::cel::{self, Compiled, Expected};
use super::{go_form, path};
use crate::api::field::{FieldError, Problem};
use serde_json::Value;

const RULES: &str = "x-kubernetes-validations";
/// The most that one rule may cost by estimate.
const RULE_LIMIT: u64 = 10_000_000;
/// The most that all rules of a schema may cost together.
const SCHEMA_LIMIT: u64 = 100_000_000;
/// Rules that cost less than this are not named where all of them cost too much.
const NOTED: u64 = SCHEMA_LIMIT / 100;
const MOST_NOTED: usize = 4;
const REASONS: [&str; 4] = [
    "FieldValueDuplicate",
    "FieldValueForbidden",
    "FieldValueInvalid",
    "FieldValueRequired",
];

/// How often a value of a schema can occur in an object, as far as the lists and maps around it are bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Times {
    AtMost(u64),
    Unbounded,
}

impl Times {
    /// The same for what a schema holds.
    pub(super) fn inside(self, schema: &Value) -> Self {
        let Self::AtMost(times) = self else { return self };
        let bound = match schema["type"].as_str() {
            Some("object") if !schema["additionalProperties"].is_null() => schema["maxProperties"].as_u64(),
            Some("array") => schema["maxItems"].as_u64(),
            Some(_) | None => Some(1),
        };
        bound.map_or(Self::Unbounded, |bound| Self::AtMost(times.saturating_mul(bound)))
    }
}

/// What the rules of a schema cost together.
#[derive(Debug)]
pub(super) struct Costs {
    /// Single rules may cost what they do: they did before.
    suppresses_single: bool,
    total: u64,
    /// The most expensive ones, the highest first.
    noted: Vec<(u64, String)>,
}

impl Costs {
    pub(super) fn new(suppresses_single: bool) -> Self {
        Self {
            suppresses_single,
            total: 0,
            noted: Vec::new(),
        }
    }

    fn note(&mut self, path: &str, cost: u64) {
        self.total = self.total.saturating_add(cost);
        if cost >= NOTED {
            self.noted.push((cost, path.to_owned()));
            self.noted.sort_by_key(|(cost, _)| std::cmp::Reverse(*cost));
            self.noted.truncate(MOST_NOTED);
        }
    }

    /// One expression's cost; a problem if it alone is too much.
    fn observe(&mut self, path: &str, what: &str, cost: u64) -> Option<FieldError> {
        self.note(path, cost);
        (cost > RULE_LIMIT && !self.suppresses_single)
            .then(|| FieldError::forbidden(path, too_costly(what, cost, RULE_LIMIT)))
    }

    /// The problems of all rules together.
    pub(super) fn problems(self, path: &str) -> Vec<FieldError> {
        if self.total <= SCHEMA_LIMIT {
            return Vec::new();
        }
        let detail = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
        let noted = self
            .noted
            .into_iter()
            .map(|(_, path)| FieldError::forbidden(path, detail));
        let what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        let total = FieldError::forbidden(path, too_costly(what, self.total, SCHEMA_LIMIT));
        noted.chain([total]).collect()
    }
}

#[expect(clippy::cast_precision_loss, reason = "a factor that is shown with one digit")]
fn too_costly(what: &str, cost: u64, limit: u64) -> String {
    let factor = cost as f64 / limit as f64;
    let factor = if factor > 100.0 {
        "more than 100x".to_owned()
    } else if factor < 1.5 {
        format!("{factor:.6}x")
    } else {
        format!("{factor:.1}x")
    };
    format!(
        "{what} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"
    )
}

fn has_line_breaks(text: &str) -> bool {
    text.contains(['\n', '\r'])
}

/// What is wrong with the texts of the rules, before they are compiled.
pub(super) fn texts(schema: &Value, path: &str) -> Vec<FieldError> {
    let rules = schema[RULES].as_array().into_iter().flatten().enumerate();
    let at = path::child(path, RULES);
    rules
        .flat_map(|(index, rule)| of_text(schema, rule, &path::index(&at, index)))
        .collect()
}

fn of_text(schema: &Value, rule: &Value, path: &str) -> Vec<FieldError> {
    let text = |member: &str| rule[member].as_str().unwrap_or_default();
    let at = |member: &str| path::child(path, member);
    let (condition, message) = (text("rule").trim(), text("message").trim());
    let mut errors = Vec::new();
    if condition.is_empty() {
        errors.push(FieldError::required(at("rule"), "rule is not specified"));
    } else if !text("message").is_empty() && message.is_empty() {
        errors.push(FieldError::invalid(
            at("message"),
            &rule["message"],
            "must be non-empty if specified",
        ));
    } else if has_line_breaks(message) {
        errors.push(FieldError::invalid(
            at("message"),
            &rule["message"],
            "must not contain line breaks",
        ));
    } else if has_line_breaks(condition) && message.is_empty() {
        let detail = "message must be specified if rule contains line breaks";
        errors.push(FieldError::required(at("message"), detail));
    }
    if !text("messageExpression").is_empty() && text("messageExpression").trim().is_empty() {
        let detail = "messageExpression must be non-empty if specified";
        errors.push(FieldError::required(at("messageExpression"), detail));
    }
    if rule["reason"].is_string() && !REASONS.contains(&text("reason")) {
        errors.push(FieldError::not_supported(at("reason"), &rule["reason"], &REASONS));
    }
    let field = text("fieldPath");
    if field.is_empty() {
        return errors;
    }
    let mut refuse = |detail: &str| errors.push(FieldError::invalid(at("fieldPath"), &rule["fieldPath"], detail));
    if field.trim().is_empty() {
        refuse("must be non-empty if specified");
    }
    if has_line_breaks(field) {
        refuse("must not contain line breaks");
    }
    if !leads_to_a_field(field, schema) {
        refuse("must be a valid path");
    }
    errors
}

/// Whether a path of members (`.a`) and quoted keys (`['b']`) leads to a declared field.
fn leads_to_a_field(path: &str, schema: &Value) -> bool {
    let (mut rest, mut schema) = (path, schema);
    while !rest.is_empty() {
        let Some((member, after)) = next_member(rest) else {
            return false;
        };
        let found = match &schema["properties"] {
            Value::Object(properties) => properties.get(&member),
            _ => schema.get("additionalProperties").filter(|schema| schema.is_object()),
        };
        let Some(found) = found else { return false };
        (schema, rest) = (found, after);
    }
    true
}

/// The first step of a path, and what comes after it.
fn next_member(path: &str) -> Option<(String, &str)> {
    if let Some(rest) = path.strip_prefix('.') {
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        return (end > 0).then(|| (rest[..end].to_owned(), &rest[end..]));
    }
    let rest = path.strip_prefix("['")?;
    let mut name = String::new();
    let mut letters = rest.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => name.push(letters.next()?.1),
            '\'' => return Some((name, rest[at + 1..].strip_prefix(']')?)),
            other => name.push(other),
        }
    }
    None
}

/// Where rules stand.
pub(super) struct About<'a> {
    pub(super) path: &'a str,
    pub(super) is_resource: bool,
    /// The part around them whose values have no certain counterparts.
    pub(super) uncorrelatable: Option<&'a str>,
    pub(super) times: Times,
}

/// What compiling the rules of a sound schema finds wrong.
pub(super) fn problems(schema: &Value, about: &About<'_>, costs: &mut Costs) -> Vec<FieldError> {
    let Some(rules) = schema[RULES].as_array().filter(|rules| !rules.is_empty()) else {
        return Vec::new();
    };
    let Some(scope) = cel::Scope::new(schema, about.is_resource) else {
        return Vec::new();
    };
    let times = match about.times {
        Times::AtMost(times) => times,
        Times::Unbounded => scope.most_times(),
    };
    let at = path::child(about.path, RULES);
    let mut errors = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        let place = Place {
            at: path::index(&at, index),
            uncorrelatable: about.uncorrelatable,
            times,
        };
        errors.extend(of_rule(rule, &scope, &place, costs));
    }
    errors
}

/// Where one rule stands.
struct Place<'a> {
    at: String,
    uncorrelatable: Option<&'a str>,
    times: u64,
}

fn of_rule(rule: &Value, scope: &cel::Scope, place: &Place<'_>, costs: &mut Costs) -> Vec<FieldError> {
    let text = |member: &str| rule[member].as_str().unwrap_or_default();
    let at = |member: &str| path::child(&place.at, member);
    let refuse = |member: &str, detail: String| FieldError {
        path: at(member),
        problem: Problem::Invalid {
            shown: go_form::rule(rule),
            detail,
        },
    };
    let optional = rule["optionalOldSelf"] == true;
    let mut errors = Vec::new();
    let compiled = scope.compile(text("rule"), optional, Expected::Bool);
    let uses_old = matches!(compiled, Ok(Compiled { uses_old: true, .. }));
    let message = text("messageExpression");
    match &compiled {
        Ok(Compiled { cost, .. }) => {
            let cost = cost.saturating_mul(place.times);
            errors.extend(costs.observe(&at("rule"), "estimated rule cost", cost));
        }
        Err(detail) => errors.push(refuse("rule", detail.clone())),
    }
    if compiled.is_ok() && !message.is_empty() {
        match scope.compile(message, optional, Expected::String) {
            Ok(Compiled { cost, .. }) => {
                let what = "estimated messageExpression cost";
                errors.extend(costs.observe(&at("messageExpression"), what, cost));
            }
            Err(detail) => errors.push(refuse("messageExpression", detail)),
        }
    }
    match (uses_old, place.uncorrelatable) {
        (true, Some(within)) => {
            let detail = format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {within}");
            errors.push(FieldError::invalid(at("rule"), &rule["rule"], detail));
        }
        (false, _) if !rule["optionalOldSelf"].is_null() => {
            let detail = "may not be set if oldSelf is not used in rule";
            errors.push(FieldError::invalid(
                at("optionalOldSelf"),
                &rule["optionalOldSelf"],
                detail,
            ));
        }
        (true, None) | (false, _) => {}
    }
    errors
}
