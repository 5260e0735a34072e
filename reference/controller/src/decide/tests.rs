use std::fmt::Write as _;

use super::*;

const GOALS: [Goal; 3] = [Goal::Running, Goal::Paused, Goal::Deleted];
const HISTORIES: [History; 3] = [History::New, History::Live, History::Kept];
const WORKLOADS: [Workload; 12] = [
    Workload::Absent,
    Workload::Foreign,
    Workload::Unready,
    Workload::Serving,
    Workload::Frozen(Seal::None),
    Workload::Frozen(Seal::Writing),
    Workload::Frozen(Seal::Sealed),
    Workload::Frozen(Seal::Failed),
    Workload::Silent,
    Workload::FailedToStart,
    Workload::Ended,
    Workload::Stopping,
];
const DUE: [Option<Due>; 3] = [None, Some(Due::Pause), Some(Due::Shutdown)];

fn every_world() -> Vec<Observed> {
    let mut worlds = Vec::new();
    for goal in GOALS {
        for history in HISTORIES {
            for workload in WORKLOADS {
                for bits in 0..16_u8 {
                    for due in DUE {
                        worlds.push(Observed {
                            goal,
                            history,
                            workload,
                            routed: bits & 1 != 0,
                            patience: if bits & 2 == 0 { Patience::Left } else { Patience::Spent },
                            guarded: bits & 4 == 0,
                            template_valid: bits & 8 == 0,
                            due,
                        });
                    }
                }
            }
        }
    }
    worlds
}

fn serving() -> Observed {
    Observed {
        goal: Goal::Running,
        history: History::Live,
        workload: Workload::Serving,
        routed: true,
        patience: Patience::Left,
        guarded: true,
        template_valid: true,
        due: None,
    }
}

/// A world in which every effect succeeds, and whatever takes time comes to its end.
fn step(mut world: Observed) -> Observed {
    use {Effect as E, Report as R, Workload as W};
    let Decision { report, effect, .. } = decide(world);
    world.routed = matches!(report, R::Running { .. }) || (report == R::AsIs && world.routed);
    match report {
        R::Running { .. } => world.history = History::Live,
        R::Sealed => world.history = History::Kept,
        // The failure is on record, and with it the goal changes until the spec does.
        R::PauseFailed => world.goal = Goal::Running,
        R::RestoreFailed => world.goal = Goal::Paused,
        R::AsIs
        | R::Starting
        | R::Pausing
        | R::Stopping
        | R::Paused
        | R::Resuming
        | R::TemplateInvalid
        | R::PodForeign
        | R::Failed(_)
        | R::Terminating => {}
    }
    match effect {
        Some(E::AddFinalizer) => world.guarded = true,
        Some(E::Release) => world.guarded = false,
        Some(E::StartFresh | E::StartFromCheckpoint) => world.workload = W::Unready,
        Some(E::Freeze) => world.workload = W::Frozen(Seal::None),
        Some(E::Checkpoint) => world.workload = W::Frozen(Seal::Sealed),
        Some(E::Thaw) => world.workload = W::Serving,
        Some(E::DeletePod) => world.workload = W::Stopping,
        Some(E::SetPaused) => (world.goal, world.due) = (Goal::Paused, None),
        Some(E::DeleteSandbox) => (world.goal, world.due) = (Goal::Deleted, None),
        None => match world.workload {
            W::Unready | W::Silent => world.workload = W::Serving,
            W::Stopping => world.workload = W::Absent,
            W::Absent | W::Foreign | W::Serving | W::Frozen(_) | W::FailedToStart | W::Ended => {}
        },
    }
    world
}

/// Every world from `from` to where nothing changes any more.
fn path(from: Observed) -> Vec<Observed> {
    let mut worlds = vec![from];
    loop {
        let last = worlds[worlds.len() - 1];
        let next = step(last);
        if next == last {
            return worlds;
        }
        assert!(worlds.len() < 24, "no rest after 24 steps: {worlds:#?}");
        worlds.push(next);
    }
}

fn settle(world: Observed) -> Observed {
    path(world).pop().expect("a path has a first world")
}

#[test]
fn every_effect_is_legal_where_it_is_asked_for() {
    use {Effect as E, Workload as W};
    for world in every_world() {
        let nothing_to_lose = world.history != History::Live;
        let legal = match decide(world).effect {
            None => true,
            Some(E::AddFinalizer) => !world.guarded && world.workload == W::Absent,
            Some(E::StartFresh) => world.workload == W::Absent && world.history == History::New && world.guarded,
            Some(E::StartFromCheckpoint) => {
                world.workload == W::Absent && world.history == History::Kept && world.guarded
            }
            Some(E::Freeze) => world.workload == W::Serving && world.goal == Goal::Paused,
            Some(E::Checkpoint) => {
                matches!(world.workload, W::Frozen(Seal::None | Seal::Writing)) && world.goal == Goal::Paused
            }
            Some(E::Thaw) => matches!(world.workload, W::Frozen(_)) && world.goal == Goal::Running,
            // A Pod that alone holds the context goes only with its sandbox.
            Some(E::DeletePod) => nothing_to_lose || world.goal == Goal::Deleted,
            Some(E::Release) => world.goal == Goal::Deleted && matches!(world.workload, W::Absent | W::Foreign),
            Some(E::SetPaused) => world.due == Some(Due::Pause) && world.goal == Goal::Running,
            Some(E::DeleteSandbox) => world.due == Some(Due::Shutdown) && world.goal != Goal::Deleted,
        };
        assert!(legal, "{:?} in {world:?}", decide(world).effect);
    }
}

