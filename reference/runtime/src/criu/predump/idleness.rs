//! When a sandbox is idle. Pure: it is told what the sandbox has used, and says when to look again.

use std::time::Duration;

/// The longest that nobody looks.
const LONGEST: Duration = Duration::from_mins(1);

/// What was seen of a sandbox.
#[derive(Debug)]
pub(super) struct Idleness {
    /// How long nothing was used before it is worth something; twice as long after each time.
    least: Duration,
    delay: Duration,
    /// Processor time that had been used at the last look, and when it was last worth something.
    seen: Option<Duration>,
    stored: Option<Duration>,
}

impl Idleness {
    /// A sandbox that has used so much, as far as that is known, is idle when it uses nothing for so long.
    pub(super) fn of(used: Option<Duration>, least: Duration) -> Self {
        Self {
            least,
            delay: least,
            seen: used,
            stored: None,
        }
    }

    /// How long until the next look.
    pub(super) fn delay(&self) -> Duration {
        self.delay
    }

    /// Whether nothing was used since the last look, and something since it was last so. `used` is the processor time since
    /// the sandbox began.
    pub(super) fn is_due(&mut self, used: Duration) -> bool {
        let is_idle = self.seen.replace(used) == Some(used);
        let is_due = is_idle && self.stored != Some(used);
        if is_due {
            self.stored = Some(used);
            self.least = (self.least * 2).min(LONGEST);
        }
        // Who has been idle for long is so for longer.
        self.delay = if is_idle {
            (self.delay * 2).min(LONGEST)
        } else {
            self.least
        };
        is_due
    }

    /// What was stored is of no use any more.
    pub(super) fn forget(&mut self) {
        (self.seen, self.stored, self.delay) = (None, None, self.least);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// What each look says, and how long the next one is away, in seconds.
    fn looks(used: &[u64]) -> Vec<(bool, u64)> {
        let mut idleness = Idleness::of(None, SECOND);
        let look = |used: &u64| {
            (
                idleness.is_due(Duration::from_millis(*used)),
                idleness.delay().as_secs(),
            )
        };
        used.iter().map(look).collect()
    }

    #[test]
    fn it_is_due_once_nothing_was_used_between_two_looks_and_not_again_before_something_was() {
        assert_eq!(
            looks(&[10, 20, 20, 20, 20]),
            [(false, 1), (false, 1), (true, 2), (false, 4), (false, 8)]
        );
        let mut known = Idleness::of(Some(SECOND), SECOND);
        assert!(known.is_due(SECOND) && !known.is_due(SECOND));
        assert_eq!(
            looks(&[10, 10, 20, 20, 30, 30]),
            [(false, 1), (true, 2), (false, 2), (true, 4), (false, 4), (true, 8)]
        );
    }

    #[test]
    fn what_was_stored_and_is_of_no_use_any_more_is_stored_again_but_not_sooner() {
        let mut idleness = Idleness::of(Some(SECOND), SECOND);
        assert!(idleness.is_due(SECOND) && !idleness.is_due(SECOND));
        idleness.forget();
        assert_eq!(idleness.delay(), 2 * SECOND);
        assert!(!idleness.is_due(SECOND) && idleness.is_due(SECOND) && !idleness.is_due(SECOND));
    }

    #[test]
    fn a_sandbox_that_is_never_idle_is_looked_at_as_often_as_at_first_and_one_that_is_once_a_minute() {
        let busy: Vec<u64> = (0..50).collect();
        assert!(looks(&busy).iter().all(|look| *look == (false, 1)));
        assert_eq!(looks(&[7; 50]).last(), Some(&(false, 60)));
    }
}
