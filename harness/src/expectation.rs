//! Failures that their owner knows of: a file with who, why and until when.
//!
//! An entry excuses failures, never errors; what it excuses is reported as an expected
//! failure and not as a pass. An entry that excuses nothing any more, whose time is over or
//! that names nothing, is stale, and a run with a stale entry is no success: the file cannot
//! rot unseen.

use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{YamlError, at, from_yaml};
use crate::oracle::JUDGED;
use crate::report::{CaseReport, Outcome};
use crate::suite::{Filter, Suite};

/// The failures that are expected of a target.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ExpectedFailures {
    /// The entries, in the order of the file.
    #[serde(rename = "expectedFailures")]
    pub entries: Vec<ExpectedFailure>,
}

/// A failure that is expected.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpectedFailure {
    /// A case, a scenario or a requirement.
    pub id: String,
    /// Who looks after it.
    pub owner: String,
    /// Why it fails.
    pub reason: String,
    /// The last day on which it is excused, UTC.
    #[schemars(with = "String")]
    #[serde(deserialize_with = "day")]
    pub expires: Date,
}

/// Reads a day, and says how one is written.
fn day<'de, D: serde::Deserializer<'de>>(source: D) -> Result<Date, D::Error> {
    let text = String::deserialize(source)?;
    let wrong = |_| serde::de::Error::custom(format!("`expires: {text}` is no day, expected e.g. 2027-03-31"));
    text.parse().map_err(wrong)
}

/// What came of an entry in a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExpectationReport {
    /// The entry.
    #[serde(flatten)]
    pub entry: ExpectedFailure,
    /// What came of it.
    #[serde(flatten)]
    pub state: ExpectationState,
    /// The cases that it excused.
    pub excused: Vec<String>,
}

/// What came of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "state", content = "why", rename_all = "kebab-case")]
pub enum ExpectationState {
    /// It excused a failure.
    Held,
    /// Nothing can be said: not all of its cases were executed, or one failed by something else.
    NotTried,
    /// It has to go.
    Stale(Stale),
}

/// Why an entry is stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Stale {
    /// It names no case, scenario or requirement.
    Unknown,
    /// Its last day is over.
    Expired,
    /// Everything that it names was executed, as far as it is claimed, and passes.
    Passes,
}

impl Stale {
    /// For people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "it names no case, scenario or requirement of the suite",
            Self::Expired => "its last day is over",
            Self::Passes => "what it names passes now",
        }
    }
}

impl ExpectationReport {
    /// Why it has to go, if it has to.
    #[must_use]
    pub const fn stale(&self) -> Option<Stale> {
        match self.state {
            ExpectationState::Stale(why) => Some(why),
            ExpectationState::Held | ExpectationState::NotTried => None,
        }
    }
}

impl ExpectedFailures {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with line and column.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<YamlError>> {
        let read: Self = from_yaml(file, text).map_err(|error| vec![error])?;
        let mut errors = Vec::new();
        for (index, entry) in read.entries.iter().enumerate() {
            let place = |message: String| at(file, text, &entry.id, message);
            for (field, value) in [("id", &entry.id), ("owner", &entry.owner), ("reason", &entry.reason)] {
                if value.trim().is_empty() {
                    errors.push(place(format!("`{field}` of entry {} is empty", index + 1)));
                }
            }
            if read.entries.iter().take(index).any(|earlier| earlier.id == entry.id) {
                errors.push(place(format!("`{}` is expected twice", entry.id)));
            }
        }
        if errors.is_empty() { Ok(read) } else { Err(errors) }
    }

    /// Turns a failure into an expected one, when entries cover the whole of it: one of them
    /// names the case or, where oracles objected, every requirement that they objected to.
    pub(crate) fn excuse(&self, case: &mut CaseReport, today: Date) {
        if case.result != Outcome::Fail {
            return;
        }
        let valid = || self.entries.iter().filter(|entry| entry.expires >= today);
        let whole = valid().find(|entry| names_case(&entry.id, &case.id));
        let covered = |id: &str| valid().find(|entry| entry.id == id);
        let of_steps = || case.requirements.iter().find_map(|id| covered(id));
        let of_oracles = || {
            let found: Option<Vec<_>> = case
                .violations
                .iter()
                .map(|found| covered(&found.requirement))
                .collect();
            found
        };
        let stopped = case.step.is_some();
        let by_requirement = || match (stopped, of_oracles()) {
            (_, None) => None,
            (true, Some(_)) => of_steps(),
            (false, Some(entries)) => entries.first().copied(),
        };
        if let Some(entry) = whole.or_else(by_requirement) {
            let why = case.reason.take().unwrap_or_default();
            case.reason = Some(format!("expected by {}: {}; {why}", entry.owner, entry.reason));
            case.result = Outcome::ExpectedFailure;
        }
    }

