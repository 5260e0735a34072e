//! Cases side by side.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::{JoinError, JoinSet};

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

/// A case that is being run.
struct UnderWay {
    case: Case,
    /// What the target lacks for it, where it is tried all the same.
    unclaimed: Option<String>,
}

impl UnderWay {
    /// What came of it, also where that is a panic.
    fn came_to(&self, ended: Result<CaseReport, JoinError>) -> CaseReport {
        let report = ended.unwrap_or_else(|error| {
            CaseReport::not_run(&self.case, Outcome::Error, format!("the suite broke: {error}"))
        });
        match &self.unclaimed {
            Some(lacks) => report.unclaimed(lacks),
            None => report,
        }
    }
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
        let mut under_way: HashMap<tokio::task::Id, UnderWay> = HashMap::new();
        loop {
            while running.len() < self.jobs
                && let Some(case) = waiting.next()
            {
                if let Some((id, unclaimed)) = self.start(&case, &mut running, reports, on_event) {
                    under_way.insert(id, UnderWay { case, unclaimed });
                }
            }
            let Some(ended) = running.join_next_with_id().await else {
                break;
            };
            let (id, report) = match ended {
                Ok((id, report)) => (id, Ok(report)),
                Err(error) => (error.id(), Err(error)),
            };
            if let Some(case) = under_way.remove(&id) {
                self.note(case.came_to(report), reports, on_event);
            }
        }
    }

    /// Starts a case, or notes why it is not run.
    fn start(
        &mut self,
        case: &Case,
        running: &mut JoinSet<CaseReport>,
        reports: &mut Vec<CaseReport>,
        on_event: &mut impl FnMut(&RunEvent),
    ) -> Option<(tokio::task::Id, Option<String>)> {
        let plan = plan(case, self.target, &self.options.skips, self.options.try_unclaimed);
        let unclaimed = match plan {
            Plan::Leave(outcome, reason) => {
                self.note(CaseReport::not_run(case, outcome, reason), reports, on_event);
                return None;
            }
            // What is not claimed stays so: it is no error, and nobody has left it out.
            Plan::Try(reason) if self.options.stop.is_cancelled() || self.stopped => {
                self.note(
                    CaseReport::not_run(case, Outcome::NotClaimed, reason),
                    reports,
                    on_event,
                );
                return None;
            }
            Plan::Run if self.options.stop.is_cancelled() => {
                let report = CaseReport::not_run(case, Outcome::Error, INTERRUPTED.to_owned());
                self.note(report, reports, on_event);
                return None;
            }
            Plan::Run if self.stopped => {
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
        let task = running.spawn(async move { attempt(&case, &target, watches.as_deref(), &course).await });
        Some((task.id(), unclaimed))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;
    use crate::scenario::{Front, Scenario};

    #[tokio::test]
    async fn a_panic_of_what_is_not_claimed_counts_for_nothing() {
        let text = "id: a\ntitle: A claim\nrequirements: [TIME-01]\nvia: [e2b]\nsteps:\n  - create: {}\n";
        let scenario = Scenario::parse("a.yaml", text, &Catalogue::load().unwrap()).unwrap();
        let case = Case {
            id: "a".to_owned(),
            scenario: Arc::new(scenario),
            front: Front::E2b,
        };
        for (unclaimed, result, tried) in [
            (None, Outcome::Error, None),
            (Some("it lacks it"), Outcome::NotClaimed, Some(Outcome::Error)),
        ] {
            let under_way = UnderWay {
                case: case.clone(),
                unclaimed: unclaimed.map(str::to_owned),
            };
            let broken = tokio::spawn(async { panic!("broken") }).await;
            let report = under_way.came_to(broken);
            assert_eq!((report.result, report.tried), (result, tried));
        }
    }
}
