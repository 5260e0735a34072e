//! The whole table, written out, and what must hold in every row of it.

use super::*;

const OPERATIONS: [Operation; 7] = [
    Operation::Pause,
    Operation::Connect,
    Operation::Resume,
    Operation::SetTimeout,
    Operation::Refresh,
    Operation::Kill,
    Operation::Read,
];

fn states() -> [SandboxState; 9] {
    let reason = || "why".to_owned();
    [
        SandboxState::Starting,
        SandboxState::Serving,
        SandboxState::Pausing,
        SandboxState::Paused,
        SandboxState::Resuming,
        SandboxState::PauseRefused { reason: reason() },
        SandboxState::ResumeFailed { reason: reason() },
        SandboxState::Failed { reason: reason() },
        SandboxState::Terminating,
    ]
}

fn word(step: &Step) -> &'static str {
    match step {
        Step::Pause => "pause",
        Step::JoinPause => "join",
        Step::AwaitPauseEnd => "settle",
        Step::Resume => "resume",
        Step::AwaitServing => "await",
        Step::WithdrawPause => "withdraw",
        Step::Extend => "extend",
        Step::SetTimer => "set",
        Step::Delete => "delete",
        Step::Show => "show",
        Step::Refuse(Conflict::NotFound) => "404",
        Step::Refuse(Conflict::AlreadyPaused | Conflict::AlreadyRunning | Conflict::BeingPaused) => "409",
        Step::Refuse(Conflict::Broken(_)) => "500",
    }
}

#[test]
fn the_table_is_the_documented_one() {
    //       Starting Serving Pausing Paused Resuming PauseRefused ResumeFailed Failed Terminating
    let table = [
        [
            "await", "pause", "join", "409", "await", "withdraw", "pause", "500", "404",
        ],
        [
            "await", "extend", "settle", "resume", "await", "withdraw", "resume", "500", "404",
        ],
        [
            "await", "409", "settle", "resume", "await", "withdraw", "resume", "500", "404",
        ],
        ["set", "set", "409", "404", "set", "withdraw", "404", "set", "404"],
        [
            "extend", "extend", "409", "404", "extend", "withdraw", "404", "extend", "404",
        ],
        [
            "delete", "delete", "delete", "delete", "delete", "delete", "delete", "delete", "404",
        ],
        ["404", "show", "show", "show", "show", "show", "show", "404", "404"],
    ];
    for (operation, row) in OPERATIONS.into_iter().zip(table) {
        for (state, expected) in states().into_iter().zip(row) {
            assert_eq!(word(&decide(operation, &state)), expected, "{operation:?} on {state:?}");
        }
    }
}

#[test]
fn a_terminating_sandbox_is_not_found_by_any_call() {
    for operation in OPERATIONS {
        assert_eq!(
            decide(operation, &SandboxState::Terminating),
            Step::Refuse(Conflict::NotFound)
        );
    }
}

#[test]
fn only_pause_calls_pause_and_only_connect_and_resume_calls_resume() {
    for operation in OPERATIONS {
        for state in states() {
            let step = decide(operation, &state);
            assert!(
                step != Step::Pause || operation == Operation::Pause,
                "{operation:?} on {state:?}"
            );
            let wakes = matches!(operation, Operation::Connect | Operation::Resume);
            assert!(step != Step::Resume || wakes, "{operation:?} on {state:?}");
        }
    }
}

#[test]
fn a_sandbox_with_a_pod_is_never_shown_as_paused_once_it_is_to_run() {
    assert_eq!(visible(&SandboxState::Resuming), Some(Visible::Running));
    assert_eq!(
        visible(&SandboxState::PauseRefused { reason: String::new() }),
        Some(Visible::Running)
    );
}
