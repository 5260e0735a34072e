//! One case from its first watch to its clean-up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::clean_up::{clean_up, settle};
use super::own::{Own, keep_only};
use super::plan::{Plan, plan};
use super::steps::{self, StepFault};
use super::world::{Course, World};
use crate::capability::Capability;
use crate::history::{Listening, Watches};
use crate::laboratory::FaultControls;
use crate::namespace::OwnNamespace;
use crate::oracle::{self, JUDGED, Violation};
use crate::probe::{Cluster, Fault, Http, HttpError, Way};
use crate::pulse::{Late, Pulse};
use crate::report::{CaseReport, Outcome};
use crate::scenario::{Scenario, Variables};
use crate::suite::Case;
use crate::target::{KubernetesTarget, Target};

/// The label of cases that wait for times that the target was told.
const TIMERS: &str = "timers";

/// Runs one case against a target. Cleans up also after a failure.
pub async fn run_one(case: &Case, target: &Arc<Target>) -> CaseReport {
    one(case, target, Pulse::start()).await
}

/// Runs one case that is meant to fail: its limits hold by the clock, also on a machine that is too busy for the suite.
/// Waiting longer for what does not come proves no more.
pub async fn run_one_by_the_clock(case: &Case, target: &Arc<Target>) -> CaseReport {
    one(case, target, Pulse::still()).await
}

async fn one(case: &Case, target: &Arc<Target>, pulse: Pulse) -> CaseReport {
    match plan(case, target, &[], false) {
        Plan::Run => {
            let watches = watches_of(target).await;
            let course = Course {
                stop: CancellationToken::new(),
                pulse,
            };
            Box::pin(attempt(case, target, watches.as_ref(), &course)).await
        }
        Plan::Try(reason) => CaseReport::not_run(case, Outcome::NotClaimed, reason),
        Plan::Leave(outcome, reason) => CaseReport::not_run(case, outcome, reason),
    }
}

/// Runs one case, whatever the target claims. After `stop` it does no further step, and cleans up.
pub(super) async fn attempt(
    case: &Case,
    target: &Arc<Target>,
    watches: Option<&Watches>,
    course: &Course,
) -> CaseReport {
    if case.scenario.own_namespace {
        return Box::pin(attempt_alone(case, target, course)).await;
    }
    let laboratory = target.laboratory.as_ref();
    let Some(laboratory) = laboratory.filter(|_| case.scenario.needs.contains(&Capability::Faults)) else {
        return attempt_on(case, target, watches, None, course).await;
    };
    match laboratory.open().await {
        Ok(bench) => {
            let watches = watches_of(&bench.target).await;
            attempt_on(
                case,
                &Arc::new(bench.target),
                watches.as_ref(),
                Some(bench.faults),
                course,
            )
            .await
        }
        Err(why) => CaseReport::not_run(case, Outcome::Error, format!("start an instance for it: {why}")),
    }
}

/// Runs one case in a namespace that is made for it, and goes with it.
async fn attempt_alone(case: &Case, target: &Arc<Target>, course: &Course) -> CaseReport {
    let failed = |why: &str| CaseReport::not_run(case, Outcome::Error, format!("make a namespace for it: {why}"));
    let (Some(kubernetes), Ok(dialect)) = (&target.kubernetes, target.profile.dialect()) else {
        return failed("the target has no custom resources");
    };
    let namespace = match OwnNamespace::create(&kubernetes.client).await {
        Ok(namespace) => namespace,
        Err(error) => return failed(&error.to_string()),
    };
    let mut own = (**target).clone();
    own.kubernetes = Some(KubernetesTarget {
        namespace: namespace.name().to_owned(),
        ..kubernetes.clone()
    });
    let watches = watches_of(&own).await;
    let mut report = attempt_on(case, &Arc::new(own), watches.as_ref(), None, course).await;
    let left = namespace.leave(dialect, target.limits().delete.duration()).await;
    report.leftovers.extend(left);
    report
}

async fn attempt_on(
    case: &Case,
    target: &Arc<Target>,
    watches: Option<&Watches>,
    faults: Option<FaultControls>,
    course: &Course,
) -> CaseReport {
    let start = Instant::now();
    let http = match http_client(&case.id, target) {
        Ok(http) => http,
        Err(error) => return CaseReport::not_run(case, Outcome::Error, format!("make an HTTP client: {error}")),
    };
    let world = World::new(Arc::clone(target), case, http, course).with_faults(faults);
    // Everything that oracles judge is noted before the first step is done.
    let listening: Option<Listening> = watches.map(|watches| watches.listen(world.journal.clone()));
    let whole = world.pulse.deadline(Duration::MAX);
    let outcome = limited(&world, case).await;
    let outcome = outcome.map_err(|fault| if_punctual(fault, &case.scenario, whole.late()));
    if world.fault_controls().is_ok() {
        // What cannot be ended goes with the instance.
        let _ = world.end_faults().await;
    }
    let leftovers = clean_up(&world).await;
    if listening.is_some() && leftovers.is_empty() {
        settle(&world).await;
    }
    drop(listening);
    let seconds = start.elapsed().as_secs_f64();
    conclude(case, &world, outcome, leftovers, seconds)
}

