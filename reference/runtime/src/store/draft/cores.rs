//! Keeps threads that work side by side on cores of their own.
//!
//! A thread that waited runs again where it ran before, or where the one runs who woke it. Where cores share no cache, as in
//! many virtual machines, the scheduler looks nowhere else, and moves one of two threads of a core no sooner than at its next
//! tick, which is as long as a small pause. So a thread that finds another one of its kind on its core goes to one that has
//! none. It is not bound to it: the scheduler may move it again, as it knows what else runs.

use std::sync::atomic::{AtomicUsize, Ordering};

/// No core.
const NOWHERE: usize = usize::MAX;

/// Where each of some threads was when it last said so.
pub(super) struct Cores(Vec<AtomicUsize>);

impl Cores {
    /// For so many threads, which are nowhere yet.
    pub(super) fn of(threads: usize) -> Self {
        Self((0..threads).map(|_| AtomicUsize::new(NOWHERE)).collect())
    }

    /// Says where the `nth` thread is, which is the one that calls this, and has it leave a core that another one is on.
    pub(super) fn spread(&self, nth: usize) {
        let core = here();
        let is_taken = |core: usize| {
            let mut others = self.0.iter().enumerate().filter(|(other, _)| *other != nth);
            others.any(|(_, at)| at.load(Ordering::Relaxed) == core)
        };
        let core = if is_taken(core) {
            go_to_one(|core| !is_taken(core))
        } else {
            Some(core)
        };
        if let (Some(at), Some(core)) = (self.0.get(nth), core) {
            at.store(core, Ordering::Relaxed);
        }
    }

    /// The `nth` thread is done.
    pub(super) fn leave(&self, nth: usize) {
        if let Some(at) = self.0.get(nth) {
            at.store(NOWHERE, Ordering::Relaxed);
        }
    }
}

#[cfg(target_os = "linux")]
fn here() -> usize {
    rustix::thread::sched_getcpu()
}

/// Moves this thread to the first of its cores that will do, and leaves it free to be moved again; gives that core.
#[cfg(target_os = "linux")]
fn go_to_one(will_do: impl Fn(usize) -> bool) -> Option<usize> {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    let all = sched_getaffinity(None).ok()?;
    let core = (0..CpuSet::MAX_CPU).find(|core| all.is_set(*core) && will_do(*core))?;
    let mut only = CpuSet::new();
    only.set(core);
    sched_setaffinity(None, &only).ok()?;
    sched_setaffinity(None, &all).ok()?;
    Some(core)
}

#[cfg(not(target_os = "linux"))]
fn here() -> usize {
    NOWHERE
}

#[cfg(not(target_os = "linux"))]
fn go_to_one(_will_do: impl Fn(usize) -> bool) -> Option<usize> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::thread::{CpuSet, sched_getaffinity};

    use super::*;

    #[test]
    fn a_thread_leaves_a_core_that_another_one_is_on_and_is_not_bound_to_the_next() {
        let all = sched_getaffinity(None).expect("its cores");
        let (cores, mut before) = (Cores::of(2), NOWHERE);
        for _ in 0..10 {
            cores.spread(1);
            let core = cores.0[1].load(Ordering::Relaxed);
            assert!(core < CpuSet::MAX_CPU && all.is_set(core), "{core}");
            assert!(
                all.count() == 1 || core != before,
                "it stays with the other one on {core}"
            );
            before = core;
            // The other one comes after it.
            cores.0[0].store(core, Ordering::Relaxed);
        }
        assert!(sched_getaffinity(None).expect("its cores") == all);
    }
}
