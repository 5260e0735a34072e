//! What tests of the store seal.

use super::{CheckpointKey, EngineVersion};

/// A checkpoint of a sandbox.
pub(super) fn key(sandbox_uid: &str, generation: u64) -> CheckpointKey {
    CheckpointKey {
        sandbox_uid: sandbox_uid.to_owned(),
        generation,
    }
}

/// An engine that nobody has.
pub(super) fn engine() -> EngineVersion {
    EngineVersion {
        name: "sim".to_owned(),
        version: 1,
    }
}

/// Bytes that depend on the seed alone, and do not repeat themselves.
pub(super) fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    blake3::Hasher::new()
        .update(&seed.to_le_bytes())
        .finalize_xof()
        .fill(&mut noise);
    noise
}
