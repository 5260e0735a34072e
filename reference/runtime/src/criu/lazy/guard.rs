//! Watching over a tree whose memory is still coming.
//!
//! ```text
//!              all pages came
//!  Underway ─────────────────────────▶ Complete
//!     │  source failed, daemon gone
//!     ├──────────────────────────────▶ Failed     (the tree is killed first)
//!     │  the sandbox ends
//!     └──────────────────────────────▶ Failed
//! ```

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use tokio::process::Child;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::server::ServeError;
use crate::criu::command::Criu;
use crate::criu::error::CriuError;
use crate::criu::tree::Tree;

/// How often is looked for the memory of processes that were restored or forked meanwhile.
const LOOK: Duration = Duration::from_millis(5);

/// How far the memory of a restored tree is. Clones tell of the same one.
#[derive(Clone, Debug)]
pub(in crate::criu) struct Paging {
    state: watch::Receiver<State>,
    ending: CancellationToken,
}

#[derive(Clone, Debug)]
enum State {
    Underway,
    Complete,
    /// Why the rest will not come.
    Failed(String),
}

/// What keeps pages that have not come from being read as zeroes: descriptors of the memory of every process.
#[derive(Debug)]
pub(super) struct Faults {
    pidfd: OwnedFd,
    descriptors: PathBuf,
    held: Vec<OwnedFd>,
}

impl Faults {
    /// Those that `criu lazy-pages` has, from now on.
    pub(super) fn of(daemon: &Child) -> io::Result<Self> {
        let pid = daemon
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .and_then(Pid::from_raw);
        let pid = pid.ok_or(io::ErrorKind::NotFound)?;
        Ok(Self {
            pidfd: pidfd_open(pid, PidfdFlags::empty())?,
            descriptors: PathBuf::from(format!("/proc/{}/fd", pid.as_raw_nonzero())),
            held: Vec::new(),
        })
    }

    /// Takes hold of what it has now. What it had and has no more is let go: those processes have ended.
    /// When it has ended itself, everything is held on to.
    fn look(&mut self) -> io::Result<()> {
        let mut held = Vec::new();
        for entry in fs::read_dir(&self.descriptors)? {
            let path = entry?.path();
            if !fs::read_link(&path).is_ok_and(|kind| kind == Path::new("anon_inode:[userfaultfd]")) {
                continue;
            }
            let number = path.file_name().and_then(|name| name.to_str()?.parse().ok());
            let taken = number.map(|number| pidfd_getfd(&self.pidfd, number, PidfdGetfdFlags::empty()));
            match taken {
                Some(Ok(descriptor)) => held.push(descriptor),
                // Closed since it was listed.
                Some(Err(rustix::io::Errno::BADF)) | None => {}
                Some(Err(errno)) => return Err(errno.into()),
            }
        }
        // A process that ends loses all of its descriptors at once, and may have done so while they were looked at.
        if let Err(ended) = fs::read_link(self.descriptors.join("0")) {
            self.held.extend(held);
            return Err(ended);
        }
        self.held = held;
        Ok(())
    }

    /// Holds on until it is dropped.
    pub(super) async fn hold(mut self) -> Self {
        loop {
            // The daemon has ended: whoever waits for its end decides.
            if self.look().is_err() {
                return self;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// The parts of a restore that is not complete.
pub(super) struct Restoring {
    pub(super) daemon: Child,
    pub(super) server: JoinHandle<Result<(), ServeError>>,
    pub(super) faults: JoinHandle<Faults>,
    pub(super) tree: Tree,
    /// The images, to be removed in the end.
    pub(super) dir: PathBuf,
}

impl Paging {
    /// For a tree whose memory is there.
    pub(in crate::criu) fn complete() -> Self {
        Self {
            state: watch::Sender::new(State::Complete).subscribe(),
            ending: CancellationToken::new(),
        }
    }

    /// Watches until everything is there or the tree has been killed.
    pub(super) fn begin(restoring: Restoring) -> Self {
        let (sender, ending) = (watch::Sender::new(State::Underway), CancellationToken::new());
        let paging = Self {
            state: sender.subscribe(),
            ending: ending.clone(),
        };
        tokio::spawn(async move {
            let outcome = restoring.watch(&ending).await;
            sender.send_replace(outcome.map_or_else(State::Failed, |()| State::Complete));
        });
        paging
    }

    /// Answers when all memory is there.
    ///
    /// # Errors
    /// The rest cannot be had; nothing of the tree runs any more.
    pub(in crate::criu) async fn done(&self) -> Result<(), CriuError> {
        let mut state = self.state.clone();
        let settled = state.wait_for(|state| !matches!(state, State::Underway)).await;
        match settled.as_deref() {
            Ok(State::Complete) => Ok(()),
            Ok(State::Failed(message)) => Err(CriuError::Pages {
                message: message.clone(),
            }),
            Ok(State::Underway) | Err(_) => Err(CriuError::Pages {
                message: "nobody serves them any more".to_owned(),
            }),
        }
    }

    /// Gives up what is still to come. The tree is killed by whoever calls this.
    pub(in crate::criu) fn stop(&self) {
        self.ending.cancel();
    }
}

impl Restoring {
    async fn watch(mut self, ending: &CancellationToken) -> Result<(), String> {
        let finished = tokio::select! {
            () = ending.cancelled() => Err("the sandbox was ended".to_owned()),
            finished = finished(&mut self.daemon, &mut self.server, &self.dir) => finished,
        };
        if let Err(reason) = &finished {
            if ending.is_cancelled() {
                tracing::debug!(reason, "what is left of the memory of a restored sandbox is given up");
            } else {
                tracing::error!(
                    reason,
                    "the memory of a restored sandbox cannot be paged in; ending what runs of it"
                );
            }
            self.tree.kill().await;
        }
        // Only now may the kernel forget about pages that did not come.
        self.faults.abort();
        self.server.abort();
        if let Err(error) = self.daemon.kill().await {
            tracing::warn!(%error, "end criu lazy-pages");
        }
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            tracing::debug!(%error, path = %self.dir.display(), "remove the images of a restored sandbox");
        }
        finished
    }
}

/// Waits until both have done all, or one of them has failed.
async fn finished(
    daemon: &mut Child,
    server: &mut JoinHandle<Result<(), ServeError>>,
    dir: &Path,
) -> Result<(), String> {
    let ended = |status: io::Result<std::process::ExitStatus>| match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("criu lazy-pages: {status}: {}", Criu::lazy_pages_said(dir))),
        Err(error) => Err(format!("wait for criu lazy-pages: {error}")),
    };
    tokio::select! {
        status = daemon.wait() => ended(status),
        outcome = server => match outcome {
            Ok(Ok(())) => ended(daemon.wait().await),
            Ok(Err(ServeError::Connection(error))) => Err(format!("criu lazy-pages hung up: {error}")),
            Ok(Err(error)) => Err(crate::engine::chain(&error)),
            Err(error) => Err(format!("serve pages: {error}")),
        },
    }
}
