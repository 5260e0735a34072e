//! What steps and conditions take of a profile: words that not every dialect has a spelling of.

use std::collections::BTreeSet;

use super::{Condition, ConditionKind, Create, Front, Step, TimerName, WishName};

/// A word of scenarios that a profile may leave unsaid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Word {
    /// Where the Pod template of a sandbox is.
    PodTemplate,
    /// What a sandbox has that is created paused.
    CreatedPaused,
    /// What a custom resource has that asks for a pause.
    Asked,
    /// Where it says why it is not as asked.
    Explained,
    /// The condition that context was lost.
    ContextLost,
    /// Where the status names its Pod.
    PodIdentity,
    /// Where a timer is.
    Timer(TimerName),
    /// How a pause or a resume is asked for by the custom resource.
    Wish(WishName),
}

/// Every word that steps take through a front.
pub(crate) fn words(steps: &[Step], front: Front) -> BTreeSet<Word> {
    steps.iter().flat_map(|step| of_step(step, front)).collect()
}

fn of_step(step: &Step, front: Front) -> Vec<Word> {
    match step {
        Step::Create(create) => of_create(create, front),
        Step::Pause(pause) => of_wish(pause.through.unwrap_or(front), WishName::Paused),
        Step::Resume(resume) => of_wish(resume.through.unwrap_or(front), WishName::Running),
        Step::Ask(ask) => vec![Word::Wish(ask.wish)],
        Step::PatchTemplate(_) => vec![Word::PodTemplate],
        Step::SetTimer(timer) => vec![Word::Timer(timer.of)],
        Step::Wait(wait) => wait.until.iter().filter_map(of_condition).collect(),
        Step::Expect(conditions) => conditions.iter().filter_map(of_condition).collect(),
        Step::Observe(observe) => observe.holds.iter().filter_map(of_condition).collect(),
        Step::Repeat(repeat) => words(&repeat.steps, front).into_iter().collect(),
        Step::Race(race) => race.branches.iter().flat_map(|branch| words(branch, front)).collect(),
        Step::Delete(_)
        | Step::Connect(_)
        | Step::SetTimeout(_)
        | Step::Patch(_)
        | Step::DeleteNamespace(_)
        | Step::CreateObject(_)
        | Step::DeleteObject(_)
        | Step::FindNode(_)
        | Step::PatchPod(_)
        | Step::DeletePod(_)
        | Step::DamageStorage(_)
        | Step::RepairStorage(_)
        | Step::ProbeWrite(_)
        | Step::ProbeRead(_)
        | Step::CrashController(_)
        | Step::ElectLeader(_)
        | Step::CutLeaderOff(_)
        | Step::Reconnect(_)
        | Step::ApiFault(_)
        | Step::RefuseRemovals(_)
        | Step::EndFaults(_)
        | Step::Run(_)
        | Step::HangUp(_)
        | Step::HungUp(_)
        | Step::Command(_)
        | Step::Work(_)
        | Step::Recall(_)
        | Step::WriteFile(_)
        | Step::ReadFile(_)
        | Step::ListFiles(_)
        | Step::StatFile(_)
        | Step::DeleteFile(_)
        | Step::Http(_)
        | Step::Remember(_)
        | Step::Mark(_)
        | Step::MarkSeries(_) => Vec::new(),
    }
}

fn of_wish(through: Front, wish: WishName) -> Vec<Word> {
    match through {
        Front::Kubernetes => vec![Word::Wish(wish)],
        Front::E2b => Vec::new(),
    }
}

/// What is said of a sandbox that E2B makes, no dialect spells.
fn of_create(create: &Create, front: Front) -> Vec<Word> {
    match create.through.unwrap_or(front) {
        Front::E2b => Vec::new(),
        Front::Kubernetes => {
            let templated = create.pod.is_some() || !create.command.is_empty() || !create.env.is_empty();
            let taken = [
                (templated, Word::PodTemplate),
                (create.paused, Word::CreatedPaused),
                (create.pause_time.is_some(), Word::Timer(TimerName::Pause)),
            ];
            taken
                .into_iter()
                .filter_map(|(taken, word)| taken.then_some(word))
                .collect()
        }
    }
}

fn of_condition(condition: &Condition) -> Option<Word> {
    match condition {
        Condition::Asked(_) => Some(Word::Asked),
        Condition::Explained(_) => Some(Word::Explained),
        Condition::PodIdentity(_) => Some(Word::PodIdentity),
        Condition::Condition(truth) => match truth.kind {
            ConditionKind::ContextLost => Some(Word::ContextLost),
            ConditionKind::Ready | ConditionKind::Paused | ConditionKind::Resumed => None,
        },
        Condition::Phase(_)
        | Condition::Field(_)
        | Condition::Pods(_)
        | Condition::Scheduled(_)
        | Condition::Terminating(_)
        | Condition::Gone(_)
        | Condition::NothingLeft(_)
        | Condition::SdkState(_)
        | Condition::Listed(_)
        | Condition::Metric(_)
        | Condition::Series(_)
        | Condition::Storage(_)
        | Condition::Unchanged(_)
        | Condition::Event(_)
        | Condition::Logs(_)
        | Condition::Compare(_)
        | Condition::EndsIn(_)
        | Condition::Crashes(_)
        | Condition::Handovers(_)
        | Condition::Columns(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;
    use crate::scenario::Scenario;

    fn words_of(steps: &str, front: Front) -> Vec<Word> {
        let head = "id: a\ntitle: A claim\nrequirements: [CTX-05]\nneeds: [e2b, kubernetes, pause-time]\n";
        let text = format!("{head}via: [{}]\nsteps:\n{steps}", front.as_str());
        let scenario = Scenario::parse("a.yaml", &text, &Catalogue::load().unwrap());
        let scenario = scenario.unwrap_or_else(|errors| panic!("{errors:?}"));
        words(&scenario.steps, front).into_iter().collect()
    }

    #[test]
    fn what_goes_through_e2b_takes_no_word_of_a_dialect() {
        let steps = "  - create: {env: {A: b}}\n  - pause: {}\n  - resume: {}\n";
        assert_eq!(words_of(steps, Front::E2b), []);
        let taken = [
            Word::PodTemplate,
            Word::Wish(WishName::Paused),
            Word::Wish(WishName::Running),
        ];
        assert_eq!(words_of(steps, Front::Kubernetes), taken);
    }

    #[test]
    fn words_are_found_however_deep_they_stand() {
        let steps = "
  - create: {paused: true, pause-time: \"${now}\"}
  - repeat:
      times: 2
      steps:
        - race:
            branches:
              - - ask: {for: running}
              - - expect:
                    - asked: {is: paused}
                    - condition: {kind: context-lost, is: holds}
                    - condition: {kind: ready, is: holds}
";
        let taken = [
            Word::CreatedPaused,
            Word::Asked,
            Word::ContextLost,
            Word::Timer(TimerName::Pause),
            Word::Wish(WishName::Running),
        ];
        assert_eq!(words_of(steps, Front::Kubernetes), taken);
    }
}
