//! Every judge passes a good history and catches a broken one.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::history::{Change, Entry, Watched};
use crate::profile::Profile;

#[derive(Default)]
struct Story(Vec<Entry>);

impl Story {
    fn add(mut self, object: Watched, deleted: bool, revision: u64, mut state: Value) -> Self {
        state["metadata"]["resourceVersion"] = json!(revision.to_string());
        let what = Occurrence::Change(Change {
            object,
            deleted,
            state: state.into(),
        });
        self.0.push(Entry {
            at: Timestamp::UNIX_EPOCH,
            what,
        });
        self
    }

    fn sandbox(self, revision: u64, phase: &str, conditions: &Value) -> Self {
        self.add(Watched::Sandbox, false, revision, sandbox(phase, conditions))
    }

    fn pod(self, revision: u64, uid: &str, dying: bool) -> Self {
        self.add(Watched::Pod, false, revision, pod(uid, dying))
    }

    fn no_pod(self, revision: u64, uid: &str) -> Self {
        self.add(Watched::Pod, true, revision, pod(uid, true))
    }

    fn step_deletes_pod(self, name: &str) -> Self {
        self.step_deletes(&format!("pods/{name}"))
    }

    fn step_deletes(mut self, path: &str) -> Self {
        let what = Occurrence::Request {
            method: "DELETE".to_owned(),
            path: path.to_owned(),
            status: 200,
            millis: 1,
        };
        self.0.push(Entry {
            at: Timestamp::UNIX_EPOCH,
            what,
        });
        self
    }

    fn verdict(self) -> Vec<std::borrow::Cow<'static, str>> {
        let history = History { entries: self.0 };
        let profile = Profile::built_in("kruise").unwrap();
        judge(&history, &["a".to_owned()], profile.dialect().unwrap())
            .into_iter()
            .map(|violation| violation.requirement)
            .collect()
    }
}

fn sandbox(phase: &str, conditions: &Value) -> Value {
    json!({
        "metadata": {"name": "a", "uid": "s1", "generation": 2},
        "status": {"phase": phase, "observedGeneration": 2, "conditions": conditions},
    })
}

fn pod(uid: &str, dying: bool) -> Value {
    let mut pod = json!({
        "metadata": {
            "name": uid, "uid": uid,
            "ownerReferences": [{"kind": "Sandbox", "name": "a", "uid": "s1", "controller": true}],
        },
        "status": {"phase": "Running"},
    });
    if dying {
        pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    }
    pod
}

fn condition(kind: &str, status: &str, time: u32) -> Value {
    json!({"type": kind, "status": status, "observedGeneration": 2, "lastTransitionTime": time.to_string()})
}

fn ready(status: &str, time: u32) -> Value {
    json!([condition("Ready", status, time)])
}

fn paused() -> Value {
    json!([condition("Ready", "False", 2), condition("SandboxPaused", "True", 3)])
}

fn pause() -> Story {
    Story::default()
        .pod(1, "p1", false)
        .sandbox(2, "Running", &ready("True", 1))
        .sandbox(3, "Pausing", &ready("False", 2))
        .pod(4, "p1", true)
}

#[test]
fn a_clean_pause_and_resume_has_no_violation() {
    let verdict = pause()
        .no_pod(5, "p1")
        .sandbox(6, "Paused", &paused())
        .sandbox(7, "Resuming", &ready("False", 2))
        .pod(8, "p2", false)
        .sandbox(9, "Running", &ready("True", 4))
        .verdict();
    assert_eq!(verdict, Vec::<&str>::new());
}

#[test]
fn paused_while_the_pod_is_still_terminating_is_caught() {
    assert_eq!(
        pause().sandbox(5, "Paused", &paused()).no_pod(6, "p1").verdict(),
        ["ZERO-05"]
    );
}

#[test]
fn the_order_is_that_of_the_revisions_and_not_of_arrival() {
    assert_eq!(
        pause().sandbox(6, "Paused", &paused()).no_pod(5, "p1").verdict(),
        Vec::<&str>::new()
    );
}

