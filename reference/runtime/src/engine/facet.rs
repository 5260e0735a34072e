//! The parts of a sandbox's context, each of which an engine keeps or does not.

use std::fmt;

/// A part of the context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Facet {
    /// Variables, functions and contexts of the interpreter.
    Memory,
    /// Files, with mode and modification time.
    Files,
    /// Processes other than the interpreter: the same pids, going on where they stood.
    Processes,
    /// Sleeps and monotonic clocks: what was left of a sleep is left after the restore.
    Timers,
    /// Listening sockets. Connections from outside end with an error in every engine.
    Sockets,
}

impl Facet {
    /// Every facet, in the order of the declaration.
    pub const ALL: [Self; 5] = [Self::Memory, Self::Files, Self::Processes, Self::Timers, Self::Sockets];
}

impl fmt::Display for Facet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Files => "files",
            Self::Processes => "processes",
            Self::Timers => "timers",
            Self::Sockets => "sockets",
        })
    }
}
