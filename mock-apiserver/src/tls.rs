//! Certificates: an authority of the server's own and what it signs.

use crate::access::User;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};

/// Why there are no certificates.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A certificate could not be made, such as for a name that is none.
    #[error("make a certificate for {names}")]
    Certificate {
        /// The names it was to be for.
        names: String,
        /// What the maker says.
        source: rcgen::Error,
    },
    /// The certificate cannot be used.
    #[error("set up TLS")]
    Unusable(#[from] rustls::Error),
}

/// The identity of a server, which clients check against its [`authority`](Self::authority).
#[derive(Clone)]
pub struct Tls {
    config: Arc<ServerConfig>,
    authority: Arc<Authority>,
}

/// What signs certificates, and whose they are.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// Its certificate, as PEM.
    certificate: String,
    clients: Mutex<HashMap<Vec<u8>, User>>,
}

/// What a client shows and proves in the TLS handshake, as PEM.
#[derive(Clone)]
pub struct ClientCertificate {
    /// The certificate; its common name is the user and its organisations are the groups.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate").finish_non_exhaustive()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Tls {
    /// A new authority, and a certificate of it for these DNS names and IP addresses. The private keys stay in memory.
    ///
    /// # Errors
    /// One of the names is neither.
    pub fn self_signed(names: &[&str]) -> Result<Self, TlsError> {
        let failed = |source| TlsError::Certificate {
            names: names.join(", "),
            source,
        };
        let issuer = authority().map_err(failed)?;
        let server = server_params(names).map_err(failed)?;
        let (certificate, key) = issue(&issuer, &server).map_err(failed)?;
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(|why| rustls::Error::General(why.to_owned()))?;
        let mut roots = RootCertStore::empty();
        roots.add(issuer.der().clone())?;
        let provider = Arc::new(ring::default_provider());
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let clients = clients.allow_unauthenticated().build();
        let clients = clients.map_err(|error| rustls::Error::General(error.to_string()))?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(clients)
            .with_single_cert(vec![certificate.der().clone()], key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self {
            config: Arc::new(config),
            authority: Arc::new(Authority {
                certificate: issuer.pem(),
                issuer,
                clients: Mutex::default(),
            }),
        })
    }

    /// The certificate of the authority, as PEM.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority.certificate
    }

    /// A certificate by which a client is `user`, whatever the server's authentication says about tokens.
    ///
    /// # Errors
    /// No certificate can be made for the name of the user.
    pub fn client_certificate(&self, user: &User) -> Result<ClientCertificate, TlsError> {
        let failed = |source| TlsError::Certificate {
            names: user.name.clone(),
            source,
        };
        let params = client_params(user).map_err(failed)?;
        let (certificate, key) = issue(&self.authority.issuer, &params).map_err(failed)?;
        let mut clients = self.authority.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.insert(certificate.der().to_vec(), user.clone());
        Ok(ClientCertificate {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }

    /// Whose certificate it is: those of the authority are all made by [`Self::client_certificate`].
    pub(crate) fn user_of(&self, certificate: &[u8]) -> Option<User> {
        let clients = self.authority.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.get(certificate).cloned()
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.clone())
    }
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params
        .distinguished_name
        .push(DnType::CommonName, "mock-apiserver authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}

fn server_params(names: &[&str]) -> Result<CertificateParams, rcgen::Error> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "mock-apiserver");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

fn client_params(user: &User) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, user.name.as_str());
    for group in &user.groups {
        params.distinguished_name.push(DnType::OrganizationName, group.as_str());
    }
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params)
}

fn issue(
    issuer: &CertifiedIssuer<'static, KeyPair>,
    params: &CertificateParams,
) -> Result<(Certificate, KeyPair), rcgen::Error> {
    let mut params = params.clone();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let key = KeyPair::generate()?;
    Ok((params.signed_by(&key, issuer)?, key))
}
