//! Runs cases: each with names of its own, side by side, and cleaned up after.
//!
//! ```text
//! select ─▶ plan ─▶ watch ─▶ steps ─▶ clean up ─▶ judge the history ─▶ expected? ─▶ report
//! ```

mod adapted;
mod batch;
mod canaries;
mod case;
mod clean_up;
mod columns;
mod commands;
mod conditions;
mod describe;
mod endpoint;
mod environment;
mod faults;
mod ids;
mod inside;
mod lifecycle;
mod own;
mod plan;
mod pods;
mod remains;
mod sdk_view;
mod series;
mod stages;
mod steps;
mod traces;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use jiff::civil::Date;

use crate::claims;
use tokio_util::sync::CancellationToken;

use crate::expectation::ExpectedFailures;
use crate::pulse::Pulse;
use crate::report::{CaseReport, Findings, Provenance, Report, RunEvent};
use crate::suite::{Case, Filter, Suite};
use crate::target::Target;

use batch::Batch;
pub use case::{run_one, run_one_by_the_clock};
pub use endpoint::{EndpointRefusal, endpoint_answers};
pub use plan::Skip;
use world::Course;

/// How to run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Cases at the same time; at least 1.
    pub jobs: usize,
    /// Which cases.
    pub filter: Filter,
    /// Whether to go on after a failure.
    pub keep_going: bool,
    /// How often each case is run; at least 1. Its result is the worst.
    pub repeat: u32,
    /// Cases to leave out although the target claims what they take.
    pub skips: Vec<Skip>,
    /// Whether to run cases of features that the target does not claim; their results count
    /// for nothing and show what it could claim.
    pub try_unclaimed: bool,
    /// The failures that are known.
    pub expected: ExpectedFailures,
    /// The day by which expectations expire, UTC.
    pub today: Date,
    /// What is known of the target and goes into the report as it is, such as its engine.
    pub facts: BTreeMap<String, String>,
    /// Ends the run early: cases that run do no further step and clean up, and no result is claimed for any that did not end.
    pub stop: CancellationToken,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            jobs: 4,
            filter: Filter::default(),
            keep_going: true,
            repeat: 1,
            skips: Vec::new(),
            try_unclaimed: false,
            expected: ExpectedFailures::default(),
            today: crate::history::now().to_zoned(jiff::tz::TimeZone::UTC).date(),
            facts: BTreeMap::new(),
            stop: CancellationToken::new(),
        }
    }
}

/// Runs the cases that the options take, and tells what happens as it happens.
pub async fn run(
    suite: &Suite,
    target: &Arc<Target>,
    options: &RunOptions,
    mut on_event: impl FnMut(&RunEvent),
) -> Report {
    let (start, started_at) = (Instant::now(), crate::history::now());
    let mut environment = environment::look_at(target).await;
    let course = Course {
        stop: options.stop.clone(),
        pulse: Pulse::start(),
    };
    let selected = suite.select(&options.filter);
    let rounds = (0..options.repeat.max(1)).flat_map(|_| selected.iter().cloned());
    let (alone, mut together): (Vec<Case>, Vec<Case>) = rounds.partition(|case| case.scenario.exclusive);
    // The longest first, so that the others fill what it leaves of the time.
    together.sort_by_key(|case| std::cmp::Reverse(case.scenario.looks_on()));
    on_event(&RunEvent::Started {
        target: target.name.clone(),
        cases: alone.len() + together.len(),
    });
    let watches = case::watches_of(target).await.map(Arc::new);
    let mut reports = Vec::new();
    let mut stopped = false;
    for (cases, jobs) in [(together, options.jobs.max(1)), (alone, 1)] {
        let mut batch = Batch {
            target,
            watches: watches.as_ref(),
            options,
            course: &course,
            jobs,
            stopped,
        };
        batch.run(cases, &mut reports, &mut on_event).await;
        stopped = batch.stopped;
    }
    let cases = CaseReport::fold(reports);
    environment.suite.held_up_seconds = course.pulse.held_up().as_secs();
    let findings = findings(suite, target, options, &selected, &cases);
    let provenance = Provenance::new(suite, target, options, environment, started_at);
    let report = Report::new(&suite.catalogue, target, cases, findings, provenance, start.elapsed());
    on_event(&RunEvent::Ended {
        summary: report.summary,
        verdict: report.verdict(),
    });
    report
}

fn findings(suite: &Suite, target: &Target, options: &RunOptions, selected: &[Case], cases: &[CaseReport]) -> Findings {
    let partial = options.filter != Filter::default();
    Findings {
        partial,
        // Of a run that was stopped it cannot be told.
        unexercised: if partial || options.stop.is_cancelled() {
            std::collections::BTreeSet::new()
        } else {
            claims::unexercised(target, selected, cases)
        },
        could_claim: claims::could_claim(target, selected, cases),
        expectations: options.expected.settle(suite, cases, options.today),
    }
}
