//! How the threads of a store stand with the scheduler when one that stepped back took something ahead. A program of its
//! own: the threads are made once.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a fixture that cannot be set up fails the test")]

use std::fs;

use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
};
use torpor_runtime::CheckpointStore;

/// `SCHED_IDLE`, as the kernel calls it.
const STEPS_BACK: &str = "5";

/// The policies of all threads of this program, by the kernel.
fn policies() -> Vec<String> {
    let threads = fs::read_dir("/proc/self/task").unwrap();
    // Those that have ended meanwhile have none.
    let stats = threads.filter_map(|thread| fs::read_to_string(thread.unwrap().path().join("stat")).ok());
    stats.map(|stat| policy_in(&stat)).collect()
}

/// The 41st value; the second may have spaces, and ends with the last parenthesis.
fn policy_in(stat: &str) -> String {
    let (_, from_third) = stat.rsplit_once(')').unwrap();
    from_third.split_whitespace().nth(38).unwrap().to_owned()
}

#[tokio::test]
async fn who_steps_back_to_take_ahead_makes_no_threads_that_step_back_for_all() {
    let directory = tempfile::tempdir().unwrap();
    let store = CheckpointStore::open(&format!("file://{}", directory.path().display())).unwrap();
    let draft = store.intake("standing").begin_ahead().await.unwrap();
    let stands_back = std::thread::spawn(|| {
        let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
        set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle).unwrap();
        // As whoever takes does.
        let threads = rayon::current_num_threads();
        let policies = policies();
        (threads, policies)
    });
    let (threads, policies) = stands_back.join().unwrap();
    let back = policies.iter().filter(|policy| *policy == STEPS_BACK).count();
    assert!(policies.len() > threads, "{policies:?}");
    assert_eq!(back, 1, "of {policies:?}: the one alone that asked for it");
    draft.abandon().await;
}
