//! Lets the controller remove checkpoint data without knowing how it is stored.

use futures::future::BoxFuture;
use torpor_controller::{CheckpointCustodian, RemovalError};
use torpor_runtime::{CheckpointStore, StoreError};

/// The checkpoint store, as the controller's custodian.
pub struct StoreCustodian {
    store: CheckpointStore,
}

impl StoreCustodian {
    /// The custodian of `store`.
    pub fn new(store: CheckpointStore) -> Self {
        Self { store }
    }
}

impl CheckpointCustodian for StoreCustodian {
    fn remove_all<'a>(&'a self, sandbox_uid: &'a str) -> BoxFuture<'a, Result<(), RemovalError>> {
        Box::pin(async move { self.store.remove_all(sandbox_uid).await.map_err(refused) })
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
                .map(drop)
                .map_err(refused)
        })
    }
}

fn refused(error: StoreError) -> RemovalError {
    RemovalError {
        message: format!("{:#}", anyhow::Error::from(error)),
    }
}
