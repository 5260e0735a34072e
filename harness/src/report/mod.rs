//! What came of a run: one stream of events while it goes on, one report at its end, from
//! which every file is rendered.

mod badge;
mod case;
mod diff;
mod digest;
mod foreign;
mod form;
mod html;
mod junit;
mod line;
mod markdown;
mod notes;
mod outcome;
mod provenance;
mod read;
mod requirement;
mod text;
mod verdict;
mod verify;

use std::collections::BTreeSet;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::capability::Capability;
use crate::catalogue::Catalogue;
use crate::claims::CouldClaim;
use crate::expectation::{ExpectationReport, Stale};
use crate::history::History;
use crate::target::Target;

pub use case::CaseReport;
pub use diff::{ChangeKind, Changed, Difference};
pub use foreign::for_terminal;
pub use form::{Form, RenderError, WriteError, remove_reports, report_schema};
pub use line::render_line;
pub use outcome::{Outcome, Summary};
pub use provenance::{ClusterFacts, Environment, MachineFacts, NodeFacts, OptionFacts, Provenance, TargetFacts};
pub use read::{FoundReport, ReadReportError};
pub use requirement::{RequirementCase, RequirementReport};
pub use verdict::Verdict;
pub use verify::{Finding, Verification, verify};

/// Version of the layout of `report.json`.
pub const SCHEMA_VERSION: u32 = 2;

/// Why a case has no result after the run was stopped.
pub(crate) const INTERRUPTED: &str = "the run was interrupted";

/// Something that happened in a run.
#[derive(Clone, Debug)]
pub enum RunEvent {
    /// The run began.
    Started {
        /// Name of the target.
        target: String,
        /// How many cases will be reported.
        cases: usize,
    },
    /// A case began.
    CaseStarted {
        /// Its id.
        id: String,
        /// Its claim.
        title: String,
    },
    /// A case ended.
    CaseEnded {
        /// What came of it.
        case: Box<CaseReport>,
    },
    /// The run ended.
    Ended {
        /// The counts.
        summary: Summary,
        /// What they amount to.
        verdict: Verdict,
    },
}

/// What came of a run.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// See [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Version of the suite.
    pub suite_version: String,
    /// Name of the target.
    pub target: String,
    /// Name of the profile that it was read by.
    pub profile: String,
    /// When the run ended.
    #[schemars(with = "String")]
    pub ended_at: jiff::Timestamp,
    /// How long it took.
    #[serde(serialize_with = "seconds")]
    pub seconds: f64,
    /// The counts of cases.
    pub summary: Summary,
    /// What the run amounts to.
    pub verdict: Verdict,
    /// Whether cases were left out by a filter: it then says nothing of the others.
    pub partial: bool,
    /// What the target claims.
    pub claims: BTreeSet<Capability>,
    /// Claims of which no case was executed. Empty for a partial run, which cannot tell.
    pub unexercised: BTreeSet<Capability>,
    /// What the target does not claim and seems to have, found by trying.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub could_claim: Vec<CouldClaim>,
    /// What came of each expected failure.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expectations: Vec<ExpectationReport>,
    /// What was run, how, against what, and on what.
    pub provenance: Provenance,
    /// Every requirement of the catalogue.
    pub requirements: Vec<RequirementReport>,
    /// Every case that counts, by id.
    pub cases: Vec<CaseReport>,
    /// Every provisional case, by id: run, and of no weight in counts, requirements and verdict.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub provisional: Vec<CaseReport>,
    /// Digest over all the rest. It shows that a report was changed by accident or carelessly; it
    /// is no signature.
    pub integrity: String,
}

/// Writes whole numbers without decimals, as every tool that writes JSON does.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde asks of it")]
fn seconds<S: serde::Serializer>(seconds: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if seconds.fract() == 0.0 && (0.0..1e15).contains(seconds) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a whole number within the range"
        )]
        serializer.serialize_u64(*seconds as u64)
    } else {
        serializer.serialize_f64(*seconds)
    }
}

/// Seconds with three decimals: more are noise.
fn in_millis(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

/// What a run found beside its cases.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    pub(crate) partial: bool,
    pub(crate) unexercised: BTreeSet<Capability>,
    pub(crate) could_claim: Vec<CouldClaim>,
    pub(crate) expectations: Vec<ExpectationReport>,
}

impl Report {
    pub(crate) fn new(
        catalogue: &Catalogue,
        target: &Target,
        mut cases: Vec<CaseReport>,
        findings: Findings,
        provenance: Provenance,
        took: Duration,
    ) -> Self {
        cases.sort_by(|one, other| one.id.cmp(&other.id));
        for case in cases.iter_mut().filter(|case| matches!(case.result, Outcome::Pass)) {
            case.history = History::default();
        }
        for case in &mut cases {
            case.seconds = in_millis(case.seconds);
        }
        let (provisional, cases): (Vec<_>, Vec<_>) = cases.into_iter().partition(CaseReport::is_provisional);
        let summary = Summary::of(cases.iter().map(|case| case.result));
        let stale = findings.expectations.iter().filter(|entry| entry.stale().is_some());
        let claims = target.offers();
        let whole = (!findings.partial).then_some(&claims);
        let requirements = requirement::reports(catalogue, &cases, whole);
        let report = Self {
            schema_version: SCHEMA_VERSION,
            suite_version: env!("CARGO_PKG_VERSION").to_owned(),
            target: target.name.clone(),
            profile: target.profile.name.clone(),
            ended_at: crate::history::now(),
            seconds: in_millis(took.as_secs_f64()),
            summary,
            verdict: Verdict::of(summary, stale.count(), findings.unexercised.len()),
            partial: findings.partial,
            claims,
            unexercised: findings.unexercised,
            could_claim: findings.could_claim,
            expectations: findings.expectations,
            provenance,
            requirements,
            cases,
            provisional,
            integrity: String::new(),
        };
        report.sealed()
    }

    /// Those that count and those that do not yet.
    fn all_cases(&self) -> impl Iterator<Item = &CaseReport> {
        self.cases.iter().chain(&self.provisional)
    }

    /// With the digest of what it says.
    fn sealed(mut self) -> Self {
        self.integrity = digest::integrity(&serde_json::to_value(&self).unwrap_or_default());
        self
    }

    /// What the run amounts to.
    #[must_use]
    pub const fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The expectations that have to go, each with why.
    #[must_use]
    pub fn stale(&self) -> Vec<(&ExpectationReport, Stale)> {
        let stale = |entry| ExpectationReport::stale(entry).map(|why| (entry, why));
        self.expectations.iter().filter_map(stale).collect()
    }
}
