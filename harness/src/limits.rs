//! How long a target may take: the published limits, and those that a profile sets instead.
//!
//! Decides which kinds of waits there are, how long each may last, and how much longer a case gets where a profile is
//! more patient than the contract. Waiting itself is the runner's business.

use std::fmt::Write as _;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::scenario::{Scenario, Span};

/// How long a target may take for each kind of thing that the suite waits for. What a profile does not say is as in
/// [`Limits::NORMATIVE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    /// From its creation until a sandbox serves, or is paused if it was made so.
    pub start: Span,
    /// From the request until it is paused, on every front.
    pub pause: Span,
    /// From the request until it serves again, on every front.
    pub resume: Span,
    /// From the request until nothing of it is there, also at the end of a case.
    pub delete: Span,
    /// Until anything else comes that a scenario waits for without a limit of its own: a timer, a status that speaks of
    /// the newest generation, the end of a command.
    pub change: Span,
    /// A single answer of an API, also one that waits for a whole change of state.
    pub answer: Span,
}

impl Default for Limits {
    fn default() -> Self {
        Self::NORMATIVE
    }
}

/// One kind of wait.
#[derive(Clone, Copy, Debug)]
struct Kind {
    name: &'static str,
    limit: Span,
    what: &'static str,
}

impl Limits {
    /// What the contract holds every target to.
    pub const NORMATIVE: Self = Self {
        start: Span::seconds(30),
        pause: Span::seconds(30),
        resume: Span::seconds(30),
        delete: Span::seconds(30),
        change: Span::seconds(30),
        answer: Span::seconds(35),
    };

    /// The same for every change of state, and five seconds more for an answer that waits for one.
    #[must_use]
    pub fn of_each(limit: Duration) -> Self {
        let each = Span::from(limit);
        Self {
            start: each,
            pause: each,
            resume: each,
            delete: each,
            change: each,
            answer: Span::from(limit + Duration::from_secs(5)),
        }
    }

    const fn kinds(&self) -> [Kind; 6] {
        const fn kind(name: &'static str, limit: Span, what: &'static str) -> Kind {
            Kind { name, limit, what }
        }
        [
            kind(
                "start",
                self.start,
                "from its creation until a sandbox serves, or is paused if it was made so",
            ),
            kind(
                "pause",
                self.pause,
                "from the request until it is paused, on every front",
            ),
            kind(
                "resume",
                self.resume,
                "from the request until it serves again, on every front",
            ),
            kind("delete", self.delete, "from the request until nothing of it is there"),
            kind(
                "change",
                self.change,
                "until anything else comes that a case waits for: a timer, a status that speaks of the newest generation, the end of a command",
            ),
            kind(
                "answer",
                self.answer,
                "a single answer of an API, also one that waits for a whole change of state",
            ),
        ]
    }

    /// The kinds for which no time at all is left.
    pub(crate) fn impossible(&self) -> Option<&'static str> {
        let mut kinds = self.kinds().into_iter();
        kinds.find(|kind| kind.limit.duration().is_zero()).map(|kind| kind.name)
    }

    /// The longest of those for a change of state.
    #[must_use]
    pub fn longest_change(&self) -> Duration {
        let changes = [self.start, self.pause, self.resume, self.delete, self.change];
        changes.map(Span::duration).into_iter().max().unwrap_or_default()
    }

    /// Every limit that is longer than the contract has it: `pause 60s instead of 30s`. A shorter one makes no verdict
    /// worth less.
    #[must_use]
    pub fn departures(&self) -> Vec<String> {
        let pairs = self.kinds().into_iter().zip(Self::NORMATIVE.kinds());
        pairs
            .filter(|(own, normative)| own.limit > normative.limit)
            .map(|(own, normative)| format!("{} {} instead of {}", own.name, own.limit, normative.limit))
            .collect()
    }

    /// How long a wait with this limit of its own, or without any, may last: whoever may take longer for any change may
    /// do so for this one.
    #[must_use]
    pub fn of_wait(&self, own: Option<Span>) -> Duration {
        match own {
            None => self.change.duration(),
            Some(own) if self.change > Self::NORMATIVE.change => own.max(self.change).duration(),
            Some(own) => own.duration(),
        }
    }

    /// How long a case may last that has so long by the contract: the more patient its limits, the longer.
    #[must_use]
    pub fn of_case(&self, timeout: Span) -> Duration {
        let pairs = self.kinds().into_iter().zip(Self::NORMATIVE.kinds());
        let stretch = pairs
            .map(|(own, normative)| own.limit.duration().as_secs_f64() / normative.limit.duration().as_secs_f64())
            .fold(1.0, f64::max);
        timeout.duration().mul_f64(stretch)
    }

    /// The limits for people, with those that scenarios set themselves.
    pub(crate) fn to_markdown<'a>(self, scenarios: impl IntoIterator<Item = &'a Scenario>) -> String {
        let mut page = String::from(
            "\n## How long a target may take\n\nA profile may set others (`limits`); the report names those that are longer.\n\n| limit | at most | for |\n|---|---|---|\n",
        );
        for Kind { name, limit, what } in self.kinds() {
            let _ = writeln!(page, "| `{name}` | {limit} | {what} |");
        }
        for scenario in scenarios {
            let steps = serde_json::to_value(&scenario.steps).unwrap_or_default();
            let mut own = Vec::new();
            spans_within(&steps, &mut own);
            own.sort_unstable();
            own.dedup();
            for limit in own {
                let _ = writeln!(
                    page,
                    "| of the case | {limit} | what {} waits for itself |",
                    scenario.id
                );
            }
        }
        page
    }
}

/// Every text that stands under `within`, at any depth.
fn spans_within(value: &Value, found: &mut Vec<Span>) {
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                match field {
                    Value::String(text) if key == "within" => found.extend(Span::try_from(text.clone())),
                    other => spans_within(other, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| spans_within(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patient() -> Limits {
        Limits {
            start: Span::seconds(120),
            change: Span::seconds(60),
            ..Limits::NORMATIVE
        }
    }

    #[test]
    fn only_what_is_longer_than_the_contract_has_it_is_pointed_out() {
        assert!(Limits::NORMATIVE.departures().is_empty());
        assert!(Limits::of_each(Duration::from_secs(2)).departures().is_empty());
        assert_eq!(
            patient().departures(),
            ["start 120s instead of 30s", "change 60s instead of 30s"]
        );
    }

    #[test]
    fn a_patient_profile_makes_waits_and_cases_longer_and_an_impatient_one_no_case_shorter() {
        let ten = Span::seconds(10);
        assert_eq!(Limits::NORMATIVE.of_wait(Some(ten)), ten.duration());
        assert_eq!(patient().of_wait(Some(ten)), Duration::from_mins(1));
        assert_eq!(patient().of_wait(Some(Span::seconds(90))), Duration::from_secs(90));
        assert_eq!(patient().of_case(Span::seconds(120)), Duration::from_mins(8));
        let impatient = Limits::of_each(Duration::from_secs(2));
        assert_eq!(impatient.of_wait(None), Duration::from_secs(2));
        assert_eq!(impatient.of_wait(Some(ten)), ten.duration());
        assert_eq!(impatient.of_case(Span::seconds(120)), Duration::from_mins(2));
    }
}
