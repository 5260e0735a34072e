//! Runs cases: each with names of its own, side by side, and cleaned up after.
//!
//! ```text
//! select ─▶ unsupported? ─▶ watch ─▶ steps ─▶ clean up ─▶ judge the history ─▶ report
//! ```

mod case;
mod conditions;
mod inside;
mod lifecycle;
mod pods;
mod sdk_view;
mod steps;
mod traces;
mod world;

use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinSet;

use crate::report::{CaseReport, Outcome, Report, RunEvent};
use crate::suite::{Case, Filter, Suite};
use crate::target::Target;

pub use case::run_one;

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
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            jobs: 4,
            filter: Filter::default(),
            keep_going: true,
            repeat: 1,
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
    let start = Instant::now();
    let selected = suite.select(&options.filter);
    let rounds = (0..options.repeat.max(1)).flat_map(|_| selected.iter().cloned());
    let (alone, together): (Vec<Case>, Vec<Case>) = rounds.partition(|case| case.scenario.exclusive);
    on_event(&RunEvent::Started {
        target: target.name.clone(),
        cases: alone.len() + together.len(),
    });
    let mut reports = Vec::new();
    let mut stopped = false;
    for (cases, jobs) in [(together, options.jobs.max(1)), (alone, 1)] {
        let mut batch = Batch {
            target,
            jobs,
            keep_going: options.keep_going,
            stopped,
        };
        batch.run(cases, &mut reports, &mut on_event).await;
        stopped = batch.stopped;
    }
    let report = Report::new(&suite.catalogue, target, reports, start.elapsed().as_secs_f64());
    on_event(&RunEvent::Ended {
        summary: report.summary,
        verdict: report.verdict(),
    });
    report
}

struct Batch<'a> {
    target: &'a Arc<Target>,
    jobs: usize,
    keep_going: bool,
    stopped: bool,
}

impl Batch<'_> {
    async fn run(&mut self, cases: Vec<Case>, reports: &mut Vec<CaseReport>, on_event: &mut impl FnMut(&RunEvent)) {
        let mut waiting = cases.into_iter();
        let mut running: JoinSet<CaseReport> = JoinSet::new();
        let mut names = std::collections::HashMap::new();
        loop {
            while running.len() < self.jobs
                && let Some(case) = waiting.next()
            {
                if self.stopped {
                    let reason = "an earlier case did not pass".to_owned();
                    reports.push(CaseReport::not_run(&case, Outcome::Skipped, reason));
                    continue;
                }
                on_event(&RunEvent::CaseStarted {
                    id: case.id.clone(),
                    title: case.scenario.title.clone(),
                });
                let (target, started) = (Arc::clone(self.target), case.clone());
                let task = running.spawn(async move { run_one(&started, &target).await });
                names.insert(task.id(), case);
            }
            let Some(ended) = running.join_next_with_id().await else {
                break;
            };
            let report = match ended {
                Ok((_, report)) => report,
                Err(error) => match names.get(&error.id()) {
                    Some(case) => CaseReport::not_run(case, Outcome::Error, format!("the suite broke: {error}")),
                    None => continue,
                },
            };
            self.stopped |= !self.keep_going && matches!(report.result, Outcome::Fail | Outcome::Error);
            on_event(&RunEvent::CaseEnded {
                case: Box::new(report.clone()),
            });
            reports.push(report);
        }
    }
}
