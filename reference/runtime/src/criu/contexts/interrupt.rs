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
        if let Err(error) = self.client.ask("interrupt code", signal).await {
            tracing::debug!(%error, "interrupt an execution");
        }
    }
}
