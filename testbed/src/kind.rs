//! A node of kind: its image with the flags that kind gives it, set up by kubeadm from inside.
//!
//! There is no terminal in the container, so that its log says nothing of how systemd comes up; readiness is a health
//! check inside. Nothing removes the container of a killed process: containers carry the label of their run, and
//! [`crate::reap`] removes what is left.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::StreamExt as _;
use testcontainers::bollard::models::{RestartPolicy, RestartPolicyNameEnum};
use testcontainers::core::{
    AccessMode, CgroupnsMode, ExecCommand, Healthcheck, IntoContainerPort as _, Mount, WaitFor,
};
use testcontainers::runners::AsyncRunner as _;
use testcontainers::{ContainerAsync, ContainerRequest, GenericImage, ImageExt as _};
use tokio::io::AsyncWriteExt as _;

use crate::BootError;
use crate::docker::{client, missing_image, name_and_tag, reap, start_error};
use crate::kubeadm::{KubeadmConfig, with_pod_subnet};
use crate::kubeconfig::with_server;
use crate::label::RUN;

/// The port of the API server inside.
const API: u16 = 6443;
/// How long systemd and containerd may take.
const START_LIMIT: Duration = Duration::from_mins(5);
/// How often readiness is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Where images wait inside until they are imported.
const IMAGES: &str = "/kind/torpor-images.tar";
/// Where kubectl finds the cluster inside.
const ADMIN: &str = "/etc/kubernetes/admin.conf";

/// How a cluster is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// The node image, such as `kindest/node:v1.33.1`.
    pub image: String,
    /// Images of this machine that the cluster is to have.
    pub load: Vec<String>,
    /// Manifests that are applied once it is ready.
    pub apply: Vec<PathBuf>,
}

/// A running cluster; its container is removed when it is dropped.
#[derive(Debug)]
pub struct KindCluster {
    node: ContainerAsync<GenericImage>,
    run: String,
    kubeconfig: String,
}

impl KindCluster {
    /// A kubeconfig by which this machine reaches it.
    #[must_use]
    pub fn kubeconfig(&self) -> &str {
        &self.kubeconfig
    }

    /// Removes it and its volume.
    ///
    /// # Errors
    /// Docker will not remove something.
    pub async fn stop(self) -> Result<(), BootError> {
        drop(self.node);
        reap(Some(&self.run)).await.map(drop)
    }
}

impl Kind {
    /// Boots a cluster for a run of that name ([`run_name`](crate::run_name)). Who gives up waiting for it calls [`reap`] with
    /// the name.
    ///
    /// # Errors
    /// [`BootError::Impossible`] when this machine cannot run it; else the step that failed.
    pub async fn boot(&self, run: &str) -> Result<KindCluster, BootError> {
        let docker = client().await?;
        let (name, tag) = name_and_tag(&self.image);
        if docker.inspect_image(&self.image).await.is_err() {
            let how = "pull it on a machine with network access, and bring it here by `docker save` and `docker load`";
            let pulled = GenericImage::new(name, tag).pull_image().await;
            pulled
                .map(drop)
                .map_err(|error| missing_image(&self.image, how, &error))?;
        }
        let folder = tempfile::tempdir().map_err(|error| failed("make a folder for images", &error))?;
        let images = self.save_images(folder.path()).await?;
        let started = self.request(run, images.as_deref()).start().await;
        let node = match started {
            Ok(node) => node,
            Err(error) => {
                // A container that did not come up in time is not removed by testcontainers.
                let _ = reap(Some(run)).await;
                return Err(start_error(&self.image, &error));
            }
        };
        let node = Node { container: node };
        match node.set_up(self, run, images.is_some()).await {
            Ok(kubeconfig) => Ok(KindCluster {
                node: node.container,
                run: run.to_owned(),
                kubeconfig,
            }),
            Err(error) => {
                drop(node);
                let _ = reap(Some(run)).await;
                Err(error)
            }
        }
    }

