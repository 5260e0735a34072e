//! Lets the controller remove checkpoint data without knowing how it is stored, and compresses what it keeps.

use futures::future::BoxFuture;
use torpor_controller::{CheckpointCustodian, RemovalError};
use torpor_runtime::{CheckpointKey, CheckpointStore, StoreError};

use crate::compactor::Compactor;

/// The checkpoint store, as the controller's custodian.
pub struct StoreCustodian {
    compactor: Compactor,
    store: CheckpointStore,
}

impl StoreCustodian {
    /// The custodian of `store`.
    pub fn new(store: CheckpointStore) -> Self {
        Self {
            compactor: Compactor::new(&store),
            store,
        }
    }
}

impl CheckpointCustodian for StoreCustodian {
    fn remove_all<'a>(&'a self, sandbox_uid: &'a str) -> BoxFuture<'a, Result<(), RemovalError>> {
        Box::pin(async move {
            self.compactor.stop(sandbox_uid).await;
            self.store.remove_all(sandbox_uid).await.map_err(refused)
        })
    }

    fn remove_older_than<'a>(
        &'a self,
        sandbox_uid: &'a str,
        generation: u64,
    ) -> BoxFuture<'a, Result<(), RemovalError>> {
        Box::pin(async move {
            self.store
                .remove_older_than(sandbox_uid, generation)
                .await
                .map_err(refused)?;
            self.compactor.later(CheckpointKey {
                sandbox_uid: sandbox_uid.to_owned(),
                generation,
            });
            Ok(())
        })
    }

    fn wanted(&self, sandbox_uid: &str) {
        self.compactor.call_off(sandbox_uid);
    }
}

fn refused(error: StoreError) -> RemovalError {
    RemovalError {
        message: format!("{:#}", anyhow::Error::from(error)),
    }
}
