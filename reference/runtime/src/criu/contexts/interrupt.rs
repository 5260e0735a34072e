//! The end of one execution before its time.

use tokio_util::sync::CancellationToken;

use crate::criu::client::InitClient;
use crate::criu::init::Request;

/// What ^C sends.
const SIGINT: i32 = 2;

/// Interrupts one execution when it is asked to and has started.
pub(super) struct Interrupt {
    pub(super) client: InitClient,
    pub(super) asked: CancellationToken,
    pub(super) started: CancellationToken,
    pub(super) ended: CancellationToken,
}

impl Interrupt {
    pub(super) async fn run(self, pid: u32) {
        let due = async {
            self.asked.cancelled().await;
            self.started.cancelled().await;
        };
        tokio::select! {
            biased;
            () = self.ended.cancelled() => return,
            () = due => {}
        }
        let signal = Request::Signal { pid, signal: SIGINT };
        // Whatever runs when it has ended is somebody else's.
        let sent = self.client.ask_unless(&self.ended, "interrupt code", signal).await;
        if let Err(error) = sent {
            tracing::debug!(%error, "interrupt an execution");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use tokio::net::UnixListener;

    use super::*;
    use crate::criu::init::{Reply, receive, send};

    /// Whether init is asked to interrupt an execution that `ended` while the sandbox stood.
    async fn is_sent(ended: bool) -> bool {
        let folder = tempfile::tempdir().expect("a directory");
        let socket = folder.path().join("init");
        let listener = UnixListener::bind(&socket).expect("a socket");
        let client = InitClient::new(socket);
        let interrupt = Interrupt {
            client: client.clone(),
            asked: CancellationToken::new(),
            started: CancellationToken::new(),
            ended: CancellationToken::new(),
        };
        let over = interrupt.ended.clone();
        interrupt.asked.cancel();
        interrupt.started.cancel();
        let stands = client.hang_up().await;
        let mut interrupting = pin!(interrupt.run(7));
        assert!(futures::poll!(&mut interrupting).is_pending(), "nobody reaches init");
        if ended {
            over.cancel();
        }
        drop(stands);
        let answered = async {
            let (mut connection, _) = listener.accept().await.expect("a connection");
            let asked = receive::<Request>(&mut connection).await.expect("a message");
            send(&mut connection, &Reply::Done).await.expect("it listens");
            assert!(
                matches!(asked, Some(Request::Signal { pid: 7, signal: SIGINT })),
                "{asked:?}"
            );
        };
        let mut answered = pin!(answered);
        tokio::select! {
            biased;
            () = &mut answered => {
                interrupting.await;
                true
            }
            () = &mut interrupting => false,
        }
    }

    #[tokio::test]
    async fn an_execution_that_ended_before_init_could_be_reached_is_not_interrupted() {
        assert!(is_sent(false).await);
        assert!(!is_sent(true).await, "the next one would be");
    }
}
