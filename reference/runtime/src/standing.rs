//! How threads stand with the scheduler. Left out: which of them stand how, and how long.

use rustix::process::setpriority_process;
use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
};

/// The least urgent priority that a thread can have which has a share all the same.
const BEHIND_ALL: i32 = 19;

/// How a thread stands with everybody else who wants the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Whoever wants it has it at once.
    StepsBack,
    /// They have a share, if a small one.
    HasShare,
}

impl Standing {
    /// Of the thread that calls this. Where the kernel does not let it, it has the share of any other.
    pub(crate) fn take(self) {
        match self {
            Self::StepsBack => {
                let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
                let _ = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, policy);
            }
            Self::HasShare => {
                let _ = setpriority_process(None, BEHIND_ALL);
            }
        }
    }
}
