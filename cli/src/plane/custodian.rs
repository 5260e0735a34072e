//! Lets the controller remove checkpoint data without knowing how it is stored.

use futures::future::BoxFuture;
use torpor_controller::{CheckpointCustodian, CustodianError};
use torpor_runtime::CheckpointStore;

/// The checkpoint store, as the controller's custodian.
pub(super) struct StoreCustodian {
    store: CheckpointStore,
}

impl StoreCustodian {
    pub(super) fn new(store: CheckpointStore) -> Self {
        Self { store }
    }
}

impl CheckpointCustodian for StoreCustodian {
    fn remove_all(&self, sandbox_uid: &str) -> BoxFuture<'static, Result<(), CustodianError>> {
        let (store, uid) = (self.store.clone(), sandbox_uid.to_owned());
        Box::pin(async move { store.remove_all(&uid).await.map_err(CustodianError::new) })
    }

    fn remove_older_than(&self, sandbox_uid: &str, generation: u64) -> BoxFuture<'static, Result<(), CustodianError>> {
        let (store, uid) = (self.store.clone(), sandbox_uid.to_owned());
        Box::pin(async move { store.remove_older_than(&uid, generation).await.map_err(CustodianError::new) })
    }
}
