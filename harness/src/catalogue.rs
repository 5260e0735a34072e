//! The requirements of the contract, as data.
//!
//! Decides nothing about how a requirement is tested: a scenario names the ids it proves.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::YamlError;

const CATALOGUE: &str = include_str!("../catalogue.yaml");

/// Every requirement, in the order of the contract.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// The groups, in the order of the contract.
    pub groups: Vec<Group>,
    /// The requirements, grouped and in order.
    pub requirements: Vec<Requirement>,
}

/// Requirements of one subject.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// What the ids of its requirements start with.
    pub id: String,
    /// What its requirements speak of.
    pub title: String,
}

/// One sentence of the contract, with a permanent id.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// Group and number, e.g. `CTX-01`. Never used again.
    pub id: String,
    /// Whom it binds.
    pub level: Level,
    /// The version of the contract that it came with.
    pub since: String,
    /// What must hold.
    pub text: String,
    /// Why no case can show it. Absent where cases do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untestable: Option<String>,
}

/// Whom a requirement binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Every implementation.
    Core,
    /// Those that keep memory.
    Memory,
    /// Those that keep files.
    Files,
    /// Those that speak E2B.
    E2b,
    /// Those that declare the feature.
    Profile,
}

impl Level {
    /// As written in the catalogue.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Memory => "memory",
            Self::Files => "files",
            Self::E2b => "e2b",
            Self::Profile => "profile",
        }
    }
}

impl Requirement {
    /// The id of its group.
    #[must_use]
    pub fn group(&self) -> &str {
        self.id.split('-').next().unwrap_or(&self.id)
    }
}

impl Catalogue {
    /// The catalogue that this crate was built with.
    ///
    /// # Errors
    /// When the embedded file cannot be read; a test of this crate rules it out.
    pub fn load() -> Result<Self, YamlError> {
        crate::error::from_yaml("catalogue.yaml", CATALOGUE)
    }

    /// This catalogue with the requirements of a vendor, from a file of the same form.
    ///
    /// # Errors
    /// Everything that is wrong with it: what cannot be read, ids of the contract or given twice, requirements of no group.
    pub fn extended(mut self, file: &str, text: &str) -> Result<Self, Vec<YamlError>> {
        let more: Self = crate::error::from_yaml(file, text).map_err(|error| vec![error])?;
        let mut found = Vec::new();
        let mut wrong = |id: &str, message: String| found.push(crate::error::at(file, text, id, message));
        for group in more.groups {
            if self.groups.iter().any(|known| known.id == group.id) {
                wrong(
                    &group.id,
                    format!("there is a group `{}` already: choose another", group.id),
                );
            } else {
                self.groups.push(group);
            }
        }
        let contract = self.requirements.len();
        for requirement in more.requirements {
            let (id, group) = (requirement.id.clone(), requirement.group().to_owned());
            if self.get(&id).is_some() {
                wrong(&id, format!("there is a requirement `{id}` already"));
            } else if !self.groups.iter().any(|known| known.id == group) {
                wrong(&id, format!("`{id}` belongs to no group: add `{group}` to `groups`"));
            } else if self.requirements[..contract].iter().any(|known| known.group() == group) {
                wrong(
                    &id,
                    format!("`{group}` is a group of the contract: choose another for `{id}`"),
                );
            } else {
                self.requirements.push(requirement);
            }
        }
        if found.is_empty() { Ok(self) } else { Err(found) }
    }

    /// The requirement of that id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Requirement> {
        self.requirements.iter().find(|requirement| requirement.id == id)
    }

    /// `docs/requirements.md`: the catalogue for people, with the scenarios that prove each line.
    #[must_use]
    pub fn to_markdown(&self, proofs: &BTreeMap<String, Vec<String>>) -> String {
        let mut page = String::from(
            "# Requirements\n\nGenerated from `harness/catalogue.yaml` and `scenarios/`; do not edit.\n\
             A level other than `core` binds the targets that declare the feature.\n",
        );
        for group in &self.groups {
            let _ = write!(
                page,
                "\n## {}: {}\n\n| id | level | requirement | proven by |\n|---|---|---|---|\n",
                group.id, group.title
            );
            for requirement in self
                .requirements
                .iter()
                .filter(|requirement| requirement.group() == group.id)
            {
                let proven = proofs
                    .get(&requirement.id)
                    .map(|ids| ids.join(", "))
                    .or_else(|| {
                        requirement
                            .untestable
                            .as_ref()
                            .map(|why| format!("*untestable*: {why}"))
                    })
                    .unwrap_or_else(|| "–".to_owned());
                let _ = writeln!(
                    page,
                    "| {} | {} | {} | {proven} |",
                    requirement.id,
                    requirement.level.as_str(),
                    requirement.text.replace('|', "\\|")
                );
            }
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_requirement_has_its_own_id_and_a_known_group() {
        let catalogue = Catalogue::load().unwrap();
        let ids: BTreeSet<_> = catalogue
            .requirements
            .iter()
            .map(|requirement| &requirement.id)
            .collect();
        assert_eq!(ids.len(), catalogue.requirements.len());
        assert_eq!(ids.len(), 62);
        for requirement in &catalogue.requirements {
            assert!(
                catalogue.groups.iter().any(|group| group.id == requirement.group()),
                "{}",
                requirement.id
            );
        }
    }
}
