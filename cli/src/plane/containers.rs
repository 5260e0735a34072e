//! What runs the Pods of the node, by the engine that was chosen.

use std::sync::Arc;

use anyhow::Context as _;
use docker_runtime::{DockerConfig, DockerRuntime};
use mock_node::PodRuntime;

use super::PlaneConfig;
use super::files::DataDir;
use super::install::IMAGE;
use crate::engine::EngineKind;
use crate::exit::wrong_input;

/// The node's runtime, and the containers to be removed at the end.
pub(super) struct Containers {
    pub(super) runtime: PodRuntime,
    docker: Option<DockerRuntime>,
}

impl Containers {
    /// Connects to what the engine needs: nothing, or Docker with the sandbox image.
    ///
    /// # Errors
    /// Docker does not answer, or does not have the image; or options that do not go together.
    pub(super) async fn connect(config: &PlaneConfig, data_dir: &DataDir) -> anyhow::Result<Self> {
        let around = config.hooks.engine.as_ref();
        if config.engine == EngineKind::Monty {
            config.ahead.refuse_for_monty()?;
        }
        match config.engine {
            EngineKind::Monty if config.isolate => {
                if around.is_some() {
                    return Err(wrong_input(
                        "--isolate runs the engine in other processes, where this fault cannot be put in; leave it out",
                    ));
                }
                Ok(Self {
                    runtime: processes(config)?,
                    docker: None,
                })
            }
            EngineKind::Monty => {
                let engine = config.engine.build(config.execution)?;
                Ok(Self {
                    runtime: PodRuntime::InProcess(match around {
                        Some(around) => around(engine),
                        None => engine,
                    }),
                    docker: None,
                })
            }
            EngineKind::Criu if config.isolate => Err(wrong_input(
                "--engine criu runs each sandbox in a container of its own already; leave --isolate out",
            )),
            EngineKind::Criu if around.is_some() => Err(wrong_input(
                "--engine criu runs in containers, where this fault cannot be put in; use --engine monty",
            )),
            EngineKind::Criu => docker(config, data_dir).await,
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

async fn docker(plane: &PlaneConfig, data_dir: &DataDir) -> anyhow::Result<Containers> {
    // Refuses what only the other engine can do.
    EngineKind::Criu.build(plane.execution)?;
    let config = DockerConfig {
        options: [plane.log_options.clone(), plane.ahead.options()].concat(),
        node: data_dir.path().display().to_string(),
        agent: std::env::current_exe().context("find this program, to run it in containers")?,
    };
    let docker = DockerRuntime::connect(config).await.context("--engine criu")?;
    docker.require_image(IMAGE).await.context("--engine criu")?;
    Ok(Containers {
        runtime: PodRuntime::Containers(Arc::new(docker.clone())),
        docker: Some(docker),
    })
}

#[cfg(target_os = "linux")]
fn processes(plane: &PlaneConfig) -> anyhow::Result<PodRuntime> {
    use process_runtime::{ProcessConfig, ProcessRuntime};

    let config = ProcessConfig {
        agent: std::env::current_exe().context("find this program, to run agents with it")?,
        options: plane
            .execution
            .options()
            .into_iter()
            .chain(plane.log_options.iter().map(Into::into))
            .collect(),
    };
    Ok(PodRuntime::Containers(Arc::new(ProcessRuntime::new(config))))
}

#[cfg(not(target_os = "linux"))]
fn processes(_: &PlaneConfig) -> anyhow::Result<PodRuntime> {
    Err(wrong_input("--isolate needs Linux; leave it out"))
}