    /// The container, as kind itself would start it.
    fn request(&self, run: &str, images: Option<&Path>) -> ContainerRequest<GenericImage> {
        let (name, tag) = name_and_tag(&self.image);
        let healthy = "systemctl is-active --quiet containerd && crictl info >/dev/null";
        let health = Healthcheck::cmd_shell(healthy)
            .with_interval(LOOK)
            .with_timeout(Duration::from_secs(10))
            .with_retries(300_u32);
        let request = GenericImage::new(name, tag)
            .with_exposed_port(API.tcp())
            .with_wait_for(WaitFor::healthcheck())
            .with_container_name(run)
            .with_label(RUN, run)
            .with_hostname(run)
            .with_privileged(true)
            .with_cgroupns_mode(CgroupnsMode::Private)
            .with_security_opt("seccomp=unconfined")
            .with_security_opt("apparmor=unconfined")
            .with_mount(Mount::tmpfs_mount("/tmp"))
            .with_mount(Mount::tmpfs_mount("/run"))
            .with_mount(Mount::volume_mount(run, "/var"))
            .with_mount(Mount::bind_mount("/lib/modules", "/lib/modules").with_access_mode(AccessMode::ReadOnly))
            .with_env_var("KUBECONFIG", ADMIN)
            .with_health_check(health)
            .with_startup_timeout(START_LIMIT)
            .with_host_config_modifier(|host| {
                // Docker's own init would be process 1 where systemd has to be.
                host.init = Some(false);
                host.restart_policy = Some(RestartPolicy {
                    name: Some(RestartPolicyNameEnum::ON_FAILURE),
                    maximum_retry_count: Some(1),
                });
            });
        match images {
            Some(file) => request.with_copy_to(IMAGES, file.to_owned()),
            None => request,
        }
    }

    /// Writes the images to a file, as `docker save` does.
    async fn save_images(&self, folder: &Path) -> Result<Option<PathBuf>, BootError> {
        if self.load.is_empty() {
            return Ok(None);
        }
        let step = format!("save {}", self.load.join(", "));
        let docker = client().await?;
        let path = folder.join("images.tar");
        let mut file = tokio::fs::File::create(&path)
            .await
            .map_err(|error| failed(&step, &error))?;
        let names: Vec<&str> = self.load.iter().map(String::as_str).collect();
        let mut saved = std::pin::pin!(docker.export_images(&names));
        while let Some(piece) = saved.next().await {
            let piece = piece.map_err(|error| failed(&step, &error))?;
            file.write_all(&piece).await.map_err(|error| failed(&step, &error))?;
        }
        file.flush().await.map_err(|error| failed(&step, &error))?;
        Ok(Some(path))
    }
}

fn failed(step: &str, error: &dyn std::fmt::Display) -> BootError {
    BootError::Failed {
        step: step.to_owned(),
        why: error.to_string(),
    }
}

/// A node that is up, and no cluster yet.
struct Node {
    container: ContainerAsync<GenericImage>,
}

impl Node {
    /// Sets it up; gives the kubeconfig for outside.
    async fn set_up(&self, kind: &Kind, name: &str, images: bool) -> Result<String, BootError> {
        self.init(name, images).await?;
        self.furnish().await?;
        for file in &kind.apply {
            let shown = file.display().to_string();
            let manifest = tokio::fs::read_to_string(file).await;
            self.apply(
                &shown,
                &manifest.map_err(|error| failed(&format!("read {shown}"), &error))?,
            )
            .await?;
        }
        self.outside().await
    }

    /// Makes the control plane.
    async fn init(&self, name: &str, images: bool) -> Result<(), BootError> {
        if images {
            self.run(
                "import images",
                &["ctr", "--namespace=k8s.io", "images", "import", "--digests", IMAGES],
            )
            .await?;
        }
        let config = KubeadmConfig {
            version: self.run("read the version", &["cat", "/kind/version"]).await?,
            node: name.to_owned(),
            hosts: vec![self.host().await?],
        };
        let config = config
            .render()
            .map_err(|error| failed("tell kubeadm what to do", &error))?;
        self.write("/kind/kubeadm.conf", &config).await?;
        // Preflight would pull images, and look at a kernel that is that of the machine.
        let init = [
            "kubeadm",
            "init",
            "--config=/kind/kubeadm.conf",
            "--skip-phases=preflight",
            "--skip-token-print",
        ];
        self.run("kubeadm init", &init).await?;
        Ok(())
    }

