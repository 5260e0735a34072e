//! What deeds become.

use super::*;
use crate::catalogue::Catalogue;
use crate::scenario::Scenario;

fn deed(slot: u8, act: Act) -> Deed {
    Deed { slot, act }
}

fn steps(deeds: &[Deed]) -> Vec<String> {
    let text = scenario("sim-1", "One sequence", deeds);
    let catalogue = Catalogue::load().expect("the catalogue");
    let read = Scenario::parse("sim-1.yaml", &text, &catalogue).unwrap_or_else(|errors| panic!("{errors:?}\n{text}"));
    read.steps.iter().map(|step| step.key().to_owned()).collect()
}

#[test]
fn what_is_missing_for_a_deed_is_done_first() {
    let write = [deed(0, Act::Write)];
    assert_eq!(steps(&write), ["create", "run", "run", "delete", "wait"]);
    let senseless = [deed(0, Act::Delete { by_sdk: true }), deed(1, Act::Look)];
    assert_eq!(steps(&senseless), ["create", "run", "delete", "wait"]);
}

#[test]
fn a_resume_is_followed_by_a_look_at_all_that_was_acknowledged() {
    let deeds = [
        deed(0, Act::Create { auto_pause: false }),
        deed(0, Act::Write),
        deed(0, Act::WriteFile(1)),
        deed(0, Act::DeleteFile(1)),
        deed(0, Act::Toggle { by_sdk: false }),
        deed(0, Act::Toggle { by_sdk: true }),
    ];
    let expected = [
        "create",
        "run",
        "run",
        "write-file",
        "delete-file",
        "pause",
        "wait",
        "resume",
        "run",
        "read-file",
        "delete",
        "wait",
    ];
    assert_eq!(steps(&deeds), expected);
    let text = scenario("sim-1", "One sequence", &deeds);
    assert!(
        text.contains(r#"read-file: {missing: true, path: "/home/user/1.txt", sandbox: a}"#),
        "{text}"
    );
}

#[test]
fn every_sequence_is_a_scenario_that_can_be_read() {
    use proptest::strategy::{Strategy as _, ValueTree as _};
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..200 {
        let tree = super::super::deed::deeds(3, 30)
            .new_tree(&mut runner)
            .expect("a sequence");
        assert!(!steps(&tree.current()).is_empty());
    }
}

#[test]
fn the_model_keeps_what_a_timeout_does() {
    let pauses = [
        deed(0, Act::Create { auto_pause: true }),
        deed(0, Act::Timeout),
        deed(0, Act::Write),
    ];
    assert_eq!(
        steps(&pauses),
        [
            "create",
            "run",
            "set-timeout",
            "wait",
            "resume",
            "run",
            "run",
            "delete",
            "wait"
        ]
    );
    let deletes = [
        deed(0, Act::Create { auto_pause: false }),
        deed(0, Act::Timeout),
        deed(0, Act::Look),
    ];
    assert_eq!(steps(&deletes), ["create", "run", "set-timeout", "wait"]);
}

#[test]
fn of_every_other_sandbox_that_is_made_on_the_way_the_timeout_pauses() {
    let ended = |slot| scenario("sim-1", "One sequence", &[deed(slot, Act::Timeout)]);
    assert!(ended(0).contains("not-found") && !ended(0).contains("is: paused"));
    assert!(ended(1).contains("auto-pause: true") && ended(1).contains("is: paused"));
}

#[test]
fn a_crash_strikes_what_is_asked_for_next_and_only_a_sandbox_that_is_there() {
    let crash = Act::Crash { write: 2, after: true };
    let toggle = Act::Toggle { by_sdk: true };
    assert_eq!(steps(&[deed(0, crash)]), ["create", "run", "delete", "wait"]);
    let struck = [deed(0, Act::Write), deed(0, crash), deed(0, toggle)];
    let expected = [
        "create",
        "run",
        "run",
        "crash-controller",
        "pause",
        "wait",
        "resume",
        "run",
        "delete",
        "wait",
    ];
    assert_eq!(steps(&struck), expected);
    let text = scenario("sim-1", "One sequence", &struck);
    assert!(
        text.contains(r#"crash-controller: {moment: after, sandbox: a, write: "2"}"#),
        "{text}"
    );
    assert!(text.contains("FSM-09") && text.contains("faults"), "{text}");
}
