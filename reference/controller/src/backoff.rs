//! Remembers, per sandbox, how often something failed, and from that when to try it again.
//!
//! Kept in memory only: a controller that was restarted tries again at once.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

/// Delays that double with every failure in a row.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    failures: Mutex<BTreeMap<String, Failures>>,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    not_before: Timestamp,
}

impl Backoff {
    /// From `first`, doubled up to `most`.
    pub(crate) fn new(first: Duration, most: Duration) -> Self {
        Self {
            first,
            most,
            failures: Mutex::default(),
        }
    }

    /// Notes a failure; returns how long to wait.
    pub(crate) fn failed(&self, key: &str, now: Timestamp) -> Duration {
        let mut failures = self.lock();
        let count = failures.get(key).map_or(0, |earlier| earlier.count);
        let delay = self.first.saturating_mul(1 << count.min(16)).min(self.most);
        let not_before = now.checked_add(delay).unwrap_or(now);
        failures.insert(
            key.to_owned(),
            Failures {
                count: count.saturating_add(1),
                not_before,
            },
        );
        delay
    }

    /// How long to wait before the next try; zero if it may be tried now.
    pub(crate) fn remaining(&self, key: &str, now: Timestamp) -> Duration {
        let not_before = self.lock().get(key).map(|failures| failures.not_before);
        not_before
            .and_then(|at| Duration::try_from(at.duration_since(now)).ok())
            .unwrap_or_default()
    }

    /// Forgets the failures.
    pub(crate) fn succeeded(&self, key: &str) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Failures>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_most_and_are_forgotten_on_success() {
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(5));
        let now = Timestamp::UNIX_EPOCH;
        let delays: Vec<_> = (0..4).map(|_| backoff.failed("a", now).as_secs()).collect();
        assert_eq!(delays, [1, 2, 4, 5]);
        assert_eq!(backoff.remaining("a", now).as_secs(), 5);
        assert_eq!(backoff.remaining("b", now), Duration::ZERO);
        backoff.succeeded("a");
        assert_eq!(backoff.failed("a", now).as_secs(), 1);
    }
}
