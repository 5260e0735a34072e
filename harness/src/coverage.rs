//! Which cases speak of which requirement.

use std::fmt::Write as _;

use serde::Serialize;

use crate::catalogue::{Group, Requirement};
use crate::limits::Limits;
use crate::oracle::JUDGED;
use crate::scenario::Revision;
use crate::suite::{Case, Filter, Suite};

/// The catalogue together with the cases of a suite.
#[derive(Clone, Debug, Serialize)]
pub struct Coverage {
    /// The groups, in the order of the contract.
    pub groups: Vec<Group>,
    /// The requirements, in the order of the contract.
    pub requirements: Vec<Covered>,
    /// The cases that count for nothing yet.
    pub provisional: Vec<ProvisionalCase>,
    /// How long a target may take, by kind of wait.
    pub limits: Limits,
}

/// A case that counts for nothing yet.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProvisionalCase {
    /// Its id.
    pub id: String,
    /// Its claim.
    pub title: String,
    /// The revision of the suite from which it counts.
    pub counts_from: Revision,
    /// The requirements that it proves.
    pub requirements: Vec<String>,
}

impl ProvisionalCase {
    fn of(case: &Case) -> Option<Self> {
        Some(Self {
            id: case.id.clone(),
            title: case.scenario.title.clone(),
            counts_from: case.scenario.provisional()?,
            requirements: case.scenario.requirements.clone(),
        })
    }

    /// A list of them for people; nothing where there are none.
    fn to_markdown(cases: &[Self]) -> String {
        if cases.is_empty() {
            return String::new();
        }
        let mut page = String::from(
            "\n## Provisional cases\n\nThey are run and reported, and count for nothing before the revision of the suite that is named.\n\n\
             | case | claim | requirements | counts from |\n|---|---|---|---|\n",
        );
        for case in cases {
            let (id, title, from) = (&case.id, &case.title, case.counts_from);
            let _ = writeln!(page, "| {id} | {title} | {} | {from} |", case.requirements.join(", "));
        }
        page
    }
}

/// A requirement with what tests it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Covered {
    /// The requirement.
    #[serde(flatten)]
    pub requirement: Requirement,
    /// The cases that prove it, by id.
    pub cases: Vec<String>,
    /// Whether oracles judge it besides, on every case with Kubernetes.
    pub judged: bool,
}

impl Suite {
    /// What tests each requirement.
    #[must_use]
    pub fn coverage(&self) -> Coverage {
        let cases = self.select(&Filter::default());
        let covered = |requirement: &Requirement| {
            // What counts for nothing yet proves nothing.
            let counts = cases.iter().filter(|case| case.scenario.provisional().is_none());
            let of_it = counts.filter(|case| case.scenario.requirements.contains(&requirement.id));
            Covered {
                requirement: requirement.clone(),
                cases: of_it.map(|case| case.id.clone()).collect(),
                judged: JUDGED.contains(&requirement.id.as_str()),
            }
        };
        Coverage {
            groups: self.catalogue.groups.clone(),
            requirements: self.catalogue.requirements.iter().map(covered).collect(),
            provisional: cases.iter().filter_map(ProvisionalCase::of).collect(),
            limits: Limits::NORMATIVE,
        }
    }

    /// `docs/requirements.md`: the catalogue for people, with the scenarios that prove each line.
    #[must_use]
    pub fn requirements_page(&self) -> String {
        let scenarios = self.scenarios.values().map(AsRef::as_ref);
        let page = self.catalogue.to_markdown(&crate::scenario::proofs(scenarios.clone()));
        page + &ProvisionalCase::to_markdown(&self.coverage().provisional) + &Limits::NORMATIVE.to_markdown(scenarios)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requirement_has_the_cases_of_its_scenarios_through_every_front() {
        let coverage = Suite::embedded().unwrap().coverage();
        let of = |id: &str| {
            coverage
                .requirements
                .iter()
                .find(|covered| covered.requirement.id == id)
                .unwrap()
        };
        let cases = &of("CTX-01").cases;
        for front in [
            "interpreter-state-survives@e2b",
            "interpreter-state-survives@kubernetes",
        ] {
            assert!(cases.iter().any(|case| case == front), "{cases:?}");
        }
        assert!(of("FSM-04").judged && !of("CTX-01").judged);
    }
}
