//! Deliberately faulty implementations, for testing the suite: the reference, with one mistake put around it.
//!
//! Decides which mistakes there are, what each breaks, which cases must notice it and which must not. A mistake
//! stands between parts that are right and know nothing of it: it rewrites what a part asks of the API server or
//! sees of it, what the E2B face answers, what an engine keeps, what the store removes, what a page of metrics
//! shows. Only what the controller decides can be distorted nowhere but inside it; that is [`Defect`]'s business.
//!
//! ```text
//!   SDK ─▶ [face] gateway ─[calls]▶ API server ◀[calls]─ controller ─[agents]▶ agent ─[engine]▶ engine
//!                                                             └─[custodian]▶ store
//! ```

mod by_controller;
mod by_crash;
mod by_definition;
mod by_engine;
mod by_face;
mod by_gateway;
mod by_generation;
mod by_identity;
mod by_order;
mod by_session;
mod by_status;
mod by_timer;
mod by_traffic;
mod by_upkeep;
mod by_view;
mod by_weather;
mod by_write;
mod calls;
mod defects;
mod engine;
mod face;
mod notes;
mod traces;

use std::fmt;
use std::sync::Arc;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use torpor_controller::{CheckpointCustodian, Defect, SandboxAgents};
use torpor_runtime::Engine;

pub use calls::CallRules;
pub use face::FaceRule;
pub use traces::{LogRule, PageRule};

/// Puts something in front of another of its kind.
pub type Around<T> = Arc<dyn Fn(Arc<T>) -> Arc<T> + Send + Sync>;

/// Where the parts of a control plane are distorted. All that is absent is as it should be.
#[derive(Clone, Default)]
pub struct Hooks {
    /// Inside the controller.
    pub defect: Option<Defect>,
    /// Between the controller and the API server.
    pub controller_calls: Option<CallRules>,
    /// Between the gateway and the API server.
    pub gateway_calls: Option<CallRules>,
    /// Between SDKs and the gateway.
    pub face: Option<FaceRule>,
    /// Between the controller and the agents.
    pub agents: Option<Around<dyn SandboxAgents>>,
    /// Between the controller and the checkpoint store.
    pub custodian: Option<Around<dyn CheckpointCustodian>>,
    /// Between the agents and the engine.
    pub engine: Option<Around<dyn Engine>>,
    /// Between the meters and whoever reads them.
    pub page: Option<PageRule>,
    /// Between the logs of containers and whoever reads them.
    pub logs: Option<LogRule>,
    /// Between the definitions of custom resources and the API server.
    pub definitions: Option<fn(&mut CustomResourceDefinition)>,
}

/// What goes between the controller and the API server is distorted, and nothing else.
fn controller_calls(rules: CallRules) -> Hooks {
    Hooks {
        controller_calls: Some(rules),
        ..Hooks::default()
    }
}

/// Whose mistake it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Culprit {
    /// The controller.
    Controller,
    /// The gateway.
    Gateway,
    /// The engine, or the agent around it.
    Engine,
    /// Who keeps checkpoint data.
    Store,
    /// The node.
    Node,
}

impl Culprit {
    /// As shown to people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Controller => "controller",
            Self::Gateway => "gateway",
            Self::Engine => "engine",
            Self::Store => "store",
            Self::Node => "node",
        }
    }
}

/// The profile of the embedded control plane.
pub const USUAL_PROFILE: &str = "kruise";

/// A deliberately faulty implementation.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// Named after what it does.
    pub name: &'static str,
    /// Whose mistake it is.
    pub culprit: Culprit,
    /// What it does, as a sentence.
    pub does: &'static str,
    /// Ids of the requirements that it breaks.
    pub breaks: &'static [&'static str],
    /// Ids of the cases that must fail.
    pub caught_by: &'static [&'static str],
    /// Ids or groups of requirements that suffer with them: cases of these prove nothing either way.
    pub touches: &'static [&'static str],
    /// Ids of further cases that must still pass.
    pub spares: &'static [&'static str],
    /// Whether sandboxes of one case may spoil another's.
    pub spreads: bool,
    /// The profile by which the target is read.
    pub profile: &'static str,
    install: fn() -> Hooks,
}

