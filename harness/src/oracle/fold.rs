//! Judges what a sandbox holds by the commands that it acknowledged.
//!
//! What a register holds must be the fold of all acknowledged commands about it, in their order. A command whose answer
//! was lost was carried out once or never, and if once, at any time after it was sent: so what is allowed is a set of
//! [`World`]s, each with the lost commands that have not happened in it. An answer that tells the content keeps those
//! worlds that agree with it. None left: something acknowledged was lost, done twice, or taken back.
//!
//! ```text
//!  add 3 → 3    add 4 → (lost)    read → 3     read → 7     read → 3
//!  {3}          {3, +4 pending}   {3, +4 pending}  {7}       none: a contradiction
//! ```
//!
//! One writer at a time is assumed for each register, which a scenario's check makes sure of. Registers are judged
//! apart: a history is right as a whole if it is for each of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::workload::{Content, Operation, Register, shown};

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was carried out; the content after it, where the answer tells.
    Acknowledged(Option<Content>),
    /// Its answer was lost, and why.
    Lost(String),
}

/// A command and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recorded {
    /// Its place in the log, from 1.
    pub(crate) number: u32,
    pub(crate) register: Register,
    pub(crate) operation: Operation,
    pub(crate) outcome: Outcome,
}

impl fmt::Display for Recorded {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.number, self.operation)?;
        match &self.outcome {
            Outcome::Acknowledged(_) => Ok(()),
            Outcome::Lost(_) => out.write_str(" (its answer was lost)"),
        }
    }
}

/// Everything that a sandbox was told to do, and what its registers may hold because of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct CommandLog {
    commands: Vec<Recorded>,
    folds: BTreeMap<Register, Fold>,
}

impl CommandLog {
    /// The place of the next command.
    pub(crate) fn next(&self) -> u32 {
        u32::try_from(self.commands.len()).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// Adds a command.
    ///
    /// # Errors
    /// What it tells cannot be, after what was acknowledged before it.
    pub(crate) fn record(
        &mut self,
        register: Register,
        operation: Operation,
        outcome: Outcome,
    ) -> Result<(), Box<Contradiction>> {
        let recorded = Recorded {
            number: self.next(),
            register,
            operation,
            outcome,
        };
        let fold = self.folds.entry(register).or_insert_with(|| Fold::new(register));
        let refuted = fold.take(&recorded);
        let before = || {
            self.commands
                .iter()
                .filter(|known| known.register == register)
                .cloned()
                .collect()
        };
        let contradiction = refuted.map(|(told, allowed)| {
            Box::new(Contradiction {
                recorded: recorded.clone(),
                told,
                allowed,
                before: before(),
            })
        });
        self.commands.push(recorded);
        contradiction.map_or(Ok(()), Err)
    }
}

/// What a register holds in one of the histories that agree with all answers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct World {
    content: Content,
    /// Commands without an answer that have not been carried out in it.
    pending: BTreeMap<u32, Operation>,
}

/// What a register may hold.
#[derive(Clone, Debug)]
struct Fold {
    /// Nothing as long as nothing is known of it.
    worlds: Option<BTreeSet<World>>,
}

impl Fold {
    fn new(register: Register) -> Self {
        Self {
            worlds: register.at_first().map(|content| BTreeSet::from([World::of(content)])),
        }
    }

    /// Takes a command in; gives what it told and what it could have told instead, if that cannot be.
    fn take(&mut self, recorded: &Recorded) -> Option<(Content, BTreeSet<Content>)> {
        let operation = &recorded.operation;
        match (&recorded.outcome, &mut self.worlds) {
            (Outcome::Lost(_), Some(worlds)) => {
                // A read that nobody heard of changes nothing.
                if *operation != Operation::Read {
                    *worlds = worlds.iter().map(|world| world.with(recorded)).collect();
                }
                None
            }
            (Outcome::Acknowledged(Some(told)), None) => {
                self.worlds = Some(BTreeSet::from([World::of(told.clone())]));
                None
            }
            (Outcome::Lost(_) | Outcome::Acknowledged(None), None) => None,
            (Outcome::Acknowledged(told), Some(worlds)) => {
                let after: BTreeSet<World> = reached(worlds).iter().map(|world| world.after(operation)).collect();
                let Some(told) = told else {
                    *worlds = after;
                    return None;
                };
                let agree: BTreeSet<World> = after.iter().filter(|world| world.content == *told).cloned().collect();
                if agree.is_empty() {
                    return Some((told.clone(), after.into_iter().map(|world| world.content).collect()));
                }
                *worlds = agree;
                None
            }
        }
    }
}

/// These worlds, and those that they become when pending commands are carried out, in any order.
fn reached(worlds: &BTreeSet<World>) -> BTreeSet<World> {
    let mut all = worlds.clone();
    let mut newest: Vec<World> = worlds.iter().cloned().collect();
    while let Some(world) = newest.pop() {
        for (number, operation) in &world.pending {
            let mut next = world.after(operation);
            next.pending.remove(number);
            if all.insert(next.clone()) {
                newest.push(next);
            }
        }
    }
    all
}

impl World {
    const fn of(content: Content) -> Self {
        Self {
            content,
            pending: BTreeMap::new(),
        }
    }

    fn after(&self, operation: &Operation) -> Self {
        Self {
            content: operation.after(&self.content),
            pending: self.pending.clone(),
        }
    }

    fn with(&self, lost: &Recorded) -> Self {
        let mut world = self.clone();
        world.pending.insert(lost.number, lost.operation.clone());
        world
    }
}

/// A content that no history explains in which everything acknowledged happened once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contradiction {
    /// The command that told it.
    recorded: Recorded,
    told: Content,
    allowed: BTreeSet<Content>,
    /// The commands about the same register before it.
    before: Vec<Recorded>,
}

/// Most commands that are listed.
const LISTED: usize = 8;

impl fmt::Display for Contradiction {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (register, number) = (self.recorded.register, self.recorded.number);
        let allowed: Vec<String> = self.allowed.iter().map(shown).collect();
        write!(
            out,
            "{register} holds {} after command {number} ({}), where what was acknowledged leaves {}",
            shown(&self.told),
            self.recorded.operation,
            allowed.join(" or ")
        )?;
        if let Some(why) = self.looks_like() {
            write!(out, "; {why}")?;
        }
        let newest = self.before.len().saturating_sub(LISTED);
        let listed: Vec<String> = self.before[newest..].iter().map(ToString::to_string).collect();
        if listed.is_empty() {
            return Ok(());
        }
        let earlier = if newest > 0 {
            format!("{newest} earlier, ")
        } else {
            String::new()
        };
        write!(out, "; commands about it: {earlier}{}", listed.join(", "))
    }
}

impl Contradiction {
    /// What mistake would explain it.
    fn looks_like(&self) -> Option<String> {
        if self.recorded.operation != Operation::Read {
            return None;
        }
        let mut content = self.recorded.register.at_first()?;
        if self.told == content {
            return Some("that is what it held at first".to_owned());
        }
        let mut older = None;
        for known in &self.before {
            content = known.operation.after(&content);
            if content == self.told {
                older = Some(known.number);
            }
        }
        if let Some(number) = older {
            return Some(format!("that is what it held after command {number}"));
        }
        let again = self.before.iter().rev().find(|known| {
            let twice = self.allowed.iter().map(|content| known.operation.after(content));
            twice.into_iter().any(|content| content == self.told)
        });
        again.map(|known| format!("that is as if command {} had been carried out twice", known.number))
    }
}

#[cfg(test)]
mod tests;
