//! `${name}` in the texts of a step.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::Span;

/// The variable that [`unix`] fills.
const UNIX: &str = "unix";

/// The values that a step can read.
pub(crate) type Variables = BTreeMap<String, String>;

/// Fills in every `${name}` of every text in `value`. `${now}`, `${now+30s}` and
/// `${now-30s}` are times, and `${unix}` is the time in seconds since 1970.
pub(crate) fn fill(value: &mut Value, variables: &Variables, now: Timestamp) -> Result<(), String> {
    match value {
        Value::String(text) => *text = fill_text(text, variables, now)?,
        Value::Array(items) => items.iter_mut().try_for_each(|item| fill(item, variables, now))?,
        Value::Object(fields) => fields.values_mut().try_for_each(|field| fill(field, variables, now))?,
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    Ok(())
}

/// Puts the value of `name` where a text is `${name}` and nothing else.
pub(crate) fn fill_whole(value: &mut Value, values: &BTreeMap<String, Value>) {
    match value {
        Value::String(text) => {
            let name = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
            if let Some(known) = name.and_then(|name| values.get(name)) {
                *value = known.clone();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| fill_whole(item, values)),
        Value::Object(fields) => fields.values_mut().for_each(|field| fill_whole(field, values)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn fill_text(text: &str, variables: &Variables, now: Timestamp) -> Result<String, String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, tail) = after
            .split_once('}')
            .ok_or_else(|| format!("`${{{after}` has no closing brace"))?;
        filled.push_str(before);
        match (variables.get(name), time(name, now)?) {
            (Some(value), _) => filled.push_str(value),
            (None, Some(time)) => filled.push_str(&time.to_string()),
            (None, None) if name == UNIX => filled.push_str(&unix(now)),
            (None, None) => return Err(format!("`${{{name}}}` has no value yet")),
        }
        rest = tail;
    }
    filled.push_str(rest);
    Ok(filled)
}

fn time(name: &str, now: Timestamp) -> Result<Option<Timestamp>, String> {
    let Some(offset) = name.strip_prefix("now") else {
        return Ok(None);
    };
    let span = |text: &str| Span::try_from(text.to_owned()).map(Span::duration);
    let shifted = |moved: Result<Timestamp, jiff::Error>| moved.map(Some).map_err(|error| error.to_string());
    match offset.split_at_checked(1) {
        None => Ok(Some(seconds(now))),
        Some(("+", length)) => shifted(now.checked_add(span(length)?).map(seconds)),
        Some(("-", length)) => shifted(now.checked_sub(span(length)?).map(seconds)),
        Some(_) => Ok(None),
    }
}

/// The time in seconds, to the thousandth, since 1970.
fn unix(now: Timestamp) -> String {
    let millis = now.as_millisecond();
    format!("{}.{:03}", millis.div_euclid(1_000), millis.rem_euclid(1_000))
}

/// Kubernetes times have whole seconds.
fn seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// The names that the texts of `value` read, times aside.
pub(crate) fn variables_in(value: &Value) -> BTreeSet<String> {
    match value {
        Value::String(text) => text
            .split("${")
            .skip(1)
            .filter_map(|part| part.split_once('}').map(|(name, _)| name.to_owned()))
            .filter(|name| {
                name != UNIX
                    && !matches!(
                        time(name, Timestamp::UNIX_EPOCH + Duration::from_secs(1 << 30)),
                        Ok(Some(_))
                    )
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(variables_in).collect(),
        Value::Object(fields) => fields.values().flat_map(variables_in).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => BTreeSet::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_variable_is_filled_in_and_an_unknown_one_is_an_error() {
        let variables = Variables::from([("a".to_owned(), "1".to_owned())]);
        let now: Timestamp = "2026-01-01T00:00:00.7Z".parse().unwrap();
        let mut value = json!({"x": ["${a}-${a}", 7], "t": "${now+30s}", "before": "${now-1m}", "u": "${unix}"});
        fill(&mut value, &variables, now).unwrap();
        assert_eq!(
            value,
            json!({"x": ["1-1", 7], "t": "2026-01-01T00:00:30Z", "before": "2025-12-31T23:59:00Z", "u": "1767225600.700"})
        );
        assert!(fill(&mut json!("${b}"), &variables, now).unwrap_err().contains("${b}"));
        assert!(fill(&mut json!("${b"), &variables, now).is_err());
        assert!(fill(&mut json!("${now+soon}"), &variables, now).is_err());
    }

    #[test]
    fn what_stands_for_one_value_alone_becomes_it_whatever_its_type() {
        let values = BTreeMap::from([("none".to_owned(), Value::Null), ("n".to_owned(), json!(7))]);
        let mut value = json!({"a": "${none}", "b": ["${n}", "x ${n}", "${other}"]});
        fill_whole(&mut value, &values);
        assert_eq!(value, json!({"a": null, "b": [7, "x ${n}", "${other}"]}));
    }

    #[test]
    fn times_are_no_variables() {
        assert_eq!(
            variables_in(&json!({"a": "${x} ${now} ${now+2s} ${unix}"})),
            BTreeSet::from(["x".to_owned()])
        );
    }
}
