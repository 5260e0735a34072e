//! Commands that a scenario lets a sandbox carry out at random: on what, which, and what each makes of it.
//!
//! Decides which commands come next, by a seed. Pure: carrying them out is the runner's business (`run/canaries`), and what
//! their answers prove that of the judge (`oracle/fold`).

use std::fmt;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use sha2::{Digest as _, Sha256};

use crate::scenario::Canary;

/// What a place in a sandbox holds; nothing where there is none.
pub(crate) type Content = Option<String>;

/// A place in a sandbox whose content commands change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Register {
    /// The part of the context that it is in.
    pub(crate) canary: Canary,
    /// What it is called there.
    pub(crate) name: &'static str,
}

/// What the program of [`Canary::Process`] is known by: it is read and never changed.
pub(crate) const STARTED: &str = "started";
/// How many of its timers have fired.
pub(crate) const TIMERS: &str = "timers";
/// A number in its memory.
pub(crate) const COUNT: &str = "count";
/// What it wrote through a file that it keeps open.
pub(crate) const OPEN: &str = "open";
/// What it wrote through a file that it keeps open and whose name is gone.
pub(crate) const UNLINKED: &str = "unlinked";

impl Canary {
    /// The places that commands about it change.
    pub(crate) const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Heap | Self::Files => &["a", "b", "c"],
            Self::Counter => &[COUNT],
            Self::Process => &[STARTED, COUNT, OPEN, UNLINKED, TIMERS],
            Self::MemorySlots | Self::FileSlots => &["a", "b"],
        }
    }

    /// As written in scenarios and shown to people.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Heap => "heap",
            Self::Counter => "counter",
            Self::Files => "files",
            Self::Process => "process",
            Self::MemorySlots => "memory-slots",
            Self::FileSlots => "file-slots",
        }
    }
}

impl fmt::Display for Register {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.canary.as_str(), self.name)
    }
}

impl Register {
    /// What it holds before any command; nothing is known of what is only read.
    pub(crate) fn at_first(self) -> Option<Content> {
        match (self.canary, self.name) {
            (Canary::Process, STARTED) => None,
            (Canary::Counter, _) | (Canary::Process, COUNT | TIMERS) => Some(Some("0".to_owned())),
            (Canary::Process, _) => Some(Some(String::new())),
            (Canary::Heap | Canary::Files | Canary::MemorySlots | Canary::FileSlots, _) => Some(None),
        }
    }

    fn kinds(self) -> &'static [Kind] {
        match (self.canary, self.name) {
            (Canary::Heap | Canary::Files, _) => &[Kind::Put, Kind::Append, Kind::Append, Kind::Remove],
            (Canary::Counter, _) | (Canary::Process, COUNT | TIMERS) => &[Kind::Add],
            (Canary::Process, STARTED) => &[Kind::Read],
            (Canary::Process, _) => &[Kind::Append],
            (Canary::MemorySlots | Canary::FileSlots, _) => &[Kind::Put],
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Put,
    Append,
    Add,
    Remove,
    Read,
}

/// What a command does with a register.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    /// It holds this from then on.
    Put(String),
    /// This comes after what it held.
    Append(String),
    /// The number that it holds grows by this.
    Add(u32),
    /// It holds nothing.
    Remove,
    /// It stays as it is.
    Read,
}

impl Operation {
    /// What a register holds after it.
    pub(crate) fn after(&self, before: &Content) -> Content {
        match self {
            Self::Put(text) => Some(text.clone()),
            Self::Append(text) => Some(format!("{}{text}", before.as_deref().unwrap_or_default())),
            Self::Add(more) => {
                let number: u64 = before.as_deref().and_then(|text| text.parse().ok()).unwrap_or_default();
                Some((number + u64::from(*more)).to_string())
            }
            Self::Remove => None,
            Self::Read => before.clone(),
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put(text) => write!(out, "put {}", quoted(text)),
            Self::Append(text) => write!(out, "append {}", quoted(text)),
            Self::Add(more) => write!(out, "add {more}"),
            Self::Remove => out.write_str("remove"),
            Self::Read => out.write_str("read"),
        }
    }
}