/// A mistake of the controller.
const fn controller(name: &'static str, does: &'static str, install: fn() -> Hooks) -> Fault {
    Fault::new(name, Culprit::Controller, does, install)
}

/// A mistake of the gateway.
const fn gateway(name: &'static str, does: &'static str, install: fn() -> Hooks) -> Fault {
    Fault::new(name, Culprit::Gateway, does, install)
}

impl Fault {
    /// A mistake of `culprit`, installed by `install`.
    const fn new(name: &'static str, culprit: Culprit, does: &'static str, install: fn() -> Hooks) -> Self {
        Self {
            name,
            culprit,
            does,
            breaks: &[],
            caught_by: &[],
            touches: &[],
            spares: &[],
            spreads: false,
            profile: USUAL_PROFILE,
            install,
        }
    }

    const fn breaks(mut self, requirements: &'static [&'static str], caught_by: &'static [&'static str]) -> Self {
        self.breaks = requirements;
        self.caught_by = caught_by;
        self
    }

    const fn touches(mut self, requirements: &'static [&'static str]) -> Self {
        self.touches = requirements;
        self
    }

    const fn spares(mut self, cases: &'static [&'static str]) -> Self {
        self.spares = cases;
        self
    }

    const fn spreads(mut self) -> Self {
        self.spreads = true;
        self
    }

    /// It shows where the target is read by another profile than the usual one.
    const fn read_by(mut self, profile: &'static str) -> Self {
        self.profile = profile;
        self
    }

    /// Fresh hooks, for one control plane: what a mistake remembers is that plane's alone.
    pub fn hooks(&self) -> Hooks {
        (self.install)()
    }

    /// Whether a failure of a case of `requirement` may be this fault's doing.
    pub fn concerns(&self, requirement: &str) -> bool {
        let names = |word: &&str| *word == requirement || requirement.starts_with(&format!("{word}-"));
        self.breaks.iter().chain(self.touches).any(names)
    }

    /// All faults, by culprit.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        [
            defects::FAULTS,
            by_view::FAULTS,
            by_controller::FAULTS,
            by_upkeep::FAULTS,
            by_crash::FAULTS,
            by_definition::FAULTS,
            by_weather::FAULTS,
            by_write::FAULTS,
            by_status::FAULTS,
            by_identity::FAULTS,
            by_timer::FAULTS,
            by_gateway::FAULTS,
            by_face::FAULTS,
            by_session::FAULTS,
            by_order::FAULTS,
            by_traffic::FAULTS,
            by_engine::FAULTS,
            by_generation::FAULTS,
            traces::FAULTS,
        ]
        .into_iter()
        .flatten()
    }

    /// The fault of this name.
    ///
    /// # Errors
    /// [`UnknownFault`] lists those that there are.
    pub fn named(name: &str) -> Result<&'static Self, UnknownFault> {
        let found = Self::all().find(|fault| fault.name == name);
        found.ok_or_else(|| UnknownFault { name: name.to_owned() })
    }
}

/// No fault has this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownFault {
    name: String,
}

impl fmt::Display for UnknownFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut known: Vec<_> = Fault::all().map(|fault| fault.name).collect();
        known.sort_unstable();
        write!(f, "there is no fault {:?}; there are: {}", self.name, known.join(", "))
    }
}

impl std::error::Error for UnknownFault {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use torpor_harness::{Filter, Suite};

    use super::*;

    fn cases() -> BTreeSet<String> {
        let suite = Suite::embedded().expect("the scenarios");
        suite
            .select(&Filter::default())
            .into_iter()
            .map(|case| case.id)
            .collect()
    }

