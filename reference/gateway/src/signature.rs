//! Signed file URLs: which query of `/files` is signed, and whether a token made the signature.
//!
//! The signature is `v1_` and the unpadded base64 of SHA-256 over `path:operation:user:token[:expiration]`,
//! where the operation is `read` for a download and `write` for an upload. Nothing in the URL names the sandbox.

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use http::Method;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use url::form_urlencoded;

/// A `/files` request that carries a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SignedFile {
    signature: String,
    path: String,
    operation: &'static str,
    user: String,
    expiration: Option<i64>,
}

impl SignedFile {
    /// Reads the signed request that this head is; nothing if it is not one.
    pub(crate) fn read(method: &Method, path: &str, query: Option<&str>) -> Option<Self> {
        if path != "/files" {
            return None;
        }
        let operation = match *method {
            Method::GET | Method::HEAD => "read",
            Method::POST => "write",
            _ => return None,
        };
        let find = |name: &str| {
            form_urlencoded::parse(query.unwrap_or_default().as_bytes())
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.into_owned())
        };
        // An expiration that is no number must not turn into "never expires".
        let expiration = find("signature_expiration").map(|text| text.parse()).transpose().ok()?;
        Some(Self {
            signature: find("signature")?,
            path: find("path").unwrap_or_default(),
            operation,
            user: find("username").unwrap_or_default(),
            expiration,
        })
    }

    /// Whether `envd_token` made this signature and it has not expired at `now`.
    pub(crate) fn is_valid(&self, envd_token: &str, now: Timestamp) -> bool {
        self.is_in_time(now) && self.expected(envd_token) == self.signature
    }

    /// Whether it has not expired at `now`.
    pub(crate) fn is_in_time(&self, now: Timestamp) -> bool {
        self.expiration.is_none_or(|end| now.as_second() <= end)
    }

    fn expected(&self, token: &str) -> String {
        let Self {
            path, operation, user, ..
        } = self;
        let expiration = self.expiration.map(|end| format!(":{end}")).unwrap_or_default();
        let text = format!("{path}:{operation}:{user}:{token}{expiration}");
        format!("v1_{}", STANDARD_NO_PAD.encode(Sha256::digest(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_700_000_000, 0);

    fn signed(method: &Method, query: &str) -> SignedFile {
        SignedFile::read(method, "/files", Some(query)).unwrap()
    }

    #[test]
    fn the_signature_of_a_known_request_is_reproduced() {
        // sha256("/home/user/a b.txt:read:user:tok:1700000060"), computed with Python's hashlib.
        let query = "path=%2Fhome%2Fuser%2Fa+b.txt&username=user&signature_expiration=1700000060&signature=v1_SIG";
        let known = signed(&Method::GET, query).expected("tok");
        assert_eq!(known, "v1_IQfC02n6efgx9byXKR5ZYwwzFfal8S4LwM0U3uZYYJM");
    }

    #[test]
    fn a_signature_holds_for_its_token_operation_and_time_only() {
        let mut file = signed(&Method::GET, "path=/a&signature_expiration=1700000000&signature=x");
        file.signature = file.expected("tok");
        assert!(file.is_valid("tok", NOW));
        assert!(!file.is_valid("other", NOW));
        assert!(!file.is_valid("tok", NOW + jiff::SignedDuration::from_secs(1)));
        assert!(
            !SignedFile {
                operation: "write",
                ..file.clone()
            }
            .is_valid("tok", NOW)
        );
        assert!(
            !SignedFile {
                expiration: None,
                ..file
            }
            .is_valid("tok", NOW)
        );
    }

    #[test]
    fn an_unreadable_expiration_is_not_taken_for_none() {
        assert_eq!(
            SignedFile::read(&Method::GET, "/files", Some("signature=x&signature_expiration=soon")),
            None
        );
    }

    #[test]
    fn only_file_requests_are_signed() {
        assert_eq!(SignedFile::read(&Method::GET, "/metrics", Some("signature=x")), None);
        assert_eq!(SignedFile::read(&Method::DELETE, "/files", Some("signature=x")), None);
        assert_eq!(SignedFile::read(&Method::GET, "/files", Some("path=/a")), None);
    }
}
