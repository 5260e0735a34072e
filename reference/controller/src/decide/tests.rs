use std::fmt::Write as _;

use super::*;

const GOALS: [Goal; 3] = [Goal::Running, Goal::Paused, Goal::Deleted];
const HISTORIES: [History; 3] = [History::New, History::Live, History::Kept];
const WORKLOADS: [Workload; 14] = [
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
    Workload::Torn,
    Workload::Ended,
    Workload::TakenAway,
    Workload::Stopping,
];
const PROVISIONS: [Provision; 4] = [
    Provision::Complete,
    Provision::TemplateInvalid,
    Provision::ClaimForeign,
    Provision::ClaimLost,
];
const POLICIES: [LostPodPolicy; 2] = [LostPodPolicy::Fail, LostPodPolicy::Recreate];
const DUE: [Option<Due>; 3] = [None, Some(Due::Pause), Some(Due::Shutdown)];

fn every_world() -> Vec<Observed> {
    let mut worlds = Vec::new();
    for goal in GOALS {
        for history in HISTORIES {
            for workload in WORKLOADS {
                worlds.extend(worlds_of(goal, history, workload));
            }
        }
    }
    worlds
}

/// Every world with this goal, history and workload.
fn worlds_of(goal: Goal, history: History, workload: Workload) -> Vec<Observed> {
    let mut worlds = Vec::new();
    for bits in 0..16_u8 {
        for provision in PROVISIONS {
            for lost_pod in POLICIES {
                worlds.extend(DUE.map(|due| Observed {
                    goal,
                    history,
                    workload,
                    routed: bits & 1 != 0,
                    patience: if bits & 2 == 0 { Patience::Left } else { Patience::Spent },
                    guarded: bits & 4 == 0,
                    settled: bits & 8 == 0,
                    provision,
                    lost_pod,
                    due,
                }));
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
        settled: true,
        patience: Patience::Left,
        guarded: true,
        provision: Provision::Complete,
        lost_pod: LostPodPolicy::Fail,
        due: None,
    }
}

/// A world in which every effect succeeds, and whatever takes time comes to its end.
fn step(mut world: Observed) -> Observed {
    use {Effect as E, Report as R, Workload as W};
    let Decision { report, effect, .. } = decide(world);
    world.routed = matches!(report, R::Running { .. }) || (report == R::AsIs && world.routed);
    world.settled = world.routed || effect == Some(E::Thaw);
    match report {
        R::Running { .. } => world.history = History::Live,
        R::Sealed => world.history = History::Kept,
        R::RestoreFailed if world.workload == W::Torn => (world.history, world.goal) = (History::Kept, Goal::Paused),
        R::ContextLost => world.history = History::New,
        // The failure is on record, and with it the goal changes until the spec does.
        R::PauseFailed => world.goal = Goal::Running,
        R::RestoreFailed => world.goal = Goal::Paused,
        R::AsIs
        | R::Starting
        | R::Pausing
        | R::Stopping
        | R::Paused
        | R::Resuming
        | R::Blocked(_)
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
            W::Absent
            | W::Foreign
            | W::Serving
            | W::Frozen(_)
            | W::FailedToStart
            | W::Torn
            | W::Ended
            | W::TakenAway => {}
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
            Some(E::Thaw) => {
                let may_stand = matches!(world.workload, W::Frozen(_)) || !world.settled;
                may_stand && world.goal == Goal::Running
            }
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
            | Report::ContextLost
            | Report::Blocked(_)
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
                provision: Provision::Complete,
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
                provision: Provision::Complete,
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
            // The policy speaks of running sandboxes: one that was to be paused is not started afresh.
            let recreate = Observed {
                lost_pod: LostPodPolicy::Recreate,
                ..lost
            };
            let afresh = decide(recreate).report == Report::ContextLost;
            assert_eq!(afresh, expected && goal == Goal::Running, "lost at {world:?}");
        }
    }
}

#[test]
fn context_is_given_up_only_by_policy_and_only_over_a_pod_that_vanished() {
    for world in every_world() {
        if decide(world).report == Report::ContextLost {
            assert_eq!(
                (world.goal, world.history, world.lost_pod),
                (Goal::Running, History::Live, LostPodPolicy::Recreate),
                "{world:?}"
            );
            let vanished = [
                Workload::Absent,
                Workload::Foreign,
                Workload::TakenAway,
                Workload::Stopping,
            ];
            assert!(vanished.contains(&world.workload), "{world:?}");
        }
    }
    let vanished = Observed {
        workload: Workload::Stopping,
        lost_pod: LostPodPolicy::Recreate,
        ..serving()
    };
    let end = settle(vanished);
    assert_eq!(decide(end).report, Report::Running { ready: true });
}

#[test]
fn nothing_is_started_without_what_the_pod_needs() {
    for world in every_world() {
        let effect = decide(world).effect;
        if matches!(effect, Some(Effect::StartFresh | Effect::StartFromCheckpoint)) {
            assert_eq!(world.provision, Provision::Complete, "{world:?}");
        }
    }
}

#[test]
fn what_is_not_watched_is_looked_at_again() {
    for world in every_world() {
        let decision = decide(world);
        let unwatched = match decision.report {
            Report::Blocked(Blocker::PodForeign | Blocker::ClaimForeign | Blocker::ClaimLost) => true,
            Report::Paused => world.workload == Workload::Foreign,
            Report::Blocked(Blocker::TemplateInvalid)
            | Report::AsIs
            | Report::Starting
            | Report::Running { .. }
            | Report::Pausing
            | Report::Sealed
            | Report::Stopping
            | Report::Resuming
            | Report::PauseFailed
            | Report::RestoreFailed
            | Report::ContextLost
            | Report::Failed(_)
            | Report::Terminating => false,
        };
        assert_eq!(decision.wake == Wake::Later, unwatched, "{world:?}");
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

#[test]
fn every_effect_is_measured_under_its_own_name() {
    for effect in every_world().into_iter().filter_map(|world| decide(world).effect) {
        let mut words = String::new();
        for letter in format!("{effect:?}").chars() {
            if letter.is_uppercase() && !words.is_empty() {
                words.push('_');
            }
            words.push(letter.to_ascii_lowercase());
        }
        assert_eq!(effect.name(), words);
    }
}

/// Rewrite it with `UPDATE_TABLE=1`.
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
                let mut worlds = worlds_of(goal, history, workload);
                worlds.retain(|world| world.due.is_none());
                let dependent = FACTS.map(|(fact, _)| differs(&worlds, fact));
                let mut rows: Vec<_> = worlds
                    .iter()
                    .map(|world| (circumstances(*world, dependent), decide(*world)))
                    .collect();
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

/// A further fact that a decision may depend on: set to that of another world, and its name.
type Fact = (fn(&mut Observed, Observed), fn(Observed) -> &'static str);

const FACTS: [Fact; 6] = [
    (
        |world, other| world.routed = other.routed,
        |world| if world.routed { "routed" } else { "not-routed" },
    ),
    (
        |world, other| world.settled = other.settled,
        |world| if world.settled { "settled" } else { "unsettled" },
    ),
    (
        |world, other| world.patience = other.patience,
        |world| match world.patience {
            Patience::Left => "in-time",
            Patience::Spent => "overdue",
        },
    ),
    (
        |world, other| world.provision = other.provision,
        |world| match world.provision {
            Provision::Complete => "provided",
            Provision::TemplateInvalid => "bad-template",
            Provision::ClaimForeign => "foreign-claim",
            Provision::ClaimLost => "lost-claim",
        },
    ),
    (
        |world, other| world.guarded = other.guarded,
        |world| if world.guarded { "guarded" } else { "unguarded" },
    ),
    (
        |world, other| world.lost_pod = other.lost_pod,
        |world| match world.lost_pod {
            LostPodPolicy::Fail => "fail",
            LostPodPolicy::Recreate => "recreate",
        },
    ),
];

/// Whether some decision in these worlds depends on the fact.
fn differs(worlds: &[Observed], set: fn(&mut Observed, Observed)) -> bool {
    worlds.iter().any(|world| {
        worlds.iter().any(|other| {
            let mut changed = *world;
            set(&mut changed, *other);
            decide(changed) != decide(*world)
        })
    })
}

/// The facts that decisions like the one in this world depend on.
fn circumstances(world: Observed, dependent: [bool; 6]) -> String {
    let facts = FACTS.iter().zip(dependent).filter(|(_, depends)| *depends);
    facts.map(|((_, name), _)| name(world)).collect::<Vec<_>>().join(",")
}

fn row(goal: Goal, history: History, workload: Workload, circumstances: &str, decision: Decision) -> String {
    let Decision { report, effect, wake } = decision;
    let (goal, history, workload) = (format!("{goal:?}"), format!("{history:?}"), format!("{workload:?}"));
    let (report, wake) = (format!("{report:?}"), format!("{wake:?}"));
    let effect = effect.map_or_else(|| "-".to_owned(), |effect| format!("{effect:?}"));
    let mut row = String::new();
    let facts = format!("{goal:<8} {history:<5} {workload:<16} {circumstances:<23}");
    writeln!(row, "{facts} => {report:<25} {effect:<20} {wake}").expect("a string takes everything");
    row
}
