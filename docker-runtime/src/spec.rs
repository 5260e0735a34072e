//! How the container of a sandbox is set up. Pure: a Pod in, a description for Docker out.

use std::collections::HashMap;
use std::path::PathBuf;

use bollard::models::{ContainerCreateBody, HostConfig};
use mock_node::SandboxPod;
use torpor_api::env;
use url::Url;

use crate::DockerError;
use crate::runtime::DockerConfig;

/// On every container: the node that it belongs to.
pub(crate) const NODE_LABEL: &str = "torpor.dev/node";
/// Where the agent's program is in a container.
const AGENT: &str = "/usr/local/bin/torpor";
/// What CRIU needs to dump and restore; `docs/engines.md` says what for.
const CAPABILITIES: [&str; 4] = ["SYS_ADMIN", "SYS_PTRACE", "NET_ADMIN", "SYS_TIME"];

/// The container of a Pod.
///
/// # Errors
/// [`DockerError::Store`] when no container can reach the Pod's checkpoint store.
pub(crate) fn container(pod: &SandboxPod, config: &DockerConfig) -> Result<ContainerCreateBody, DockerError> {
    let container = &pod.container;
    let mut binds = vec![format!("{}:{AGENT}:ro", config.agent.display())];
    if let Some(url) = container.env.get(env::STORE)
        && let Some(store) = directory(url)?
    {
        binds.push(format!("{0}:{0}", store.display()));
    }
    let command = ["torpor", "agent", "--engine", "criu"].into_iter().map(str::to_owned);
    let command = command
        .chain(config.options.clone())
        .chain(["--".to_owned()])
        .chain(container.command.clone())
        .chain(container.args.clone());
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Ok(ContainerCreateBody {
        image: Some(container.image.clone()),
        entrypoint: Some(Vec::new()),
        cmd: Some(command.collect()),
        env: Some(
            container
                .env
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .chain([format!("{}=0", env::ALLOCATOR)])
                .collect(),
        ),
        labels: Some(HashMap::from([
            label(NODE_LABEL, &config.node),
            label("torpor.dev/pod", &pod.full_name()),
            label("torpor.dev/pod-uid", &pod.uid),
        ])),
        host_config: Some(HostConfig {
            binds: Some(binds),
            cap_add: Some(CAPABILITIES.map(str::to_owned).to_vec()),
            security_opt: Some(vec!["seccomp=unconfined".to_owned()]),
            // `systempaths=unconfined` of the command line: the agent sets the next pid.
            masked_paths: Some(Vec::new()),
            readonly_paths: Some(Vec::new()),
            tmpfs: Some(HashMap::from([("/run".to_owned(), String::new())])),
            nano_cpus: container
                .limits
                .cpu_millis
                .map(|millis| signed(millis.saturating_mul(1_000_000))),
            memory: container.limits.memory_bytes.map(signed),
            // The same: what is over the limit is not swapped out but ended, as a kubelet has it.
            memory_swap: container.limits.memory_bytes.map(signed),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    })
}

/// Docker counts in signed numbers; more than those have is no limit that a machine reaches.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The directory that a store is in; `None` for one that is reached over the network.
fn directory(url: &str) -> Result<Option<PathBuf>, DockerError> {
    let refused = || DockerError::Store { url: url.to_owned() };
    let parsed = Url::parse(url).map_err(|_| refused())?;
    match parsed.scheme() {
        "file" => parsed.to_file_path().map(Some).map_err(|()| refused()),
        "memory" => Err(refused()),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use mock_node::{Limits, SandboxContainer};

    use super::*;

    fn config() -> DockerConfig {
        DockerConfig {
            node: "node".to_owned(),
            agent: "/bin/torpor".into(),
            options: vec!["--log=debug".to_owned()],
        }
    }

    fn pod(store: &str) -> SandboxPod {
        SandboxPod {
            namespace: "default".to_owned(),
            name: "sb".to_owned(),
            uid: "u1".to_owned(),
            container: SandboxContainer {
                name: "sandbox".to_owned(),
                image: "image".to_owned(),
                env: BTreeMap::from([(env::STORE.to_owned(), store.to_owned())]),
                command: vec!["bash".to_owned()],
                args: vec!["-c".to_owned(), "true".to_owned()],
                limits: Limits {
                    cpu_millis: Some(1500),
                    memory_bytes: Some(256 << 20),
                },
            },
        }
    }

    #[test]
    fn the_store_is_mounted_where_the_agent_looks_for_it() {
        let body = container(&pod("file:///data/checkpoints/"), &config()).expect("a container");
        let binds = body.host_config.and_then(|host| host.binds).expect("binds");
        assert_eq!(binds[0], "/bin/torpor:/usr/local/bin/torpor:ro");
        assert_eq!(binds[1].trim_end_matches('/'), "/data/checkpoints/:/data/checkpoints");
        let command = body.cmd.expect("a command");
        assert_eq!(command[4..], ["--log=debug", "--", "bash", "-c", "true"]);
        assert_eq!(body.labels.expect("labels")[NODE_LABEL], "node");
        let variables = body.env.expect("variables");
        assert_eq!(
            variables,
            [
                "TORPOR_STORE=file:///data/checkpoints/",
                "MIMALLOC_ARENA_EAGER_COMMIT=0"
            ]
        );
    }

    #[test]
    fn a_store_over_the_network_is_not_mounted() {
        let body = container(&pod("s3://bucket/prefix"), &config()).expect("a container");
        let binds = body.host_config.and_then(|host| host.binds).expect("binds");
        assert_eq!(binds, ["/bin/torpor:/usr/local/bin/torpor:ro"]);
    }

    #[test]
    fn the_limits_of_the_pod_are_those_of_the_container() {
        let body = container(&pod("file:///data"), &config()).expect("a container");
        let host = body.host_config.expect("a host configuration");
        let memory = Some(256 << 20);
        assert_eq!(
            (host.nano_cpus, host.memory, host.memory_swap),
            (Some(1_500_000_000), memory, memory)
        );
    }

    #[test]
    fn a_store_that_no_container_can_reach_is_refused_by_name() {
        let refused = container(&pod("memory://"), &config()).expect_err("refused");
        assert!(refused.to_string().contains("memory://"), "{refused}");
    }
}
