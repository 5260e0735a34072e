//! How much one execution of the embedded engine may take.

use std::time::Duration;

use monty::MontyRepl;
use monty_types::{DEFAULT_MAX_RECURSION_DEPTH, ResourceLimits};

/// Limits of executions. The container's own program runs as long as it likes.
///
/// Not among them: memory. The interpreter shares the allocator of its process, so a sandbox is held to a memory limit
/// only where its agent has a process or container of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecutionLimits {
    /// For how long one execution may compute; sleeping and waiting do not count. It ends with `TimeoutError`.
    pub time: Option<Duration>,
    /// How deep calls may be nested; deeper ones raise `RecursionError`. A context keeps the depth it was made with.
    pub recursion: usize,
}

impl Default for ExecutionLimits {
    fn default() -> Self {
        Self {
            time: None,
            recursion: DEFAULT_MAX_RECURSION_DEPTH,
        }
    }
}

impl ExecutionLimits {
    pub(super) fn of_a_session(self) -> ResourceLimits {
        ResourceLimits::default().max_recursion_depth(self.recursion)
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