    /// What came of each entry, once all cases have been reported.
    pub(crate) fn settle(&self, suite: &Suite, cases: &[CaseReport], today: Date) -> Vec<ExpectationReport> {
        let report = |entry: &ExpectedFailure| {
            let about = |case: &&CaseReport| {
                let objected = case.violations.iter().any(|found| found.requirement == entry.id);
                names_case(&entry.id, &case.id) || case.requirements.contains(&entry.id) || objected
            };
            let mine: Vec<&CaseReport> = cases.iter().filter(about).collect();
            let excused = |case: &&&CaseReport| case.result == Outcome::ExpectedFailure;
            let excused: Vec<String> = mine.iter().filter(excused).map(|case| case.id.clone()).collect();
            let state = if !suite.knows(&entry.id) {
                ExpectationState::Stale(Stale::Unknown)
            } else if entry.expires < today {
                ExpectationState::Stale(Stale::Expired)
            } else if !excused.is_empty() {
                ExpectationState::Held
            } else if mine.iter().any(|case| case.result == Outcome::Pass) && all_tried(suite, cases, &entry.id) {
                ExpectationState::Stale(Stale::Passes)
            } else {
                ExpectationState::NotTried
            };
            ExpectationReport {
                entry: entry.clone(),
                state,
                excused,
            }
        };
        self.entries.iter().map(report).collect()
    }
}

/// Whether every case of the suite that an id names was executed or is not claimed: one that was left out may be the
/// one that fails. What oracles judge, every case speaks of.
fn all_tried(suite: &Suite, cases: &[CaseReport], id: &str) -> bool {
    let judged = JUDGED.contains(&id);
    let named = suite
        .select(&Filter::default())
        .into_iter()
        .filter(|case| case.is_named(id) || judged);
    let mut named = named.peekable();
    named.peek().is_some()
        && named.all(|case| {
            let found = cases.iter().find(|report| report.id == case.id);
            found.is_some_and(|report| match report.result {
                Outcome::Pass | Outcome::NotClaimed => true,
                // Whatever it failed by, what the entry expects of it cannot be told to be over; oracles have spoken.
                Outcome::Fail | Outcome::ExpectedFailure => !case.is_named(id),
                Outcome::Untested | Outcome::Skipped | Outcome::Untestable | Outcome::Error => false,
            })
        })
}

