//! What the cases say of each requirement.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CaseReport, Outcome};
use crate::capability::Capability;
use crate::catalogue::{Catalogue, Level};
use crate::oracle::JUDGED;

/// What came of one requirement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequirementReport {
    /// Its id.
    pub id: String,
    /// What must hold.
    pub text: String,
    /// Whom it binds.
    pub level: Level,
    /// Why no case can show it, if none can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untestable: Option<String>,
    /// The worst of its cases.
    pub result: Outcome,
    /// The cases that speak of it.
    pub cases: Vec<RequirementCase>,
}

/// What one case says of one requirement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequirementCase {
    /// Id of the case.
    pub id: String,
    /// What it says.
    pub result: Outcome,
}

/// What the cases say of every requirement. `claims` are those of a run of all cases; what only histories show is then not
/// claimed by who has none to show.
pub(super) fn reports(
    catalogue: &Catalogue,
    cases: &[CaseReport],
    claims: Option<&BTreeSet<Capability>>,
) -> Vec<RequirementReport> {
    let without_history = claims.is_some_and(|claims| !claims.contains(&Capability::Kubernetes));
    let mut said: BTreeMap<&str, BTreeMap<&str, Outcome>> = BTreeMap::new();
    let mut say = |requirement, case, outcome: Outcome| {
        let known = said.entry(requirement).or_default().entry(case).or_insert(outcome);
        *known = outcome.max(*known);
    };
    for case in cases {
        for requirement in &case.requirements {
            say(requirement.as_str(), case.id.as_str(), case.result);
        }
        // That no oracle objected to a history says something whatever else came of the case.
        for requirement in &case.judged {
            let objected = case
                .violations
                .iter()
                .any(|violation| violation.requirement == *requirement);
            let said = match (objected, case.result) {
                (false, _) => Outcome::Pass,
                (true, Outcome::ExpectedFailure) => Outcome::ExpectedFailure,
                (true, _) => Outcome::Fail,
            };
            say(requirement, &case.id, said);
        }
    }
    let report = |requirement: &crate::catalogue::Requirement| {
        let cases = said.remove(requirement.id.as_str()).unwrap_or_default();
        let without = if requirement.untestable.is_some() {
            Outcome::Untestable
        } else if without_history && JUDGED.contains(&requirement.id.as_str()) {
            Outcome::NotClaimed
        } else {
            Outcome::Untested
        };
        RequirementReport {
            id: requirement.id.clone(),
            text: requirement.text.clone(),
            level: requirement.level,
            untestable: requirement.untestable.clone(),
            result: cases.values().copied().max().unwrap_or(without),
            cases: cases
                .into_iter()
                .map(|(id, result)| RequirementCase {
                    id: id.to_owned(),
                    result,
                })
                .collect(),
        }
    };
    catalogue.requirements.iter().map(report).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::Violation;
    use crate::{Filter, Suite};

    fn case(result: Outcome, violated: Option<&'static str>) -> CaseReport {
        let suite = Suite::embedded().unwrap();
        let case = suite.select(&Filter::default()).remove(0);
        let mut report = CaseReport::not_run(&case, result, String::new());
        report.requirements = vec!["CTX-01".to_owned()];
        report.judged = vec!["FSM-04".to_owned()];
        report.violations = violated
            .map(|requirement| Violation {
                requirement: requirement.into(),
                revision: 1,
                message: String::new(),
            })
            .into_iter()
            .collect();
        report
    }

    fn results(cases: &[CaseReport], id: &str) -> Outcome {
        let reports = reports(&Catalogue::load().unwrap(), cases, None);
        reports.into_iter().find(|report| report.id == id).unwrap().result
    }

    #[test]
    fn a_requirement_is_as_bad_as_its_worst_case_and_untested_without_one() {
        assert_eq!(
            results(&[case(Outcome::Pass, None), case(Outcome::Fail, None)], "CTX-01"),
            Outcome::Fail
        );
        assert_eq!(
            results(&[case(Outcome::NotClaimed, None)], "CTX-01"),
            Outcome::NotClaimed
        );
        assert_eq!(results(&[case(Outcome::Pass, None)], "CTX-02"), Outcome::Untested);
    }

    #[test]
    fn an_oracle_speaks_of_its_requirement_whatever_else_came_of_the_case() {
        assert_eq!(results(&[case(Outcome::Fail, None)], "FSM-04"), Outcome::Pass);
        assert_eq!(results(&[case(Outcome::Fail, Some("FSM-04"))], "FSM-04"), Outcome::Fail);
    }
    #[test]
    fn what_only_histories_show_is_not_claimed_where_there_are_none_and_all_cases_were_run() {
        let result = |claims: Option<&[Capability]>, id: &str| {
            let claims = claims.map(|claims| claims.iter().copied().collect());
            let reports = reports(&Catalogue::load().unwrap(), &[], claims.as_ref());
            reports.into_iter().find(|report| report.id == id).unwrap().result
        };
        let (e2b, both): (&[Capability], &[Capability]) =
            (&[Capability::E2b], &[Capability::E2b, Capability::Kubernetes]);
        assert_eq!(result(Some(e2b), "FSM-05"), Outcome::NotClaimed);
        assert_eq!(result(Some(e2b), "CTX-01"), Outcome::Untested);
        assert_eq!(result(Some(both), "FSM-05"), Outcome::Untested);
        assert_eq!(result(None, "FSM-05"), Outcome::Untested);
    }
}
