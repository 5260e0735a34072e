//! How long the suite itself was held up: it could have gone on, and its machine was busy with something else.
//!
//! Decides how much longer a wait lasts because of that, and when nothing can be told any more. A target is not to be
//! called slow by somebody who could not look. Leaves out what is waited for.
//!
//! ```text
//!  limit 30 s:  ├── looked ──┤ held up ├── looked ──┤          late: the target's fault
//!               ├ looked ┤ ……… held up for three quarters of 120 s ………  undecided: nobody's
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use crate::probe::Fault;
use crate::scenario::Span;

/// How often it is looked.
const PERIOD: Duration = Duration::from_millis(250);
/// How many times its limit a wait lasts at most.
const MOST: u32 = 4;

/// Counts the time that the suite was held up, until it is dropped. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Pulse {
    micros: Arc<AtomicU64>,
    _beat: Arc<JoinSet<()>>,
}

impl Pulse {
    /// Counts from now on.
    pub(crate) fn start() -> Self {
        let micros = Arc::new(AtomicU64::new(0));
        let mut beat = JoinSet::new();
        beat.spawn(count(Arc::clone(&micros), queued(), Instant::now()));
        Self {
            micros,
            _beat: Arc::new(beat),
        }
    }

    /// Counts nothing: limits hold by the clock.
    pub(crate) fn still() -> Self {
        Self {
            micros: Arc::default(),
            _beat: Arc::default(),
        }
    }

    /// How long the suite was held up so far.
    pub(crate) fn held_up(&self) -> Duration {
        Duration::from_micros(self.micros.load(Ordering::Relaxed))
    }

    /// A wait of so long that begins now.
    pub(crate) fn deadline(&self, limit: Duration) -> Deadline {
        Deadline {
            pulse: self.clone(),
            limit,
            began: Instant::now(),
            held_before: self.held_up(),
        }
    }
}

/// A wait, and how long it may last.
#[derive(Clone, Debug)]
pub(crate) struct Deadline {
    pulse: Pulse,
    limit: Duration,
    began: Instant,
    held_before: Duration,
}

impl Deadline {
    /// Whether the wait goes on.
    pub(crate) fn left(&self) -> Left {
        left(self.limit, self.began.elapsed(), self.held_up())
    }

    /// Whether it is over.
    pub(crate) fn is_over(&self) -> bool {
        match self.left() {
            Left::Time(_) => false,
            Left::Nothing | Left::Unknown => true,
        }
    }

    fn held_up(&self) -> Duration {
        self.pulse.held_up().saturating_sub(self.held_before)
    }

    /// The outcome of `work`, if it comes in time.
    ///
    /// # Errors
    /// What [`late`](Self::late) makes of it.
    pub(crate) async fn within<T>(&self, work: impl Future<Output = T>) -> Result<T, Late> {
        let mut work = std::pin::pin!(work);
        loop {
            let rest = match self.left() {
                Left::Time(rest) => rest,
                Left::Nothing | Left::Unknown => return Err(self.late()),
            };
            if let Ok(done) = tokio::time::timeout(rest, work.as_mut()).await {
                return Ok(done);
            }
        }
    }

    /// What is to be said of a wait that is over.
    pub(crate) fn late(&self) -> Late {
        Late {
            limit: self.limit,
            waited: self.began.elapsed(),
            held_up: self.held_up(),
        }
    }
}

/// How long a single answer may take.
#[derive(Clone, Debug)]
pub(crate) struct Patience {
    pub(crate) pulse: Pulse,
    pub(crate) limit: Duration,
}

impl Patience {
    /// A wait for an answer that begins now.
    pub(crate) fn begin(&self) -> Deadline {
        self.pulse.deadline(self.limit)
    }
}

/// What is left of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// So much.
    Time(Duration),
    /// Nothing: the target had its time.
    Nothing,
    /// Nothing, and the suite could look for too little of it to tell.
    Unknown,
}

