//! Encryption at rest with the key of a tenant.
//!
//! Decides the cipher (XChaCha20-Poly1305), that nonces never repeat (a random id of the writing attempt and
//! a place within what it writes), and how chunks are called under a key: by a keyed hash, so that names
//! tell nobody without the key whether two checkpoints, or a checkpoint and a known file, share a chunk.
//! Deduplication therefore stays within one key. Leaves out where keys come from. Pure.

use std::fmt;
use std::ops::Deref;

use blake3::Hash;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use uuid::Uuid;

/// Longest id of a key, in bytes.
const MAX_ID_BYTES: usize = 128;
/// Separates the key that names chunks from the one that encrypts.
const NAME_CONTEXT: &str = "torpor 2026-11 chunk names";

/// One key of a tenant, with the id that envelopes name it by.
#[derive(Clone)]
pub struct TenantKey {
    id: String,
    cipher: XChaCha20Poly1305,
    names: [u8; blake3::KEY_LEN],
}

/// The keys of a tenant: the first seals, every one opens. None at all means no encryption.
#[derive(Clone, Debug, Default)]
pub struct TenantKeys {
    keys: Vec<TenantKey>,
}

/// Why a text is no list of keys. Never repeats any of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Nothing but space and comments.
    #[error("read the keys of the tenant: there is none; write ID:KEY on a line, KEY being 64 hexadecimal digits")]
    Empty,
    /// A line that is no key.
    #[error("read the keys of the tenant, line {line}: {reason}; write ID:KEY, KEY being 64 hexadecimal digits")]
    Line {
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// What makes one encryption unlike every other with the same key.
#[derive(Clone, Copy, Debug)]
pub struct Nonce([u8; 24]);

/// Bytes that need no decryption, or the decrypted ones.
pub enum Opened<'a> {
    /// As they were stored.
    Borrowed(&'a [u8]),
    /// Decrypted.
    Decrypted(Vec<u8>),
}

impl Nonce {
    /// The nonce for what the attempt `id` writes at `place`; an attempt writes once to each place.
    #[must_use]
    pub fn of(id: Uuid, place: u64) -> Self {
        let mut nonce = [0; 24];
        nonce[..16].copy_from_slice(id.as_bytes());
        nonce[16..].copy_from_slice(&place.to_le_bytes());
        Self(nonce)
    }
}

impl TenantKey {
    /// Bytes that encryption adds.
    pub const TAG_BYTES: u64 = 16;

    /// Reads `ID:KEY`, `KEY` being 64 hexadecimal digits.
    ///
    /// # Errors
    /// What is wrong; the text itself is not repeated.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        Self::parse_line(1, text)
    }

    fn parse_line(line: usize, text: &str) -> Result<Self, KeyError> {
        let refuse = |reason| KeyError::Line { line, reason };
        let (id, digits) = text.trim().split_once(':').ok_or(refuse("it has no colon"))?;
        let fits = id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte));
        if id.is_empty() || id.len() > MAX_ID_BYTES || !fits {
            return Err(refuse(
                "the id may have 1 to 128 ASCII letters, digits, '-', '_', '.' and '/'",
            ));
        }
        // A hash is 32 bytes in hexadecimal digits as well.
        let key = Hash::from_hex(digits.trim()).map_err(|_| refuse("the key is not 64 hexadecimal digits"))?;
        Ok(Self {
            id: id.to_owned(),
            cipher: XChaCha20Poly1305::new(key.as_bytes().into()),
            names: blake3::derive_key(NAME_CONTEXT, key.as_bytes()),
        })
    }

    /// What envelopes call it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The name of a chunk under this key.
    #[must_use]
    pub fn name(&self, plain: &[u8]) -> Hash {
        blake3::keyed_hash(&self.names, plain)
    }

    /// Encrypts `plain`, bound to `context`; a tag of 16 bytes follows it.
    ///
    /// # Panics
    /// When `plain` is longer than 256 GiB, which no piece of a checkpoint is.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "only texts of more than 256 GiB are refused, and pieces are far smaller"
    )]
    pub fn encrypt(&self, nonce: Nonce, context: &[u8], plain: &[u8]) -> Vec<u8> {
        let payload = Payload {
            msg: plain,
            aad: context,
        };
        let sealed = self.cipher.encrypt(XNonce::from_slice(&nonce.0), payload);
        sealed.expect("a piece of a checkpoint is short enough for the cipher")
    }

    /// Decrypts what [`encrypt`](Self::encrypt) gave; `None` when it is not that.
    #[must_use]
    pub fn decrypt(&self, nonce: Nonce, context: &[u8], sealed: &[u8]) -> Option<Opened<'static>> {
        let payload = Payload {
            msg: sealed,
            aad: context,
        };
        let plain = self.cipher.decrypt(XNonce::from_slice(&nonce.0), payload).ok()?;
        Some(Opened::Decrypted(plain))
    }
}

