//! The embedded engine in virtual time, for simulations: the same program does the same at the same moments in every run, and
//! an hour of sleep takes none.
//!
//! Each sandbox has a time of its own. It stands still while code runs and while the sandbox is frozen, and passes where the code
//! sleeps: at once, or at a pace that lets others come in between. At once, a program that never ends takes a whole core.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;

use super::engine::MontyEngine;
use super::sandbox::engine_version;
use crate::clock::Clock;
use crate::engine::{Answer, CommandRefused, Engine, Facet, Fresh, Place, Sandbox};
use crate::payload::PayloadReader;
use crate::store::EngineVersion;

/// Name of this engine in checkpoints.
const ENGINE_NAME: &str = "sim";

/// Runs Python in virtual time.
#[derive(Clone, Debug)]
pub struct SimEngine {
    start: Timestamp,
    pace: Duration,
    /// The clocks of all sandboxes so far: a run begins no earlier than any of them stands.
    clocks: Arc<Mutex<Vec<Clock>>>,
}

impl SimEngine {
    /// An engine whose first sandbox begins at `start`.
    #[must_use]
    pub fn new(start: Timestamp) -> Self {
        Self {
            start,
            pace: Duration::ZERO,
            clocks: Arc::default(),
        }
    }

    /// The same engine, in which every sleep takes `pace` of real time.
    #[must_use]
    pub fn with_pace(self, pace: Duration) -> Self {
        Self { pace, ..self }
    }

    fn interpreter(&self) -> MontyEngine {
        // A list of clocks is whole whoever panicked.
        let mut clocks = self.clocks.lock().unwrap_or_else(PoisonError::into_inner);
        let latest = clocks.iter().map(Clock::now).fold(self.start, Timestamp::max);
        let clock = Clock::of_virtual_time(latest, self.pace);
        clocks.push(clock.clone());
        MontyEngine::new(clock)
    }
}

impl Engine for SimEngine {
    fn version(&self) -> EngineVersion {
        EngineVersion {
            name: ENGINE_NAME.to_owned(),
            ..engine_version()
        }
    }

    fn facets(&self) -> &'static [Facet] {
        &[Facet::Memory, Facet::Files, Facet::Timers]
    }

    fn accepts(&self, command: &[String]) -> Result<(), CommandRefused> {
        MontyEngine::new(Clock::system()).accepts(command)
    }

    fn start(&self, place: Place, fresh: Fresh) -> Answer<'_, Arc<dyn Sandbox>> {
        let interpreter = self.interpreter();
        async move { interpreter.start(place, fresh).await }.boxed()
    }

    fn restore(&self, place: Place, payload: PayloadReader) -> Answer<'_, Arc<dyn Sandbox>> {
        let interpreter = self.interpreter();
        async move { interpreter.restore(place, payload).await }.boxed()
    }
}