/// Who looks at the target's own logs sees which case a request belongs to. A target on this
/// machine is spoken to directly, whatever proxy the environment names.
pub(super) fn http_client(case: &str, target: &Target) -> Result<Http, HttpError> {
    let agent = format!("torpor-conformance/{} {case}", env!("CARGO_PKG_VERSION"));
    let way = if target.is_local() {
        Way::Direct
    } else {
        Way::ByEnvironment
    };
    Http::new(agent, way, &target.authorities)
}

/// Starts to watch everything that oracles judge, where there is a cluster.
pub(super) async fn watches_of(target: &Target) -> Option<Watches> {
    let (kubernetes, dialect) = target.kubernetes.as_ref().zip(target.profile.kubernetes.as_ref())?;
    Some(Watches::start(Cluster::watched(kubernetes, dialect), &dialect.kind).await)
}

async fn limited(world: &World, case: &Case) -> Result<(), StepFault> {
    let limit = world.target.limits().of_case(case.scenario.timeout);
    let steps = steps::all(world, &case.scenario.steps, String::new(), Variables::new());
    let ended = world.pulse.deadline(limit).within(steps).await;
    ended.unwrap_or_else(|late| {
        Err(StepFault {
            path: "timeout".to_owned(),
            fault: late.fault(|within| format!("the case did not end {within}")),
        })
    })
}

/// What a broken claim about times is worth: nothing, if the suite was not there at the time.
fn if_punctual(fault: StepFault, scenario: &Scenario, late: Late) -> StepFault {
    let timed = scenario.labels.iter().any(|label| label == TIMERS);
    match fault.fault {
        Fault::Claim(why) if timed && late.mostly_held_up() => StepFault {
            fault: Fault::Harness(format!(
                "{why}; the suite was held up for most of the case, which asks it to be in time: its machine is too busy to tell"
            )),
            ..fault
        },
        Fault::Claim(_) | Fault::Harness(_) | Fault::Untestable(_) => fault,
    }
}

fn conclude(
    case: &Case,
    world: &World,
    outcome: Result<(), StepFault>,
    leftovers: Vec<String>,
    seconds: f64,
) -> CaseReport {
    let names = world.own_names();
    let mut history = world.journal.history();
    let violations = match world.dialect() {
        Ok(dialect) => {
            keep_only(&mut history, &Own::of(world, dialect));
            let mut found = oracle::judge(&history, &names, dialect);
            let called = world.names_by_alias();
            found.extend(oracle::judge_claims(&history, &case.scenario, &called, dialect));
            found
        }
        Err(_) => Vec::new(),
    };
    let gap = history.gap().map(|gap| format!("the record has a gap: {gap}"));
    let judged = world.has_cluster() && gap.is_none() && !names.is_empty();
    let (outcome, reason, step) = verdict(outcome, &violations, gap);
    if outcome != Outcome::Pass {
        world.journal.hide_secrets_in(&mut history);
        history.redact();
    }
    CaseReport {
        id: case.id.clone(),
        title: case.scenario.title.clone(),
        requirements: case.scenario.requirements.clone(),
        labels: case.scenario.labels.clone(),
        counts_from: case.scenario.provisional(),
        judged: if judged {
            JUDGED.map(str::to_owned).to_vec()
        } else {
            Vec::new()
        },
        result: outcome,
        reason: reason.map(|reason| world.journal.redact(&reason)),
        step,
        violations,
        leftovers,
        seconds,
        history,
        rounds: Vec::new(),
        tried: None,
    }
}

fn verdict(
    outcome: Result<(), StepFault>,
    violations: &[Violation],
    gap: Option<String>,
) -> (Outcome, Option<String>, Option<String>) {
    match (outcome, violations.first(), gap) {
        (
            Err(StepFault {
                path,
                fault: Fault::Claim(why),
            }),
            _,
            _,
        ) => (Outcome::Fail, Some(why), Some(path)),
        (_, Some(first), _) => (
            Outcome::Fail,
            Some(format!("{}: {}", first.requirement, first.message)),
            None,
        ),
        (
            Err(StepFault {
                path,
                fault: Fault::Harness(why),
            }),
            None,
            _,
        ) => (Outcome::Error, Some(why), Some(path)),
        (
            Err(StepFault {
                path,
                fault: Fault::Untestable(why),
            }),
            None,
            _,
        ) => (Outcome::Untestable, Some(why), Some(path)),
        (Ok(()), None, Some(gap)) => (Outcome::Error, Some(gap), None),
        (Ok(()), None, None) => (Outcome::Pass, None, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;

    fn scenario(label: &str) -> Scenario {
        let text = format!(
            "id: a\ntitle: A claim\nrequirements: [TIME-01]\nlabels: [{label}]\nvia: [e2b]\nsteps:\n  - create: {{}}\n"
        );
        Scenario::parse("a.yaml", &text, &Catalogue::load().unwrap()).unwrap()
    }

    #[test]
    fn a_claim_about_times_is_not_judged_by_a_suite_that_was_not_there() {
        let seconds = Duration::from_secs;
        for (label, held_up, blamed) in [("timers", 1, true), ("timers", 9, false), ("smoke", 9, true)] {
            let fault = StepFault {
                path: "1".to_owned(),
                fault: Fault::Claim("it is gone".to_owned()),
            };
            let late = Late::of(seconds(60), seconds(10), seconds(held_up));
            let found = if_punctual(fault, &scenario(label), late).fault;
            assert_eq!(matches!(found, Fault::Claim(_)), blamed, "{label} {held_up}");
        }
    }
}
