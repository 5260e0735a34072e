//! Where time enters, and the time that a sandbox counts for itself.
//!
//! ```text
//!  uptime:   Counting{since} ──freeze──▶ Stopped
//!                   ▲                       │
//!                   └─────────thaw──────────┘    a checkpoint carries what was counted into the next run
//! ```

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;

/// The clocks of a machine, or of a test.
#[derive(Clone)]
pub struct Clock {
    wall: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    monotonic: Arc<dyn Fn() -> Duration + Send + Sync>,
    virtual_time: Option<VirtualTime>,
}

/// Time that does not pass by itself.
#[derive(Clone)]
struct VirtualTime {
    /// In nanoseconds.
    passed: Arc<AtomicU64>,
    /// How long a wait takes in real time.
    pace: Duration,
}

impl Clock {
    /// The clocks of this machine.
    #[must_use]
    pub fn system() -> Self {
        let origin = Instant::now();
        Self::new(Timestamp::now, move || origin.elapsed())
    }

    /// `wall` may be set; `monotonic` counts from an arbitrary moment and never goes back.
    pub fn new(
        wall: impl Fn() -> Timestamp + Send + Sync + 'static,
        monotonic: impl Fn() -> Duration + Send + Sync + 'static,
    ) -> Self {
        Self {
            wall: Arc::new(wall),
            monotonic: Arc::new(monotonic),
            virtual_time: None,
        }
    }

    /// Clocks of a virtual time, which begins at `start`. It stands still while something is done; who has nothing to do but to wait
    /// makes it [`pass`](Self::pass), after `pace` of real time, however long the wait.
    #[must_use]
    pub fn of_virtual_time(start: Timestamp, pace: Duration) -> Self {
        let passed = Arc::new(AtomicU64::new(0));
        let read = |passed: &Arc<AtomicU64>| {
            let passed = Arc::clone(passed);
            move || Duration::from_nanos(passed.load(Ordering::Relaxed))
        };
        let (wall, monotonic) = (read(&passed), read(&passed));
        let mut clock = Self::new(
            move || start.saturating_add(wall()).unwrap_or(Timestamp::MAX),
            monotonic,
        );
        clock.virtual_time = Some(VirtualTime { passed, pace });
        clock
    }

    /// How long a wait of `pause` takes in real time.
    #[must_use]
    pub fn real(&self, pause: Duration) -> Duration {
        self.virtual_time.as_ref().map_or(pause, |time| time.pace)
    }

    /// Lets virtual time pass; real time passes by itself.
    pub fn pass(&self, pause: Duration) {
        if let Some(time) = &self.virtual_time {
            let nanos = u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX);
            time.passed.fetch_add(nanos, Ordering::Relaxed);
        }
    }

    /// The wall clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.wall)()
    }

    /// Time since an arbitrary moment.
    #[must_use]
    pub fn monotonic(&self) -> Duration {
        (self.monotonic)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").finish_non_exhaustive()
    }
}

/// For how long a sandbox has run: over all its runs, without the time for which it was frozen or written down.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Uptime {
    /// It runs since the monotonic clock showed `since`.
    Counting { before: Duration, since: Duration },
    /// It is frozen.
    Stopped { total: Duration },
}

impl Uptime {
    /// A sandbox that begins to run when the monotonic clock shows `monotonic`, after `before` in earlier runs.
    pub(crate) fn begin(before: Duration, monotonic: Duration) -> Self {
        Self::Counting {
            before,
            since: monotonic,
        }
    }

    pub(crate) fn total(self, monotonic: Duration) -> Duration {
        match self {
            Self::Counting { before, since } => before.saturating_add(monotonic.saturating_sub(since)),
            Self::Stopped { total } => total,
        }
    }

    pub(crate) fn freeze(&mut self, monotonic: Duration) {
        *self = Self::Stopped {
            total: self.total(monotonic),
        };
    }

    pub(crate) fn thaw(&mut self, monotonic: Duration) {
        *self = Self::begin(self.total(monotonic), monotonic);
    }

    pub(crate) fn is_frozen(self) -> bool {
        matches!(self, Self::Stopped { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::{Clock, Uptime};
    use jiff::Timestamp;
    use std::time::Duration;

    #[test]
    fn virtual_time_passes_only_when_it_is_made_to() {
        let hour = Duration::from_hours(1);
        let clock = Clock::of_virtual_time(Timestamp::UNIX_EPOCH, Duration::ZERO);
        assert_eq!(
            (clock.now(), clock.monotonic()),
            (Timestamp::UNIX_EPOCH, Duration::ZERO)
        );
        assert_eq!((clock.real(hour), Clock::system().real(hour)), (Duration::ZERO, hour));
        clock.pass(hour);
        assert_eq!((clock.now().as_second(), clock.monotonic()), (3600, hour));
    }

    #[test]
    fn frozen_time_does_not_count_however_often_it_is_frozen_or_thawed() {
        let at = Duration::from_secs;
        let mut uptime = Uptime::begin(at(100), at(7));
        assert_eq!(uptime.total(at(9)), at(102));
        uptime.freeze(at(10));
        uptime.freeze(at(20));
        assert_eq!(uptime.total(at(30)), at(103));
        uptime.thaw(at(40));
        uptime.thaw(at(41));
        assert_eq!(uptime.total(at(45)), at(108));
        assert!(!uptime.is_frozen());
    }
}
