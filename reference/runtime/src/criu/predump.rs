//! Storing the memory of an idle sandbox ahead of its pause, so that the pause does not wait for the disk.
//!
//! ```text
//!          used no processor time for a while             stored
//!  Nothing ──────────────────────────────────▶ Storing ──────────▶ Stored
//!     ▲                                        │   ▲               │
//!     └──────────────── it failed ─────────────┘   └─ used since, ─┘
//!                                                     idle again
//!  a pause takes what is Stored; while somebody is Storing it begins anew.
//!  Nothing is stored until it is called off.
//! ```
//!
//! As CRIU's `pre-dump`, and without the kernel's help: chunks are named by what is in them, so what has changed since is
//! another chunk and is stored by the pause. Nothing stands meanwhile, nothing relies on what is read here, and what
//! is read runs only where nobody else wants to.
//!
//! Decides when it is worth it. It writes what may never be needed, so the more often it was done the longer it waits. Of a
//! new sandbox nothing is in the store, and what its interpreters have loaded stays: it waits least of all.
//! Left out: what the store does with a draft that is never sealed.

mod idleness;
mod memory;

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::baseline::Baseline;
use super::lazy::Paging;
use super::tree::Tree;
use crate::chunks::Grain;
use crate::standing::Standing;
use crate::step::{Step, Steps};
use crate::store::{Draft, Intake};
use idleness::Idleness;
use memory::ProcessMemory;

/// Of a larger memory only so much: a dump takes as long as a disk then.
const MOST_BYTES: u64 = 128 << 20;

/// A new sandbox is idle after so long already: it has loaded, and waits for somebody to use it.
const LOADED_AFTER: Duration = Duration::from_millis(100);

/// What the memory of one sandbox is stored by, while it runs.
#[derive(Debug)]
pub(super) struct Predump(Option<mpsc::UnboundedSender<Order>>);

#[derive(Debug)]
enum Order {
    /// A pause begins: whoever asks gets what is stored, and nobody stores any more.
    Take(Taker),
    /// It was called off.
    GoOn,
}

type Taker = oneshot::Sender<Option<Arc<Draft>>>;

/// Whose memory, and where it goes.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) tree: Tree,
    pub(super) paging: Paging,
    pub(super) baseline: Arc<Baseline>,
    pub(super) intake: Intake,
    pub(super) steps: Steps,
    /// Whether it has just begun, and nothing of it is in the store.
    pub(super) is_new: bool,
    /// How long nothing was used.
    pub(super) after: Duration,
}

#[derive(Debug)]
enum State {
    Nothing,
    Storing {
        ending: CancellationToken,
        stored: JoinHandle<Option<Arc<Draft>>>,
    },
    Stored(Arc<Draft>),
}

impl Predump {
    /// Nobody stores anything.
    pub(super) fn never() -> Self {
        Self(None)
    }

    /// Looks again and again whether the sandbox is idle.
    pub(super) fn begin(subject: Subject) -> Self {
        let (orders, ordered) = mpsc::unbounded_channel();
        tokio::spawn(subject.watch(ordered));
        Self(Some(orders))
    }

    /// A draft that has what was stored; none if there is none, or somebody is at it. Nothing is stored until
    /// [`go_on`](Self::go_on).
    pub(super) async fn take(&self) -> Option<Arc<Draft>> {
        let (tell, told) = oneshot::channel();
        self.0.as_ref()?.send(Order::Take(tell)).ok()?;
        let draft = told.await.ok().flatten()?;
        draft.look_again();
        Some(draft)
    }

    /// The pause was called off: what it took is not there any more.
    pub(super) fn go_on(&self) {
        if let Some(orders) = &self.0 {
            // Nobody looks at a sandbox whose memory was lost.
            let _ = orders.send(Order::GoOn);
        }
    }

    /// What was stored goes.
    pub(super) async fn abandon(&self) {
        if let Some(draft) = self.take().await {
            draft.abandon().await;
        }
    }
}

impl Subject {
    async fn watch(self, mut orders: mpsc::UnboundedReceiver<Order>) {
        // What is not there cannot be stored.
        if self.paging.done().await.is_err() {
            return;
        }
        let used = self.tree.usage().ok().map(|usage| usage.cpu);
        let least = if self.is_new {
            LOADED_AFTER.min(self.after)
        } else {
            self.after
        };
        let mut idleness = Idleness::of(used, least);
        while self.store_until_taken(&mut orders, &mut idleness).await {
            if !until_called_off(&mut orders).await {
                return;
            }
            idleness.forget();
        }
    }

