//! What an engine writes down, on its way to a store and back, without ever being in memory as a whole.
//!
//! A [`Payload`] is a sequence of bytes made of pieces in memory, of files that are read when the store wants
//! them, and of what is written meanwhile. A [`PayloadReader`] gives any range of a payload that is stored, checked before it is handed out. Leaves
//! out what the bytes mean.

mod error;
mod growing;
mod part;
mod reader;
mod runs;
mod small_files;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

use crate::chunks::{Grain, MAX_CHUNK_BYTES, SEGMENT_BYTES};
use crate::store::Taken;

pub use error::PayloadError;
use growing::Growing;
pub use growing::{PayloadWriter, Unwanted};
use part::Part;
pub(crate) use reader::LITTLE_BYTES;
pub use reader::{PayloadCursor, PayloadReader};
pub(crate) use runs::{Run, Runs};
use small_files::SmallFiles;

/// A file up to this size shares chunks with its neighbours.
const SMALL_FILE_BYTES: u64 = 256 << 10;
/// Of small files so much is read at once; what is beyond that is not held in memory, however many there are.
const MOST_READ_BYTES: u64 = 8 << 20;

/// Bytes to be stored.
#[derive(Clone, Debug, Default)]
pub struct Payload {
    parts: Vec<Part>,
    bytes: u64,
    /// Bytes of small files that were read.
    read: u64,
}

/// Bytes of a payload that are cut into chunks by themselves.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    part: usize,
    /// Where it begins in its part.
    offset: u64,
    /// Where it begins in the payload.
    pub(crate) start: u64,
    pub(crate) bytes: usize,
    pub(crate) grain: Grain,
}

