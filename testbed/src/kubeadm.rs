//! How kubeadm is told to set up a single node, by the version of Kubernetes. Pure.

use serde_json::{Value, json};

/// The addresses of Pods.
pub const POD_SUBNET: &str = "10.244.0.0/16";
/// The addresses of Services.
const SERVICE_SUBNET: &str = "10.96.0.0/16";

/// What kubeadm reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubeadmConfig {
    /// The version of the node image, as its file `/kind/version` says, such as `v1.33.1`.
    pub version: String,
    /// Name of the node.
    pub node: String,
    /// Names and addresses by which clients reach the API server from outside.
    pub hosts: Vec<String>,
}

/// A version that no Kubernetes has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no version of Kubernetes: /kind/version of the node image should say one, such as v1.33.1")]
pub struct UnknownVersion(pub String);

impl KubeadmConfig {
    /// The documents, one after another.
    ///
    /// # Errors
    /// The version is none.
    pub fn render(&self) -> Result<String, UnknownVersion> {
        let version = self.version.trim();
        let minor = minor(version).ok_or_else(|| UnknownVersion(version.to_owned()))?;
        // v1beta4 came with 1.31; it writes arguments as a list.
        let lists = minor >= 31;
        let arguments = |named: &[(&str, &str)]| if lists { list(named) } else { mapping(named) };
        let api = if lists {
            "kubeadm.k8s.io/v1beta4"
        } else {
            "kubeadm.k8s.io/v1beta3"
        };
        let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        names.extend(
            self.hosts
                .iter()
                .filter(|host| *host != "localhost" && *host != "127.0.0.1")
                .cloned(),
        );
        let registration = json!({
            "criSocket": "unix:///run/containerd/containerd.sock",
            "name": self.node,
            "kubeletExtraArgs": arguments(&[("runtime-cgroups", "/system.slice/containerd.service")]),
        });
        let documents = [
            json!({"apiVersion": api, "kind": "InitConfiguration", "nodeRegistration": registration}),
            json!({
                "apiVersion": api, "kind": "ClusterConfiguration", "kubernetesVersion": version,
                "clusterName": "torpor",
                "networking": {"podSubnet": POD_SUBNET, "serviceSubnet": SERVICE_SUBNET},
                "apiServer": {"certSANs": names},
                "controllerManager": {"extraArgs": arguments(&[("enable-hostpath-provisioner", "true")])},
            }),
            json!({
                "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
                "cgroupDriver": "systemd", "cgroupRoot": "/kubelet", "failSwapOn": false,
                // A full disk of the machine is no business of the suite.
                "imageGCHighThresholdPercent": 100,
                "evictionHard": {"nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%"},
            }),
            json!({
                "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",
                "mode": "iptables", "conntrack": {"maxPerCore": 0},
            }),
        ];
        Ok(documents.map(|document| document.to_string()).join("\n---\n"))
    }
}

fn minor(version: &str) -> Option<u32> {
    let (major, rest) = version.strip_prefix('v')?.split_once('.')?;
    let (minor, _) = rest.split_once('.')?;
    (major == "1").then(|| minor.parse().ok())?
}

fn list(arguments: &[(&str, &str)]) -> Value {
    arguments
        .iter()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect()
}

fn mapping(arguments: &[(&str, &str)]) -> Value {
    arguments
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json!(value)))
        .collect()
}

/// The node image's manifest of the network, with the addresses of Pods filled in.
#[must_use]
pub fn with_pod_subnet(manifest: &str) -> String {
    manifest
        .replace("{{.PodSubnet}}", POD_SUBNET)
        .replace("{{ .PodSubnet }}", POD_SUBNET)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents(version: &str) -> Vec<Value> {
        let config = KubeadmConfig {
            version: version.to_owned(),
            node: "node".to_owned(),
            hosts: vec!["docker.example".to_owned(), "localhost".to_owned()],
        };
        let text = config.render().unwrap();
        text.split("\n---\n")
            .map(|document| serde_json::from_str(document).unwrap())
            .collect()
    }

    #[test]
    fn the_form_is_that_of_the_version() {
        let old = documents("v1.30.13");
        assert_eq!(old[0]["apiVersion"], "kubeadm.k8s.io/v1beta3");
        assert_eq!(
            old[1]["controllerManager"]["extraArgs"]["enable-hostpath-provisioner"],
            "true"
        );
        let new = documents("v1.31.0\n");
        assert_eq!(new[0]["apiVersion"], "kubeadm.k8s.io/v1beta4");
        assert_eq!(new[1]["kubernetesVersion"], "v1.31.0");
        assert_eq!(
            new[1]["controllerManager"]["extraArgs"][0]["name"],
            "enable-hostpath-provisioner"
        );
    }

    #[test]
    fn the_certificate_is_for_every_name_by_which_a_client_dials_once() {
        assert_eq!(
            documents("v1.33.1")[1]["apiServer"]["certSANs"],
            json!(["localhost", "127.0.0.1", "docker.example"])
        );
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for version in ["", "1.33.1", "v2.1.0", "v1.x.0", "v1"] {
            let config = KubeadmConfig {
                version: version.to_owned(),
                node: "node".to_owned(),
                hosts: Vec::new(),
            };
            assert_eq!(config.render(), Err(UnknownVersion(version.to_owned())));
        }
    }

    #[test]
    fn the_network_gets_the_addresses_that_kubeadm_gets() {
        let manifest = with_pod_subnet("value: {{.PodSubnet}}");
        assert_eq!(manifest, format!("value: {POD_SUBNET}"));
        assert_eq!(documents("v1.33.1")[1]["networking"]["podSubnet"], POD_SUBNET);
    }
}