#[test]
fn a_resting_phase_is_true_of_the_world() {
    for world in every_world() {
        let report = decide(world).report;
        match report {
            Report::Running { ready } => {
                assert_eq!(ready, world.workload == Workload::Serving, "{world:?}");
            }
            Report::Paused => {
                assert!(
                    matches!(world.workload, Workload::Absent | Workload::Foreign),
                    "{world:?}"
                );
                assert_ne!(world.history, History::Live, "{world:?}");
            }
            Report::Sealed => assert_eq!(world.workload, Workload::Frozen(Seal::Sealed), "{world:?}"),
            Report::AsIs
            | Report::Starting
            | Report::Pausing
            | Report::Stopping
            | Report::Resuming
            | Report::PauseFailed
            | Report::RestoreFailed
            | Report::TemplateInvalid
            | Report::PodForeign
            | Report::Failed(_)
            | Report::Terminating => {}
        }
    }
}

#[test]
fn a_foreign_pod_is_never_touched() {
    for world in every_world()
        .into_iter()
        .filter(|world| world.workload == Workload::Foreign)
    {
        let effect = decide(world).effect;
        let harmless = [
            None,
            Some(Effect::Release),
            Some(Effect::SetPaused),
            Some(Effect::DeleteSandbox),
        ];
        assert!(harmless.contains(&effect), "{effect:?} in {world:?}");
    }
}

#[test]
fn nothing_is_started_for_a_sandbox_that_is_being_deleted_or_paused() {
    for world in every_world().into_iter().filter(|world| world.goal != Goal::Running) {
        let effect = decide(world).effect;
        assert!(
            !matches!(effect, Some(Effect::StartFresh | Effect::StartFromCheckpoint)),
            "{world:?}"
        );
    }
}

#[test]
fn every_world_comes_to_rest() {
    for world in every_world() {
        settle(world);
    }
}

#[test]
fn a_live_workload_can_always_be_brought_back_to_running() {
    for world in every_world() {
        if matches!(world.workload, Workload::Serving | Workload::Frozen(_)) && world.goal != Goal::Deleted {
            let back = settle(Observed {
                goal: Goal::Running,
                due: None,
                guarded: true,
                template_valid: true,
                ..world
            });
            assert_eq!(decide(back).report, Report::Running { ready: true }, "{world:?}");
        }
    }
}

#[test]
fn what_is_reported_as_paused_can_be_resumed() {
    for world in every_world() {
        if decide(world).report == Report::Paused && world.workload == Workload::Absent {
            let resumed = settle(Observed {
                goal: Goal::Running,
                due: None,
                template_valid: true,
                ..world
            });
            assert_eq!(decide(resumed).report, Report::Running { ready: true }, "{world:?}");
        }
    }
}

#[test]
fn a_deleted_sandbox_ends_without_pod_and_without_finalizer() {
    for world in every_world() {
        let end = settle(Observed {
            goal: Goal::Deleted,
            ..world
        });
        assert!(
            matches!(end.workload, Workload::Absent | Workload::Foreign),
            "{world:?}"
        );
        assert!(!end.guarded, "{world:?}");
    }
}

#[test]
fn a_pause_called_off_at_any_step_ends_in_running() {
    for world in path(Observed {
        goal: Goal::Paused,
        ..serving()
    }) {
        let back = settle(Observed {
            goal: Goal::Running,
            ..world
        });
        assert_eq!(
            decide(back).report,
            Report::Running { ready: true },
            "called off at {world:?}"
        );
    }
}

#[test]
fn a_resume_called_off_at_any_step_ends_in_paused() {
    let paused = settle(Observed {
        goal: Goal::Paused,
        ..serving()
    });
    for world in path(Observed {
        goal: Goal::Running,
        ..paused
    }) {
        let back = settle(Observed {
            goal: Goal::Paused,
            ..world
        });
        assert_eq!(decide(back).report, Report::Paused, "called off at {world:?}");
    }
}

#[test]
fn a_workload_lost_before_the_seal_is_on_record_is_reported_lost() {
    for world in path(Observed {
        goal: Goal::Paused,
        ..serving()
    }) {
        for goal in [Goal::Paused, Goal::Running] {
            let lost = Observed {
                workload: Workload::Absent,
                goal,
                ..world
            };
            let expected = world.history == History::Live;
            assert_eq!(
                decide(lost).report == Report::Failed(Fault::StateLost),
                expected,
                "lost at {world:?}"
            );
        }
    }
}