impl Payload {
    /// Bytes in all, without those that are still written.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.bytes
    }

    /// Whether it has no bytes, and gets none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes == 0 && !self.is_growing()
    }

    /// Bytes in all, as far as they are known: whoever writes may have said how many are to be expected.
    pub(crate) fn expected_bytes(&self) -> Option<u64> {
        let mut bytes = self.bytes;
        for part in &self.parts {
            match part {
                Part::Growing(growing) => bytes += growing.expected_bytes()?,
                Part::Memory(_) | Part::File { .. } | Part::SmallFiles(_) | Part::Taken(_) => {}
            }
        }
        Some(bytes)
    }

    fn of_growing(growing: Growing) -> Self {
        Self {
            parts: vec![Part::Growing(growing)],
            ..Self::default()
        }
    }

    /// Whether somebody still writes it. Then its segments are not known, and [`runs`](Self::runs) reads it.
    pub(crate) fn is_growing(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Growing(_)))
    }

    /// Reads it in order.
    pub(crate) fn runs(self) -> Runs {
        Runs::new(self)
    }

    /// Adds bytes at the end.
    pub fn push(&mut self, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        self.bytes += bytes.len() as u64;
        self.parts.push(Part::Memory(bytes));
    }

    /// Adds what a file holds now; gives its bytes. A large file, and many small ones, are read only when the payload is
    /// stored, and have to stay as they are until then.
    ///
    /// # Errors
    /// It cannot be opened or read.
    pub fn push_file(&mut self, path: &Path) -> Result<u64, PayloadError> {
        self.push_file_of(path, Grain::Byte)
    }

    /// The same, of a file that is cut at such places.
    pub(crate) fn push_file_of(&mut self, path: &Path, grain: Grain) -> Result<u64, PayloadError> {
        let file = File::open(path).map_err(PayloadError::file("open", path))?;
        let bytes = file.metadata().map_err(PayloadError::file("look at", path))?.len();
        if bytes <= SMALL_FILE_BYTES && grain == Grain::Byte && self.read > MOST_READ_BYTES {
            self.push_small_file(path, bytes);
            return Ok(bytes);
        }
        if bytes <= SMALL_FILE_BYTES {
            let content = std::fs::read(path).map_err(PayloadError::file("read", path))?;
            let bytes = content.len() as u64;
            self.read += bytes;
            self.push(content);
            return Ok(bytes);
        }
        self.bytes += bytes;
        self.parts.push(Part::File {
            file: Arc::new(file),
            path: path.to_owned(),
            bytes,
            grain,
        });
        Ok(bytes)
    }

    fn push_small_file(&mut self, path: &Path, bytes: u64) {
        self.bytes += bytes;
        if let Some(Part::SmallFiles(files)) = self.parts.last_mut()
            && files.bytes + bytes <= SEGMENT_BYTES as u64
        {
            files.push(path, bytes);
            return;
        }
        let mut files = SmallFiles::default();
        files.push(path, bytes);
        self.parts.push(Part::SmallFiles(files));
    }

    /// What a store has taken already.
    pub(crate) fn taken(taken: Taken) -> Self {
        Self {
            bytes: taken.bytes,
            parts: vec![Part::Taken(taken)],
            read: 0,
        }
    }

    /// The parts that a store has taken already, and where each begins.
    pub(crate) fn taken_parts(&self) -> impl Iterator<Item = (u64, &Taken)> {
        let mut next = 0;
        self.parts.iter().filter_map(move |part| {
            let start = next;
            next += part.len();
            match part {
                Part::Taken(taken) => Some((start, taken)),
                Part::Memory(_) | Part::File { .. } | Part::SmallFiles(_) | Part::Growing(_) => None,
            }
        })
    }

    /// Whether a store has taken any of it already.
    pub(crate) fn is_taken(&self) -> bool {
        self.taken_parts().next().is_some()
    }

    /// Whether a store has taken the byte at `place`.
    pub(crate) fn has_taken(&self, place: u64) -> bool {
        let mut taken = self.taken_parts();
        taken.any(|(start, part)| (start..start + part.bytes).contains(&place))
    }

    /// Adds another payload at the end.
    pub fn append(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.parts.extend(other.parts);
    }

    /// A description, with its length in front, and what it describes behind it.
    ///
    /// # Errors
    /// The description has no written form.
    pub fn headed(head: &impl Serialize, body: Self) -> Result<Self, PayloadError> {
        let head = postcard::to_allocvec(head)?;
        let length = u32::try_from(head.len()).map_err(|_| postcard::Error::SerializeBufferFull)?;
        let mut payload = Self::from([&length.to_le_bytes(), head.as_slice()].concat());
        payload.append(body);
        Ok(payload)
    }

    /// All of it. Blocks until all is written.
    ///
    /// # Errors
    /// A file of it cannot be read, or has become shorter; its writer failed; or a store has taken part of it.
    pub fn into_bytes(self) -> Result<Bytes, PayloadError> {
        if let [Part::Memory(bytes)] = self.parts.as_slice() {
            return Ok(bytes.clone());
        }
        if self.is_taken() {
            return Err(PayloadError::Taken);
        }
        if self.is_growing() {
            return self.runs().into_bytes();
        }
        let mut all = Vec::with_capacity(usize::try_from(self.bytes).unwrap_or(0));
        let mut buffer = Vec::new();
        for segment in self.segments() {
            self.read(&segment, &mut buffer)?;
            all.extend_from_slice(&buffer);
        }
        Ok(all.into())
    }

    /// Tiny pieces that are side by side in memory, joined: each piece is cut into chunks by itself. A piece that makes
    /// chunks of its own is not copied.
    pub(crate) fn joined(self) -> Self {
        let mut joined = Self::default();
        let mut run: Vec<Bytes> = Vec::new();
        let close = |run: &mut Vec<Bytes>, joined: &mut Self| match std::mem::take(run).as_slice() {
            [] => {}
            [one] => joined.push(one.clone()),
            several => joined.push(several.concat()),
        };
        for part in self.parts {
            match part {
                Part::Memory(bytes) if bytes.len() < MAX_CHUNK_BYTES as usize => run.push(bytes),
                other @ (Part::Memory(_)
                | Part::File { .. }
                | Part::SmallFiles(_)
                | Part::Taken(_)
                | Part::Growing(_)) => {
                    close(&mut run, &mut joined);
                    joined.bytes += other.len();
                    joined.parts.push(other);
                }
            }
        }
        close(&mut run, &mut joined);
        joined
    }

    /// What it is made of and can be read, in order; every part in segments of its own.
    pub(crate) fn segments(&self) -> Vec<Segment> {
        let mut segments = Vec::new();
        let mut start = 0;
        for (part, held) in self.parts.iter().enumerate() {
            let mut offset = 0;
            while offset < held.len() && !matches!(held, Part::Taken(_)) {
                let bytes = (held.len() - offset).min(SEGMENT_BYTES as u64);
                segments.push(Segment {
                    part,
                    offset,
                    start: start + offset,
                    // No longer than a segment.
                    bytes: usize::try_from(bytes).unwrap_or(SEGMENT_BYTES),
                    grain: held.grain(),
                });
                offset += bytes;
            }
            start += held.len();
        }
        segments
    }

    /// A segment of this very payload, if it is in memory already.
    pub(crate) fn in_memory(&self, segment: &Segment) -> Option<Bytes> {
        match self.parts.get(segment.part)? {
            Part::Memory(bytes) => {
                let start = usize::try_from(segment.offset).unwrap_or(usize::MAX);
                Some(bytes.slice(start..start + segment.bytes))
            }
            Part::File { .. } | Part::SmallFiles(_) | Part::Taken(_) | Part::Growing(_) => None,
        }
    }

    /// Reads a segment of this very payload into `buffer`, which holds nothing else then.
    pub(crate) fn read(&self, segment: &Segment, buffer: &mut Vec<u8>) -> Result<(), PayloadError> {
        buffer.clear();
        match self.parts.get(segment.part) {
            None => {}
            Some(Part::Taken(_)) => return Err(PayloadError::Taken),
            // Has no segments.
            Some(Part::Growing(_)) => return Err(PayloadError::Cut),
            Some(Part::Memory(bytes)) => {
                let start = usize::try_from(segment.offset).unwrap_or(usize::MAX);
                buffer.extend_from_slice(&bytes[start..start + segment.bytes]);
            }
            Some(Part::SmallFiles(files)) => files.read(buffer)?,
            Some(Part::File { file, path, .. }) => {
                buffer.resize(segment.bytes, 0);
                let read = file.read_exact_at(buffer, segment.offset);
                read.map_err(PayloadError::file("read", path))?;
            }
        }
        Ok(())
    }
}

