//! Where things are in a store. Pure.
//!
//! ```text
//! <sandbox uid>/<generation, 20 digits>.ckpt    an envelope, or the mark of a removed generation
//! <sandbox uid>/packs/<attempt>                 chunks that one seal wrote
//! <sandbox uid>/attempts/<attempt>              a seal that is under way, and the packs it relies on
//! <sandbox uid>/removals/<attempt>              a pack that is being removed
//! ```
//!
//! An attempt is called by a random UUID, which is never used again.

use object_store::path::{Path, PathPart};
use uuid::Uuid;

use super::{CheckpointKey, StoreError};

const PACKS: &str = "packs";
const ATTEMPTS: &str = "attempts";
const REMOVALS: &str = "removals";
const ENVELOPE_SUFFIX: &str = ".ckpt";
const GENERATION_DIGITS: usize = 20;
/// As long as Kubernetes lets the names of most objects be; a UID is far shorter.
const MAX_UID_BYTES: usize = 253;

/// The folder of one sandbox. Made only from a UID that can name nothing outside it.
#[derive(Clone, Debug)]
pub(super) struct SandboxPlace(Path);

impl SandboxPlace {
    /// Checks `uid`: ASCII letters, digits, `-`, `_` and `.`, and no `.` in front.
    pub(super) fn new(uid: &str) -> Result<Self, StoreError> {
        let refuse = |reason| {
            Err(StoreError::SandboxUid {
                uid: uid.to_owned(),
                reason,
            })
        };
        if uid.is_empty() {
            return refuse("it is empty");
        }
        if uid.len() > MAX_UID_BYTES {
            return refuse("it is longer than 253 bytes");
        }
        if uid.starts_with('.') {
            return refuse("it begins with a dot");
        }
        if !uid
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        {
            return refuse("it may have ASCII letters, digits, '-', '_' and '.' only");
        }
        Ok(Self(Path::from_iter([PathPart::from(uid)])))
    }

    /// The sandbox's folder.
    pub(super) fn folder(&self) -> &Path {
        &self.0
    }

    /// The folder of its packs.
    pub(super) fn packs(&self) -> Path {
        self.0.clone().join(PACKS)
    }

    /// A pack by its name.
    pub(super) fn pack(&self, id: Uuid) -> Path {
        self.packs().join(id.to_string())
    }

    /// The folder of seals that are under way.
    pub(super) fn attempts(&self) -> Path {
        self.0.clone().join(ATTEMPTS)
    }

    /// A seal that is under way.
    pub(super) fn attempt(&self, id: Uuid) -> Path {
        self.attempts().join(id.to_string())
    }

    /// The folder of marks on packs that are being removed.
    pub(super) fn removals(&self) -> Path {
        self.0.clone().join(REMOVALS)
    }

    /// The mark on a pack that is being removed.
    pub(super) fn removal(&self, pack: Uuid) -> Path {
        self.removals().join(pack.to_string())
    }

    /// The envelope of a generation.
    pub(super) fn envelope(&self, generation: u64) -> Path {
        self.0
            .clone()
            .join(format!("{generation:0GENERATION_DIGITS$}{ENVELOPE_SUFFIX}"))
    }
}

/// The generation that an envelope's file name says; `None` for other files.
pub(super) fn generation_of(place: &Path) -> Option<u64> {
    generation_named(place.filename()?)
}

/// As [`generation_of`], by the name alone.
pub(super) fn generation_named(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(ENVELOPE_SUFFIX)?;
    let regular = digits.len() == GENERATION_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    regular.then(|| digits.parse().ok()).flatten()
}

/// The attempt that a file name says; `None` for other files.
pub(super) fn attempt_of(place: &Path) -> Option<Uuid> {
    place.filename()?.parse().ok()
}

impl std::fmt::Display for CheckpointKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of sandbox {}", self.generation, self.sandbox_uid)
    }
}

/// Whether checkpoints can be kept for a sandbox of this UID: one that could leave its folder, or none, is refused.
///
/// # Errors
/// [`StoreError::SandboxUid`] says why not.
pub fn check_sandbox_uid(uid: &str) -> Result<(), StoreError> {
    SandboxPlace::new(uid).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_that_could_leave_its_folder_is_refused() {
        for uid in [
            "", ".", "..", "a/b", "/a", "../a", "a\\b", ".hidden", "a b", "a%2fb", "a#1", "ä", "a\0",
        ] {
            assert!(
                matches!(SandboxPlace::new(uid), Err(StoreError::SandboxUid { .. })),
                "{uid:?}"
            );
        }
        assert!(SandboxPlace::new(&"a".repeat(254)).is_err());
    }

    #[test]
    fn a_generation_survives_its_file_name() {
        let place = SandboxPlace::new("b0f5d2a4-6a0e-4e0e-9d0e-3f0c7f3f1a11").unwrap();
        for generation in [0, 1, 42, u64::MAX] {
            assert_eq!(generation_of(&place.envelope(generation)), Some(generation));
        }
    }

    #[test]
    fn other_files_are_no_envelopes() {
        for name in [
            "1.ckpt",
            "+0000000000000000001.ckpt",
            "99999999999999999999.ckpt",
            "00000000000000000001",
        ] {
            assert_eq!(generation_of(&Path::from(name)), None, "{name}");
        }
    }
}
