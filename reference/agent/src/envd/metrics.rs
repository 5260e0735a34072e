//! `/metrics` of envd: what the sandbox uses, and what there is for it.
//!
//! Page cache is nobody's in particular here and is told as none.

use std::num::NonZero;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio::time::Instant;
use torpor_runtime::Usage;

use super::Refused;
use crate::supervisor::Workload;

/// What is used of the processor is measured over this long at least, once the agent has run so long: less is noise.
const SPAN: Duration = Duration::from_secs(1);

/// As envd answers: sizes in bytes, and the use of all processors together in percent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Metrics {
    /// Seconds since 1970.
    ts: i64,
    cpu_count: u64,
    cpu_used_pct: f64,
    mem_total: u64,
    mem_used: u64,
    mem_cache: u64,
    disk_used: u64,
    disk_total: u64,
}

/// What there is for the sandbox where it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Machine {
    cpu_count: u64,
    mem_total: u64,
    disk_used: u64,
    disk_total: u64,
}

/// Measures the use of processors from one question to the next, or from its own beginning to the first. Clones are
/// handles to the same one.
#[derive(Clone, Debug)]
pub(super) struct Meter(Arc<Mutex<Readings>>);

/// The last reading, and the one that it is compared with when another follows too soon.
#[derive(Clone, Copy, Debug)]
struct Readings {
    base: Reading,
    last: Reading,
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    at: Instant,
    cpu: Duration,
}

impl Meter {
    /// One whose first answer is of the time from now on.
    pub(super) fn begun() -> Self {
        let begin = Reading {
            at: Instant::now(),
            cpu: Duration::ZERO,
        };
        Self(Arc::new(Mutex::new(Readings {
            base: begin,
            last: begin,
        })))
    }

    /// The share of one processor that was used, with `cpu` used in all by now.
    fn read(&self, cpu: Duration) -> f64 {
        let now = Reading {
            at: Instant::now(),
            cpu,
        };
        // Nothing that holds the lock can panic half-way through a change.
        let mut readings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now.at.duration_since(readings.last.at) >= SPAN {
            readings.base = readings.last;
            readings.last = now;
        }
        let wall = now.at.duration_since(readings.base.at).as_secs_f64();
        let used = now.cpu.saturating_sub(readings.base.cpu).as_secs_f64();
        if wall > 0.0 { used / wall } else { 0.0 }
    }

    fn metrics(&self, time: Timestamp, usage: Usage, machine: Machine) -> Metrics {
        let Machine {
            cpu_count,
            mem_total,
            disk_used,
            disk_total,
        } = machine;
        let processors = u32::try_from(cpu_count.max(1)).unwrap_or(u32::MAX);
        let percent = self.read(usage.cpu) * 100.0 / f64::from(processors);
        Metrics {
            ts: time.as_second(),
            cpu_count,
            cpu_used_pct: (percent * 100.0).round() / 100.0,
            mem_total,
            mem_used: usage.memory_bytes,
            mem_cache: 0,
            disk_used,
            disk_total,
        }
    }
}

pub(super) async fn answer(workload: Workload, meter: Meter) -> Result<axum::Json<Metrics>, Refused> {
    let sandbox = workload.serving().ok_or(Refused::NotServing)?;
    let usage = sandbox.usage().await.map_err(|_| Refused::NotServing)?;
    let machine = tokio::task::spawn_blocking(move || Machine::read(sandbox.root())).await;
    let machine = machine.unwrap_or_default();
    Ok(axum::Json(meter.metrics(Timestamp::now(), usage, machine)))
}

