//! Torpor's own control plane as a container: the image of `deploy/image`.

use std::time::Duration;

use testcontainers::core::{IntoContainerPort as _, WaitFor};
use testcontainers::runners::AsyncRunner as _;
use testcontainers::{ContainerAsync, GenericImage, ImageExt as _};

use crate::BootError;
use crate::docker::{client, name_and_tag, reap, start_error};
use crate::kubeconfig::with_server;
use crate::label::RUN;

/// The ports inside: Kubernetes API, E2B API, metrics.
const PORTS: [u16; 3] = [7443, 7080, 7090];
/// What it prints once everything serves.
const READY: &str = "torpor is up";
/// How long it may take.
const START_LIMIT: Duration = Duration::from_mins(1);

/// How it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlPlaneImage {
    /// The image, such as `torpor/control-plane:latest`.
    pub image: String,
}

/// A running control plane; its container is removed when it is dropped.
#[derive(Debug)]
pub struct ControlPlane {
    container: ContainerAsync<GenericImage>,
    run: String,
    kubeconfig: String,
    e2b: String,
    metrics: String,
}

impl ControlPlane {
    /// A kubeconfig by which this machine reaches it.
    #[must_use]
    pub fn kubeconfig(&self) -> &str {
        &self.kubeconfig
    }

    /// The URL of its E2B API, and of all sandbox traffic.
    #[must_use]
    pub fn e2b(&self) -> &str {
        &self.e2b
    }

    /// The URL of its Prometheus page.
    #[must_use]
    pub fn metrics(&self) -> &str {
        &self.metrics
    }

    /// Removes it.
    ///
    /// # Errors
    /// Docker will not remove it.
    pub async fn stop(self) -> Result<(), BootError> {
        drop(self.container);
        reap(Some(&self.run)).await.map(drop)
    }
}

impl ControlPlaneImage {
    /// Starts it for a run of that name ([`run_name`](crate::run_name)) and waits until it serves. Who gives up waiting calls
    /// [`reap`] with the name.
    ///
    /// # Errors
    /// [`BootError::Impossible`] without Docker or the image; else what failed.
    pub async fn boot(&self, run: &str) -> Result<ControlPlane, BootError> {
        let docker = client().await?;
        if docker.inspect_image(&self.image).await.is_err() {
            return Err(BootError::Impossible(format!(
                "the image {} is not here; make it by deploy/image/build BINARY {}",
                self.image, self.image
            )));
        }
        let (name, tag) = name_and_tag(&self.image);
        let image = PORTS.into_iter().fold(GenericImage::new(name, tag), |image, port| {
            image.with_exposed_port(port.tcp())
        });
        let started = image
            .with_wait_for(WaitFor::message_on_stdout(READY))
            .with_container_name(run)
            .with_label(RUN, run)
            .with_startup_timeout(START_LIMIT)
            .start()
            .await;
        match started {
            Ok(container) => reach(container, run.to_owned()).await,
            Err(error) => {
                let _ = reap(Some(run)).await;
                Err(start_error(&self.image, &error))
            }
        }
    }
}

/// Finds out how this machine reaches it.
async fn reach(container: ContainerAsync<GenericImage>, run: String) -> Result<ControlPlane, BootError> {
    let failed = |error: &dyn std::fmt::Display| BootError::Failed {
        step: "find out how to reach the control plane".to_owned(),
        why: error.to_string(),
    };
    let host = container.get_host().await.map_err(|error| failed(&error))?;
    let mut urls = Vec::new();
    for port in PORTS {
        let mapped = container
            .get_host_port_ipv4(port.tcp())
            .await
            .map_err(|error| failed(&error))?;
        urls.push(format!("http://{host}:{mapped}"));
    }
    let inside: Vec<u8> = container
        .copy_file_from("/data/kubeconfig", Vec::new())
        .await
        .map_err(|error| failed(&error))?;
    let kubeconfig = with_server(&String::from_utf8_lossy(&inside), &urls[0], None).map_err(|error| failed(&error))?;
    Ok(ControlPlane {
        container,
        run,
        kubeconfig,
        e2b: urls[1].clone(),
        metrics: format!("{}/metrics", urls[2]),
    })
}
