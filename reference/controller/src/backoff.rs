//! How long to wait after failures in a row, and a memory of them for what is not worth a status.
//!
//! The memory does not outlive the controller: one that was restarted tries again at once.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The delay after this many failures in a row: `first`, doubled with every further one, up to `most`.
pub(crate) fn delay(first: Duration, most: Duration, failures: u32) -> Duration {
    first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(most)
}

/// Delays that double with every failure in a row.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    failures: Mutex<BTreeMap<String, u32>>,
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
    pub(crate) fn failed(&self, key: &str) -> Duration {
        let mut failures = self.lock();
        let count = failures.get(key).map_or(0, |earlier| *earlier).saturating_add(1);
        failures.insert(key.to_owned(), count);
        delay(self.first, self.most, count)
    }

    /// Whether the last try failed.
    pub(crate) fn is_failing(&self, key: &str) -> bool {
        self.lock().contains_key(key)
    }

    /// Forgets the failures.
    pub(crate) fn succeeded(&self, key: &str) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, u32>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_most_and_are_forgotten_on_success() {
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(5));
        let delays: Vec<_> = (0..4).map(|_| backoff.failed("a").as_secs()).collect();
        assert_eq!(delays, [1, 2, 4, 5]);
        assert_eq!(backoff.failed("b").as_secs(), 1);
        assert!(backoff.is_failing("a") && !backoff.is_failing("c"));
        backoff.succeeded("a");
        assert!(!backoff.is_failing("a"));
        assert_eq!(backoff.failed("a").as_secs(), 1);
    }

    #[test]
    fn a_delay_stays_within_bounds_however_often_it_failed() {
        let (first, most) = (Duration::from_secs(10), Duration::from_secs(320));
        assert_eq!(
            [0, 1, 2, 6, 7, u32::MAX].map(|failures| delay(first, most, failures).as_secs()),
            [10, 10, 20, 320, 320, 320]
        );
        assert_eq!(delay(first, Duration::MAX, 17), first * (1 << 16));
        assert_eq!(delay(first, Duration::MAX, 100), first * (1 << 16));
    }
}
