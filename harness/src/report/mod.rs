//! What came of a run: one stream of events while it goes on, one report at its end, from
//! which every file is rendered.

mod html;
mod junit;
mod line;
mod requirement;

use std::path::Path;

use serde::Serialize;

use crate::catalogue::Catalogue;
use crate::history::History;
use crate::oracle::Violation;
use crate::suite::Case;
use crate::target::Target;

pub use line::render_line;
pub use requirement::{RequirementCase, RequirementReport};

/// Version of the layout of `report.json`.
pub const SCHEMA_VERSION: u32 = 1;

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

/// What came of a case or a requirement, from the best to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// No case speaks of it.
    Untested,
    /// The target does not offer what it takes.
    Unsupported,
    /// It held.
    Pass,
    /// It was left out of this run.
    Skipped,
    /// The suite could not find out.
    Error,
    /// It did not hold.
    Fail,
}

impl Outcome {
    /// As written in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Untested => "untested",
            Self::Unsupported => "unsupported",
            Self::Pass => "pass",
            Self::Skipped => "skipped",
            Self::Error => "error",
            Self::Fail => "fail",
        }
    }
}

/// What came of one case.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CaseReport {
    /// Its id.
    pub id: String,
    /// Its claim.
    pub title: String,
    /// The requirements that it proves.
    pub requirements: Vec<String>,
    /// The requirements that the oracles judged on its history.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub judged: Vec<String>,
    /// What came of it.
    pub result: Outcome,
    /// Why it is no pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The step at which it stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// What the oracles found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<Violation>,
    /// What could not be cleaned up.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub leftovers: Vec<String>,
    /// How long it took.
    pub seconds: f64,
    /// Everything that was done and seen. Kept in files only for cases that are no pass.
    #[serde(skip_serializing_if = "is_uneventful")]
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
            judged: Vec::new(),
            result,
            reason: Some(reason),
            step: None,
            violations: Vec::new(),
            leftovers: Vec::new(),
            seconds: 0.0,
            history: History::default(),
        }
    }
}

/// How many cases came to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Held.
    pub pass: usize,
    /// Did not hold.
    pub fail: usize,
    /// Could not be found out.
    pub error: usize,
    /// Not offered by the target.
    pub unsupported: usize,
    /// Left out.
    pub skipped: usize,
}

/// What a run amounts to. The number is the exit code of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Everything that was tried held.
    Conformant = 0,
    /// Something did not hold.
    NotConformant = 1,
    /// Nothing failed, but the suite could not find out everything, or tried nothing at all.
    HarnessError = 2,
    /// The command made no sense. No run ends so.
    Usage = 3,
}

impl Verdict {
    /// The exit code.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        self as u8
    }
}

impl Summary {
    /// Counts cases.
    #[must_use]
    pub fn of(cases: &[CaseReport]) -> Self {
        let count = |outcome| cases.iter().filter(|case| case.result == outcome).count();
        Self {
            pass: count(Outcome::Pass),
            fail: count(Outcome::Fail),
            error: count(Outcome::Error),
            unsupported: count(Outcome::Unsupported),
            skipped: count(Outcome::Skipped),
        }
    }

    /// What the counts amount to.
    #[must_use]
    pub const fn verdict(self) -> Verdict {
        if self.fail > 0 {
            Verdict::NotConformant
        } else if self.error > 0 || self.pass == 0 {
            Verdict::HarnessError
        } else {
            Verdict::Conformant
        }
    }
}

/// What came of a run.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// See [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Version of the suite.
    pub suite_version: &'static str,
    /// Name of the target.
    pub target: String,
    /// Name of the profile that it was read by.
    pub profile: String,
    /// When the run ended.
    pub ended_at: jiff::Timestamp,
    /// How long it took.
    pub seconds: f64,
    /// The counts of cases.
    pub summary: Summary,
    /// What they amount to.
    pub verdict: Verdict,
    /// Every requirement of the catalogue.
    pub requirements: Vec<RequirementReport>,
    /// Every case, by id.
    pub cases: Vec<CaseReport>,
}

impl Report {
    pub(crate) fn new(catalogue: &Catalogue, target: &Target, mut cases: Vec<CaseReport>, seconds: f64) -> Self {
        cases.sort_by(|one, other| one.id.cmp(&other.id));
        for case in cases.iter_mut().filter(|case| matches!(case.result, Outcome::Pass)) {
            case.history = History::default();
        }
        let summary = Summary::of(&cases);
        Self {
            schema_version: SCHEMA_VERSION,
            suite_version: env!("CARGO_PKG_VERSION"),
            target: target.name.clone(),
            profile: target.profile.name.clone(),
            ended_at: crate::history::now(),
            seconds,
            summary,
            verdict: summary.verdict(),
            requirements: requirement::reports(catalogue, &cases),
            cases,
        }
    }

    /// What the run amounts to.
    #[must_use]
    pub const fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Writes `report.json`, `junit.xml` and `report.html` into a folder, which is made if needed.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, folder: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        std::fs::write(folder.join("report.json"), json)?;
        std::fs::write(folder.join("junit.xml"), junit::render(self))?;
        std::fs::write(folder.join("report.html"), html::render(self))
    }
}
