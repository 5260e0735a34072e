//! The Node object that stands for this node, with what it can hold.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Node;
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::{NodeConfig, NodeError};

/// The labels of the node of this name, by which Pods select it.
pub(crate) fn labels(name: &str) -> BTreeMap<String, String> {
    let labels = [
        ("kubernetes.io/hostname", name),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", std::env::consts::ARCH),
    ];
    labels.map(|(label, value)| (label.to_owned(), value.to_owned())).into()
}

/// Creates the Node, unless an earlier life did, and says that it is ready.
pub(crate) async fn register(client: &Client, config: &NodeConfig) -> Result<(), NodeError> {
    let api: Api<Node> = Api::all(client.clone());
    let failed = |source| NodeError::Register {
        name: config.name.clone(),
        source: Box::new(source),
    };
    let resources = json!({
        "cpu": format!("{}m", config.capacity.cpu_millis),
        "memory": config.capacity.memory_bytes.to_string(),
        "pods": config.capacity.pods.to_string(),
    });
    let node: Node = serde_json::from_value(json!({
        "metadata": { "name": config.name, "labels": labels(&config.name) },
    }))
    .map_err(|error| failed(kube::Error::SerdeError(error)))?;
    match api.create(&PostParams::default(), &node).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.is_already_exists() => {}
        Err(error) => return Err(failed(error)),
    }
    let status = json!({ "status": {
        "capacity": resources,
        "allocatable": resources,
        "addresses": [{ "type": "InternalIP", "address": "127.0.0.1" }, { "type": "Hostname", "address": config.name }],
        "conditions": [{
            "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "the node stand-in runs",
            "lastTransitionTime": (config.clock)().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        }],
        "nodeInfo": {
            "kubeletVersion": concat!("v", env!("CARGO_PKG_VERSION"), "-torpor"), "operatingSystem": "linux",
            "architecture": std::env::consts::ARCH, "containerRuntimeVersion": "torpor-agent://0", "kernelVersion": "",
            "kubeProxyVersion": "", "machineID": "", "systemUUID": "", "bootID": "", "osImage": "",
        },
    }});
    api.patch_status(&config.name, &PatchParams::default(), &Patch::Merge(status))
        .await
        .map_err(failed)?;
    Ok(())
}
