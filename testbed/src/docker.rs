//! Docker itself: whether it answers, whether an image is there, and what runs have left.

use std::collections::HashMap;

use testcontainers::bollard::Docker;
use testcontainers::bollard::query_parameters::{
    ListContainersOptionsBuilder, ListVolumesOptionsBuilder, RemoveContainerOptionsBuilder, RemoveVolumeOptions,
};
use testcontainers::core::client::docker_client_instance;
use testcontainers::core::error::{ClientError, TestcontainersError};

use crate::BootError;
use crate::label::RUN;

/// The client that testcontainers uses, once it answers.
pub(crate) async fn client() -> Result<Docker, BootError> {
    let unreachable = |error: &dyn std::fmt::Display| BootError::Impossible(format!("Docker does not answer: {error}"));
    let docker = docker_client_instance().await.map_err(|error| unreachable(&error))?;
    docker.ping().await.map_err(|error| unreachable(&error))?;
    Ok(docker)
}

/// An image is here, or there is a registry to pull it from.
pub(crate) fn missing_image(image: &str, how: &str, error: &TestcontainersError) -> BootError {
    BootError::Impossible(format!(
        "the image {image} is not here and cannot be pulled; {how} ({error})"
    ))
}

/// What a failed start says: the machine is not able to, or the container was not well.
pub(crate) fn start_error(image: &str, error: &TestcontainersError) -> BootError {
    match error {
        TestcontainersError::Client(
            ClientError::StartContainer(_) | ClientError::CreateContainer(_) | ClientError::PortMapping(_),
        ) => BootError::Impossible(format!("Docker cannot start {image} on this machine: {error}")),
        TestcontainersError::Client(_)
        | TestcontainersError::WaitContainer(_)
        | TestcontainersError::MissingInfo(_)
        | TestcontainersError::Exec(_)
        | TestcontainersError::Io(_)
        | TestcontainersError::PortNotExposed { .. }
        | TestcontainersError::Other(_) => BootError::Failed {
            step: format!("wait until {image} is ready"),
            why: error.to_string(),
        },
    }
}

/// Name and tag of an image.
pub(crate) fn name_and_tag(image: &str) -> (String, String) {
    match image.rsplit_once(':') {
        // A colon before a slash is that of a port.
        Some((name, tag)) if !tag.contains('/') => (name.to_owned(), tag.to_owned()),
        Some(_) | None => (image.to_owned(), "latest".to_owned()),
    }
}

/// Removes the containers and volumes of a run, or those that any run has left; gives their names.
///
/// # Errors
/// Docker does not answer, or will not remove one.
pub async fn reap(run: Option<&str>) -> Result<Vec<String>, BootError> {
    let docker = client().await?;
    let failed = |step: &str, error: &dyn std::fmt::Display| BootError::Failed {
        step: step.to_owned(),
        why: error.to_string(),
    };
    let label = run.map_or_else(|| RUN.to_owned(), |run| format!("{RUN}={run}"));
    let filters = HashMap::from([("label", vec![label])]);
    let options = ListContainersOptionsBuilder::default()
        .all(true)
        .filters(&filters)
        .build();
    let found = docker.list_containers(Some(options)).await;
    let found = found.map_err(|error| failed("list containers", &error))?;
    let mut removed = Vec::new();
    for container in found {
        let name = container
            .names
            .unwrap_or_default()
            .concat()
            .trim_start_matches('/')
            .to_owned();
        let id = container.id.unwrap_or_default();
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        let gone = docker.remove_container(&id, Some(options)).await;
        gone.map_err(|error| failed(&format!("remove the container {name}"), &error))?;
        removed.push(format!("container {name}"));
    }
    let filters = HashMap::from([("name", vec![run.unwrap_or("torpor-kind-").to_owned()])]);
    let options = ListVolumesOptionsBuilder::default().filters(&filters).build();
    let found = docker.list_volumes(Some(options)).await;
    let found = found.map_err(|error| failed("list volumes", &error))?;
    for volume in found.volumes.unwrap_or_default() {
        let gone = docker.remove_volume(&volume.name, None::<RemoveVolumeOptions>).await;
        gone.map_err(|error| failed(&format!("remove the volume {}", volume.name), &error))?;
        removed.push(format!("volume {}", volume.name));
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_no_tag() {
        let pair = |name: &str, tag: &str| (name.to_owned(), tag.to_owned());
        assert_eq!(name_and_tag("kindest/node:v1.33.1"), pair("kindest/node", "v1.33.1"));
        assert_eq!(
            name_and_tag("localhost:5000/node"),
            pair("localhost:5000/node", "latest")
        );
        assert_eq!(
            name_and_tag("localhost:5000/node:v1"),
            pair("localhost:5000/node", "v1")
        );
    }
}
