//! How much one execution of the embedded engine may take.

use std::time::Duration;

use monty::MontyRepl;
use monty_types::{DEFAULT_MAX_RECURSION_DEPTH, ResourceLimits};

/// Limits of executions. The container's own program runs as long as it likes.
///
/// A context that has run code keeps the depth and the memory that it was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecutionLimits {
    /// For how long one execution may compute; sleeping and waiting do not count. It ends with `TimeoutError`.
    pub time: Option<Duration>,
    /// How deep calls may be nested; deeper ones raise `RecursionError`.
    pub recursion: usize,
    /// How many bytes one execution may add to the memory of its process; it ends with `MemoryError`. Without a
    /// [`MemoryGauge`](super::MemoryGauge) only single results are held to it: `'x' * 10**12` and not what grows bit by bit.
    pub memory: Option<usize>,
}

impl Default for ExecutionLimits {
    fn default() -> Self {
        Self {
            time: None,
            recursion: DEFAULT_MAX_RECURSION_DEPTH,
            memory: Some(Self::USUAL_MEMORY),
        }
    }
}

impl ExecutionLimits {
    /// The usual [`memory`](Self::memory): 1 GiB, so that no single expression takes all that a machine has.
    pub const USUAL_MEMORY: usize = 1 << 30;

    pub(super) fn of_a_session(self) -> ResourceLimits {
        let limits = ResourceLimits::default().max_recursion_depth(self.recursion);
        match self.memory {
            Some(bytes) => limits.max_memory(bytes),
            None => limits,
        }
    }

    /// Those of the container's own program.
    pub(super) fn of_the_program(self) -> Self {
        Self {
            memory: self.memory,
            ..Self::default()
        }
    }
}

/// Gives the next execution of a session the whole of its time.
pub(super) fn begin(repl: &mut MontyRepl, time: Option<Duration>) {
    match time {
        Some(time) => repl.tracker_mut().set_max_duration(time),
        // It was written down under a limit that holds no more.
        None if repl.tracker().max_duration().is_some() => repl.tracker_mut().set_max_duration(Duration::MAX),
        None => {}
    }
}
