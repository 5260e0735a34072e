//! Control planes that a case has for itself and may break: a controller that crashes at a write, or leads and is cut off,
//! checkpoint data that cannot be removed, and the API server's own faults.

mod controls;
mod crash;
mod election;

use std::fmt;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use torpor_harness::{Bench, FaultControls, Laboratory, Profile};

use crate::conformance::{Subject, start_embedded};
use crate::plane::ControlPlane;
use crate::target;

pub use controls::Controls;
pub use election::MakeController;

/// Starts embedded control planes.
pub struct EmbeddedLaboratory {
    profile: Profile,
    subject: Subject,
}

impl EmbeddedLaboratory {
    /// Of control planes that are read by that profile, and are such from the start.
    pub fn new(profile: Profile, subject: Subject) -> Self {
        Self { profile, subject }
    }

    async fn start(&self) -> anyhow::Result<Bench> {
        let controls = Controls::new();
        let (plane, data_dir) = start_embedded(self.subject, Some(controls)).await?;
        let target = target::embedded_by(&plane, self.profile.clone()).await?;
        let faults = FaultControls {
            api: plane.endpoints().kubernetes.join("torpor/")?,
            controller: plane
                .faults()
                .ok_or_else(|| anyhow::anyhow!("the control plane has no controls of faults"))?
                .clone(),
        };
        Ok(Bench {
            target,
            faults,
            guard: Box::new(Stopped(Some((plane, data_dir)))),
        })
    }
}

impl fmt::Debug for EmbeddedLaboratory {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("EmbeddedLaboratory").finish_non_exhaustive()
    }
}

impl Laboratory for EmbeddedLaboratory {
    fn open(&self) -> BoxFuture<'_, Result<Bench, String>> {
        async { self.start().await.map_err(|error| format!("{error:#}")) }.boxed()
    }
}

/// Stops the control plane when dropped, and removes its directory after it.
struct Stopped(Option<(ControlPlane, tempfile::TempDir)>);

impl Drop for Stopped {
    fn drop(&mut self) {
        if let Some((plane, data_dir)) = self.0.take() {
            tokio::spawn(async move {
                plane.stop().await;
                drop(data_dir);
            });
        }
    }
}