    /// Gives it room for Pods, a network and storage.
    async fn furnish(&self) -> Result<(), BootError> {
        let taint = [
            "kubectl",
            "taint",
            "nodes",
            "--all",
            "node-role.kubernetes.io/control-plane-",
        ];
        self.run("let Pods onto the node", &taint).await?;
        let network = self
            .run("read the network", &["cat", "/kind/manifests/default-cni.yaml"])
            .await?;
        self.apply("the network", &with_pod_subnet(&network)).await?;
        let storage = self
            .run("read the storage", &["cat", "/kind/manifests/default-storage.yaml"])
            .await?;
        self.apply("the storage", &storage).await?;
        let ready = [
            "kubectl",
            "wait",
            "--for=condition=Ready",
            "node",
            "--all",
            "--timeout=180s",
        ];
        self.run("wait for the node", &ready).await?;
        Ok(())
    }

    /// The kubeconfig for outside.
    async fn outside(&self) -> Result<String, BootError> {
        let inside = self.run("read the kubeconfig", &["cat", ADMIN]).await?;
        let port = self.container.get_host_port_ipv4(API.tcp()).await;
        let port = port.map_err(|error| failed("find the port of the API server", &error))?;
        let server = format!("https://{}:{port}", self.host().await?);
        with_server(&inside, &server, None).map_err(|error| failed("make a kubeconfig", &error))
    }

    async fn host(&self) -> Result<String, BootError> {
        let host = self.container.get_host().await;
        host.map(|host| host.to_string())
            .map_err(|error| failed("find the address of Docker", &error))
    }

    async fn apply(&self, what: &str, manifest: &str) -> Result<(), BootError> {
        self.write("/kind/torpor-apply.yaml", manifest).await?;
        let apply = ["kubectl", "apply", "--server-side", "-f", "/kind/torpor-apply.yaml"];
        self.run(&format!("apply {what}"), &apply).await.map(drop)
    }

    /// Writes a file inside. The content goes as an argument, of which Linux takes 128 KiB each.
    async fn write(&self, path: &str, content: &str) -> Result<(), BootError> {
        let step = format!("write {path}");
        self.run(&step, &["truncate", "--size=0", path]).await?;
        let letters: Vec<char> = content.chars().collect();
        for piece in letters.chunks(16 * 1024) {
            let piece: String = piece.iter().collect();
            self.run(&step, &["sh", "-c", "printf %s \"$1\" >> \"$2\"", "sh", &piece, path])
                .await?;
        }
        Ok(())
    }

    /// Runs a command inside; gives what it prints.
    async fn run(&self, step: &str, command: &[&str]) -> Result<String, BootError> {
        let mut started = self
            .container
            .exec(ExecCommand::new(command.iter().copied()))
            .await
            .map_err(|error| failed(step, &error))?;
        let printed = started.stdout_to_vec().await.map_err(|error| failed(step, &error))?;
        let complained = started.stderr_to_vec().await.map_err(|error| failed(step, &error))?;
        match started.exit_code().await.map_err(|error| failed(step, &error))? {
            Some(0) => Ok(String::from_utf8_lossy(&printed).into_owned()),
            code => {
                let text = String::from_utf8_lossy(&complained).into_owned() + &String::from_utf8_lossy(&printed);
                let lines: Vec<_> = text.trim().lines().rev().take(20).collect();
                let last: Vec<_> = lines.into_iter().rev().collect();
                Err(failed(step, &format!("it ended with {code:?}: {}", last.join("\n"))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_gets_what_kind_gives_it_and_can_be_found_again() {
        let kind = Kind {
            image: "kindest/node:v1.33.1".to_owned(),
            load: Vec::new(),
            apply: Vec::new(),
        };
        let request = kind.request("torpor-kind-1", None);
        assert_eq!(request.descriptor(), "kindest/node:v1.33.1");
        assert!(request.privileged());
        assert!(matches!(request.cgroupns_mode(), Some(CgroupnsMode::Private)));
        assert_eq!(request.labels().get(RUN).map(String::as_str), Some("torpor-kind-1"));
        assert_eq!(request.startup_timeout(), Some(START_LIMIT));
        let mounts: Vec<_> = request.mounts().filter_map(Mount::target).collect();
        assert_eq!(mounts, ["/tmp", "/run", "/var", "/lib/modules"]);
        assert!(
            matches!(request.ready_conditions()[..], [WaitFor::Healthcheck(_)]),
            "not the log"
        );
    }
}
