//! How much memory executions take, where a sandbox has a process of its own.
//!
//! The interpreter compares what [`LIVE_MEMORY`] says with a session's limit at every few hundred instructions and before every
//! large result. It leaves the measuring to its host. Here a thread reads what the kernel counts for the process, every few
//! milliseconds while code runs: no allocation costs more, and what is not noticed is what can be taken in that time.

use std::fs;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use monty_types::{BASELINE_MEMORY, LIVE_MEMORY};

/// Time between two readings.
const INTERVAL: Duration = Duration::from_millis(2);
/// What a process ends with that is killed for its memory: 128 and the number of SIGKILL.
const KILLED: i32 = 137;

/// Measures the memory of this process for its one sandbox.
#[derive(Clone, Debug)]
pub struct MemoryGauge {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// How many executions are under way.
    executing: Mutex<usize>,
    changed: Condvar,
}

/// An execution under way.
pub(super) struct Measured<'a> {
    shared: &'a Shared,
    baseline: usize,
}

impl MemoryGauge {
    /// Begins to measure. For processes with one sandbox, and once in a process: memory cannot be told apart by sandbox.
    ///
    /// Beyond `ceiling` bytes the process ends with status 137, as a container that is over its memory limit.
    ///
    /// # Errors
    /// The kernel does not say what this process takes, or there is no thread to be had.
    pub fn start(ceiling: Option<u64>) -> io::Result<Self> {
        resident()?;
        let shared = Arc::new(Shared {
            executing: Mutex::new(0),
            changed: Condvar::new(),
        });
        let measured = Arc::clone(&shared);
        thread::Builder::new()
            .name("memory".to_owned())
            .spawn(move || measured.measure(ceiling))?;
        Ok(Self { shared })
    }

    /// Counts from here on what this execution adds, beside what it had `added` before it slept.
    pub(super) fn begin(&self, added: usize) -> Measured<'_> {
        let mut executing = self.shared.executing();
        // Both are the interpreter's; a reading that fails leaves the limit to the ceiling of the container.
        let now = resident().unwrap_or_default();
        LIVE_MEMORY.store(now, Ordering::Relaxed);
        let baseline = now.saturating_sub(added);
        BASELINE_MEMORY.store(baseline, Ordering::Relaxed);
        *executing += 1;
        self.shared.changed.notify_one();
        Measured {
            shared: &self.shared,
            baseline,
        }
    }
}

impl Measured<'_> {
    /// What the execution has added so far: what it begins with when it is measured again.
    pub(super) fn added(&self) -> usize {
        resident().unwrap_or_default().saturating_sub(self.baseline)
    }
}

impl Drop for Measured<'_> {
    fn drop(&mut self) {
        let mut executing = self.shared.executing();
        *executing -= 1;
        if *executing == 0 {
            LIVE_MEMORY.store(BASELINE_MEMORY.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
}

impl Shared {
    fn executing(&self) -> MutexGuard<'_, usize> {
        // A number is whole whoever panicked.
        self.executing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn measure(&self, ceiling: Option<u64>) {
        loop {
            let executing = self.changed.wait_while(self.executing(), |executing| *executing == 0);
            let now = resident().unwrap_or_default();
            LIVE_MEMORY.store(now, Ordering::Relaxed);
            // Held until here: what the next execution begins with is not overwritten by a reading of the one before.
            drop(executing);
            if let Some(ceiling) = ceiling.filter(|ceiling| now as u64 > *ceiling) {
                eprintln!("out of memory: {now} bytes, and the limit of the container is {ceiling} bytes");
                std::process::exit(KILLED);
            }
            thread::sleep(INTERVAL);
        }
    }
}

/// Bytes of this process in memory, without those of files: its program and what it has mapped.
fn resident() -> io::Result<usize> {
    let statm = fs::read_to_string("/proc/self/statm")?;
    let mut pages = statm.split(' ').skip(1).map(str::parse::<usize>);
    match (pages.next(), pages.next()) {
        (Some(Ok(resident)), Some(Ok(shared))) => Ok(resident
            .saturating_sub(shared)
            .saturating_mul(rustix::param::page_size())),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "read /proc/self/statm")),
    }
}
