//! Programs that seal and remove at the same time, on one store: each operation is a step, and the property
//! chooses whose turn it is, and who dies.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path;
use proptest::prelude::*;
use tokio::sync::{Notify, oneshot};
use torpor_runtime::{CheckpointStore, StoreError};

use crate::watched::{Guard, Kind, Verdict, Watched};
use crate::world::{UID, broken_envelope, engine, key, payload, sound, whole_generations};

/// What a program does.
#[derive(Clone, Copy, Debug)]
enum Act {
    Seal(u64),
    RemoveOlderThan(u64),
    RemoveAll,
}

/// Whose turn it is. A program may have several operations under way.
#[derive(Debug, Default)]
struct Turns {
    waiting: Mutex<Vec<(usize, oneshot::Sender<Verdict>)>>,
    changed: Notify,
}

impl Turns {
    fn waits(&self, program: usize) -> bool {
        let waiting = self.waiting.lock().unwrap();
        waiting
            .iter()
            .any(|(number, turn)| *number == program && !turn.is_closed())
    }
}

/// The guard of one program.
#[derive(Debug)]
struct Program {
    number: usize,
    turns: Arc<Turns>,
    dead: Mutex<bool>,
}

const DEAD: Verdict = Verdict::Refuse(io::ErrorKind::BrokenPipe);

impl Guard for Program {
    fn ask<'a>(&'a self, _: Kind, _: &'a Path) -> BoxFuture<'a, Verdict> {
        async move {
            if *self.dead.lock().unwrap() {
                return DEAD;
            }
            let (turn, wait) = oneshot::channel();
            self.turns.waiting.lock().unwrap().push((self.number, turn));
            self.turns.changed.notify_one();
            let verdict = wait.await.unwrap();
            let mut dead = self.dead.lock().unwrap();
            if *dead {
                return DEAD;
            }
            *dead = verdict != Verdict::Proceed;
            verdict
        }
        .boxed()
    }
}

/// What a run showed.
#[derive(Debug, Default)]
struct Outcome {
    sealed: BTreeSet<u64>,
    /// The first moment at which an envelope named what was not there.
    broken: Option<String>,
}

/// Starts a program of its own, which waits for its turn before each operation.
fn begin(
    number: usize,
    act: Act,
    objects: &Arc<InMemory>,
    turns: &Arc<Turns>,
) -> tokio::task::JoinHandle<Result<(), StoreError>> {
    let guard = Program {
        number,
        turns: Arc::clone(turns),
        dead: Mutex::default(),
    };
    let watched = Watched {
        objects: Arc::clone(objects),
        guard: Arc::new(guard),
    };
    let store = CheckpointStore::in_object_store(Arc::new(watched) as Arc<dyn ObjectStore>);
    let turns = Arc::clone(turns);
    tokio::spawn(async move {
        let done = match act {
            Act::Seal(generation) => {
                let sealed = store.seal(&key(generation), &engine(), payload(generation)).await;
                sealed.map(drop)
            }
            Act::RemoveOlderThan(generation) => store.remove_older_than(UID, generation).await.map(drop),
            Act::RemoveAll => store.remove_all(UID).await,
        };
        turns.changed.notify_one();
        done
    })
}

/// Whose turn it is among the programs that wait, and what becomes of the operation.
type Choose<'a> = dyn FnMut(&[usize]) -> (usize, Verdict) + 'a;

