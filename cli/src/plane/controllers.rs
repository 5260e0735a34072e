//! The controller of the control plane, behind what distorts its world, and those that follow it after a crash.

use std::sync::Arc;

use mock_apiserver::MockApiServer;
use tokio_util::sync::CancellationToken;
use torpor_controller::{CheckpointCustodian, Controller, ControllerConfig, Front, HttpAgents, SandboxAgents};
use torpor_runtime::CheckpointStore;

use super::{PlaneConfig, Reconciler, behind, through};
use crate::custodian::StoreCustodian;
use crate::laboratory::Controls;

/// The controller, and those that start after its crashes.
pub(super) struct Controllers {
    pub(super) first: Controller,
    next: Box<dyn Fn() -> Controller + Send + Sync>,
    faults: Option<Controls>,
}

impl Controllers {
    /// Runs them one after another, until told to end.
    pub(super) async fn run(self, shutdown: CancellationToken) {
        match self.faults {
            Some(faults) => faults.supervise(self.first, self.next, shutdown).await,
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
    let crashing = faults.cloned();
    let make = move || {
        let client = behind(rules.as_ref(), api.clone());
        Controller::new(
            match &crashing {
                Some(faults) => faults.client(client),
                None => client,
            },
            ControllerConfig {
                defect,
                fronts: Front::ALL.to_vec(),
                ..ControllerConfig::new(store_url.clone())
            },
            Arc::clone(&agents),
            Arc::clone(&custodian),
        )
    };
    Some(Controllers {
        first: make(),
        next: Box::new(make),
        faults: faults.cloned(),
    })
}
