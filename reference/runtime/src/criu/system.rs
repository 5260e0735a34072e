//! What the kernel tells in `/proc`: pids, mounts, and the next pid.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The pid before the first one of a tree: beyond those of an agent that has only just started.
pub(super) const LAST_PID_OF_AGENT: u32 = 9_999;
const NS_LAST_PID: &str = "/proc/sys/kernel/ns_last_pid";

/// Makes the next pid one beyond `pid`, unless it will be anyway.
pub(super) fn advance_pids_beyond(pid: u32) -> io::Result<()> {
    let last = fs::read_to_string(NS_LAST_PID)?;
    if last.trim().parse().is_ok_and(|last: u32| last >= pid) {
        return Ok(());
    }
    fs::write(NS_LAST_PID, pid.to_string())
}

/// What is known of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ProcessStatus {
    pub(super) parent: u32,
    /// The letter of its state, as `ps` shows it.
    pub(super) state: char,
    /// Its threads, the first one included, as long as any of them runs.
    pub(super) threads: u64,
    /// Clock ticks of its own and of its children that have ended.
    pub(super) ticks: u64,
    /// Pages in memory.
    pub(super) resident_pages: u64,
}

impl ProcessStatus {
    /// Whether it has not ended. The state is the one of its first thread, which may end before others do.
    pub(super) fn is_alive(&self) -> bool {
        !matches!(self.state, 'Z' | 'X') || self.threads > 1
    }
}

/// The status of a process; `None` when there is none of this pid.
pub(super) fn process(pid: u32) -> Option<ProcessStatus> {
    status(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Every process of this pid namespace.
pub(super) fn pids() -> io::Result<Vec<u32>> {
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc")? {
        pids.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    Ok(pids)
}

/// The fields after the command's name, which may hold any character.
fn status(text: &str) -> Option<ProcessStatus> {
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(ProcessStatus {
        state: fields.first()?.chars().next()?,
        parent: u32::try_from(number(1)?).ok()?,
        ticks: number(11)? + number(12)? + number(13)? + number(14)?,
        threads: number(17)?,
        resident_pages: number(21)?,
    })
}

/// A mounted file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) at: PathBuf,
    pub(super) kind: String,
}

/// What is mounted for this process.
pub(super) fn mounts() -> io::Result<Vec<Mount>> {
    Ok(parse_mounts(&fs::read_to_string("/proc/self/mountinfo")?))
}

fn parse_mounts(text: &str) -> Vec<Mount> {
    let mount = |line: &str| {
        let (front, back) = line.split_once(" - ")?;
        Some(Mount {
            at: Path::new(&front.split(' ').nth(4)?.replace("\\040", " ")).to_owned(),
            kind: back.split(' ').next()?.to_owned(),
        })
    };
    text.lines().filter_map(mount).collect()
}

/// From now on this program may have as many files open as it can be allowed by itself. What it began before has what it had.
pub(super) fn open_as_many_files_as_allowed() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    // A program that may not raise it goes on with what it has.
    let _ = setrlimit(Resource::Nofile, raised);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_with_brackets_and_spaces_is_passed_over() {
        let line = "12 (a) b (c)) T 7 12 12 0 -1 4194304 1 2 3 4 10 20 30 40 20 0 1 0 100 8192 55 18446744073709551615";
        let expected = ProcessStatus {
            parent: 7,
            state: 'T',
            threads: 1,
            ticks: 100,
            resident_pages: 55,
        };
        assert_eq!(status(line), Some(expected));
        assert_eq!(status("nonsense"), None);
    }

    #[test]
    fn a_process_whose_first_thread_has_ended_is_alive_while_others_run() {
        let line = |state, threads| {
            let line =
                format!("12 (python3) {state} 7 12 12 0 -1 4194304 1 2 3 4 10 20 30 40 20 0 {threads} 0 100 0 0 0");
            status(&line).expect("a status")
        };
        assert!(line('S', 1).is_alive());
        assert!(line('Z', 2).is_alive());
        assert!(!line('Z', 1).is_alive());
        assert!(!line('X', 0).is_alive());
    }

    #[test]
    fn mounts_are_read_with_place_and_kind() {
        let text =
            "22 1 0:21 / / rw,relatime shared:1 - overlay overlay rw\n23 22 0:5 / /a\\040b rw - tmpfs tmpfs rw\n";
        let mounts = parse_mounts(text);
        assert_eq!(
            (mounts[0].at.as_path(), mounts[0].kind.as_str()),
            (Path::new("/"), "overlay")
        );
        assert_eq!(
            (mounts[1].at.as_path(), mounts[1].kind.as_str()),
            (Path::new("/a b"), "tmpfs")
        );
    }
}
