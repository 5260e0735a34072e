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
mod embedded;
mod idioms;
mod lists;
mod macros;
mod prune;
mod reads;
mod rules;
mod steps;
mod validate;
mod values;

pub(crate) use compiled::CompiledRules;
pub(crate) use defaults::{Nulls, default_fields};
pub(crate) use embedded::{coerce as coerce_embedded, problems as embedded_problems};
pub(crate) use prune::{prune, prune_part};

use crate::api::field::FieldError;
use crate::catalog::CustomVersion;
use serde_json::Value;

/// Everything that the schema finds wrong with an object; `old` is the stored one at an update. Rules that are broken by what
/// was there before are only `tolerated`, and the writer is told.
pub(crate) fn problems(
    version: &CustomVersion,
    old: Option<&Value>,
    object: &Value,
    tolerated: &mut Vec<FieldError>,
) -> Vec<FieldError> {
    let CustomVersion { schema, rules, .. } = version;
    let mut errors = validate::validate(schema, rules, old, object);
    if rules.has_embedded {
        errors.extend(embedded::problems(schema, object, ""));
    }
    if rules.has_keyed_lists {
        let repeated = lists::duplicates(schema, object);
        // Lists that repeated items before may go on doing so.
        if !repeated.is_empty() && old.is_none_or(|old| lists::duplicates(schema, old).is_empty()) {
            errors.extend(repeated);
        }
    }
    // Rules may rely on the shape that the schema declares, so they are only asked about objects that have it.
    if !errors.iter().any(|error| error.problem.blocks_rules()) {
        let all = old.is_some_and(|old| rules.may_be_broken(old, version.since));
        let found = self::rules::violations(schema, rules, (old, object), all);
        errors.extend(found.errors);
        if !found.tolerated.is_empty() {
            rules.note_broken(object);
        }
        tolerated.extend(found.tolerated);
    } else if rules.cel.is_some() {
        errors.push(self::rules::unchecked());
    }
    errors
}

/// What a schema, not necessarily that of a resource, finds wrong with a value.
pub(crate) fn problems_of_value(schema: &Value, value: &Value) -> Vec<FieldError> {
    let rules = CompiledRules::new(schema);
    let mut errors = validate::validate(schema, &rules, None, value);
    if errors.is_empty() {
        errors.extend(self::rules::violations(schema, &rules, (None, value), false).errors);
    }
    errors
}

/// Members every object has, which schemas do not describe.
fn is_type_or_metadata(member: &str) -> bool {
    matches!(member, "apiVersion" | "kind" | "metadata")
}
