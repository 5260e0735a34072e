use proptest::prelude::*;

use super::*;
use crate::scenario::Canary;

const HEAP: Register = Register {
    canary: Canary::Heap,
    name: "a",
};
const COUNTER: Register = Register {
    canary: Canary::Counter,
    name: "count",
};

fn told(text: &str) -> Outcome {
    Outcome::Acknowledged(Some(Some(text.to_owned())))
}

fn lost() -> Outcome {
    Outcome::Lost("the connection broke".to_owned())
}

/// What is wrong with a log of one register; empty when nothing is.
fn wrong(register: Register, commands: impl IntoIterator<Item = (Operation, Outcome)>) -> String {
    let mut log = CommandLog::default();
    for (operation, outcome) in commands {
        if let Err(contradiction) = log.record(register, operation, outcome) {
            return contradiction.to_string();
        }
    }
    String::new()
}

#[test]
fn what_was_acknowledged_is_there_and_nothing_else() {
    let add = |more, after: &str| (Operation::Add(more), told(after));
    assert_eq!(
        wrong(COUNTER, [add(3, "3"), add(4, "7"), (Operation::Read, told("7"))]),
        ""
    );
    let rolled_back = wrong(COUNTER, [add(3, "3"), add(4, "7"), (Operation::Read, told("3"))]);
    assert!(
        rolled_back.contains("leaves \"7\"; that is what it held after command 1"),
        "{rolled_back}"
    );
    let twice = wrong(COUNTER, [add(3, "3"), add(4, "7"), (Operation::Read, told("11"))]);
    assert!(twice.contains("as if command 2 had been carried out twice"), "{twice}");
    let fresh = wrong(COUNTER, [add(3, "3"), (Operation::Read, told("0"))]);
    assert!(fresh.contains("what it held at first"), "{fresh}");
}

#[test]
fn a_command_without_an_answer_happened_once_or_never_and_does_not_unhappen() {
    let read = |after: &str| (Operation::Read, told(after));
    let begin = [(Operation::Add(3), told("3")), (Operation::Add(4), lost())];
    for ends in [
        vec![read("3")],
        vec![read("7")],
        vec![read("3"), read("7")],
        vec![read("7"), read("7")],
    ] {
        assert_eq!(
            wrong(COUNTER, begin.iter().cloned().chain(ends.clone())),
            "",
            "{ends:?}"
        );
    }
    for ends in [vec![read("7"), read("3")], vec![read("11")], vec![read("4")]] {
        let found = wrong(COUNTER, begin.iter().cloned().chain(ends.clone()));
        assert!(found.contains("2 add 4 (its answer was lost)"), "{ends:?}: {found}");
    }
}

#[test]
fn a_register_of_which_nothing_is_known_keeps_what_it_told_first() {
    let started = Register {
        canary: Canary::Process,
        name: crate::workload::STARTED,
    };
    let read = |text: &str| (Operation::Read, told(text));
    assert_eq!(wrong(started, [read("17 4"), read("17 4")]), "");
    assert!(!wrong(started, [read("17 4"), read("17 5")]).is_empty());
}

#[test]
fn long_logs_are_told_by_their_newest_commands() {
    let mut commands: Vec<_> = (1..=20)
        .map(|number: u32| (Operation::Put(number.to_string()), Outcome::Acknowledged(None)))
        .collect();
    commands.push((Operation::Read, Outcome::Acknowledged(Some(None))));
    let found = wrong(HEAP, commands);
    assert!(
        found.contains("12 earlier, 13 put \"13\"") && found.contains("holds nothing"),
        "{found}"
    );
}

/// A command of the model, and when it happened if its answer was lost: never, or so many places later.
#[derive(Clone, Debug)]
struct Sent {
    operation: Operation,
    answer: Answer,
}

#[derive(Clone, Debug)]
enum Answer {
    Lost,
    Silent,
    Told(Content),
}

/// What each command makes of a text, written down a second time.
fn model_after(operation: &Operation, text: Option<String>) -> Option<String> {
    match operation {
        Operation::Read => text,
        Operation::Remove => None,
        Operation::Put(new) => Some(new.clone()),
        Operation::Append(more) => Some(text.unwrap_or_default() + more),
        Operation::Add(more) => {
            Some((text.map_or(0, |text| text.parse::<u64>().unwrap()) + u64::from(*more)).to_string())
        }
    }
}

/// Whether any order explains all answers: every lost command is tried at every place after its own, and nowhere.
fn model_explains(sent: &[Sent]) -> bool {
    let lost: Vec<usize> = (0..sent.len())
        .filter(|place| matches!(sent[*place].answer, Answer::Lost))
        .collect();
    let mut order: Vec<usize> = (0..sent.len()).filter(|place| !lost.contains(place)).collect();
    place_all(sent, &lost, &mut order)
}

fn place_all(sent: &[Sent], lost: &[usize], order: &mut Vec<usize>) -> bool {
    let Some((next, rest)) = lost.split_first() else {
        return plays(sent, order);
    };
    if place_all(sent, rest, order) {
        return true;
    }
    for place in 0..=order.len() {
        // Everything that was answered before it was sent, was carried out before it, too.
        let too_early = order[place..]
            .iter()
            .any(|other| other < next && !matches!(sent[*other].answer, Answer::Lost));
        if too_early {
            continue;
        }
        order.insert(place, *next);
        let explained = place_all(sent, rest, order);
        order.remove(place);
        if explained {
            return true;
        }
    }
    false
}

fn plays(sent: &[Sent], order: &[usize]) -> bool {
    let mut text = None;
    order.iter().all(|place| {
        text = model_after(&sent[*place].operation, text.take());
        match &sent[*place].answer {
            Answer::Told(told) => *told == text,
            Answer::Lost | Answer::Silent => true,
        }
    })
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        "[xy]".prop_map(Operation::Put),
        "[xy]".prop_map(Operation::Append),
        Just(Operation::Remove),
        Just(Operation::Read),
    ]
}

/// Commands whose answers are those of some history, or that are made up at one place.
fn history() -> impl Strategy<Value = Vec<Sent>> {
    let command = (operation(), 0..6_u8, any::<bool>());
    (
        proptest::collection::vec(command, 1..8),
        proptest::option::of((0..8_usize, "[xy]{0,3}")),
    )
        .prop_map(|(commands, lie)| {
            let mut text = None;
            let mut sent: Vec<Sent> = commands
                .into_iter()
                .map(|(operation, answered, happens)| {
                    let is_lost = answered < 2;
                    if !is_lost || happens {
                        text = model_after(&operation, text.take());
                    }
                    let answer = match answered {
                        0 | 1 => Answer::Lost,
                        2 => Answer::Silent,
                        _ => Answer::Told(text.clone()),
                    };
                    Sent { operation, answer }
                })
                .collect();
            if let Some((place, told)) = lie
                && let Some(command) = sent.get_mut(place)
                && matches!(command.answer, Answer::Told(_))
            {
                command.answer = Answer::Told(Some(told));
            }
            sent
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// The model tries every order of all commands; what is tested carries a set of worlds along.
    #[test]
    fn a_log_is_refuted_exactly_if_no_order_of_its_commands_explains_it(sent in history()) {
        let commands = sent.iter().map(|command| {
            let outcome = match &command.answer {
                Answer::Lost => lost(),
                Answer::Silent => Outcome::Acknowledged(None),
                Answer::Told(content) => Outcome::Acknowledged(Some(content.clone())),
            };
            (command.operation.clone(), outcome)
        });
        let found = wrong(HEAP, commands);
        prop_assert_eq!(found.is_empty(), model_explains(&sent), "{}", found);
    }
}
