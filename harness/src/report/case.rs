//! What came of one case.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Outcome;
use crate::history::History;
use crate::oracle::Violation;
use crate::scenario::Revision;
use crate::suite::Case;

/// What came of one case.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CaseReport {
    /// Its id.
    pub id: String,
    /// Its claim.
    pub title: String,
    /// The requirements that it proves.
    pub requirements: Vec<String>,
    /// Words by which it can be chosen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// The revision of the suite from which it counts, if it is provisional.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts_from: Option<Revision>,
    /// The requirements that the oracles judged on its history.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub judged: Vec<String>,
    /// What came of it.
    pub result: Outcome,
    /// What came of each round, when it was run more than once; the result is the worst.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rounds: Vec<Outcome>,
    /// What came of the attempt, when it was not claimed and tried all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tried: Option<Outcome>,
    /// Why it is no pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The step at which it stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// What the oracles found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<Violation>,
    /// What could not be cleaned up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leftovers: Vec<String>,
    /// How long it took, all rounds together.
    #[serde(serialize_with = "super::seconds")]
    pub seconds: f64,
    /// Everything that was done and seen. Kept in files only for cases that are no pass.
    #[serde(default, skip_serializing_if = "is_uneventful")]
    pub history: History,
}

fn is_uneventful(history: &History) -> bool {
    history.entries.is_empty()
}

impl CaseReport {
    /// The report of a case that was not run.
    #[must_use]
    pub fn not_run(case: &Case, result: Outcome, reason: String) -> Self {
        Self {
            id: case.id.clone(),
            title: case.scenario.title.clone(),
            requirements: case.scenario.requirements.clone(),
            labels: case.scenario.labels.clone(),
            counts_from: case.scenario.provisional(),
            judged: Vec::new(),
            result,
            rounds: Vec::new(),
            tried: None,
            reason: Some(reason),
            step: None,
            violations: Vec::new(),
            leftovers: Vec::new(),
            seconds: 0.0,
            history: History::default(),
        }
    }

    /// The same attempt, when the target never claimed what it takes: whatever came of it
    /// counts neither for nor against the target.
    pub(crate) fn unclaimed(mut self, lacks: &str) -> Self {
        let came = self.reason.take().map_or_else(String::new, |why| format!(": {why}"));
        self.reason = Some(format!("{lacks}; tried, {}{came}", self.result.as_str()));
        self.tried = Some(self.result);
        self.result = Outcome::NotClaimed;
        self.judged.clear();
        self
    }

    /// Whether it counts for nothing yet.
    #[must_use]
    pub const fn is_provisional(&self) -> bool {
        self.counts_from.is_some()
    }

    /// Whether its rounds came to different results.
    #[must_use]
    pub fn is_flaky(&self) -> bool {
        self.rounds.iter().any(|round| Some(round) != self.rounds.first())
    }

    /// Folds the rounds of each case into one report: that of the worst round.
    pub(crate) fn fold(reports: Vec<Self>) -> Vec<Self> {
        let mut folded: Vec<Self> = Vec::new();
        for report in reports {
            match folded.iter_mut().find(|known| known.id == report.id) {
                None => folded.push(report),
                Some(known) => known.add(report),
            }
        }
        folded
    }

    fn add(&mut self, mut round: Self) {
        if self.rounds.is_empty() {
            self.rounds.push(self.result);
        }
        let mut rounds = std::mem::take(&mut self.rounds);
        rounds.push(round.result);
        let seconds = self.seconds + round.seconds;
        let mut leftovers = std::mem::take(&mut self.leftovers);
        leftovers.append(&mut round.leftovers);
        // What was tried without a claim is told apart by what came of the attempt alone.
        if (round.result, round.tried) > (self.result, self.tried) {
            *self = round;
        }
        self.rounds = rounds;
        self.seconds = seconds;
        self.leftovers = leftovers;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::catalogue::Catalogue;
    use crate::scenario::{Front, Scenario};

    #[test]
    fn the_worst_round_of_what_was_tried_without_a_claim_is_kept() {
        let text = "id: a\ntitle: A claim\nrequirements: [TIME-01]\nvia: [e2b]\nsteps:\n  - create: {}\n";
        let case = Case {
            id: "a".to_owned(),
            scenario: Arc::new(Scenario::parse("a.yaml", text, &Catalogue::load().unwrap()).unwrap()),
            front: Front::E2b,
        };
        let tried = |came: Outcome| CaseReport::not_run(&case, came, String::new()).unclaimed("it lacks it");
        for order in [[Outcome::Pass, Outcome::Fail], [Outcome::Fail, Outcome::Pass]] {
            let folded = CaseReport::fold(order.map(tried).into());
            let [only] = &folded[..] else {
                panic!("{folded:?}");
            };
            assert_eq!((only.result, only.tried), (Outcome::NotClaimed, Some(Outcome::Fail)));
        }
    }
}
