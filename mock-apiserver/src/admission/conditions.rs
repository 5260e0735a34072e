//! `matchConditions`: CEL expressions that must all hold for a webhook to be asked.
//! Follows `k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions`: a condition that is false outweighs one that fails.

use super::expression::{Expression, Scope};
use serde_json::Value;

/// One condition.
#[derive(Debug)]
pub(crate) struct Condition {
    name: String,
    expression: Expression,
}

/// Reads the `matchConditions` of a webhook or policy.
pub(crate) fn read(list: &Value) -> Vec<Condition> {
    let conditions = list.as_array().into_iter().flatten();
    conditions
        .map(|condition| Condition {
            name: condition["name"].as_str().unwrap_or_default().to_owned(),
            expression: Expression::new(condition["expression"].as_str().unwrap_or_default()),
        })
        .collect()
}

/// Whether all conditions hold; an error if one could not be evaluated and none is false.
pub(crate) fn hold(conditions: &[Condition], scope: &Scope) -> Result<bool, String> {
    let mut failed = None;
    for condition in conditions {
        match condition.expression.holds(scope) {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(why) => {
                failed.get_or_insert_with(|| format!("match condition {:?} failed: {why}", condition.name));
            }
        }
    }
    failed.map_or(Ok(true), Err)
}
