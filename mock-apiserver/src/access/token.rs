//! Tokens of service accounts: signed JWTs that name the account, its UID and when they end.

use super::user::User;
use crate::core::Core;
use crate::store::ObjectName;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::Sha256;

const ISSUER: &str = "https://kubernetes.default.svc";

/// What signs tokens; they are worth nothing to a server with another key.
#[derive(Clone, Default)]
pub(crate) struct Key([u8; 32]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Key {
    /// The key that belongs to a seed.
    pub(crate) fn of_seed(seed: u64) -> Self {
        use sha2::Digest;
        Self(Sha256::digest(format!("service account tokens of {seed}")).into())
    }

    fn mac(&self, signed: &str) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.update(signed.as_bytes());
        Some(mac)
    }
}

/// A token for a service account with that UID, and when it ends.
pub(crate) fn issue(core: &Core, account: &ObjectName, uid: &str, seconds: i64) -> Option<(String, Timestamp)> {
    let now = core.instant();
    let end = now.checked_add(SignedDuration::from_secs(seconds)).ok()?;
    let claims = json!({
        "iss": ISSUER, "aud": [ISSUER], "iat": now.as_second(), "nbf": now.as_second(), "exp": end.as_second(),
        "sub": User::service_account(&account.namespace, &account.name).name,
        "kubernetes.io": {
            "namespace": account.namespace, "serviceaccount": {"name": account.name, "uid": uid},
        },
    });
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(&json!({"alg": "HS256", "typ": "JWT"})), encode(&claims));
    let signature = core.access.key.mac(&signed)?.finalize().into_bytes();
    Some((format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)), end))
}

/// The user of a token that this server signed, that has not ended, and whose account is still the same.
pub(crate) fn verify(core: &Core, token: &str) -> Option<User> {
    let (signed, signature) = token.rsplit_once('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    core.access.key.mac(signed)?.verify_slice(&signature).ok()?;
    let (_, claims) = signed.split_once('.')?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    if claims["exp"].as_i64()? <= core.instant().as_second() {
        return None;
    }
    let namespace = claims["kubernetes.io"]["namespace"].as_str()?;
    let named = &claims["kubernetes.io"]["serviceaccount"];
    let name = named["name"].as_str()?;
    let account = core.store.get("serviceaccounts", &ObjectName::new(namespace, name))?;
    let uid = account["metadata"]["uid"].as_str()?;
    (named["uid"] == uid).then(|| User {
        uid: uid.to_owned(),
        ..User::service_account(namespace, name)
    })
}