impl Machine {
    /// What there is for a sandbox whose files are below `root`; zero for what the system does not say.
    fn read(root: &Path) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let limits = CGROUP_LIMITS.map(read);
        let disk = rustix::fs::statvfs(root).ok();
        let blocks = |disk: &rustix::fs::StatVfs| (disk.f_blocks * disk.f_frsize, disk.f_bfree * disk.f_frsize);
        let (disk_total, disk_free) = disk.as_ref().map(blocks).unwrap_or_default();
        Self {
            cpu_count: std::thread::available_parallelism().map_or(1, NonZero::get) as u64,
            mem_total: memory(&read("/proc/meminfo"), &limits),
            disk_used: disk_total.saturating_sub(disk_free),
            disk_total,
        }
    }
}

/// Where the limit of this container's memory is, by the version of the control groups.
const CGROUP_LIMITS: [&str; 2] = [
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
];

/// Bytes of memory: those of the machine, or what a container is limited to.
fn memory(meminfo: &str, limits: &[String]) -> u64 {
    let total = meminfo.lines().find_map(|line| {
        let kibibytes = line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?;
        Some(kibibytes.parse::<u64>().ok()? * 1024)
    });
    // A file that is not there, or says `max`, limits nothing.
    let limits = limits.iter().filter_map(|limit| limit.trim().parse().ok());
    limits.chain(total).min().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::fake::Serving;

    fn usage(milliseconds: u64, memory_bytes: u64) -> Usage {
        let cpu = Duration::from_millis(milliseconds);
        Usage { cpu, memory_bytes }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_what_the_gateway_reads() {
        let meter = Meter::begun();
        let machine = Machine {
            cpu_count: 2,
            mem_total: 512 << 20,
            disk_used: 5 << 30,
            disk_total: 10 << 30,
        };
        tokio::time::advance(Duration::from_secs(10)).await;
        let time = Timestamp::from_second(1_700_000_000).expect("a time");
        let metrics = meter.metrics(time, usage(2470, 128 << 20), machine);
        let read: Value = serde_json::from_str(include_str!("../../../../fixtures/envd-metrics.json")).expect("JSON");
        assert_eq!(serde_json::to_value(metrics).expect("JSON"), read);
    }

    #[tokio::test(start_paused = true)]
    async fn the_use_of_processors_is_that_since_the_last_question() {
        let meter = Meter::begun();
        let mut used = Vec::new();
        // Time that passes, and what has been used by then.
        for (passes, cpu) in [
            (0, 0),
            (4000, 2000),
            (500, 2000),
            (500, 2000),
            (2000, 4000),
            (2000, 4000),
        ] {
            tokio::time::advance(Duration::from_millis(passes)).await;
            used.push(meter.read(Duration::from_millis(cpu)));
        }
        assert_eq!(used, [0.0, 0.5, 2.0 / 4.5, 0.0, 1.0, 0.0]);
    }

    #[tokio::test]
    async fn what_a_sandbox_uses_is_measured_where_it_runs() {
        let root = tempfile::tempdir().expect("a directory");
        let serving = Serving::below(root.path());
        serving.sandbox.uses(usage(10, 4096));
        let answered = answer(serving.workload.clone(), Meter::begun()).await;
        let axum::Json(metrics) = answered.expect("it serves");
        assert_eq!(metrics.mem_used, 4096);
        assert!(metrics.cpu_count > 0 && metrics.ts > 0, "{metrics:?}");
        assert!(
            metrics.disk_total >= metrics.disk_used && metrics.disk_total > 0,
            "{metrics:?}"
        );
    }

    #[test]
    fn a_container_has_the_memory_that_it_is_limited_to() {
        let meminfo = "MemFree:        1 kB\nMemTotal:        2048 kB\n";
        let all = |limits: [&str; 2]| memory(meminfo, &limits.map(str::to_owned));
        assert_eq!(all(["", ""]), 2 << 20);
        assert_eq!(all(["max\n", ""]), 2 << 20);
        assert_eq!(all(["1048576\n", ""]), 1 << 20);
        assert_eq!(
            all(["", "9223372036854771712\n"]),
            2 << 20,
            "no limit, as the first version says it"
        );
        assert_eq!(memory("", &[]), 0);
    }
}
