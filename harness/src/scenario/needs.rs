//! What steps and conditions take of a target.

use super::{Condition, Create, Front, MarkOf, Source, Step, TimerName, Work};
use crate::capability::Capability;

/// Every key that takes a capability, with that capability.
pub(super) fn of(steps: &[Step], front: Front) -> Vec<(&'static str, Capability)> {
    steps.iter().flat_map(|step| of_step(step, front)).collect()
}

fn of_step(step: &Step, front: Front) -> Vec<(&'static str, Capability)> {
    let through = |named: Option<Front>| vec![(step.key(), named.unwrap_or(front).capability())];
    match step {
        Step::Create(create) => through(create.through).into_iter().chain(of_create(create)).collect(),
        Step::Pause(pause) => through(pause.through),
        Step::Resume(resume) => through(resume.through),
        Step::Delete(delete) => through(delete.through),
        Step::Connect(_)
        | Step::SetTimeout(_)
        | Step::Run(_)
        | Step::HangUp(_)
        | Step::HungUp(_)
        | Step::WriteFile(_)
        | Step::ReadFile(_)
        | Step::ListFiles(_)
        | Step::StatFile(_)
        | Step::DeleteFile(_)
        | Step::Http(_) => vec![(step.key(), Capability::E2b)],
        Step::Work(work) => of_work(work),
        // It takes what the `work` before it takes.
        Step::Recall(_) => Vec::new(),
        Step::Command(_) => vec![(step.key(), Capability::E2b), (step.key(), Capability::Commands)],
        Step::SetTimer(timer) => vec![(step.key(), Capability::Kubernetes), (step.key(), timer_of(timer.of))],
        Step::Ask(_)
        | Step::PatchTemplate(_)
        | Step::Patch(_)
        | Step::CreateObject(_)
        | Step::DeleteObject(_)
        | Step::PatchPod(_)
        | Step::DeletePod(_) => vec![(step.key(), Capability::Kubernetes)],
        Step::DamageStorage(_) | Step::RepairStorage(_) => vec![(step.key(), Capability::StorageWrite)],
        Step::ProbeWrite(_) | Step::ProbeRead(_) => vec![(step.key(), Capability::Probe)],
        Step::CrashController(_)
        | Step::ElectLeader(_)
        | Step::CutLeaderOff(_)
        | Step::Reconnect(_)
        | Step::ApiFault(_)
        | Step::RefuseRemovals(_)
        | Step::EndFaults(_) => vec![(step.key(), Capability::Faults)],
        Step::FindNode(_) => vec![(step.key(), Capability::Nodes)],
        Step::DeleteNamespace(_) => vec![(step.key(), Capability::Namespaces)],
        Step::Remember(remember) => of_source(&remember.value).into_iter().collect(),
        Step::Mark(mark) => vec![("mark", of_mark(mark.of))],
        Step::MarkSeries(_) => vec![(step.key(), Capability::ControllerMetrics)],
        Step::Wait(wait) => wait.until.iter().filter_map(of_condition).collect(),
        Step::Expect(conditions) => conditions.iter().filter_map(of_condition).collect(),
        Step::Observe(observe) => observe.holds.iter().filter_map(of_condition).collect(),
        Step::Repeat(repeat) => of(&repeat.steps, front),
        Step::Race(race) => race.branches.iter().flat_map(|branch| of(branch, front)).collect(),
    }
}

fn of_work(work: &Work) -> Vec<(&'static str, Capability)> {
    let needs = work.canaries.iter().flat_map(|canary| canary.needs());
    needs.map(|capability| ("work", *capability)).collect()
}

const fn of_mark(of: MarkOf) -> Capability {
    match of {
        MarkOf::Resource | MarkOf::Columns | MarkOf::Pod => Capability::Kubernetes,
        MarkOf::E2b => Capability::E2b,
    }
}

const fn of_source(source: &Source) -> Option<(&'static str, Capability)> {
    match source {
        Source::Counter(_) => Some(("counter", Capability::Kubernetes)),
        Source::Metric(_) => Some(("metric", Capability::Metrics)),
        Source::EndAt(_) => Some(("end-at", Capability::E2b)),
        Source::Text(_) => None,
    }
}

fn of_create(create: &Create) -> Option<(&'static str, Capability)> {
    let timed = create.pause_time.as_ref();
    timed.map(|_| ("pause-time", Capability::PauseTime))
}

const fn timer_of(timer: TimerName) -> Capability {
    match timer {
        TimerName::Pause => Capability::PauseTime,
        TimerName::Shutdown => Capability::ShutdownTime,
    }
}

const fn of_condition(condition: &Condition) -> Option<(&'static str, Capability)> {
    match condition {
        Condition::Phase(_) => Some(("phase", Capability::Kubernetes)),
        Condition::Condition(_) => Some(("condition", Capability::Kubernetes)),
        Condition::Asked(_) => Some(("asked", Capability::Kubernetes)),
        Condition::Explained(_) => Some(("explained", Capability::Kubernetes)),
        Condition::Field(_) => Some(("field", Capability::Kubernetes)),
        Condition::Pods(_) => Some(("pods", Capability::Kubernetes)),
        Condition::Scheduled(_) => Some(("scheduled", Capability::Kubernetes)),
        Condition::Terminating(_) => Some(("terminating", Capability::Kubernetes)),
        Condition::PodIdentity(_) => Some(("pod-identity", Capability::PodIdentity)),
        Condition::SdkState(_) => Some(("sdk-state", Capability::E2b)),
        Condition::Listed(_) => Some(("listed", Capability::E2b)),
        Condition::EndsIn(_) => Some(("ends-in", Capability::E2b)),
        Condition::NothingLeft(_) => Some(("nothing-left", Capability::Kubernetes)),
        Condition::Handovers(_) => Some(("handovers", Capability::Faults)),
        Condition::Crashes(_) => Some(("crashes", Capability::Faults)),
        Condition::Metric(_) => Some(("metric", Capability::Metrics)),
        Condition::Series(_) => Some(("series", Capability::ControllerMetrics)),
        Condition::Storage(_) => Some(("storage", Capability::Storage)),
        Condition::Event(_) => Some(("event", Capability::Events)),
        Condition::Logs(_) => Some(("logs", Capability::Program)),
        Condition::Gone(_) | Condition::Unchanged(_) | Condition::Compare(_) | Condition::Columns(_) => None,
    }
}
