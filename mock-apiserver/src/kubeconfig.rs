//! The file that tells clients where the server is and how to be believed.

use crate::tls::ClientCertificate;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use std::fmt;

/// A kubeconfig with the context `torpor` and the namespace `default`; its text is YAML.
#[derive(Clone)]
pub struct Kubeconfig {
    server: String,
    authority: Option<String>,
    token: Option<String>,
    certificate: Option<(String, String)>,
}

impl fmt::Debug for Kubeconfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kubeconfig")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

impl Kubeconfig {
    /// For a server at `url`, without credentials.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self {
            server: url.trim_end_matches('/').to_owned(),
            authority: None,
            token: None,
            certificate: None,
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

    /// Shows a certificate, and proves it by its key.
    #[must_use]
    pub fn client_certificate(mut self, client: &ClientCertificate) -> Self {
        self.certificate = Some((client.certificate.clone(), client.key.clone()));
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
        if self.token.is_none() && self.certificate.is_none() {
            return writeln!(f, "  user: {{}}");
        }
        writeln!(f, "  user:")?;
        if let Some(token) = &self.token {
            writeln!(f, "    token: {}", scalar(token))?;
        }
        if let Some((certificate, key)) = &self.certificate {
            writeln!(f, "    client-certificate-data: {}", STANDARD.encode(certificate))?;
            writeln!(f, "    client-key-data: {}", STANDARD.encode(key))?;
        }
        Ok(())
    }
}