#[test]
fn the_paused_condition_alone_is_a_report_too() {
    assert_eq!(
        pause().sandbox(5, "Pausing", &paused()).no_pod(6, "p1").verdict(),
        ["ZERO-05"]
    );
}

#[test]
fn a_pod_that_comes_up_during_the_pause_is_caught() {
    let verdict = pause()
        .no_pod(5, "p1")
        .sandbox(6, "Paused", &paused())
        .pod(7, "p2", false)
        .verdict();
    assert_eq!(verdict, ["ZERO-05"]);
}

#[test]
fn a_pod_of_somebody_else_is_not_counted() {
    let mut foreign = pod("p9", false);
    foreign["metadata"]["ownerReferences"] = json!([]);
    let verdict = pause()
        .no_pod(5, "p1")
        .sandbox(6, "Paused", &paused())
        .add(Watched::Pod, false, 7, foreign)
        .verdict();
    assert_eq!(verdict, Vec::<&str>::new());
}

#[test]
fn two_live_pods_are_caught_and_an_ended_one_is_not_counted() {
    let start = || {
        Story::default()
            .sandbox(1, "Running", &ready("True", 1))
            .pod(2, "p1", false)
    };
    assert_eq!(start().pod(3, "p2", false).verdict(), ["FSM-04"]);
    let mut ended = pod("p1", false);
    ended["status"]["phase"] = json!("Failed");
    assert_eq!(
        start().add(Watched::Pod, false, 3, ended).pod(4, "p2", false).verdict(),
        Vec::<&str>::new()
    );
}

#[test]
fn ready_on_a_dying_pod_is_caught() {
    let verdict = Story::default()
        .sandbox(1, "Running", &ready("True", 1))
        .pod(2, "p1", true)
        .verdict();
    assert_eq!(verdict, ["FSM-05"]);
}

#[test]
fn a_pod_that_a_step_deletes_may_be_ready_in_the_report_that_was_under_way_and_no_longer() {
    let deleted = || {
        Story::default()
            .sandbox(1, "Running", &ready("True", 1))
            .step_deletes_pod("p1")
            .pod(2, "p1", true)
    };
    assert_eq!(
        deleted().sandbox(3, "Failed", &ready("False", 2)).verdict(),
        Vec::<&str>::new()
    );
    let under_way = || deleted().sandbox(3, "Pending", &ready("True", 1));
    assert_eq!(
        under_way().sandbox(4, "Failed", &ready("False", 2)).verdict(),
        Vec::<&str>::new()
    );
    // What others write is no report.
    let edited = || under_way().sandbox(4, "Pending", &ready("True", 1));
    assert_eq!(
        edited().sandbox(5, "Failed", &ready("False", 2)).verdict(),
        Vec::<&str>::new()
    );
    assert_eq!(
        under_way().sandbox(4, "Running", &ready("True", 1)).verdict(),
        ["FSM-05"]
    );
}

#[test]
fn what_the_api_server_deletes_with_its_owner_nobody_could_foresee() {
    let verdict = |deleted: &str| {
        let story = Story::default()
            .sandbox(1, "Running", &ready("True", 1))
            .pod(2, "p1", false)
            .step_deletes(deleted);
        story
            .pod(3, "p1", true)
            .sandbox(4, "Terminating", &ready("False", 2))
            .verdict()
    };
    for deleted in ["sandboxes/a?propagationPolicy=Foreground", "namespaces/torpor-1"] {
        assert_eq!(verdict(deleted), Vec::<&str>::new(), "{deleted}");
    }
    for other in ["sandboxes/a", "sandboxes/b?propagationPolicy=Foreground"] {
        assert_eq!(verdict(other), ["FSM-05"], "{other}");
    }
}

#[test]
fn a_missing_or_future_observed_generation_is_caught() {
    let mut missing = sandbox("Running", &json!([]));
    missing["status"]["observedGeneration"] = Value::Null;
    assert_eq!(
        Story::default().add(Watched::Sandbox, false, 1, missing).verdict(),
        ["FSM-01"]
    );
    let mut ahead = ready("True", 1);
    ahead[0]["observedGeneration"] = json!(3);
    assert_eq!(Story::default().sandbox(1, "Running", &ahead).verdict(), ["FSM-01"]);
}

