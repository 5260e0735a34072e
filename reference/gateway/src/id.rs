//! E2B sandbox ids: how they are made, and which strings are one.

use std::fmt;

/// Length of the ids that the gateway makes, the leading `i` included.
const LENGTH: usize = 21;
const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// An E2B sandbox id, equal to the name of its `Sandbox` object: one or more of `a-z0-9`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SandboxId(String);

/// A string that cannot be a sandbox id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a sandbox id: an id is made of the characters a-z and 0-9")]
pub(crate) struct InvalidId(String);

impl SandboxId {
    /// Reads an id, or the older form `<id>-<client id>`, of which all from the first dash on is dropped.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidId> {
        let id = text.split_once('-').map_or(text, |(id, _)| id);
        let valid = (1..=63).contains(&id.len()) && id.bytes().all(|byte| ALPHABET.contains(&byte));
        if valid {
            Ok(Self(id.to_owned()))
        } else {
            Err(InvalidId(text.chars().take(80).collect()))
        }
    }

    /// The id that these bytes stand for: random bytes make a new one, a digest makes a repeatable one.
    pub(crate) fn from_bytes(bytes: &[u8; 32]) -> Self {
        let tail = bytes
            .iter()
            .take(LENGTH - 1)
            .map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]));
        Self(std::iter::once('i').chain(tail).collect())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SandboxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_id_is_an_i_and_twenty_characters_and_reads_back() {
        let id = SandboxId::from_bytes(&std::array::from_fn(|i| u8::try_from(i * 8).unwrap()));
        assert_eq!(id.as_str().len(), 21);
        assert!(id.as_str().starts_with('i'));
        assert_eq!(SandboxId::parse(id.as_str()), Ok(id));
    }

    #[test]
    fn the_older_form_is_cut_at_the_dash() {
        assert_eq!(SandboxId::parse("iabc-6532622b").unwrap().as_str(), "iabc");
    }

    #[test]
    fn what_could_leave_the_path_of_an_object_is_no_id() {
        for text in ["", "-", "I1", "a/b", "..", "a%2fb", "ü", &"a".repeat(64)] {
            assert!(SandboxId::parse(text).is_err(), "{text}");
        }
    }
}
