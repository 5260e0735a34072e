//! The controller of the control plane, behind what distorts its world, and those that follow it after a crash.

use std::sync::Arc;

use kube::Client;
use mock_apiserver::MockApiServer;
use tokio_util::sync::CancellationToken;
use torpor_controller::{CheckpointCustodian, Controller, ControllerConfig, Fence, Front, HttpAgents, SandboxAgents};
use torpor_runtime::CheckpointStore;

use super::{PlaneConfig, Reconciler, behind, through};
use crate::custodian::StoreCustodian;
use crate::laboratory::{Controls, MakeController};

/// The controller, and those that start after its crashes.
pub(super) struct Controllers {
    pub(super) first: Controller,
    make: MakeController,
    api: Client,
    faults: Option<Controls>,
}

impl Controllers {
    /// Runs them one after another, until told to end.
    pub(super) async fn run(self, shutdown: CancellationToken) {
        match self.faults {
            Some(faults) => faults.supervise(self.first, self.api, self.make, shutdown).await,
            None => self.first.run(shutdown).await,
        }
    }
}

/// The controller of a control plane; none where it runs elsewhere.
pub(super) fn controller(
    server: &MockApiServer,
    store_url: &str,
    checkpoints: CheckpointStore,
    config: &PlaneConfig,
) -> Option<Controllers> {
    let faults = config.faults.as_ref();
    match config.controller {
        Reconciler::Reference => {}
        Reconciler::Elsewhere => return None,
    }
    let (store_url, defect) = (store_url.to_owned(), config.hooks.defect);
    let (api, rules) = (
        server.client_as("torpor-controller"),
        config.hooks.controller_calls.clone(),
    );
    let agents: Arc<dyn SandboxAgents> = Arc::new(HttpAgents::new());
    let agents = through(config.hooks.agents.as_ref(), agents);
    let custodian: Arc<dyn CheckpointCustodian> = Arc::new(StoreCustodian::new(checkpoints));
    let custodian = match faults {
        Some(faults) => faults.custodian(custodian),
        None => custodian,
    };
    let custodian = through(config.hooks.custodian.as_ref(), custodian);
    let (leases, faults) = (api.clone(), faults.cloned());
    let make: MakeController = Box::new(move |link, fence| {
        Controller::new(
            link(behind(rules.as_ref(), api.clone())),
            ControllerConfig {
                defect,
                fence,
                fronts: Front::ALL.to_vec(),
                ..ControllerConfig::new(store_url.clone())
            },
            Arc::clone(&agents),
            Arc::clone(&custodian),
        )
    });
    let first = match &faults {
        Some(faults) => make(&|client| faults.client(client), Fence::open()),
        None => make(&|client| client, Fence::open()),
    };
    Some(Controllers {
        first,
        make,
        api: leases,
        faults,
    })
}