/// What is left of a limit after so long, of which the suite was held up for some.
fn left(limit: Duration, elapsed: Duration, held_up: Duration) -> Left {
    let (looked, most) = (elapsed.saturating_sub(held_up), limit.saturating_mul(MOST));
    if looked >= limit {
        Left::Nothing
    } else if elapsed >= most {
        Left::Unknown
    } else {
        Left::Time(limit.saturating_sub(looked).min(most.saturating_sub(elapsed)))
    }
}

/// Something did not come in time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Late {
    limit: Duration,
    waited: Duration,
    held_up: Duration,
}

impl Late {
    /// After so long a wait for something that had a limit.
    #[cfg(test)]
    pub(crate) const fn of(limit: Duration, waited: Duration, held_up: Duration) -> Self {
        Self { limit, waited, held_up }
    }

    /// Whether the suite could look for less than a quarter of the time.
    pub(crate) fn mostly_held_up(self) -> bool {
        self.waited.saturating_sub(self.held_up) < self.waited / MOST
    }

    /// The fault of whom it is, said by what was waited for: `what` did not happen `within 30s`.
    pub(crate) fn fault(self, what: impl FnOnce(&str) -> String) -> Fault {
        let (limit, waited, held_up) = (Span::from(self.limit), whole(self.waited), whole(self.held_up));
        match left(self.limit, self.waited, self.held_up) {
            Left::Unknown => Fault::Harness(format!(
                "{}; of that time the suite was held up for {held_up}: its machine is too busy to tell",
                what(&format!("within {waited}"))
            )),
            Left::Nothing | Left::Time(_) if self.held_up < Duration::from_secs(1) => {
                Fault::Claim(what(&format!("within {limit}")))
            }
            Left::Nothing | Left::Time(_) => Fault::Claim(what(&format!(
                "within {limit}, and {held_up} more in which the suite was held up"
            ))),
        }
    }
}

/// Whole seconds, or what is less as it is.
fn whole(time: Duration) -> Span {
    Span::from(if time < Duration::from_secs(1) {
        time
    } else {
        Duration::from_secs(time.as_secs())
    })
}