/// Runs the programs; each choice takes one of those that wait one step further.
async fn interleave(objects: &Arc<InMemory>, acts: &[Act], choose: &mut Choose<'_>) -> Outcome {
    let turns = Arc::new(Turns::default());
    let begun = acts
        .iter()
        .enumerate()
        .map(|(number, act)| (number, (*act, begin(number, *act, objects, &turns))));
    let mut running: BTreeMap<_, _> = begun.collect();
    let mut outcome = Outcome::default();
    while !running.is_empty() {
        while running
            .iter()
            .any(|(number, (_, program))| !program.is_finished() && !turns.waits(*number))
        {
            turns.changed.notified().await;
            tokio::task::yield_now().await;
        }
        let finished: Vec<usize> = running
            .iter()
            .filter(|(_, (_, p))| p.is_finished())
            .map(|(n, _)| *n)
            .collect();
        for number in finished {
            let (act, program) = running.remove(&number).unwrap();
            if let (Act::Seal(generation), Ok(())) = (act, program.await.unwrap()) {
                outcome.sealed.insert(generation);
            }
        }
        step(&turns, choose);
        if outcome.broken.is_none() {
            outcome.broken = broken_envelope(objects).await;
        }
    }
    outcome
}

/// Lets one of the waiting programs go on.
fn step(turns: &Turns, choose: &mut Choose<'_>) {
    let mut waiting = turns.waiting.lock().unwrap();
    waiting.retain(|(_, turn)| !turn.is_closed());
    waiting.sort_by_key(|(number, _)| *number);
    if waiting.is_empty() {
        return;
    }
    let numbers: Vec<usize> = waiting.iter().map(|(number, _)| *number).collect();
    let (nth, verdict) = choose(&numbers);
    let (_, turn) = waiting.remove(nth);
    turn.send(verdict).unwrap();
}

/// Chooses by chance; about one choice in 28 is the last operation of a program, done or not.
fn by_chance(choices: &[u8]) -> impl FnMut(&[usize]) -> (usize, Verdict) + '_ {
    let mut choices = choices.iter().copied().cycle();
    move |waiting| {
        let choice = choices.next().unwrap();
        let verdict = match choice {
            0..=246 => Verdict::Proceed,
            247..=250 => DEAD,
            251..=255 => Verdict::LoseAnswer,
        };
        (usize::from(choice) % waiting.len(), verdict)
    }
}

