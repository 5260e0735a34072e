//! The process tree of a sandbox, seen from outside: what it uses, what of it is stopped, and its end.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, kill_process, pidfd_open, waitpid};
use tokio::net::unix::pipe;

use super::error::CriuError;
use super::system::{self, ProcessStatus};
use crate::engine::Usage;

/// How often processes that were killed are looked for.
const LOOK: Duration = Duration::from_millis(2);
/// How long they are looked for.
const KILL_LIMIT: Duration = Duration::from_secs(10);
/// How often one looks whether the root has ended, which does not happen.
const SELDOM: Duration = Duration::from_millis(50);

/// A tree, by the pid of its root, which is a child of this process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tree {
    root: u32,
}

impl Tree {
    pub(super) fn new(root: u32) -> Self {
        Self { root }
    }

    pub(super) fn root(self) -> u32 {
        self.root
    }

    /// Everything in the tree that has not ended.
    fn members(self) -> io::Result<BTreeMap<u32, ProcessStatus>> {
        let mut members = all_below(&BTreeSet::from([self.root]))?;
        members.retain(|_, status| status.is_alive());
        Ok(members)
    }

    /// All processes, in the order of their pids.
    pub(super) fn pids(self) -> io::Result<Vec<u32>> {
        Ok(self.members()?.into_keys().collect())
    }

    /// The processes that stand stopped. The root is none of them: without it nothing is reached.
    pub(super) fn stopped(self) -> io::Result<BTreeSet<u32>> {
        let mut members = self.members()?;
        members.retain(|pid, status| *pid != self.root && status.state == 'T');
        Ok(members.into_keys().collect())
    }

    /// Lets everything go on but those that `stay`.
    pub(super) fn go_on(self, stay: &BTreeSet<u32>) -> Result<(), CriuError> {
        let members = self.members().map_err(CriuError::init("list its processes"))?;
        for pid in members.into_keys().filter(|pid| !stay.contains(pid)) {
            signal(pid, Signal::CONT)?;
        }
        Ok(())
    }

    /// What the tree uses: CPU time of this run, and memory in which shared pages count for each process.
    pub(super) fn usage(self) -> io::Result<Usage> {
        let members = self.members()?;
        let ticks: u64 = members.values().map(|status| status.ticks).sum();
        let pages: u64 = members.values().map(|status| status.resident_pages).sum();
        Ok(Usage {
            cpu: Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second().max(1)),
            memory_bytes: pages * rustix::param::page_size() as u64,
        })
    }

    /// Returns when the root was there and has ended, and nobody has taken it in.
    pub(super) async fn root_ended(self) {
        while system::process(self.root).is_none_or(|root| root.is_alive()) {
            tokio::time::sleep(SELDOM).await;
        }
    }

    /// Returns when the root has ended, whoever takes it in.
    pub(super) async fn ended(self) -> io::Result<()> {
        let pid = i32::try_from(self.root).ok().and_then(Pid::from_raw);
        let root = match pid
            .ok_or(Errno::SRCH)
            .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()))
        {
            // It is no pipe, and waited for like one.
            Ok(root) => pipe::Receiver::from_owned_fd_unchecked(root)?,
            Err(Errno::SRCH) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        };
        root.readable().await.map(drop)
    }

    /// Kills everything. Init comes last, so that whatever loses its parent is adopted by it and found.
    /// When this ends the pids are free again.
    pub(super) async fn kill(self) {
        let mut known = BTreeSet::from([self.root]);
        let mut looks = Looks::default();
        // What is gone already needs no signal.
        let _ = signal(self.root, Signal::STOP);
        // What begins processes faster than they are found is left to the end of the container.
        let until = Instant::now() + KILL_LIMIT;
        while Instant::now() < until
            && let Ok(all) = all_below(&known)
        {
            let others = all.iter().filter(|(pid, _)| **pid != self.root);
            let living: Vec<u32> = others
                .filter_map(|(pid, status)| status.is_alive().then_some(*pid))
                .collect();
            known.extend(all.keys());
            if looks.find_none(all.into_keys().collect(), &living) {
                break;
            }
            for pid in living {
                let _ = signal(pid, Signal::KILL);
            }
            tokio::time::sleep(LOOK).await;
        }
        let _ = signal(self.root, Signal::KILL);
        // Init first: with its end the zombies of the tree become children of this process.
        while reap_one_of(self.root) {
            tokio::time::sleep(LOOK).await;
        }
        for pid in known {
            while reap_one_of(pid) {
                tokio::time::sleep(LOOK).await;
            }
        }
    }
}

/// Whether the child still has to end; takes it in when it has.
fn reap_one_of(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    matches!(waitpid(pid, WaitOptions::NOHANG), Ok(None))
}