#[test]
fn a_pause_that_is_refused_or_overdue_leaves_the_workload_serving() {
    for workload in [
        Workload::Serving,
        Workload::Frozen(Seal::None),
        Workload::Frozen(Seal::Writing),
    ] {
        let stuck = Observed {
            goal: Goal::Paused,
            workload,
            patience: Patience::Spent,
            ..serving()
        };
        assert_eq!(decide(stuck).report, Report::PauseFailed);
        let rest = settle(stuck);
        assert_eq!((rest.workload, rest.history), (Workload::Serving, History::Live));
    }
}

#[test]
fn a_failed_restore_ends_paused_with_its_checkpoint() {
    let failed = Observed {
        history: History::Kept,
        workload: Workload::FailedToStart,
        routed: false,
        ..serving()
    };
    assert_eq!(decide(failed).report, Report::RestoreFailed);
    let rest = settle(failed);
    assert_eq!((decide(rest).report, rest.history), (Report::Paused, History::Kept));
}

#[test]
fn the_reports_name_the_direction_of_travel() {
    use Report as R;
    let reports = |from| {
        let mut reports: Vec<_> = path(from).into_iter().map(|world| decide(world).report).collect();
        reports.dedup();
        reports
    };
    let running = R::Running { ready: true };
    let new = Observed {
        history: History::New,
        workload: Workload::Absent,
        routed: false,
        guarded: false,
        ..serving()
    };
    assert_eq!(reports(new), [R::Starting, running]);
    let pause = Observed {
        goal: Goal::Paused,
        ..serving()
    };
    assert_eq!(reports(pause), [R::Pausing, R::Sealed, R::Stopping, R::Paused]);
    assert_eq!(
        reports(Observed {
            goal: Goal::Running,
            ..settle(pause)
        }),
        [R::Resuming, running]
    );
}

/// The whole table, for a reader. Rewrite it with `UPDATE_TABLE=1`.
#[test]
fn the_table_is_as_reviewed() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/decide/table.txt");
    let table = table();
    if std::env::var_os("UPDATE_TABLE").is_some() {
        std::fs::write(path, &table).expect("the table is writable");
    }
    assert_eq!(table, std::fs::read_to_string(path).expect("the table is readable"));
}

/// One row for each goal, history and workload; more only where the decision depends on more.
fn table() -> String {
    let mut table =
        String::from("A timer that is due comes first: shutdownTime deletes, pauseTime sets spec.paused.\n\n");
    for goal in GOALS {
        for history in HISTORIES {
            for workload in WORKLOADS {
                let mut rows: Vec<(String, Decision)> = Vec::new();
                let same = |world: &Observed| (world.goal, world.history, world.workload) == (goal, history, workload);
                for world in every_world()
                    .into_iter()
                    .filter(|world| world.due.is_none() && same(world))
                {
                    rows.push((circumstances(world), decide(world)));
                }
                rows.sort_by(|left, right| left.0.cmp(&right.0));
                rows.dedup();
                for (circumstances, decision) in rows {
                    table.push_str(&row(goal, history, workload, &circumstances, decision));
                }
            }
        }
    }
    table
}

/// The further facts that the decision in this world depends on.
fn circumstances(world: Observed) -> String {
    let differs = |change: fn(&mut Observed)| {
        every_world().into_iter().any(|base| {
            let same = (base.goal, base.history, base.workload) == (world.goal, world.history, world.workload);
            let mut other = base;
            change(&mut other);
            same && base.due.is_none() && decide(base) != decide(other)
        })
    };
    let mut facts = Vec::new();
    if differs(|world| world.routed = !world.routed) {
        facts.push(if world.routed { "routed" } else { "not-routed" });
    }
    if differs(|world| world.patience = Patience::Spent) {
        facts.push(if world.patience == Patience::Left {
            "in-time"
        } else {
            "overdue"
        });
    }
    if differs(|world| world.template_valid = false) {
        facts.push(if world.template_valid {
            "template"
        } else {
            "bad-template"
        });
    }
    if differs(|world| world.guarded = false) {
        facts.push(if world.guarded { "guarded" } else { "unguarded" });
    }
    facts.join(",")
}

fn row(goal: Goal, history: History, workload: Workload, circumstances: &str, decision: Decision) -> String {
    let Decision { report, effect, wake } = decision;
    let (goal, history, workload) = (format!("{goal:?}"), format!("{history:?}"), format!("{workload:?}"));
    let (report, wake) = (format!("{report:?}"), format!("{wake:?}"));
    let effect = effect.map_or_else(|| "-".to_owned(), |effect| format!("{effect:?}"));
    let mut row = String::new();
    let facts = format!("{goal:<8} {history:<5} {workload:<16} {circumstances:<22}");
    writeln!(row, "{facts} => {report:<24} {effect:<20} {wake}").expect("a string takes everything");
    row
}
