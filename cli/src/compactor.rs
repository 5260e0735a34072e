//! Compresses in the background what pauses have written as it was: one checkpoint at a time, when it has been let
//! alone for a while.
//!
//! Decides when and which; [`CheckpointStore::compact`] does it. Nothing waits for it: what a program that ended had
//! not compressed is left to the next pause of that sandbox, or to `torpor checkpoint gc`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use torpor_runtime::{CheckpointKey, CheckpointStore, Compacted, StoreError};

/// How long a checkpoint is let alone: a sandbox that is wanted again at once is not compressed for nothing.
const REST: Duration = Duration::from_secs(2);

/// Compactions to come, by sandbox.
pub struct Compactor {
    store: CheckpointStore,
    /// Who has it compresses.
    turn: Arc<Semaphore>,
    tasks: Mutex<HashMap<String, Task>>,
}

struct Task {
    cancelled: CancellationToken,
    ended: JoinHandle<()>,
}

impl Compactor {
    /// Of the checkpoints in `store`; no call to that handle waits for it.
    pub fn new(store: &CheckpointStore) -> Self {
        Self {
            store: store.apart(),
            turn: Arc::new(Semaphore::new(1)),
            tasks: Mutex::default(),
        }
    }

    /// Compresses a checkpoint later, and no other one of its sandbox.
    pub fn later(&self, key: CheckpointKey) {
        let cancelled = CancellationToken::new();
        let mut tasks = self.tasks();
        tasks.retain(|_, task| !task.ended.is_finished());
        let uid = key.sandbox_uid.clone();
        let (store, turn, token) = (self.store.clone(), Arc::clone(&self.turn), cancelled.clone());
        let ended = tokio::spawn(async move {
            let rested = token.run_until_cancelled(tokio::time::sleep(REST)).await;
            if rested.is_none() {
                return;
            }
            // Never closed.
            let Some(Ok(_turn)) = token.run_until_cancelled(turn.acquire()).await else {
                return;
            };
            tell(&key, store.compact(&key, &token).await);
        });
        if let Some(older) = tasks.insert(uid, Task { cancelled, ended }) {
            older.cancelled.cancel();
        }
    }

    /// Ends the compaction of a sandbox soon: its checkpoint is wanted.
    pub fn call_off(&self, sandbox_uid: &str) {
        if let Some(task) = self.tasks().get(sandbox_uid) {
            task.cancelled.cancel();
        }
    }

    /// Returns when nothing is done to the checkpoints of a sandbox any more.
    pub async fn stop(&self, sandbox_uid: &str) {
        let task = self.tasks().remove(sandbox_uid);
        if let Some(task) = task {
            task.cancelled.cancel();
            // It ends in any case.
            let _ = task.ended.await;
        }
    }

    fn tasks(&self) -> MutexGuard<'_, HashMap<String, Task>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(key: &CheckpointKey, done: Result<Compacted, StoreError>) {
    let (uid, generation) = (&key.sandbox_uid, key.generation);
    match done {
        // Nothing was to be done, or it was let go of meanwhile.
        Ok(Compacted { before: 0, .. }) | Err(StoreError::NotFound { .. } | StoreError::Removed { .. }) => {}
        Ok(Compacted { before, after }) => tracing::info!(%uid, generation, before, after, "compressed a checkpoint"),
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(%uid, generation, error, "a checkpoint stays as it was written, larger than it could be");
        }
    }
}

#[cfg(test)]
mod tests {
    use torpor_runtime::EngineVersion;

    use super::*;

    const UID: &str = "5f1c9a52";

    fn key() -> CheckpointKey {
        CheckpointKey {
            sandbox_uid: UID.to_owned(),
            generation: 1,
        }
    }

    async fn sealed() -> (tempfile::TempDir, CheckpointStore) {
        let directory = tempfile::tempdir().expect("a directory");
        let store = CheckpointStore::open(&format!("file://{}", directory.path().display())).expect("a store");
        let engine = EngineVersion {
            name: "sim".to_owned(),
            version: 1,
        };
        store.seal(&key(), &engine, vec![7; 100_000]).await.expect("sealed");
        (directory, store)
    }

    async fn ended(compactor: &Compactor) {
        let task = compactor.tasks().remove(UID).expect("a task");
        task.ended.await.expect("no panic");
    }

    #[tokio::test(start_paused = true)]
    async fn a_checkpoint_that_is_let_alone_is_compressed_and_one_that_is_wanted_is_not() {
        let (_directory, store) = sealed().await;
        let compactor = Compactor::new(&store);
        compactor.later(key());
        compactor.call_off(UID);
        ended(&compactor).await;
        assert_eq!(store.uncompressed_bytes(&key()).await.expect("read"), 100_000);
        compactor.later(key());
        ended(&compactor).await;
        assert_eq!(store.uncompressed_bytes(&key()).await.expect("read"), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_removal_does_not_wait_for_the_rest() {
        let (directory, store) = sealed().await;
        let compactor = Compactor::new(&store);
        compactor.later(key());
        compactor.stop(UID).await;
        store.remove_all(UID).await.expect("removed");
        assert!(!directory.path().join(UID).exists());
        assert!(compactor.tasks().is_empty());
    }
}