#[test]
fn a_transition_time_that_moves_without_a_flip_is_caught() {
    let verdict = Story::default()
        .sandbox(1, "Running", &ready("True", 1))
        .sandbox(2, "Running", &ready("True", 2))
        .verdict();
    assert_eq!(verdict, ["FSM-01"]);
}

#[test]
fn a_pod_made_after_its_sandbox_is_gone_is_caught() {
    let gone = sandbox("Terminating", &json!([]));
    let start = Story::default()
        .pod(1, "p1", false)
        .add(Watched::Sandbox, true, 2, gone);
    assert_eq!(start.pod(3, "p2", false).verdict(), ["DEL-11"]);
}

#[test]
fn every_judge_names_a_requirement_of_the_contract() {
    let catalogue = crate::Catalogue::load().unwrap();
    assert!(JUDGED.iter().all(|id| catalogue.get(id).is_some()));
}

/// What is wrong with a pause and a resume, by the `history` of a scenario.
fn claimed(history: &str) -> Vec<String> {
    let story = pause()
        .no_pod(5, "p1")
        .sandbox(6, "Paused", &paused())
        .sandbox(7, "Resuming", &ready("False", 2))
        .pod(8, "p2", false)
        .sandbox(9, "Running", &ready("True", 4));
    let text = format!(
        "id: a\ntitle: A claim\nrequirements: [CTX-01]\nvia: [kubernetes]\nsteps:\n  - create: {{}}\nhistory:\n  - {history}\n"
    );
    let catalogue = crate::catalogue::Catalogue::load().unwrap();
    let scenario = Scenario::parse("a.yaml", &text, &catalogue).unwrap();
    let profile = Profile::built_in("kruise").unwrap();
    let names = BTreeMap::from([("sandbox".to_owned(), "a".to_owned())]);
    judge_claims(
        &History { entries: story.0 },
        &scenario,
        &names,
        profile.dialect().unwrap(),
    )
    .into_iter()
    .map(|violation| {
        format!(
            "{} at {}: {}",
            violation.requirement, violation.revision, violation.message
        )
    })
    .collect()
}

#[test]
fn a_history_is_as_the_scenario_claims() {
    for holds in [
        "phases: {in-order: [Running, Paused, Running]}",
        "phases: {in-order: [Running, Pausing, Paused, Resuming, Running]}",
        "pods-made: {at-most: 2}",
        "never: {phase: [Failed, Terminating]}",
        "never: {phase: [Paused], pods: 1}",
        "never: {phase: [Pausing], condition: {kind: ready, is: holds}}",
        "never: {pods: 2}",
        "comes-true: {kind: ready, at-most: 2}",
        "comes-true: {kind: paused, at-most: 1}",
    ] {
        assert_eq!(claimed(holds), Vec::<String>::new(), "{holds}");
    }
}

#[test]
fn what_a_history_lacks_or_never_may_hold_is_caught_at_its_revision() {
    for (broken, found) in [
        (
            "phases: {in-order: [Paused, Running, Paused]}",
            "CTX-01 at 9: a reported Running, Pausing, Paused, Resuming, Running where Paused, Running, Paused were to come \
             in this order: Paused is missing",
        ),
        (
            "pods-made: {at-most: 1}",
            "CTX-01 at 8: a had 2 Pods in turn, and may have 1 here",
        ),
        (
            "comes-true: {kind: ready, at-most: 1}",
            "CTX-01 at 9: Ready of a came to hold 2 times, and may come to 1 times here: it flapped",
        ),
        (
            "never: {phase: [Pausing], pods: 1}",
            "CTX-01 at 3: a reports Pausing and has 1 or more live Pods at a moment, which it never may here",
        ),
        (
            "never: {condition: {kind: ready, is: does-not-hold}}",
            "CTX-01 at 3: a says that Ready does not hold at a moment, which it never may here",
        ),
    ] {
        assert_eq!(claimed(broken), [found], "{broken}");
    }
}