impl TenantKeys {
    /// Reads one key a line; empty lines and lines that begin with `#` are skipped.
    ///
    /// # Errors
    /// The first line that is no key, or that there is none.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let lines = text.lines().enumerate().map(|(nth, line)| (nth + 1, line.trim()));
        let keys = lines
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
            .map(|(nth, line)| TenantKey::parse_line(nth, line))
            .collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            return Err(KeyError::Empty);
        }
        Ok(Self { keys })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The key to seal with; none without encryption.
    #[must_use]
    pub fn sealing(&self) -> Option<&TenantKey> {
        self.keys.first()
    }

    /// The key of that id.
    #[must_use]
    pub fn opening(&self, id: &str) -> Option<&TenantKey> {
        self.keys.iter().find(|key| key.id == id)
    }
}

impl fmt::Debug for TenantKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Deref for Opened<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Decrypted(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(digit: char) -> TenantKey {
        TenantKey::parse(&format!("id:{}", digit.to_string().repeat(64))).unwrap()
    }

    #[test]
    fn only_the_same_key_nonce_and_context_open() {
        let nonce = Nonce::of(Uuid::nil(), 7);
        let sealed = key('a').encrypt(nonce, b"context", b"plain");
        assert_eq!(&*key('a').decrypt(nonce, b"context", &sealed).unwrap(), b"plain");
        assert!(key('b').decrypt(nonce, b"context", &sealed).is_none());
        assert!(
            key('a')
                .decrypt(Nonce::of(Uuid::nil(), 8), b"context", &sealed)
                .is_none()
        );
        assert!(key('a').decrypt(nonce, b"other", &sealed).is_none());
    }

    #[test]
    fn names_under_different_keys_have_nothing_in_common() {
        assert_ne!(key('a').name(b"chunk"), key('b').name(b"chunk"));
        assert_ne!(key('a').name(b"chunk"), blake3::hash(b"chunk"));
    }

    #[test]
    fn a_line_that_is_no_key_is_named_and_not_repeated() {
        let secret = "f".repeat(63);
        let text = format!("# the tenant's\n\nnew:{}\nold:{secret}\n", "0".repeat(64));
        let error = TenantKeys::parse(&text).unwrap_err();
        assert_eq!(
            error,
            KeyError::Line {
                line: 4,
                reason: "the key is not 64 hexadecimal digits"
            }
        );
        assert!(!error.to_string().contains(&secret));
        for text in ["", "\n# none\n"] {
            assert_eq!(TenantKeys::parse(text).unwrap_err(), KeyError::Empty);
        }
        assert!(TenantKeys::parse("no colon").is_err() && TenantKeys::parse(":00").is_err());
        assert!(!format!("{:?}", key('a')).contains("aaaa"));
    }

    #[test]
    fn the_first_key_seals_and_every_key_opens() {
        let keys = TenantKeys::parse(&format!("new:{}\nold:{}", "1".repeat(64), "2".repeat(64))).unwrap();
        assert_eq!(keys.sealing().unwrap().id(), "new");
        assert_eq!(keys.opening("old").unwrap().id(), "old");
        assert!(keys.opening("lost").is_none());
    }
}