fn signal(pid: u32, signal: Signal) -> Result<(), CriuError> {
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let sent = raw.ok_or(Errno::SRCH).and_then(|raw| kill_process(raw, signal));
    match sent {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(errno) => Err(CriuError::Signal {
            pid,
            source: errno.into(),
        }),
    }
}

/// What was found of a tree that is being killed.
#[derive(Debug, Default)]
struct Looks {
    last: Option<BTreeSet<u32>>,
}

impl Looks {
    /// Whether none of what was `found` lives, or has begun since the look before: one that was listed may have begun
    /// another before it was seen to have ended. Nobody takes in what has ended, so that it is found.
    fn find_none(&mut self, found: BTreeSet<u32>, living: &[u32]) -> bool {
        let is_same = self.last.as_ref() == Some(&found);
        self.last = Some(found);
        is_same && living.is_empty()
    }
}

/// These processes and everything below them, zombies included.
fn all_below(roots: &BTreeSet<u32>) -> io::Result<BTreeMap<u32, ProcessStatus>> {
    let known = system::pids()?.into_iter();
    let all = known.filter_map(|pid| Some((pid, system::process(pid)?))).collect();
    Ok(below(roots, &all))
}

/// Those of `all` that one of `roots` is an ancestor of, and themselves.
fn below(roots: &BTreeSet<u32>, all: &BTreeMap<u32, ProcessStatus>) -> BTreeMap<u32, ProcessStatus> {
    let is_member = |pid: &u32| {
        let mut at = *pid;
        // A pid may be used again between two looks; no chain is longer than the list.
        for _ in 0..all.len() {
            if roots.contains(&at) {
                return true;
            }
            match all.get(&at) {
                Some(status) => at = status.parent,
                None => return false,
            }
        }
        false
    };
    all.iter()
        .filter(|(pid, _)| is_member(pid))
        .map(|(pid, status)| (*pid, status.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(parent: u32, state: char) -> ProcessStatus {
        ProcessStatus {
            parent,
            state,
            threads: 1,
            ticks: 0,
            resident_pages: 0,
        }
    }

    #[tokio::test]
    async fn a_root_has_ended_when_it_was_killed_and_not_before_it_is_there_or_while_it_lives() {
        let soon = Duration::from_millis(150);
        assert!(
            tokio::time::timeout(soon, Tree::new(u32::MAX).root_ended())
                .await
                .is_err()
        );
        let mut child = std::process::Command::new("sleep").arg("100").spawn().expect("begun");
        let tree = Tree::new(child.id());
        assert!(tokio::time::timeout(soon, tree.root_ended()).await.is_err());
        let mut ended = Box::pin(tree.ended());
        assert!(futures::poll!(&mut ended).is_pending());
        child.kill().expect("killed");
        ended.await.expect("it is heard of");
        let late = Duration::from_secs(20);
        tokio::time::timeout(late, tree.root_ended()).await.expect("it is seen");
        tree.ended().await.expect("it is seen before it is taken in");
        child.wait().expect("taken in");
        tree.ended().await.expect("and afterwards");
    }

    #[test]
    fn a_tree_is_its_root_and_all_descendants() {
        let all = BTreeMap::from([
            (1, process(0, 'S')),
            (10, process(1, 'S')),
            (11, process(10, 'T')),
            (12, process(11, 'R')),
            (13, process(10, 'Z')),
            (20, process(1, 'S')),
        ]);
        let below = |root| below(&BTreeSet::from([root]), &all).into_keys().collect::<Vec<_>>();
        assert_eq!(below(10), [10, 11, 12, 13]);
        assert!(!all[&13].is_alive());
        assert!(below(99).is_empty());
    }

    #[test]
    fn what_was_found_of_a_tree_is_of_it_still_when_its_root_has_ended() {
        let all = BTreeMap::from([
            (1, process(0, 'S')),
            (10, process(1, 'Z')),
            (11, process(1, 'R')),
            (12, process(11, 'R')),
            (20, process(1, 'S')),
        ]);
        let found = below(&BTreeSet::from([10, 11]), &all);
        assert_eq!(found.into_keys().collect::<Vec<_>>(), [10, 11, 12]);
    }

    #[test]
    fn a_tree_is_killed_when_two_looks_find_the_same_processes_and_none_that_lives() {
        let mut looks = Looks::default();
        assert!(!looks.find_none(BTreeSet::from([10, 11]), &[11]));
        assert!(looks.find_none(BTreeSet::from([10, 11]), &[]));

        let mut looks = Looks::default();
        assert!(!looks.find_none(BTreeSet::from([10, 11]), &[]), "it may have begun one");
        assert!(
            !looks.find_none(BTreeSet::from([10, 11, 12]), &[]),
            "it has, and that one, too"
        );
        assert!(!looks.find_none(BTreeSet::from([10, 11, 12, 13]), &[13]));
        assert!(looks.find_none(BTreeSet::from([10, 11, 12, 13]), &[]));
    }
}