    #[test]
    fn every_fault_has_a_name_of_its_own_and_is_found_by_it() {
        let mut names = BTreeSet::new();
        for fault in Fault::all() {
            assert!(names.insert(fault.name), "two faults are named {}", fault.name);
            assert_eq!(Fault::named(fault.name).expect("known").name, fault.name);
            assert!(!fault.breaks.is_empty(), "{} breaks nothing", fault.name);
            assert!(!fault.caught_by.is_empty(), "nothing must catch {}", fault.name);
        }
        assert!(names.len() >= 40, "{} faults", names.len());
        let unknown = Fault::named("none").expect_err("unknown").to_string();
        assert!(unknown.contains("resume-starts-fresh"), "{unknown}");
    }

    #[test]
    fn every_defect_of_the_controller_is_a_fault() {
        let known: Vec<_> = Fault::all().filter_map(|fault| fault.hooks().defect).collect();
        for defect in Defect::ALL {
            assert!(known.contains(&defect), "{defect} is no fault");
        }
    }

    #[test]
    fn every_case_that_a_fault_names_exists() {
        let cases = cases();
        for fault in Fault::all() {
            for case in fault.caught_by.iter().chain(fault.spares) {
                assert!(cases.contains(*case), "{} names {case}, which is no case", fault.name);
            }
        }
    }

    /// Cases that the embedded control plane does not claim, so that no fault of it can fail them, and why.
    const ELSEWHERE: [(&str, &str); 4] = [
        (
            "modes-and-links-survive-by-commands",
            "it runs Python alone; `torpor up --engine criu` has processes",
        ),
        (
            "a-program-at-work-goes-on",
            "it runs Python alone; `torpor up --engine criu` has processes",
        ),
        (
            "commands-and-terminals-work-after-a-pause",
            "it runs Python alone; `torpor up --engine criu` has processes",
        ),
        (
            "a-traced-process-keeps-its-sandbox-from-pausing",
            "it runs Python alone; `torpor up --engine criu` has processes",
        ),
    ];

    #[test]
    fn every_case_is_one_that_some_fault_must_fail_or_that_only_others_claim() {
        let mut named: BTreeSet<&str> = Fault::all().flat_map(|fault| fault.caught_by).copied().collect();
        for (case, why) in ELSEWHERE {
            assert!(named.insert(case), "{case} has a fault that it must fail; {why}");
        }
        let idle: Vec<String> = cases()
            .into_iter()
            .filter(|case| !named.contains(case.as_str()))
            .collect();
        assert!(idle.is_empty(), "nothing must fail {}", idle.join(", "));
    }

    #[test]
    fn every_requirement_is_broken_by_some_fault() {
        let suite = Suite::embedded().expect("the scenarios");
        let broken: BTreeSet<&str> = Fault::all().flat_map(|fault| fault.breaks).copied().collect();
        let whole = suite.catalogue.requirements.iter().map(|known| known.id.as_str());
        let kept: Vec<&str> = whole.filter(|id| !broken.contains(id)).collect();
        assert!(kept.is_empty(), "no fault breaks {}", kept.join(", "));
    }

    #[test]
    fn every_requirement_that_a_fault_names_exists() {
        let suite = Suite::embedded().expect("the scenarios");
        let known: BTreeSet<&str> = suite
            .catalogue
            .requirements
            .iter()
            .map(|known| known.id.as_str())
            .collect();
        for fault in Fault::all() {
            for id in fault.breaks {
                assert!(
                    known.contains(id),
                    "{} breaks {id}, which is no requirement",
                    fault.name
                );
            }
            for word in fault.touches {
                let fits = |id: &&str| id == word || id.starts_with(&format!("{word}-"));
                assert!(
                    known.iter().any(fits),
                    "{} touches {word}, which is nothing",
                    fault.name
                );
            }
        }
    }

    #[test]
    fn every_part_has_faults() {
        for culprit in [
            Culprit::Controller,
            Culprit::Gateway,
            Culprit::Engine,
            Culprit::Store,
            Culprit::Node,
        ] {
            assert!(
                Fault::all().any(|fault| fault.culprit == culprit),
                "{}",
                culprit.as_str()
            );
        }
    }
}
