//! The scenarios of a run: the embedded ones and those of a folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::capability::Capability;
use crate::catalogue::Catalogue;
use crate::error::{ScenarioErrors, YamlError};
use crate::scenario::{Front, Scenario};

/// Where a folder of scenarios keeps its own requirements.
const CATALOGUE: &str = "catalogue.yaml";

/// The scenario files of the repository, as they were at build time.
const EMBEDDED: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/embedded_scenarios.rs"));

/// Scenarios with the catalogue that they speak of.
#[derive(Clone, Debug)]
pub struct Suite {
    /// The requirements.
    pub catalogue: Catalogue,
    /// The scenarios, by id.
    pub scenarios: BTreeMap<String, Arc<Scenario>>,
}

/// A scenario through one of its fronts: the unit that passes or fails.
#[derive(Clone, Debug)]
pub struct Case {
    /// `scenario@front`, or the scenario's id where it has one front only.
    pub id: String,
    /// The scenario.
    pub scenario: Arc<Scenario>,
    /// The front.
    pub front: Front,
}

impl Case {
    /// Whether an id means it: its own, that of its scenario, or that of a requirement that
    /// it proves.
    #[must_use]
    pub fn is_named(&self, id: &str) -> bool {
        self.id == id || self.scenario.id == id || self.scenario.requirements.iter().any(|proven| proven == id)
    }

    /// What it takes of a target.
    #[must_use]
    pub fn needs(&self) -> BTreeSet<Capability> {
        let needs = self.scenario.needs.iter().copied();
        needs.chain([self.front.capability()]).collect()
    }
}

/// Which cases to run. An empty filter takes all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Each is a requirement id, the group of one, or a part of a case id; one of them must fit.
    pub any_of: Vec<String>,
    /// A case must have one of these labels, if there are any.
    pub labels: Vec<String>,
}

impl Filter {
    /// Whether a case is taken.
    #[must_use]
    pub fn takes(&self, case: &Case) -> bool {
        let proves = |word: &String| {
            let group = format!("{word}-");
            case.scenario
                .requirements
                .iter()
                .any(|id| id == word || id.starts_with(&group))
        };
        let named = |word: &String| case.id.contains(word.as_str()) || proves(word);
        let labelled = |label: &String| case.scenario.labels.contains(label);
        (self.any_of.is_empty() || self.any_of.iter().any(named))
            && (self.labels.is_empty() || self.labels.iter().any(labelled))
    }
}

impl Suite {
    /// The embedded scenarios.
    ///
    /// # Errors
    /// Everything that is wrong with them; a test of this crate rules it out.
    pub fn embedded() -> Result<Self, ScenarioErrors> {
        let catalogue = Catalogue::load().map_err(|error| ScenarioErrors(vec![error]))?;
        let mut suite = Self {
            catalogue,
            scenarios: BTreeMap::new(),
        };
        suite.add(
            EMBEDDED
                .iter()
                .map(|(file, text)| ((*file).to_owned(), (*text).to_owned())),
        )?;
        Ok(suite)
    }

    /// The embedded scenarios together with those of a folder, at any depth. A file `catalogue.yaml` at its top
    /// holds requirements besides those of the contract.
    ///
    /// # Errors
    /// Everything that is wrong with any of the files, each with line and column.
    pub fn load(folder: Option<&Path>) -> Result<Self, ScenarioErrors> {
        let mut suite = Self::embedded()?;
        if let Some(folder) = folder {
            suite.extend_catalogue(&folder.join(CATALOGUE))?;
            let files = read_folder(folder).map_err(|error| ScenarioErrors(vec![error]))?;
            // Whoever names a folder means something in it.
            if files.is_empty() {
                let message = "no scenario is in it: a file `ID.yaml` for each, at any depth";
                return Err(ScenarioErrors(vec![whole(folder, message.to_owned())]));
            }
            suite.add(files.into_iter())?;
        }
        Ok(suite)
    }

    fn extend_catalogue(&mut self, file: &Path) -> Result<(), ScenarioErrors> {
        if !file.exists() {
            return Ok(());
        }
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file).map_err(|error| ScenarioErrors(vec![unread(file, &error)]))?;
        let extended = self.catalogue.clone().extended(&name, &text).map_err(ScenarioErrors)?;
        self.catalogue = extended;
        Ok(())
    }

    fn add(&mut self, files: impl Iterator<Item = (String, String)>) -> Result<(), ScenarioErrors> {
        let mut errors = Vec::new();
        for (file, text) in files {
            match Scenario::parse(&file, &text, &self.catalogue) {
                Ok(scenario) if self.scenarios.contains_key(&scenario.id) => {
                    let message = format!("another scenario has the id `{}`", scenario.id);
                    errors.push(crate::error::at(&file, &text, "id:", message));
                }
                Ok(scenario) => {
                    self.scenarios.insert(scenario.id.clone(), Arc::new(scenario));
                }
                Err(found) => errors.extend(found),
            }
        }
        if errors.is_empty() {
            Ok(())
        } else {
            Err(ScenarioErrors(errors))
        }
    }

    /// Every label that a scenario has.
    #[must_use]
    pub fn labels(&self) -> BTreeSet<&str> {
        let all = self.scenarios.values().flat_map(|scenario| &scenario.labels);
        all.map(String::as_str).collect()
    }

    /// Whether an id is that of a requirement, a scenario or a case.
    #[must_use]
    pub fn knows(&self, id: &str) -> bool {
        let is_case = || self.select(&Filter::default()).iter().any(|case| case.id == id);
        self.catalogue.get(id).is_some() || self.scenarios.contains_key(id) || is_case()
    }

    /// The cases that a filter takes, by id.
    #[must_use]
    pub fn select(&self, filter: &Filter) -> Vec<Case> {
        let cases = self.scenarios.values().flat_map(|scenario| {
            scenario.via.iter().map(|front| {
                let single = scenario.via.len() == 1;
                let id = if single {
                    scenario.id.clone()
                } else {
                    format!("{}@{}", scenario.id, front.as_str())
                };
                Case {
                    id,
                    scenario: Arc::clone(scenario),
                    front: *front,
                }
            })
        });
        cases.filter(|case| filter.takes(case)).collect()
    }
}

fn unread(path: &Path, error: &std::io::Error) -> YamlError {
    whole(path, format!("read scenarios: {error}"))
}

/// What is wrong with a file or folder as a whole.
fn whole(path: &Path, message: String) -> YamlError {
    YamlError {
        file: path.display().to_string(),
        line: 0,
        column: 0,
        message,
    }
}

fn read_folder(folder: &Path) -> Result<Vec<(String, String)>, YamlError> {
    let mut files = Vec::new();
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).map_err(|error| unread(&folder, &error))?;
        for entry in entries {
            let path = entry.map_err(|error| unread(&folder, &error))?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "yaml") && !path.ends_with(CATALOGUE) {
                let text = std::fs::read_to_string(&path).map_err(|error| unread(&path, &error))?;
                files.push((path.display().to_string(), text));
            }
        }
    }
    files.sort();
    Ok(files)
}