/// Whether an id is that of the case or of its scenario.
fn names_case(id: &str, case: &str) -> bool {
    case == id || case.strip_prefix(id).is_some_and(|rest| rest.starts_with('@'))
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::oracle::Violation;
    use crate::suite::{Case, Filter};

    const TODAY: Date = date(2030, 6, 15);

    fn expect(ids: &[&str]) -> ExpectedFailures {
        let entry = |id: &&str| ExpectedFailure {
            id: (*id).to_owned(),
            owner: "me".to_owned(),
            reason: "known".to_owned(),
            expires: TODAY,
        };
        ExpectedFailures {
            entries: ids.iter().map(entry).collect(),
        }
    }

    fn case(result: Outcome, step: bool, violated: &[&'static str]) -> CaseReport {
        let suite = Suite::embedded().unwrap();
        let filter = Filter {
            any_of: vec!["interpreter-state-survives@e2b".to_owned()],
            ..Filter::default()
        };
        let mut report = CaseReport::not_run(&suite.select(&filter)[0], result, "why".to_owned());
        report.step = step.then(|| "1".to_owned());
        let violation = |requirement: &&'static str| Violation {
            requirement: (*requirement).into(),
            revision: 1,
            message: String::new(),
        };
        report.violations = violated.iter().map(violation).collect();
        report
    }

    fn excused(ids: &[&str], mut case: CaseReport, today: Date) -> Outcome {
        expect(ids).excuse(&mut case, today);
        case.result
    }

    #[test]
    fn a_failure_is_excused_by_its_case_its_scenario_or_its_requirement_and_until_the_last_day() {
        for id in ["interpreter-state-survives@e2b", "interpreter-state-survives", "CTX-01"] {
            assert_eq!(
                excused(&[id], case(Outcome::Fail, true, &[]), TODAY),
                Outcome::ExpectedFailure,
                "{id}"
            );
            let tomorrow = TODAY.tomorrow().unwrap();
            assert_eq!(excused(&[id], case(Outcome::Fail, true, &[]), tomorrow), Outcome::Fail);
        }
        for id in ["interpreter-state", "interpreter-state-survives@kubernetes", "ZERO-01"] {
            assert_eq!(
                excused(&[id], case(Outcome::Fail, true, &[]), TODAY),
                Outcome::Fail,
                "{id}"
            );
        }
    }

    #[test]
    fn what_oracles_object_to_must_be_expected_itself() {
        let broken = || case(Outcome::Fail, true, &["FSM-04"]);
        assert_eq!(excused(&["CTX-01"], broken(), TODAY), Outcome::Fail);
        assert_eq!(
            excused(&["CTX-01", "FSM-04"], broken(), TODAY),
            Outcome::ExpectedFailure
        );
        let only_oracles = || case(Outcome::Fail, false, &["FSM-04"]);
        assert_eq!(excused(&["FSM-04"], only_oracles(), TODAY), Outcome::ExpectedFailure);
        assert_eq!(excused(&["CTX-01"], only_oracles(), TODAY), Outcome::Fail);
    }

    #[test]
    fn errors_and_what_was_not_run_are_never_excused() {
        for outcome in [
            Outcome::Error,
            Outcome::Untestable,
            Outcome::Skipped,
            Outcome::NotClaimed,
            Outcome::Pass,
        ] {
            assert_eq!(excused(&["CTX-01"], case(outcome, true, &[]), TODAY), outcome);
        }
    }

    fn state(id: &str, outcome: Outcome, today: Date) -> ExpectationState {
        state_of(id, vec![case(outcome, true, &[])], today)
    }

    fn state_of(id: &str, mut cases: Vec<CaseReport>, today: Date) -> ExpectationState {
        let expected = expect(&[id]);
        for case in &mut cases {
            expected.excuse(case, today);
        }
        expected.settle(&Suite::embedded().unwrap(), &cases, today)[0].state
    }

    /// Every case of the suite, with what came of it.
    fn whole_run(result: impl Fn(&Case) -> Outcome) -> Vec<CaseReport> {
        let cases = Suite::embedded().unwrap().select(&Filter::default());
        let report = |case: &Case| CaseReport::not_run(case, result(case), "why".to_owned());
        cases.iter().map(report).collect()
    }

    #[test]
    fn an_entry_whose_other_cases_were_not_selected_is_not_stale() {
        let proves = |id: &'static str| move |case: &Case| case.is_named(id);
        for id in ["CTX-06", "every-write-of-five-cycles-survives", "FSM-04"] {
            let mut cases = whole_run(|_| Outcome::Pass);
            assert_eq!(
                state_of(id, cases.clone(), TODAY),
                ExpectationState::Stale(Stale::Passes),
                "{id}"
            );
            let selected = Suite::embedded().unwrap().select(&Filter::default());
            let one = selected.into_iter().find(proves(id)).unwrap().id;
            cases.retain(|case| case.id == one);
            assert_eq!(state_of(id, cases, TODAY), ExpectationState::NotTried, "{id}");
        }
    }

    #[test]
    fn an_entry_is_stale_though_some_of_its_cases_are_not_claimed_and_not_where_one_was_left_out() {
        let with = |other: Outcome| {
            let result = move |case: &Case| {
                if case.id.ends_with("@e2b") {
                    other
                } else {
                    Outcome::Pass
                }
            };
            state_of("CTX-06", whole_run(result), TODAY)
        };
        assert_eq!(with(Outcome::NotClaimed), ExpectationState::Stale(Stale::Passes));
        // The failure is none that an entry by requirement excuses: no step and no oracle told of it.
        for other in [Outcome::Skipped, Outcome::Untestable, Outcome::Error, Outcome::Fail] {
            assert_eq!(with(other), ExpectationState::NotTried, "{other:?}");
        }
    }

    #[test]
    fn an_entry_is_stale_when_it_excuses_nothing_any_more() {
        let tomorrow = TODAY.tomorrow().unwrap();
        let stale = ExpectationState::Stale;
        assert_eq!(state("CTX-01", Outcome::Fail, TODAY), ExpectationState::Held);
        assert_eq!(
            state("interpreter-state-survives@e2b", Outcome::Pass, TODAY),
            stale(Stale::Passes)
        );
        assert_eq!(state("CTX-01", Outcome::Fail, tomorrow), stale(Stale::Expired));
        assert_eq!(state("CTX-99", Outcome::Fail, TODAY), stale(Stale::Unknown));
        assert_eq!(state("CTX-02", Outcome::Pass, TODAY), ExpectationState::NotTried);
        assert_eq!(state("CTX-01", Outcome::Error, TODAY), ExpectationState::NotTried);
    }

    #[test]
    fn a_file_is_read_and_what_is_wrong_with_it_has_a_place() {
        let good = "expectedFailures:\n  - {id: CTX-04, owner: me, reason: timers, expires: 2030-01-31}\n";
        let read = ExpectedFailures::parse("known.yaml", good).unwrap();
        assert_eq!(read.entries[0].expires, date(2030, 1, 31));
        let wrong = [
            (good.replace("me", "''"), "known.yaml:2:10: `owner` of entry 1 is empty"),
            (format!("{good}{}", &good[18..]), "`CTX-04` is expected twice"),
            (good.replace("2030-01-31", "soon"), "known.yaml:2:"),
            (good.replace("reason", "because"), "because"),
        ];
        for (text, expected) in wrong {
            let errors = ExpectedFailures::parse("known.yaml", &text).unwrap_err();
            assert!(errors[0].to_string().contains(expected), "{errors:?}");
        }
    }
}