/// Most letters of a content that are shown to people.
const LETTERS: usize = 48;

/// A text as people are shown it: quoted, and its middle left out when it is long.
pub(crate) fn quoted(text: &str) -> String {
    let letters = text.chars().count();
    if letters <= LETTERS {
        return format!("{text:?}");
    }
    let start: String = text.chars().take(LETTERS / 2).collect();
    let end: String = text.chars().skip(letters - LETTERS / 2).collect();
    format!("{start:?}…{end:?} ({letters} letters)")
}

/// A content as people are shown it.
pub(crate) fn shown(content: &Content) -> String {
    content.as_deref().map_or_else(|| "nothing".to_owned(), quoted)
}

/// The next `count` commands about `canaries` by a seed, the first of which will be number `first` of its log. The
/// same seed gives the same commands; no two of one log write the same.
pub(crate) fn script(seed: &str, first: u32, count: u32, canaries: &[Canary]) -> Vec<(Register, Operation)> {
    let registers: Vec<Register> = canaries
        .iter()
        .flat_map(|canary| canary.names().iter().map(|name| Register { canary: *canary, name }))
        .collect();
    let mut random = StdRng::from_seed(Sha256::digest(seed.as_bytes()).into());
    let mut commands = Vec::new();
    for number in (first..).take(count as usize) {
        let chosen = registers.choose(&mut random).copied();
        let Some(register) = chosen else { break };
        let Some(kind) = register.kinds().choose(&mut random) else {
            break;
        };
        let operation = match kind {
            Kind::Put => Operation::Put(text(number, &mut random)),
            Kind::Append => Operation::Append(text(number, &mut random)),
            // A timer fires once.
            Kind::Add if register.name == TIMERS => Operation::Add(1),
            Kind::Add => Operation::Add(random.random_range(1..1000)),
            Kind::Remove => Operation::Remove,
            Kind::Read => Operation::Read,
        };
        commands.push((register, operation));
    }
    commands
}

/// A text that no other command of the log writes: short, in other alphabets, with what has to be quoted, or long.
fn text(number: u32, random: &mut StdRng) -> String {
    match random.random_range(0..4) {
        0 => format!("ü€𝄞{number};"),
        1 => format!("{number}\n'\"\\;"),
        2 => format!("{number};").repeat(500),
        _ => format!("{number};"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Canary; 6] = [
        Canary::Heap,
        Canary::Counter,
        Canary::Files,
        Canary::Process,
        Canary::MemorySlots,
        Canary::FileSlots,
    ];

    #[test]
    fn a_seed_gives_the_same_commands_and_another_others() {
        assert_eq!(script("a", 1, 40, &ALL), script("a", 1, 40, &ALL));
        assert_ne!(script("a", 1, 40, &ALL), script("b", 1, 40, &ALL));
        assert!(script("a", 1, 40, &[]).is_empty());
    }

    #[test]
    fn every_register_is_worked_on_and_no_text_is_written_twice() {
        let commands = script("a", 1, 400, &ALL);
        for canary in ALL {
            for name in canary.names() {
                let of = |(register, _): &&(Register, Operation)| register.canary == canary && register.name == *name;
                assert!(
                    commands.iter().any(|command| of(&command)),
                    "{} {name}",
                    canary.as_str()
                );
            }
        }
        let mut texts: Vec<&String> = commands
            .iter()
            .filter_map(|(_, operation)| match operation {
                Operation::Put(text) | Operation::Append(text) => Some(text),
                Operation::Add(_) | Operation::Remove | Operation::Read => None,
            })
            .collect();
        let written = texts.len();
        texts.sort();
        texts.dedup();
        assert!(written > 40 && texts.len() == written);
    }

    #[test]
    fn a_long_text_is_shown_by_its_ends() {
        let shown = quoted(&"ä1;".repeat(100));
        assert!(
            shown.starts_with("\"ä1;") && shown.ends_with("(300 letters)"),
            "{shown}"
        );
        assert_eq!(quoted("a\n"), "\"a\\n\"");
    }
}
