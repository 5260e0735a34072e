//! Structural schemas of custom resources: what is pruned, defaulted and refused.
//!
//! ```text
//!   object --> prune (unknown fields) --> default --> validate (types, bounds, lists) --> rules (CEL)
//! ```
//! Messages follow the API server's. What an update leaves as it was is not held against it (`correlate`). Left out: cost
//! budgets of rules.

mod cel;
mod compiled;
mod correlate;
mod defaults;
mod lists;
mod prune;
mod rules;
mod validate;
mod values;

pub(crate) use compiled::CompiledRules;
pub(crate) use defaults::default_fields;
pub(crate) use prune::prune;

use crate::api::field::FieldError;
use crate::catalog::CustomVersion;
use serde_json::Value;

/// Everything that the schema finds wrong with an object; `old` is the stored one at an update.
pub(crate) fn problems(version: &CustomVersion, old: Option<&Value>, object: &Value) -> Vec<FieldError> {
    let mut errors = validate::validate(&version.schema, &version.rules, old, object);
    // Lists that repeated items before may go on doing so.
    if old.is_none_or(|old| lists::duplicates(&version.schema, old).is_empty()) {
        errors.extend(lists::duplicates(&version.schema, object));
    }
    // Rules may rely on the shape that the schema declares, so they are only asked about objects that have it.
    if !errors.iter().any(|error| error.problem.blocks_rules()) {
        errors.extend(rules::violations(version, old, object));
    } else if version.rules.cel.is_some() {
        errors.push(rules::unchecked());
    }
    errors
}

/// The path of a member.
fn join(path: &str, member: &str) -> String {
    if path.is_empty() {
        member.to_owned()
    } else {
        format!("{path}.{member}")
    }
}

/// Members every object has, which schemas do not describe.
fn is_type_or_metadata(member: &str) -> bool {
    matches!(member, "apiVersion" | "kind" | "metadata")
}
