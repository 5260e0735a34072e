//! The part of an envelope that can be read and checked alone.

use blake3::Hash;

use super::{
    EnvelopeError, EnvelopeHeader, FORMAT_VERSION, MAGIC, MAX_HEADER_BYTES, OLDEST_FORMAT_VERSION, PREFIX_BYTES,
};

/// The part before the header, checked as far as it can be alone.
#[derive(Clone, Copy, Debug)]
pub struct Prefix {
    bytes: [u8; PREFIX_BYTES],
    /// Bytes of the header that follows.
    pub header_bytes: u32,
}

impl Prefix {
    /// The format of the envelope, which is one that can be read.
    #[must_use]
    pub fn format_version(&self) -> u32 {
        let [_, _, _, _, _, _, _, _, a, b, c, d, ..] = self.bytes;
        u32::from_le_bytes([a, b, c, d])
    }
}

/// Everything before the body, with spaces behind the header when it would be shorter than `room`.
pub(super) fn encode(header: &EnvelopeHeader, room: usize) -> Result<Vec<u8>, EnvelopeError> {
    let mut header = serde_json::to_vec(header).map_err(EnvelopeError::Encode)?;
    header.resize(header.len().max(room.saturating_sub(PREFIX_BYTES)), b' ');
    let header_bytes = u32::try_from(header.len())
        .ok()
        .filter(|bytes| *bytes <= MAX_HEADER_BYTES)
        .ok_or(EnvelopeError::HeaderTooLong { bytes: header.len() })?;
    let mut head = Vec::with_capacity(PREFIX_BYTES + header.len());
    head.extend_from_slice(&MAGIC);
    head.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    head.extend_from_slice(&header_bytes.to_le_bytes());
    let hash = header_hash(&head, &header);
    head.extend_from_slice(hash.as_bytes());
    head.extend_from_slice(&header);
    Ok(head)
}

/// Reads the part before the header.
///
/// # Errors
/// When it is cut, no envelope, of another format, or names an impossible header.
pub fn decode_prefix(envelope: &[u8]) -> Result<Prefix, EnvelopeError> {
    let bytes = *envelope.first_chunk::<PREFIX_BYTES>().ok_or(EnvelopeError::Truncated {
        part: "the part before the header",
        needed: PREFIX_BYTES as u64,
        found: envelope.len() as u64,
    })?;
    if bytes[..8] != MAGIC {
        return Err(EnvelopeError::Magic);
    }
    let header_bytes = u32::from_le_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]);
    let prefix = Prefix { bytes, header_bytes };
    let version = prefix.format_version();
    if !(OLDEST_FORMAT_VERSION..=FORMAT_VERSION).contains(&version) {
        return Err(EnvelopeError::FormatVersion { found: version });
    }
    if header_bytes > MAX_HEADER_BYTES {
        return Err(EnvelopeError::HeaderLength { found: header_bytes });
    }
    Ok(prefix)
}

/// Reads the header that follows `prefix`; `envelope_bytes` is the length of the whole envelope.
///
/// # Errors
/// When it is cut or damaged, or when the envelope has not the length that the header says.
pub fn decode_header(prefix: &Prefix, header: &[u8], envelope_bytes: u64) -> Result<EnvelopeHeader, EnvelopeError> {
    if header.len() != prefix.header_bytes as usize {
        let (needed, found) = (u64::from(prefix.header_bytes), header.len() as u64);
        return Err(EnvelopeError::Truncated {
            part: "the header",
            needed,
            found,
        });
    }
    let (fixed, hash) = prefix.bytes.split_at(PREFIX_BYTES - blake3::OUT_LEN);
    if header_hash(fixed, header).as_bytes() != hash {
        return Err(EnvelopeError::HeaderHash);
    }
    let decoded: EnvelopeHeader = serde_json::from_slice(header).map_err(EnvelopeError::HeaderSyntax)?;
    let expected = (PREFIX_BYTES as u64 + u64::from(prefix.header_bytes)).saturating_add(decoded.body_bytes);
    match envelope_bytes.cmp(&expected) {
        std::cmp::Ordering::Less => Err(EnvelopeError::Truncated {
            part: "the envelope",
            needed: expected,
            found: envelope_bytes,
        }),
        std::cmp::Ordering::Equal => Ok(decoded),
        std::cmp::Ordering::Greater => Err(EnvelopeError::TrailingBytes {
            expected,
            found: envelope_bytes,
        }),
    }
}

fn header_hash(fixed: &[u8], header: &[u8]) -> Hash {
    blake3::Hasher::new().update(fixed).update(header).finalize()
}