/// Lets programs go so many steps each, in turn; whoever is left at the end goes in order.
fn in_phases(phases: &[(usize, usize)]) -> impl FnMut(&[usize]) -> (usize, Verdict) + use<> {
    let steps = phases
        .iter()
        .flat_map(|(program, steps)| std::iter::repeat_n(*program, *steps));
    let mut steps = steps.collect::<Vec<_>>().into_iter();
    move |waiting| {
        // One that has ended takes no more steps.
        for program in steps.by_ref() {
            if let Some(nth) = waiting.iter().position(|number| *number == program) {
                return (nth, Verdict::Proceed);
            }
        }
        (0, Verdict::Proceed)
    }
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        3 => (1..6_u64).prop_map(Act::Seal),
        2 => (2..6_u64).prop_map(Act::RemoveOlderThan),
    ];
    prop::collection::vec(act, 2..5)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whoever_seals_and_removes_at_once_and_dies_no_checkpoint_loses_a_pack(
        acts in acts(),
        choices in prop::collection::vec(any::<u8>(), 1..120),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let objects = Arc::new(InMemory::new());
            for generation in [1, 2] {
                sound(&objects).seal(&key(generation), &engine(), payload(generation)).await.unwrap();
            }
            let outcome = interleave(&objects, &acts, &mut by_chance(&choices)).await;
            prop_assert_eq!(outcome.broken, None);
            let whole = match whole_generations(&objects).await {
                Ok(whole) => whole,
                Err(broken) => return Err(TestCaseError::fail(broken)),
            };
            // The model: a sealed generation is there unless a removal of something newer was asked for.
            let newest_removal = acts.iter().filter_map(|act| match act {
                Act::RemoveOlderThan(generation) => Some(*generation),
                Act::Seal(_) | Act::RemoveAll => None,
            }).max().unwrap_or(0);
            for generation in outcome.sealed.iter().filter(|generation| **generation >= newest_removal) {
                prop_assert!(whole.contains(generation), "{} was sealed, {:?} are there", generation, whole);
            }
            // And with everybody gone, removal leaves one checkpoint and nothing else.
            let store = sound(&objects);
            store.seal(&key(9), &engine(), payload(9)).await.unwrap();
            store.remove_older_than(UID, 9).await.unwrap();
            prop_assert_eq!(whole_generations(&objects).await, Ok(vec![9]));
            store.remove_all(UID).await.unwrap();
            prop_assert_eq!(store.stored_bytes(UID).await.unwrap(), 0);
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn two_checkpoints_of_one_sandbox_at_once_are_both_whole() {
    for ahead in 0..12 {
        let objects = Arc::new(InMemory::new());
        let mut turns = in_phases(&[(0, ahead), (1, 100)]);
        let outcome = interleave(&objects, &[Act::Seal(1), Act::Seal(2)], &mut turns).await;
        assert_eq!((outcome.broken, outcome.sealed), (None, BTreeSet::from([1, 2])));
        assert_eq!(whole_generations(&objects).await, Ok(vec![1, 2]));
    }
}

/// A seal that relies on generation 1 is overtaken by a checkpoint that does not, and by the removal of
/// generation 1, at every pair of steps.
#[tokio::test]
async fn what_a_seal_relies_on_is_not_removed_however_the_steps_fall() {
    let acts = [Act::Seal(3), Act::Seal(2), Act::RemoveOlderThan(2)];
    let mut removed = false;
    for before in 0..8 {
        for between in 0..24 {
            let objects = Arc::new(InMemory::new());
            sound(&objects).seal(&key(1), &engine(), payload(1)).await.unwrap();
            let mut turns = in_phases(&[(0, before), (1, 100), (2, between), (0, 100)]);
            let outcome = interleave(&objects, &acts, &mut turns).await;
            let context = format!("{before} steps before, {between} between");
            assert_eq!(outcome.broken, None, "{context}");
            assert_eq!(outcome.sealed, BTreeSet::from([2, 3]), "{context}");
            assert_eq!(whole_generations(&objects).await, Ok(vec![2, 3]), "{context}");
            removed |= sound(&objects).header(&key(3)).await.unwrap().packs.len() == 1;
        }
    }
    assert!(removed, "the seal always came first");
}

/// For each number of steps that the seal is ahead of the removal, until it has ended.
#[tokio::test]
async fn a_seal_of_a_generation_that_is_removed_meanwhile_is_whole_or_fails() {
    let mut failed = 0;
    for ahead in 0..20 {
        let objects = Arc::new(InMemory::new());
        for generation in [1, 5] {
            sound(&objects)
                .seal(&key(generation), &engine(), payload(generation))
                .await
                .unwrap();
        }
        let mut turns = in_phases(&[(0, ahead), (1, 100)]);
        let outcome = interleave(&objects, &[Act::Seal(3), Act::RemoveOlderThan(5)], &mut turns).await;
        assert_eq!(outcome.broken, None, "{ahead} steps ahead");
        whole_generations(&objects).await.unwrap();
        failed += usize::from(!outcome.sealed.contains(&3));
    }
    assert!(failed > 0, "never barred");
}

/// The one step at which it is not barred is told where the steps are listed.
#[tokio::test]
async fn a_seal_of_a_sandbox_that_is_removed_meanwhile_leaves_nothing_but_at_one_step() {
    let mut left = Vec::new();
    for ahead in 0..20 {
        let objects = Arc::new(InMemory::new());
        sound(&objects).seal(&key(1), &engine(), payload(1)).await.unwrap();
        let mut turns = in_phases(&[(0, ahead), (1, 100)]);
        interleave(&objects, &[Act::Seal(3), Act::RemoveAll], &mut turns).await;
        // The first step of a seal is to look for the envelope; what begins after the removal is a new sandbox.
        if ahead > 3 && sound(&objects).stored_bytes(UID).await.unwrap() > 0 {
            left.push(ahead);
        }
    }
    assert!(left.len() <= 1, "{left:?}");
}
