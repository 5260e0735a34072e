//! Begins a process on another core than the thread that goes on meanwhile.
//!
//! ```text
//!  who asks, on one core ──────────────────────────────────▶ goes on
//!     └─▶ a thread on the others ──begins the process there──▶ the process may go anywhere
//! ```
//!
//! Where cores share no cache, as in many virtual machines, the scheduler looks for no idle one for whoever is woken or begun,
//! and who shares a core waits for the other one's slice to end: 3 ms and more, which is as long as CRIU takes to load.

use std::io;
use std::thread;

use rustix::io::Errno;
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Begins a process, which is told of when it runs its program. Its parent is this process, not the thread.
///
/// # Errors
/// There is no thread for it.
pub(super) fn begin_beside(mut command: Command) -> io::Result<oneshot::Receiver<io::Result<Child>>> {
    let (tell, process) = oneshot::channel();
    let (runtime, here) = (Handle::current(), sched_getcpu());
    let begin = move || {
        let _runtime = runtime.enter();
        let all = leave(here);
        let child = command.spawn();
        // Who asked may have given up.
        let _ = tell.send(child.and_then(|child| set_free(child, all.as_ref())));
    };
    thread::Builder::new().name("criu-begin".to_owned()).spawn(begin)?;
    Ok(process)
}

/// Keeps this thread, and what it begins, away from a core if it may run on another one; gives all that it had then.
fn leave(core: usize) -> Option<CpuSet> {
    let all = sched_getaffinity(None).ok()?;
    let mut others = all;
    others.unset(core);
    if others.count() == 0 || others == all {
        return None;
    }
    sched_setaffinity(None, &others).ok().map(|()| all)
}

/// Lets a process run on these cores, before it has begun others, which would inherit what it has.
fn set_free(child: Child, all: Option<&CpuSet>) -> io::Result<Child> {
    let pid = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    if let (Some(pid), Some(all)) = (pid, all) {
        match sched_setaffinity(Some(pid), all) {
            // It has ended, which is found out by who waits for it.
            Ok(()) | Err(Errno::SRCH) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(child)
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;

    #[tokio::test]
    async fn what_is_begun_may_run_wherever_who_began_it_may() {
        let all = sched_getaffinity(None).expect("its cores");
        let mut command = Command::new("cat");
        command.stdin(Stdio::piped()).kill_on_drop(true);
        let begun = begin_beside(command).expect("a thread").await.expect("told");
        let pid = begun.as_ref().ok().and_then(Child::id).expect("a pid");
        let pid = Pid::from_raw(pid.try_into().expect("a pid"));
        assert!(sched_getaffinity(pid).expect("its cores") == all);
        assert!(
            sched_getaffinity(None).expect("its cores") == all,
            "and who asked is as before"
        );
    }

    #[test]
    fn a_core_is_left_when_there_is_another() {
        let all = sched_getaffinity(None).expect("its cores");
        let here = sched_getcpu();
        let left = leave(here);
        let now = sched_getaffinity(None).expect("its cores");
        assert_eq!(left.is_some(), all.count() > 1);
        assert_eq!(now.is_set(here), left.is_none());
        assert_eq!(now.count(), if left.is_some() { all.count() - 1 } else { 1 });
    }

    #[tokio::test]
    async fn a_program_that_cannot_be_begun_is_told() {
        let begun = begin_beside(Command::new("/nowhere/criu")).expect("a thread").await;
        let failed = begun.expect("told").err().map(|error| error.kind());
        assert_eq!(failed, Some(io::ErrorKind::NotFound));
    }
}
