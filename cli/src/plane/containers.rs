//! What runs the Pods of the node, by the engine that was chosen.

use anyhow::Context as _;
use docker_runtime::{DockerConfig, DockerRuntime};
use mock_node::PodRuntime;
use std::sync::Arc;
use torpor_runtime::Engine;

use super::files::DataDir;
use super::install::IMAGE;
use crate::engine::{EngineKind, ExecutionArgs};
use crate::fault::Around;

/// The node's runtime, and the containers to be removed at the end.
pub(super) struct Containers {
    pub(super) runtime: PodRuntime,
    docker: Option<DockerRuntime>,
}

impl Containers {
    /// Connects to what the engine needs: nothing, or Docker with the sandbox image.
    ///
    /// # Errors
    /// Docker does not answer, or does not have the image.
    pub(super) async fn connect(
        engine: EngineKind,
        execution: ExecutionArgs,
        around: Option<&Around<dyn Engine>>,
        data_dir: &DataDir,
    ) -> anyhow::Result<Self> {
        match engine {
            EngineKind::Monty => {
                let engine = engine.build(execution)?;
                Ok(Self {
                    runtime: PodRuntime::InProcess(match around {
                        Some(around) => around(engine),
                        None => engine,
                    }),
                    docker: None,
                })
            }
            EngineKind::Criu if around.is_some() => {
                anyhow::bail!("--engine criu runs in containers, where this fault cannot be put in; use --engine monty")
            }
            EngineKind::Criu => {
                // Refuses what only the other engine can do.
                engine.build(execution)?;
                let config = DockerConfig {
                    node: data_dir.path().display().to_string(),
                    agent: std::env::current_exe().context("find this program, to run it in containers")?,
                };
                let docker = DockerRuntime::connect(config).await.context("--engine criu")?;
                docker.require_image(IMAGE).await.context("--engine criu")?;
                Ok(Self {
                    runtime: PodRuntime::Containers(Arc::new(docker.clone())),
                    docker: Some(docker),
                })
            }
        }
    }

    /// Removes what the node did not remove in time.
    pub(super) async fn clean_up(self) {
        if let Some(docker) = self.docker
            && let Err(error) = docker.remove_leftovers().await
        {
            tracing::warn!(error = format!("{:#}", anyhow::Error::new(error)), "remove containers");
        }
    }
}