/// Adds up how long nothing of this process could go on that wanted to, since `last`, when threads had waited as `before`.
async fn count(micros: Arc<AtomicU64>, mut before: BTreeMap<u32, Duration>, mut last: Instant) {
    let mut ticks = tokio::time::interval_at(last + PERIOD, PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let (now, elapsed) = (queued(), last.elapsed());
        last = Instant::now();
        let late = elapsed.saturating_sub(PERIOD);
        let held_up = longest(&before, &now).max(late).min(elapsed);
        before = now;
        micros.fetch_add(
            u64::try_from(held_up.as_micros()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
    }
}

/// How long each thread of this process has waited for a processor since it began, by its id; empty where the system
/// does not say (`/proc/self/task/*/schedstat`, see proc(5) and the kernel's `sched-stats`).
fn queued() -> BTreeMap<u32, Duration> {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let one = |task: std::fs::DirEntry| {
        let id = task.file_name().to_str()?.parse().ok()?;
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        let waited = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
        Some((id, Duration::from_nanos(waited)))
    };
    tasks.filter_map(one).collect()
}

/// The longest that any thread waited in between; one that is new waited since it began.
fn longest(before: &BTreeMap<u32, Duration>, now: &BTreeMap<u32, Duration>) -> Duration {
    let waited = |(id, now): (&u32, &Duration)| now.saturating_sub(before.get(id).copied().unwrap_or_default());
    now.iter().map(waited).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_wait_is_as_much_longer_as_the_suite_was_held_up_and_no_more_than_four_times() {
        for (elapsed, held_up, expected) in [
            (0, 0, Left::Time(seconds(30))),
            (10, 0, Left::Time(seconds(20))),
            (30, 0, Left::Nothing),
            (30, 10, Left::Time(seconds(10))),
            (45, 10, Left::Nothing),
            (110, 100, Left::Time(seconds(10))),
            (120, 90, Left::Nothing),
            (120, 91, Left::Unknown),
            (130, 130, Left::Unknown),
        ] {
            let found = left(seconds(30), seconds(elapsed), seconds(held_up));
            assert_eq!(found, expected, "{held_up} of {elapsed} s");
        }
    }

    #[test]
    fn who_could_not_look_blames_nobody() {
        let late = |waited, held_up| {
            let late = Late {
                limit: seconds(30),
                waited: seconds(waited),
                held_up: seconds(held_up),
            };
            late.fault(|within| format!("not {within}: it is Pausing"))
        };
        let claim = |text: &str| Fault::Claim(text.to_owned());
        assert_eq!(late(30, 0), claim("not within 30s: it is Pausing"));
        assert_eq!(
            late(50, 20),
            claim("not within 30s, and 20s more in which the suite was held up: it is Pausing")
        );
        let Fault::Harness(why) = late(120, 118) else {
            panic!("the target is blamed");
        };
        assert!(why.contains("within 120s") && why.contains("held up for 118s"), "{why}");
    }

    #[test]
    fn who_was_away_for_more_than_three_quarters_of_the_time_was_not_punctual() {
        let late = |held_up| Late {
            limit: seconds(60),
            waited: seconds(12),
            held_up: seconds(held_up),
        };
        assert!(late(10).mostly_held_up() && !late(9).mostly_held_up());
    }

    #[test]
    fn the_thread_that_waited_longest_tells_and_a_new_one_counts_from_its_beginning() {
        let times = |times: &[(u32, u64)]| -> BTreeMap<u32, Duration> {
            times
                .iter()
                .map(|(id, millis)| (*id, Duration::from_millis(*millis)))
                .collect()
        };
        let before = times(&[(1, 100), (2, 500), (3, 9000)]);
        let now = times(&[(1, 180), (2, 510), (4, 20)]);
        assert_eq!(longest(&before, &now), Duration::from_millis(80));
        assert_eq!(longest(&now, &now), Duration::ZERO);
    }

    #[tokio::test]
    async fn a_process_that_nobody_lets_go_on_knows_it() {
        let pulse = Pulse::start();
        let deadline = pulse.deadline(Duration::from_millis(50));
        // The only thread of this runtime is held up: nothing else of it can go on.
        let began = Instant::now();
        while let Some(rest) = seconds(1).checked_sub(began.elapsed()) {
            std::thread::park_timeout(rest);
        }
        let counted = async {
            while pulse.held_up() < Duration::from_millis(500) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), counted)
            .await
            .expect("it was counted");
        assert!(deadline.late().held_up >= Duration::from_millis(500));
    }

    /// A pulse of a suite that is held up for nine tenths of the time.
    fn slow() -> Pulse {
        let micros = Arc::new(AtomicU64::new(0));
        let mut beat = JoinSet::new();
        let counted = Arc::clone(&micros);
        beat.spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(100));
            loop {
                ticks.tick().await;
                counted.fetch_add(90_000, Ordering::Relaxed);
            }
        });
        Pulse {
            micros,
            _beat: Arc::new(beat),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_on_a_machine_that_is_too_busy_lasts_four_times_as_long_and_decides_nothing() {
        let began = Instant::now();
        let never = std::future::pending::<()>();
        let late = slow().deadline(seconds(10)).within(never).await.unwrap_err();
        assert_eq!(began.elapsed().as_secs(), 40);
        assert!(matches!(late.fault(str::to_owned), Fault::Harness(_)));
        let comes = tokio::time::timeout(seconds(25), std::future::pending::<()>());
        assert!(slow().deadline(seconds(10)).within(comes).await.is_ok());
    }

    #[tokio::test]
    async fn what_comes_in_time_is_had_and_what_never_comes_is_late() {
        let pulse = Pulse::start();
        assert_eq!(pulse.deadline(seconds(60)).within(async { 7 }).await.ok(), Some(7));
        let short = pulse.deadline(Duration::from_millis(20));
        assert!(short.within(std::future::pending::<()>()).await.is_err());
    }
}
