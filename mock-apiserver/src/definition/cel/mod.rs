//! The expressions of rules: syntax, types, and what they cost at most.
//!
//! ```text
//!   schema --> types (what `self` is, with bounds)  --+
//!   text --> parser --> tree, source (positions) -----+--> check (a type and a cost for every node) --> compiled, or why not
//! ```
//! Types decide what is refused, their bounds what it costs: both in one walk. Where an expression uses a function in a way
//! that is not known here, its type is `dyn` and nothing is refused: a definition must not fail for what this module lacks.
//! Costs follow `cel-go/checker/cost.go` and Kubernetes' `cel/library/cost.go`.

mod calls;
mod check;
mod cost;
mod functions;
mod operators;
mod source;
mod types;

use serde_json::Value;
use types::Type;

/// The largest request, in bytes.
const MAX_REQUEST: u64 = 3 * 1024 * 1024;

/// What an expression must evaluate to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// A rule.
    Bool,
    /// A message.
    String,
}

/// What is known of an expression that compiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Compiled {
    /// What evaluating it once costs at most.
    pub(super) cost: u64,
    /// It mentions `oldSelf`.
    pub(super) uses_old: bool,
}

/// What expressions of a schema can refer to.
#[derive(Debug)]
pub(super) struct Scope {
    own: Type,
    smallest: u64,
}

impl Scope {
    /// The scope of a schema's rules; `None` if CEL has no type for it.
    pub(super) fn new(schema: &Value, is_resource: bool) -> Option<Self> {
        let (own, smallest) = types::declared(schema, is_resource)?;
        Some(Self { own, smallest })
    }

    /// How often a value of the schema can stand in the largest request.
    pub(super) fn most_times(&self) -> u64 {
        MAX_REQUEST / (self.smallest + 1)
    }

    /// Compiles an expression; the error is what the real server says of it.
    pub(super) fn compile(&self, text: &str, optional_old: bool, expected: Expected) -> Result<Compiled, String> {
        let (failed, wrong) = match expected {
            Expected::Bool => ("compilation failed", "cel expression must evaluate to a bool"),
            Expected::String => (
                "messageExpression compilation failed",
                "messageExpression must evaluate to a string",
            ),
        };
        let tree = source::parse(text).map_err(|why| format!("{failed}: {why}"))?;
        let old = if optional_old {
            Type::Optional(Box::new(self.own.clone()))
        } else {
            self.own.clone()
        };
        let mut checker = check::Checker::new([("self", self.own.clone()), ("oldSelf", old)]);
        let judged = checker.node(&tree);
        let problems = if checker.problems.is_empty() {
            checker.literal_problems
        } else {
            checker.problems
        };
        if !problems.is_empty() {
            return Err(format!("{failed}: {}", source::shown(text, &tree, problems)));
        }
        let fits = match (expected, &judged.of) {
            (_, Type::Unknown) | (Expected::Bool, Type::Bool) | (Expected::String, Type::String(_)) => true,
            (Expected::Bool | Expected::String, _) => false,
        };
        if !fits {
            return Err(wrong.to_owned());
        }
        Ok(Compiled {
            cost: judged.cost,
            uses_old: checker.uses_old,
        })
    }
}

#[cfg(test)]
mod tests;
