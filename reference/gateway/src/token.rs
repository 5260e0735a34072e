//! Access tokens of a sandbox: derived from its id, so that they survive pauses and restarts without being stored.
//!
//! A token is `<kind>_<sandbox id>_<HMAC-SHA-256 of both, hex>`. The id is readable in it, because some
//! clients send nothing else that names the sandbox.

use std::fmt::Write as _;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::id::SandboxId;

/// What a token opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// `X-Access-Token`: files, processes and code execution.
    Envd,
    /// `E2B-Traffic-Access-Token`: code contexts, and the ports of a sandbox with private traffic.
    Traffic,
}

impl TokenKind {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Envd => "ea",
            Self::Traffic => "ta",
        }
    }
}

/// The secret that tokens are derived from.
#[derive(Clone)]
pub(crate) struct TokenKey([u8; 32]);

impl TokenKey {
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// The token of `kind` for the sandbox `id`.
    pub(crate) fn token(&self, kind: TokenKind, id: &SandboxId) -> String {
        let claim = format!("{}_{id}", kind.prefix());
        let mac = self.mac(&["token", &claim]).finalize().into_bytes();
        mac.iter().fold(claim + "_", |mut token, byte| {
            // Writing to a String cannot fail.
            let _ = write!(token, "{byte:02x}");
            token
        })
    }

    /// The sandbox that a genuine token of `kind` belongs to; nothing for any other text.
    pub(crate) fn holder(&self, kind: TokenKind, token: &str) -> Option<SandboxId> {
        let (claim, mac) = token.rsplit_once('_')?;
        let (prefix, id) = claim.split_once('_')?;
        let id = SandboxId::parse(id).ok()?;
        let mac = decode_hex(mac)?;
        let genuine = prefix == kind.prefix() && self.mac(&["token", claim]).verify_slice(&mac).is_ok();
        genuine.then_some(id)
    }

    /// The id of the sandbox that a caller creates under an idempotency key: the same each time.
    pub(crate) fn id_for_idempotency_key(&self, api_key: &str, key: &str) -> SandboxId {
        SandboxId::from_bytes(&self.mac(&["create", api_key, key]).finalize().into_bytes().into())
    }

    fn mac(&self, parts: &[&str]) -> Hmac<Sha256> {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("any key length is valid");
        for part in parts {
            // The length keeps ("ab", "c") apart from ("a", "bc").
            mac.update(&part.len().to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac
    }
}

fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text
        .chars()
        .map(|digit| digit.to_digit(16))
        .collect::<Option<Vec<_>>>()?;
    digits
        .chunks(2)
        .map(|pair| u8::try_from(pair[0] * 16 + pair.get(1)?).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> TokenKey {
        TokenKey::new([7; 32])
    }

    fn id(text: &str) -> SandboxId {
        SandboxId::parse(text).unwrap()
    }

    #[test]
    fn a_token_names_its_holder_under_its_own_key_only() {
        let token = key().token(TokenKind::Envd, &id("iabc"));
        assert_eq!(key().holder(TokenKind::Envd, &token), Some(id("iabc")));
        assert_eq!(TokenKey::new([8; 32]).holder(TokenKind::Envd, &token), None);
    }

    #[test]
    fn the_two_tokens_of_a_sandbox_differ_and_neither_stands_for_the_other() {
        let token = key().token(TokenKind::Traffic, &id("iabc"));
        assert_ne!(token, key().token(TokenKind::Envd, &id("iabc")));
        assert_eq!(key().holder(TokenKind::Envd, &token), None);
        assert_eq!(key().holder(TokenKind::Envd, &token.replacen("ta_", "ea_", 1)), None);
    }

    #[test]
    fn a_token_with_another_id_or_a_changed_digit_is_worthless() {
        let token = key().token(TokenKind::Envd, &id("iabc"));
        assert_eq!(key().holder(TokenKind::Envd, &token.replace("iabc", "iabd")), None);
        let flipped = if token.ends_with('0') { "1" } else { "0" };
        assert_eq!(
            key().holder(TokenKind::Envd, &(token[..token.len() - 1].to_owned() + flipped)),
            None
        );
        for text in ["", "_", "ea_iabc", "ea_iabc_", "ea_iabc_zz", "ea_iabc_é"] {
            assert_eq!(key().holder(TokenKind::Envd, text), None, "{text}");
        }
    }

    #[test]
    fn an_idempotency_key_stands_for_one_id_per_caller() {
        let first = key().id_for_idempotency_key("alice", "k1");
        assert_eq!(first, key().id_for_idempotency_key("alice", "k1"));
        assert_ne!(first, key().id_for_idempotency_key("bob", "k1"));
        assert_ne!(first, key().id_for_idempotency_key("alice", "k2"));
    }
}
