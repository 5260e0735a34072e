//! Watching over a tree whose memory is still coming.
//!
//! ```text
//!              all pages came
//!  Underway ─────────────────────────▶ Complete
//!     │  source failed
//!     ├──────────────────────────────▶ Failed     (the tree is killed first)
//!     │  the sandbox ends
//!     └──────────────────────────────▶ Failed
//! ```

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{LazyPages, Touched};
use crate::criu::error::CriuError;
use crate::criu::image_files::ImageFiles;
use crate::criu::tree::Tree;
use crate::engine::chain;

/// How far the memory of a restored tree is. Clones tell of the same one.
#[derive(Clone, Debug)]
pub(in crate::criu) struct Paging {
    state: watch::Receiver<State>,
    ending: CancellationToken,
}

#[derive(Clone, Debug)]
enum State {
    Underway,
    /// These pages were waited for.
    Complete(Touched),
    /// Why the rest will not come.
    Failed(String),
}

/// The parts of a restore that is not complete.
pub(super) struct Restoring {
    pub(super) lazy: LazyPages,
    pub(super) tree: Tree,
    /// The images, to be removed in the end.
    pub(super) files: ImageFiles,
}

impl Paging {
    /// For a tree whose memory is there.
    pub(in crate::criu) fn complete() -> Self {
        Self {
            state: watch::Sender::new(State::Complete(Touched::default())).subscribe(),
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
            sender.send_replace(outcome.map_or_else(State::Failed, State::Complete));
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
            Ok(State::Complete(_)) => Ok(()),
            Ok(State::Failed(message)) => Err(CriuError::Pages {
                message: message.clone(),
            }),
            Ok(State::Underway) | Err(_) => Err(CriuError::Pages {
                message: "nobody serves them any more".to_owned(),
            }),
        }
    }

    /// The pages that were waited for; none before all memory is there.
    pub(in crate::criu) fn touched(&self) -> Touched {
        match &*self.state.borrow() {
            State::Complete(touched) => touched.clone(),
            State::Underway | State::Failed(_) => Touched::default(),
        }
    }

    /// Whether what is still to come was given up.
    pub(in crate::criu) fn is_stopped(&self) -> bool {
        self.ending.is_cancelled()
    }

    /// Gives up what is still to come. The tree is killed by whoever calls this.
    pub(in crate::criu) fn stop(&self) {
        self.ending.cancel();
    }
}

impl Restoring {
    async fn watch(mut self, ending: &CancellationToken) -> Result<Touched, String> {
        let stepping_back = self.lazy.stepping_back();
        let finished = tokio::select! {
            () = ending.cancelled() => Err("the sandbox was ended".to_owned()),
            ended = self.lazy.ended() => ended.map_err(|error| chain(error)),
            never = stepping_back => match never {},
        };
        let finished = finished.map(|()| self.lazy.touched());
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
        drop(self.lazy);
        if let Err(error) = self.files.remove() {
            let error: &dyn std::error::Error = &error;
            tracing::debug!(error, "remove the images of a restored sandbox");
        }
        finished
    }
}
