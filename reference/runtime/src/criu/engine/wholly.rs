//! A sandbox comes up wholly, and is somebody's, or nothing of it is left.

use std::io;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::criu::error::CriuError;
use crate::criu::lazy::Paging;
use crate::criu::tree::Tree;
use crate::engine::{Sandbox, SandboxError};

/// What a start or a restore gives, which goes on also when nobody waits for it any more: it must not let go of memory while
/// processes run that miss some of it, nor of processes that nobody else ends. A sandbox that nobody takes is ended, also if
/// there was somebody when it came.
pub(super) async fn to_the_end(
    brought: impl Future<Output = Result<Arc<dyn Sandbox>, SandboxError>> + Send + 'static,
) -> Result<Arc<dyn Sandbox>, SandboxError> {
    let (tell, told) = oneshot::channel();
    tokio::spawn(async move {
        let came = brought.await;
        let kept = came.as_ref().ok().cloned();
        let (take, taken) = oneshot::channel();
        // What nobody hears of, now or later, goes with the way to say that it is taken.
        drop(tell.send((came, take)));
        if let (Err(_), Some(unwanted)) = (taken.await, kept) {
            unwanted.stop().await;
        }
    });
    match told.await {
        Ok((came, take)) => {
            // Who has it ends it from here on.
            let _ = take.send(());
            came
        }
        Err(_) => Err(CriuError::init("come up")(io::Error::other("a defect, of which the log has more")).into()),
    }
}

/// What `brought` gives. When it fails, what runs of the tree is killed, whoever made it run, before any more of its memory
/// is given up: a CRIU that is killed half-way, or one that has done its work, leaves processes that nobody else ends.
pub(super) async fn or_killed<T, E>(
    tree: Tree,
    paging: Option<&Paging>,
    brought: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let brought = brought.await;
    if brought.is_err() {
        if let Some(paging) = paging {
            paging.stop();
        }
        tree.kill().await;
    }
    brought
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::{Child, Command};
    use std::time::Duration;

    use jiff::Timestamp;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::engine::{Engine, ExecutionSink, Fresh, Place};
    use crate::monty::SimEngine;

    const LIMIT: Duration = Duration::from_secs(20);

    /// A sandbox that runs.
    async fn sandbox(directory: &Path) -> Result<Arc<dyn Sandbox>, SandboxError> {
        let (events, _) = tokio::sync::mpsc::unbounded_channel();
        let place = Place {
            directory: directory.to_owned(),
            output: ExecutionSink {
                events,
                interrupt: CancellationToken::new(),
            },
            intake: None,
        };
        SimEngine::new(Timestamp::UNIX_EPOCH)
            .start(place, Fresh::default())
            .await
    }

    #[tokio::test]
    async fn a_sandbox_that_came_is_ended_when_nobody_took_it_and_goes_on_when_somebody_did() {
        let directory = tempfile::tempdir().expect("a directory");
        let ran = sandbox(directory.path()).await.expect("it runs");
        let brought = to_the_end(std::future::ready(Ok(Arc::clone(&ran))));
        let taken = brought.await.expect("it came");
        assert!(taken.freeze(LIMIT).await.is_ok(), "it is there to be frozen");
        taken.thaw().await.expect("it goes on");

        let mut brought = Box::pin(to_the_end(std::future::ready(Ok(Arc::clone(&ran)))));
        assert!(futures::poll!(&mut brought).is_pending());
        // It comes, and whoever waits is not asked before they let go of it.
        tokio::task::yield_now().await;
        drop((brought, taken));
        while Arc::strong_count(&ran) > 1 {
            tokio::task::yield_now().await;
        }
        let told = ran.freeze(LIMIT).await;
        assert!(matches!(told, Err(SandboxError::Ended)), "{told:?}");
    }

    fn sleeper() -> Child {
        Command::new("sleep").arg("1000").spawn().expect("a process")
    }

    #[tokio::test]
    async fn what_runs_of_a_restore_that_fails_is_killed_and_of_one_that_does_not_goes_on() {
        let mut child = sleeper();
        let tree = Tree::new(child.id());
        let paging = Paging::complete();
        let brought = or_killed(tree, Some(&paging), async { Ok::<_, ()>(1) }).await;
        assert_eq!(brought, Ok(1));
        assert!(!paging.is_stopped());
        assert!(matches!(child.try_wait(), Ok(None)), "it goes on");

        let failed = or_killed(tree, Some(&paging), async { Err::<(), _>("why") }).await;
        assert_eq!(failed, Err("why"));
        assert!(paging.is_stopped(), "nobody pages for it");
        assert!(tree.pids().expect("processes").is_empty(), "nothing of it is left");
    }
}
