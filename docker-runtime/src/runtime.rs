//! The connection to Docker, and the containers that belong to one node.

use std::collections::HashMap;
use std::path::PathBuf;

use bollard::Docker;
use bollard::query_parameters::{
    CreateContainerOptions, InspectContainerOptions, ListContainersOptions, RemoveContainerOptions,
    StartContainerOptions,
};
use futures::FutureExt;
use futures::future::BoxFuture;
use mock_node::{ContainerRuntime, PodPlace, RunningContainer, SandboxPod, StartError};

use crate::DockerError;
use crate::container::DockerContainer;
use crate::spec::{self, NODE_LABEL};

/// How containers are run.
#[derive(Clone, Debug)]
pub struct DockerConfig {
    /// Tells this node's containers from those of others: the same in every life of the node.
    pub node: String,
    /// The `torpor` program, to be run in the containers.
    pub agent: PathBuf,
    /// Options of its command `agent` that are the same for every Pod.
    pub options: Vec<String>,
}

/// Runs Pods as Docker containers.
#[derive(Clone, Debug)]
pub struct DockerRuntime {
    docker: Docker,
    config: DockerConfig,
}

impl DockerRuntime {
    /// Connects to the Docker of this machine (`DOCKER_HOST`, or its socket) and removes what an earlier life of the node left.
    ///
    /// # Errors
    /// Docker does not answer, or a leftover cannot be removed.
    pub async fn connect(config: DockerConfig) -> Result<Self, DockerError> {
        let docker = match socket_of(std::env::var("DOCKER_HOST").ok())? {
            Some(socket) => Docker::connect_with_host(&socket),
            None => Docker::connect_with_local_defaults(),
        };
        let docker = docker.map_err(DockerError::Unreachable)?;
        let docker = docker.negotiate_version().await.map_err(DockerError::Unreachable)?;
        let runtime = Self { docker, config };
        runtime.remove_leftovers().await?;
        Ok(runtime)
    }

    /// Whether Docker has an image.
    ///
    /// # Errors
    /// [`DockerError::NoImage`] names what makes it.
    pub async fn require_image(&self, image: &str) -> Result<(), DockerError> {
        match self.docker.inspect_image(image).await {
            Ok(_) => Ok(()),
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => {
                let image = image.to_owned();
                Err(DockerError::NoImage { image })
            }
            Err(error) => Err(DockerError::call(format!("look for image {image}"))(error)),
        }
    }

    /// Removes every container of this node, running or not.
    ///
    /// # Errors
    /// Docker does not answer or refuses.
    pub async fn remove_leftovers(&self) -> Result<(), DockerError> {
        let label = format!("{NODE_LABEL}={}", self.config.node);
        let options = ListContainersOptions {
            all: true,
            filters: Some(HashMap::from([("label".to_owned(), vec![label])])),
            ..ListContainersOptions::default()
        };
        let listed = self.docker.list_containers(Some(options)).await;
        for container in listed.map_err(DockerError::call("list containers"))? {
            let Some(id) = container.id else { continue };
            tracing::info!(id, "removing a container of an earlier run");
            match remove(&self.docker, &id).await {
                // Whoever removes it already does so without us.
                Err(DockerError::Call { source, .. }) if answered(&source, 409) => {}
                removed => removed?,
            }
        }
        Ok(())
    }

    async fn run(&self, pod: SandboxPod) -> Result<Box<dyn RunningContainer>, DockerError> {
        let image = &pod.container.image;
        self.require_image(image).await?;
        let body = spec::container(&pod, &self.config)?;
        let name = format!("torpor-{}", pod.uid);
        let options = CreateContainerOptions {
            name: Some(name.clone()),
            ..CreateContainerOptions::default()
        };
        let created = self.docker.create_container(Some(options), body).await;
        let id = created
            .map_err(DockerError::call(format!("create container {name}")))?
            .id;
        match self.begin(&id, &pod).await {
            Ok(container) => Ok(Box::new(container)),
            Err(error) => {
                remove(&self.docker, &id).await?;
                Err(error)
            }
        }
    }

    async fn begin(&self, id: &str, pod: &SandboxPod) -> Result<DockerContainer, DockerError> {
        let started = self.docker.start_container(id, None::<StartContainerOptions>).await;
        started.map_err(DockerError::call(format!("start container {id}")))?;
        let inspected = self.docker.inspect_container(id, None::<InspectContainerOptions>).await;
        let inspected = inspected.map_err(DockerError::call(format!("inspect container {id}")))?;
        let networks = inspected.network_settings.and_then(|settings| settings.networks);
        let addresses = networks
            .into_iter()
            .flatten()
            .filter_map(|(_, endpoint)| endpoint.ip_address);
        let mut addresses = addresses.filter_map(|address| address.parse().ok());
        let address = addresses
            .next()
            .ok_or_else(|| DockerError::NoAddress { id: id.to_owned() })?;
        Ok(DockerContainer::new(
            self.docker.clone(),
            id.to_owned(),
            address,
            pod.full_name(),
        ))
    }
}

impl ContainerRuntime for DockerRuntime {
    fn start(&self, pod: SandboxPod, _: PodPlace) -> BoxFuture<'_, Result<Box<dyn RunningContainer>, StartError>> {
        async move { self.run(pod).await.map_err(|error| Box::new(error).into()) }.boxed()
    }
}

/// Kills and removes a container; gone already is as good. One that is just being removed is not gone, and is refused with 409.
pub(crate) async fn remove(docker: &Docker, id: &str) -> Result<(), DockerError> {
    let options = RemoveContainerOptions {
        force: true,
        v: true,
        ..RemoveContainerOptions::default()
    };
    match docker.remove_container(id, Some(options)).await {
        Err(error) if answered(&error, 404) => Ok(()),
        Ok(()) => Ok(()),
        Err(error) => Err(DockerError::call(format!("remove container {id}"))(error)),
    }
}

/// Whether this is what Docker says with this status.
fn answered(error: &bollard::errors::Error, status: u16) -> bool {
    matches!(error, bollard::errors::Error::DockerResponseServerError { status_code, .. } if *status_code == status)
}

/// The socket that `DOCKER_HOST` names; none when it is empty, as for Docker's own command. Refuses another machine: what the
/// client could talk to depends on what else is built.
fn socket_of(host: Option<String>) -> Result<Option<String>, DockerError> {
    let Some(host) = host.filter(|host| !host.is_empty()) else {
        return Ok(None);
    };
    if ["unix://", "npipe://"].iter().any(|here| host.starts_with(here)) {
        Ok(Some(host))
    } else {
        Err(DockerError::Elsewhere { host })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_docker_on_another_machine_is_refused_with_what_would_do() {
        for host in [
            "tcp://elsewhere:2375",
            "https://elsewhere",
            "ssh://me@elsewhere",
            "elsewhere:2375",
        ] {
            let said = socket_of(Some(host.to_owned())).expect_err("refused").to_string();
            assert!(
                said.starts_with(&format!("reach Docker at {host}; ")) && said.contains("unset DOCKER_HOST"),
                "{said}"
            );
        }
    }

    #[test]
    fn a_docker_on_this_machine_is_at_the_socket_that_is_named_or_at_its_own() {
        for (host, socket) in [
            (None, None),
            (Some(""), None),
            (Some("unix:///nowhere.sock"), Some("unix:///nowhere.sock")),
        ] {
            let found = socket_of(host.map(str::to_owned)).expect("here");
            assert_eq!(found.as_deref(), socket);
        }
    }
}
