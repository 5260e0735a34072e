//! The file that tells clients where the server is and how to be believed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use std::fmt;

/// A kubeconfig with the context `torpor` and the namespace `default`; its text is YAML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kubeconfig {
    server: String,
    authority: Option<String>,
    token: Option<String>,
}

impl Kubeconfig {
    /// For a server at `url`, without credentials.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self {
            server: url.trim_end_matches('/').to_owned(),
            authority: None,
            token: None,
        }
    }

    /// Trusts the authority with that certificate, given as PEM.
    #[must_use]
    pub fn authority(mut self, pem: &str) -> Self {
        self.authority = Some(pem.to_owned());
        self
    }

    /// Sends a bearer token. kubectl does so over HTTPS only.
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }
}

impl fmt::Display for Kubeconfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A JSON text is a YAML scalar whatever it holds.
        let scalar = |text: &str| json!(text).to_string();
        writeln!(f, "apiVersion: v1\nkind: Config\ncurrent-context: torpor\nclusters:")?;
        writeln!(f, "- name: torpor\n  cluster:\n    server: {}", self.server)?;
        if let Some(pem) = &self.authority {
            writeln!(f, "    certificate-authority-data: {}", STANDARD.encode(pem))?;
        }
        writeln!(
            f,
            "contexts:\n- name: torpor\n  context:\n    cluster: torpor\n    namespace: default"
        )?;
        writeln!(f, "    user: torpor\nusers:\n- name: torpor")?;
        match &self.token {
            None => writeln!(f, "  user: {{}}"),
            Some(token) => writeln!(f, "  user:\n    token: {}", scalar(token)),
        }
    }
}