impl<T: Into<Bytes>> From<T> for Payload {
    fn from(bytes: T) -> Self {
        let mut payload = Self::default();
        payload.push(bytes);
        payload
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn pieces_and_files_are_one_sequence_of_bytes() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        let content: Vec<u8> = (0..251_u8).cycle().take(SEGMENT_BYTES + 1000).collect();
        file.write_all(&content).expect("written");
        let mut payload = Payload::from(b"head".as_slice());
        payload.push(b" and ".as_slice());
        assert_eq!(payload.push_file(file.path()).expect("a file"), content.len() as u64);
        payload.push(b"tail".as_slice());
        let expected = [b"head and ", content.as_slice(), b"tail"].concat();
        assert_eq!(payload.len(), expected.len() as u64);
        let joined = payload.clone().joined();
        assert_eq!(joined.len(), payload.len());
        assert_eq!(joined.segments().len(), 4, "one piece, two of the file, one piece");
        assert!(joined.into_bytes().expect("read") == expected);
        file.as_file().set_len(1000).expect("shorter");
        assert!(payload.into_bytes().is_err(), "a file that became shorter is an error");
    }

    #[test]
    fn many_small_files_are_not_held_in_memory_and_are_the_same_sequence_of_bytes() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut payload, mut expected) = (Payload::default(), Vec::new());
        let small = usize::try_from(SMALL_FILE_BYTES).expect("fits");
        for nth in 0..100_usize {
            let path = dir.path().join(nth.to_string());
            let content = vec![nth.to_le_bytes()[0]; small - 1000 * nth];
            std::fs::write(&path, &content).expect("written");
            assert_eq!(payload.push_file(&path).expect("a file"), content.len() as u64);
            expected.extend(content);
        }
        let held: u64 = payload
            .parts
            .iter()
            .map(|part| match part {
                Part::Memory(bytes) => bytes.len() as u64,
                Part::File { .. } | Part::SmallFiles(_) | Part::Taken(_) | Part::Growing(_) => 0,
            })
            .sum();
        assert!(held <= MOST_READ_BYTES + SMALL_FILE_BYTES, "{held} bytes are held");
        assert!(payload.segments().iter().all(|segment| segment.bytes <= SEGMENT_BYTES));
        assert!(payload.clone().into_bytes().expect("read") == expected);
        std::fs::write(dir.path().join("99"), "shorter").expect("written");
        let cut = payload
            .into_bytes()
            .expect_err("a file that became shorter is an error");
        assert!(cut.to_string().contains("99"), "{cut}");
    }
}
