//! Which sandboxes have been reported by a watch and not been looked at yet, and since when.

use std::collections::HashMap;

use tokio::time::Instant;

/// The sandboxes that wait for a pass, by namespace and name.
#[derive(Debug, Default)]
pub(super) struct Queue {
    since: HashMap<String, Instant>,
}

impl Queue {
    /// A watch reported something of it. It counts from the first report.
    pub(super) fn enter(&mut self, key: String, now: Instant) {
        self.since.entry(key).or_insert(now);
    }

    /// A pass looks at it, or there is nothing to look at; returns since when it waited.
    pub(super) fn leave(&mut self, key: &str) -> Option<Instant> {
        self.since.remove(key)
    }

    pub(super) fn len(&self) -> usize {
        self.since.len()
    }
}
