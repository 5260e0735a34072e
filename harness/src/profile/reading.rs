//! Reads a custom resource by a dialect. Pure.

use serde_json::Value;

use super::contains;
use super::dialect::{ConditionIs, Dialect, Explanation, PhaseRule, Test, Trigger};
use crate::scenario::PhaseName;

/// What a custom resource says of its sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The phase; nothing when no rule fits.
    pub phase: Option<PhaseName>,
    /// The generation that this was said of; nothing when it does not say.
    pub observed: Option<i64>,
    /// The generation that there is.
    pub generation: Option<i64>,
}

impl Reading {
    /// Whether it speaks of the newest generation: an older one answers a request that has since
    /// been withdrawn.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.observed.is_none_or(|observed| Some(observed) >= self.generation)
    }
}

/// What a custom resource asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// That it be paused.
    Paused,
    /// That it run.
    Running,
}

impl Dialect {
    /// Reads phase and generations.
    #[must_use]
    pub fn read(&self, object: &Value) -> Reading {
        let rule = self.status.phases.iter().find(|rule| self.fits(rule, object));
        let whole = self.status.observed_generation.as_ref();
        let observed = match whole {
            Some(pointer) => pointer.of(object).and_then(Value::as_i64),
            None => rule.and_then(|rule| self.observed_by(rule, object)),
        };
        Reading {
            phase: rule.map(|rule| rule.is),
            observed,
            generation: object.pointer("/metadata/generation").and_then(Value::as_i64),
        }
    }

    /// The oldest generation that a condition of the rule speaks of.
    fn observed_by(&self, rule: &PhaseRule, object: &Value) -> Option<i64> {
        let named = rule.when.iter().filter_map(|test| test.condition.as_deref());
        named
            .filter_map(|kind| self.condition(object, kind)?.get("observedGeneration")?.as_i64())
            .min()
    }

    fn fits(&self, rule: &PhaseRule, object: &Value) -> bool {
        rule.when.iter().all(|test| self.holds(test, object))
    }

    fn holds(&self, test: &Test, object: &Value) -> bool {
        let found = match (&test.path, &test.condition) {
            (Some(path), _) => path.of(object),
            (None, Some(kind)) => self.condition(object, kind).and_then(|found| found.get("status")),
            (None, None) => None,
        };
        let is = test.is.as_ref().is_none_or(|value| found == Some(value));
        let is_not = test.is_not.as_ref().is_none_or(|value| found != Some(value));
        let any = test.is.is_none() && test.is_not.is_none();
        let present = test.present.or(any.then_some(true));
        is && is_not && present.is_none_or(|wanted| found.is_some() == wanted)
    }

    /// The conditions of a custom resource.
    #[must_use]
    pub fn conditions<'v>(&self, object: &'v Value) -> &'v [Value] {
        let found = self.status.conditions.of(object).and_then(Value::as_array);
        found.map_or(&[], Vec::as_slice)
    }

    /// The condition of that type.
    #[must_use]
    pub fn condition<'v>(&self, object: &'v Value, kind: &str) -> Option<&'v Value> {
        self.conditions(object)
            .iter()
            .find(|condition| condition["type"] == kind)
    }

    /// Whether a condition says yes.
    #[must_use]
    pub fn says(&self, object: &Value, wanted: &ConditionIs) -> bool {
        self.condition(object, &wanted.condition)
            .is_some_and(|found| found["status"] == *wanted.is)
    }

    /// Why the sandbox counts as reported paused; nothing when it does not.
    #[must_use]
    pub fn reported_paused(&self, object: &Value) -> Option<String> {
        let paused = &self.status.paused;
        if self.read(object).phase == Some(PhaseName::Paused) {
            Some(format!("phase {}", PhaseName::Paused.as_str()))
        } else if !self.status.paused_lingers && self.says(object, paused) {
            Some(format!("condition {}", paused.condition))
        } else {
            None
        }
    }

    /// What the custom resource asks for; nothing when this dialect cannot tell.
    #[must_use]
    pub fn wish(&self, object: &Value) -> Option<Wish> {
        let paused = match &self.pause {
            _ if !self.asks_for_pause.is_empty() => self.asks_for_pause.iter().all(|test| self.holds(test, object)),
            Trigger::Merge(patch) => contains(object, patch),
            Trigger::MergeSubresource(_) | Trigger::Create(_) | Trigger::Hook => return None,
        };
        Some(if paused { Wish::Paused } else { Wish::Running })
    }

    /// Why it is not as asked, where it says so first.
    #[must_use]
    pub fn explanation<'v>(&'v self, object: &'v Value) -> Option<&'v str> {
        self.explanations(object).next()
    }

    /// Why it is not as asked, in every place that says so.
    pub fn explanations<'v>(&'v self, object: &'v Value) -> impl Iterator<Item = &'v str> {
        let text = |place: &Explanation| match place {
            Explanation::Path(path) => path.of(object)?.as_str(),
            Explanation::Condition(kind) => {
                let found = self.condition(object, kind)?;
                found["message"].as_str().filter(|_| found["status"] != "True")
            }
        };
        self.status
            .explanations
            .iter()
            .filter_map(text)
            .filter(|text| !text.is_empty())
    }
}
