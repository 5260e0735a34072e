//! Why bytes are no sound envelope.

use super::{FORMAT_VERSION, MAX_HEADER_BYTES, OLDEST_FORMAT_VERSION};

/// Why bytes are no sound envelope.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// It ends early.
    #[error("the envelope is torn: {part} needs {needed} bytes, there are {found}")]
    Truncated {
        /// The part that is cut.
        part: &'static str,
        /// Bytes that the part needs.
        needed: u64,
        /// Bytes there are.
        found: u64,
    },
    /// Bytes follow the body.
    #[error("the envelope should have {expected} bytes and has {found}")]
    TrailingBytes {
        /// Bytes by the header.
        expected: u64,
        /// Bytes there are.
        found: u64,
    },
    /// It does not begin as an envelope does.
    #[error("the file does not begin as a checkpoint envelope does")]
    Magic,
    /// Another format.
    #[error("the envelope has format version {found}; this program reads {OLDEST_FORMAT_VERSION} to {FORMAT_VERSION}")]
    FormatVersion {
        /// The version it names.
        found: u32,
    },
    /// No header is so long.
    #[error("the envelope names a header of {found} bytes; {MAX_HEADER_BYTES} is the most")]
    HeaderLength {
        /// The length it names.
        found: u32,
    },
    /// The header, or the part before it, changed after it was written.
    #[error("the envelope's header does not match its hash")]
    HeaderHash,
    /// The header matches its hash, but is not a header.
    #[error("decode the envelope's header")]
    HeaderSyntax(#[source] serde_json::Error),
    /// The body changed after it was written.
    #[error("the envelope's body does not match its hash")]
    BodyHash,
    /// The body matches its hash, but its table is not one of this payload's chunks.
    #[error("the envelope's table is none of the payload's chunks: {reason}")]
    TableSyntax {
        /// What does not fit.
        reason: &'static str,
    },
    /// It is encrypted, and its key is not at hand.
    #[error("the checkpoint is encrypted with key {id:?}, which is not among the {given} given; it is kept")]
    NoKey {
        /// Id of the key.
        id: String,
        /// Keys that there are.
        given: usize,
    },
    /// It is encrypted, and the key of that id does not open it.
    #[error("the key {id:?} is not the one that the checkpoint was encrypted with; it is kept")]
    WrongKey {
        /// Id of the key.
        id: String,
    },
    /// The header does not fit into the format.
    #[error("a header of {bytes} bytes does not fit into an envelope; {MAX_HEADER_BYTES} is the most")]
    HeaderTooLong {
        /// Bytes of the header.
        bytes: usize,
    },
    /// The header cannot be written.
    #[error("encode the envelope's header")]
    Encode(#[source] serde_json::Error),
}
