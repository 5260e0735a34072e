//! One line of a journal: a checksum, a space, and a JSON object.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One write to the store; the object is a tree where it is read, and text where it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record<Object = Value> {
    pub(crate) revision: u64,
    pub(crate) collection: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// The object after the write; absent when it was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) object: Option<Object>,
}

/// The first line of a snapshot: what must follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SnapshotHeader {
    pub(super) format: u32,
    pub(super) revision: u64,
    pub(super) objects: usize,
}

/// A value as a line, with its line break.
pub(super) fn encode(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let json = serde_json::to_vec(value)?;
    let mut line = format!("{:08x} ", crc32fast::hash(&json)).into_bytes();
    line.extend(json);
    line.push(b'\n');
    Ok(line)
}

/// The value of a line without its line break; `None` when a byte of it is not what was written.
pub(super) fn decode<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Option<T> {
    let (checksum, json) = line.split_at_checked(9)?;
    let expected = u32::from_str_radix(std::str::from_utf8(checksum.strip_suffix(b" ")?).ok()?, 16).ok()?;
    if crc32fast::hash(json) != expected {
        return None;
    }
    serde_json::from_slice(json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_of_a_line_is_noticed() {
        let record = Record {
            revision: 7,
            collection: "pods".to_owned(),
            namespace: "default".to_owned(),
            name: "a".to_owned(),
            object: Some(serde_json::json!({ "kind": "Pod" })),
        };
        let line = encode(&record).expect("a line");
        let line = line.strip_suffix(b"\n").expect("a line break");
        assert_eq!(decode::<Record>(line), Some(record.clone()));
        for bit in 0..line.len() * 8 {
            let mut damaged = line.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            // The case of a hex digit carries no information.
            let same = decode::<Record>(&damaged) == Some(record.clone()) && bit / 8 < 8;
            assert!(same || decode::<Record>(&damaged).is_none(), "bit {bit}");
        }
    }
}
