//! What a process uses, as the kernel counts it in `/proc`.

use std::fs;
use std::time::Duration;

use mock_node::ContainerUsage;

/// What the process uses now; `None` when there is none of this number.
pub(crate) fn of(pid: u32) -> Option<ContainerUsage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    Some(ContainerUsage {
        cpu: cpu(&stat, rustix::param::clock_ticks_per_second())?,
        memory_bytes: private_pages(&statm)?.saturating_mul(rustix::param::page_size() as u64),
    })
}

/// `utime` and `stime`: fields 14 and 15 of `proc_pid_stat(5)`. The name before them may have spaces and brackets.
fn cpu(stat: &str, ticks_per_second: u64) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut times = fields.split(' ').skip(11);
    let ticks = times.next()?.parse::<u64>().ok()? + times.next()?.parse::<u64>().ok()?;
    Some(Duration::from_millis(
        ticks.saturating_mul(1000) / ticks_per_second.max(1),
    ))
}

/// Resident pages without those of files, which the kernel can give back and which all agents share: the program.
fn private_pages(statm: &str) -> Option<u64> {
    let mut fields = statm.split(' ').skip(1).map(str::parse::<u64>);
    let (resident, shared) = (fields.next()?.ok()?, fields.next()?.ok()?);
    Some(resident.saturating_sub(shared))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 500 0 0 0 150 25 0 0 20 0 3 0 100 1 1";
        assert_eq!(cpu(stat, 100), Some(Duration::from_millis(1750)));
        assert_eq!(cpu("7 (cut off", 100), None);
    }

    #[test]
    fn pages_of_files_do_not_count() {
        assert_eq!(private_pages("9000 700 200 5 0 90 0"), Some(500));
    }

    #[test]
    fn this_process_uses_memory_and_one_that_is_not_there_nothing() {
        let own = of(std::process::id()).expect("a process");
        assert!(own.memory_bytes > 0, "{own:?}");
        assert_eq!(of(u32::MAX), None);
    }
}
