//! A kubeconfig as it is inside a node, made one for outside. Pure.

use serde_json::{Value, json};

/// A kubeconfig that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KubeconfigError {
    /// It is no YAML.
    #[error("read the kubeconfig: {0}")]
    NotYaml(String),
    /// It names no cluster.
    #[error("the kubeconfig names no cluster")]
    NoCluster,
}

/// The kubeconfig with another address of its clusters; `server_name` is the one that the certificate is for, where it
/// is not that of the address.
///
/// # Errors
/// The text is no kubeconfig.
pub fn with_server(kubeconfig: &str, server: &str, server_name: Option<&str>) -> Result<String, KubeconfigError> {
    let read = serde_saphyr::from_str(kubeconfig);
    let mut config: Value = read.map_err(|error| KubeconfigError::NotYaml(error.without_snippet().to_string()))?;
    let clusters = config.get_mut("clusters").and_then(Value::as_array_mut);
    let clusters = clusters
        .filter(|clusters| !clusters.is_empty())
        .ok_or(KubeconfigError::NoCluster)?;
    for cluster in clusters {
        cluster["cluster"]["server"] = json!(server);
        if let Some(name) = server_name {
            cluster["cluster"]["tls-server-name"] = json!(name);
        }
    }
    // JSON is YAML, too.
    Ok(format!("{config:#}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INSIDE: &str = "apiVersion: v1
kind: Config
clusters:
- name: torpor
  cluster: {server: 'https://torpor:6443', certificate-authority-data: Y2E=}
users: [{name: admin, user: {token: t}}]
";

    #[test]
    fn only_the_address_is_another() {
        let outside = with_server(INSIDE, "https://127.0.0.1:32768", Some("localhost")).unwrap();
        let outside: Value = serde_json::from_str(&outside).unwrap();
        let cluster = &outside["clusters"][0]["cluster"];
        assert_eq!(cluster["server"], "https://127.0.0.1:32768");
        assert_eq!(
            (&cluster["tls-server-name"], &cluster["certificate-authority-data"]),
            (&json!("localhost"), &json!("Y2E="))
        );
        assert_eq!(outside["users"][0]["user"]["token"], "t");
    }

    #[test]
    fn what_is_no_kubeconfig_is_refused() {
        assert_eq!(
            with_server("clusters: []", "https://a", None),
            Err(KubeconfigError::NoCluster)
        );
        assert!(matches!(
            with_server("a: [", "https://a", None),
            Err(KubeconfigError::NotYaml(_))
        ));
    }
}
