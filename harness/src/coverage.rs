//! Which cases speak of which requirement.

use serde::Serialize;

use crate::catalogue::{Group, Requirement};
use crate::oracle::JUDGED;
use crate::suite::{Filter, Suite};

/// The catalogue together with the cases of a suite.
#[derive(Clone, Debug, Serialize)]
pub struct Coverage {
    /// The groups, in the order of the contract.
    pub groups: Vec<Group>,
    /// The requirements, in the order of the contract.
    pub requirements: Vec<Covered>,
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
            let of_it = cases
                .iter()
                .filter(|case| case.scenario.requirements.contains(&requirement.id));
            Covered {
                requirement: requirement.clone(),
                cases: of_it.map(|case| case.id.clone()).collect(),
                judged: JUDGED.contains(&requirement.id.as_str()),
            }
        };
        Coverage {
            groups: self.catalogue.groups.clone(),
            requirements: self.catalogue.requirements.iter().map(covered).collect(),
        }
    }

    /// `docs/requirements.md`: the catalogue for people, with the scenarios that prove each line.
    #[must_use]
    pub fn requirements_page(&self) -> String {
        let scenarios = self.scenarios.values().map(AsRef::as_ref);
        self.catalogue.to_markdown(&crate::scenario::proofs(scenarios))
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
