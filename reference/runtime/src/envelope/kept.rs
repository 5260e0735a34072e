//! The chunks that an envelope keeps itself.

use blake3::{Hash, Hasher};

/// The chunks that an envelope keeps, as far as its head depends on them: how many bytes they have, and their hash,
/// which grows with them.
#[derive(Clone, Debug, Default)]
pub struct KeptChunks(Hasher);

impl KeptChunks {
    /// Chunks by their stored bytes, one after the other.
    pub fn of<'a>(stored: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut kept = Self::default();
        for stored in stored {
            kept.add(stored);
        }
        kept
    }

    /// Adds the stored bytes of a chunk behind the others.
    pub fn add(&mut self, stored: &[u8]) {
        self.0.update(stored);
    }

    /// Bytes of all.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.count()
    }

    /// The hash of a body with this table.
    pub(super) fn hash_with(&self, table: &[u8]) -> Hash {
        self.0.clone().update(table).finalize()
    }
}
