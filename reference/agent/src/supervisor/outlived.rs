//! Whether a checkpoint is written to its end, or the workload is to go on first.

use std::collections::VecDeque;
use std::pin::pin;

use tokio::sync::mpsc;
use tokio::task::JoinError;

use super::request::{ControlRequest, Reply};

/// How the writing of a checkpoint ended.
#[derive(Debug)]
pub(super) enum Ended<T> {
    /// By itself.
    Done(T),
    /// It is given up, for the one who wants the workload to go on.
    Thaw(Reply),
}

/// Awaits `write`, or drops it once a thaw is asked for. What else is asked for meanwhile is put to `waiting`; the workload
/// is frozen already.
pub(super) async fn unless_thawed<T>(
    write: impl Future<Output = T>,
    requests: &mut mpsc::Receiver<ControlRequest>,
    waiting: &mut VecDeque<ControlRequest>,
) -> Ended<T> {
    let mut write = pin!(write);
    loop {
        tokio::select! {
            biased;
            done = &mut write => return Ended::Done(done),
            Some(request) = requests.recv() => match request {
                ControlRequest::Thaw(reply) => return Ended::Thaw(reply),
                ControlRequest::Freeze(reply) => drop(reply.send(Ok(()))),
                checkpoint @ ControlRequest::Checkpoint { .. } => waiting.push_back(checkpoint),
            },
        }
    }
}

/// Awaits `work`, which goes on to its end even if nobody waits for it any more.
///
/// # Errors
/// It panicked.
pub(crate) async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, JoinError> {
    tokio::spawn(work).await
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_thaw_ends_a_write_and_a_freeze_is_answered_beside_it() {
        let (send, mut requests) = mpsc::channel(4);
        let mut waiting = VecDeque::new();
        let (frozen, is_frozen) = oneshot::channel();
        let (joined, _is_joined) = oneshot::channel();
        let (thaw, _is_thawed) = oneshot::channel();
        let asked = [
            ControlRequest::Freeze(frozen),
            ControlRequest::Checkpoint {
                generation: 7,
                reply: joined,
            },
            ControlRequest::Thaw(thaw),
        ];
        for request in asked {
            send.send(request).await.expect("it is taken");
        }
        let ended = unless_thawed(pending::<()>(), &mut requests, &mut waiting).await;
        assert!(matches!(ended, Ended::Thaw(_)), "{ended:?}");
        assert!(is_frozen.await.expect("an answer").is_ok());
        let waiting: Vec<_> = waiting.into();
        assert!(
            matches!(waiting[..], [ControlRequest::Checkpoint { generation: 7, .. }]),
            "{waiting:?}"
        );
    }

    #[tokio::test]
    async fn a_write_that_is_done_is_not_given_up() {
        let (send, mut requests) = mpsc::channel(1);
        let (thaw, _is_thawed) = oneshot::channel();
        send.send(ControlRequest::Thaw(thaw)).await.expect("it is taken");
        let ended = unless_thawed(ready(1), &mut requests, &mut VecDeque::new()).await;
        assert!(matches!(ended, Ended::Done(1)), "{ended:?}");
    }

    #[tokio::test]
    async fn what_has_to_come_to_its_end_does_though_nobody_waits_for_it() {
        let (go_on, held) = oneshot::channel::<()>();
        let (tell, done) = oneshot::channel();
        let work = to_its_end(async move {
            held.await.expect("it is let go on");
            tell.send(()).expect("somebody looks");
        });
        let mut work = Box::pin(work);
        assert!(futures::poll!(&mut work).is_pending());
        drop(work);
        go_on.send(()).expect("it still runs");
        done.await.expect("it came to its end");
    }

    #[tokio::test]
    async fn a_write_is_awaited_when_nobody_can_ask_any_more() {
        let (send, mut requests) = mpsc::channel(1);
        drop(send);
        let ended = unless_thawed(tokio::task::yield_now(), &mut requests, &mut VecDeque::new()).await;
        assert!(matches!(ended, Ended::Done(())), "{ended:?}");
    }
}