    /// Stores whenever it is worth it, until a pause begins; not if none ever will.
    async fn store_until_taken(&self, orders: &mut mpsc::UnboundedReceiver<Order>, idleness: &mut Idleness) -> bool {
        let mut state = State::Nothing;
        let taker = loop {
            let delay = idleness.delay();
            let next = async {
                match &mut state {
                    State::Storing { stored, .. } => Some(stored.await.ok().flatten()),
                    State::Nothing | State::Stored(_) => {
                        tokio::time::sleep(delay).await;
                        None
                    }
                }
            };
            let stored = tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(Order::Take(taker)) => break Some(taker),
                    Some(Order::GoOn) => continue,
                    None => break None,
                },
                stored = next => stored,
            };
            state = match stored {
                Some(stored) => stored.map_or(State::Nothing, State::Stored),
                None => match self.tree.usage() {
                    Ok(usage) if idleness.is_due(usage.cpu) => self.store(state),
                    Ok(_) | Err(_) => state,
                },
            };
        };
        let is_pause = taker.is_some();
        state.end(taker).await;
        is_pause
    }

    /// Stores what has changed, in the draft that there is.
    fn store(&self, state: State) -> State {
        let known = match state {
            State::Stored(draft) => Some(draft),
            State::Nothing | State::Storing { .. } => None,
        };
        let ending = CancellationToken::new();
        let stored = tokio::spawn(self.clone().store_on_a_thread(known, ending.clone()));
        State::Storing { ending, stored }
    }

    /// The draft that has it; none, and nothing of it, if that failed or was ended.
    async fn store_on_a_thread(self, known: Option<Arc<Draft>>, ending: CancellationToken) -> Option<Arc<Draft>> {
        let draft = match known {
            Some(draft) => draft,
            None => match self.intake.begin_ahead().await {
                Ok(draft) => draft,
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::debug!(error, "begin to store memory ahead of a pause");
                    return None;
                }
            },
        };
        let (steps, taking, ended) = (self.steps.clone(), Arc::clone(&draft), ending.clone());
        let (tell, told) = oneshot::channel();
        let thread = thread::Builder::new().name("predump".to_owned());
        let begun = thread.spawn(move || {
            Standing::StepsBack.take();
            // Who asked may have gone.
            let _ = tell.send(self.store_in(&taking, &ended));
        });
        let done = match begun {
            Ok(_) => told.await.map_err(io::Error::other).flatten(),
            Err(error) => Err(error),
        };
        if let Err(error) = &done {
            tracing::debug!(%error, "store memory ahead of a pause");
        }
        if done.is_err() || ending.is_cancelled() {
            draft.abandon().await;
            return None;
        }
        steps.done(Step::StoredAhead);
        Some(draft)
    }

    /// Blocks.
    fn store_in(&self, draft: &Draft, ending: &CancellationToken) -> io::Result<()> {
        let listing = self.baseline.listing().as_bytes();
        let mut left = MOST_BYTES;
        draft.take_likely(Grain::Byte, &listing[..])?;
        for pid in self.tree.pids()? {
            // It may have ended.
            let Ok(memory) = ProcessMemory::open(pid, ending) else {
                continue;
            };
            left -= draft.take_likely(Grain::Aligned, io::Read::take(memory, left))?;
        }
        Ok(())
    }
}

/// Whether the pause was called off. Whoever asks meanwhile has taken what there was.
async fn until_called_off(orders: &mut mpsc::UnboundedReceiver<Order>) -> bool {
    loop {
        match orders.recv().await {
            Some(Order::Take(taker)) => drop(taker),
            Some(Order::GoOn) => return true,
            None => return false,
        }
    }
}

impl State {
    /// Gives what is stored to whoever asks for it.
    async fn end(self, taker: Option<Taker>) {
        let stored = match self {
            Self::Stored(draft) => Some(draft),
            // Nobody waits for it. It may have been all stored just now.
            Self::Storing { ending, stored } => {
                ending.cancel();
                tokio::spawn(async move {
                    if let Ok(Some(draft)) = stored.await {
                        draft.abandon().await;
                    }
                });
                None
            }
            Self::Nothing => None,
        };
        let refused = match taker {
            Some(taker) => taker.send(stored).err().flatten(),
            None => stored,
        };
        if let Some(draft) = refused {
            draft.abandon().await;
        }
    }
}
