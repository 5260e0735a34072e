//! Cases side by side.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::RunOptions;
use super::case::attempt;
use super::plan::{Plan, plan};
use super::world::Course;
use crate::history::Watches;
use crate::report::{CaseReport, INTERRUPTED, Outcome, RunEvent};
use crate::suite::Case;
use crate::target::Target;

/// Cases of which so many may run at the same time.
pub(super) struct Batch<'a> {
    pub(super) target: &'a Arc<Target>,
    pub(super) watches: Option<&'a Arc<Watches>>,
    pub(super) options: &'a RunOptions,
    pub(super) course: &'a Course,
    pub(super) jobs: usize,
    /// Whether an earlier case keeps the others from being run.
    pub(super) stopped: bool,
}

impl Batch<'_> {
    pub(super) async fn run(
        &mut self,
        cases: Vec<Case>,
        reports: &mut Vec<CaseReport>,
        on_event: &mut impl FnMut(&RunEvent),
    ) {
        let mut waiting = cases.into_iter();
        let mut running: JoinSet<CaseReport> = JoinSet::new();
        let mut names: HashMap<tokio::task::Id, Case> = HashMap::new();
        loop {
            while running.len() < self.jobs
                && let Some(case) = waiting.next()
            {
                if let Some(id) = self.start(&case, &mut running, reports, on_event) {
                    names.insert(id, case);
                }
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
            self.note(report, reports, on_event);
        }
    }

    /// Starts a case, or notes why it is not run.
    fn start(
        &mut self,
        case: &Case,
        running: &mut JoinSet<CaseReport>,
        reports: &mut Vec<CaseReport>,
        on_event: &mut impl FnMut(&RunEvent),
    ) -> Option<tokio::task::Id> {
        let plan = plan(case, self.target, &self.options.skips, self.options.try_unclaimed);
        let unclaimed = match plan {
            Plan::Leave(outcome, reason) => {
                self.note(CaseReport::not_run(case, outcome, reason), reports, on_event);
                return None;
            }
            Plan::Run | Plan::Try(_) if self.options.stop.is_cancelled() => {
                let report = CaseReport::not_run(case, Outcome::Error, INTERRUPTED.to_owned());
                self.note(report, reports, on_event);
                return None;
            }
            Plan::Run | Plan::Try(_) if self.stopped => {
                let reason = "an earlier case did not pass".to_owned();
                self.note(CaseReport::not_run(case, Outcome::Skipped, reason), reports, on_event);
                return None;
            }
            Plan::Run => None,
            Plan::Try(reason) => Some(reason),
        };
        on_event(&RunEvent::CaseStarted {
            id: case.id.clone(),
            title: case.scenario.title.clone(),
        });
        let (target, watches, case) = (Arc::clone(self.target), self.watches.cloned(), case.clone());
        let course = self.course.clone();
        let task = running.spawn(async move {
            let report = attempt(&case, &target, watches.as_deref(), &course).await;
            match unclaimed {
                Some(lacks) => report.unclaimed(&lacks),
                None => report,
            }
        });
        Some(task.id())
    }

    fn note(&mut self, mut report: CaseReport, reports: &mut Vec<CaseReport>, on_event: &mut impl FnMut(&RunEvent)) {
        self.options.expected.excuse(&mut report, self.options.today);
        let failed = matches!(report.result, Outcome::Fail | Outcome::Error | Outcome::Untestable);
        self.stopped |= !self.options.keep_going && failed && !report.is_provisional();
        on_event(&RunEvent::CaseEnded {
            case: Box::new(report.clone()),
        });
        reports.push(report);
    }
}
