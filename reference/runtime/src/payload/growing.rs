//! A part of a payload that somebody still writes, while somebody else stores what is there already.
//!
//! ```text
//!  writer ──▶ runs of bytes, side by side in segments ──▶ follower
//! ```
//!
//! Neither waits for the other but for bytes that are not there yet: what is written and not read is in memory, as the
//! whole payload would be.

use std::error::Error;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::BytesMut;

use super::{Payload, PayloadError};
use crate::chunks::SEGMENT_BYTES;

/// Bytes that the follower gets at once. What waits to be handed over is in the cache of a core, and what is handed over at
/// the end is cut, named and written while somebody waits.
const RUN_BYTES: usize = 64 << 10;

/// Writes a part of a payload. When it is dropped before [`finish`](Self::finish) the payload cannot be read.
#[derive(Debug)]
pub struct PayloadWriter {
    runs: Sender<Message>,
    /// What was not handed over, and room for the rest of the segment.
    segment: BytesMut,
    /// Bytes of the segment that were handed over.
    handed_over: usize,
    /// Bytes that were written.
    bytes: u64,
}

/// Nobody reads the payload any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody reads the payload any more")]
pub struct Unwanted;

enum Message {
    Run(BytesMut),
    End(Result<(), Box<dyn Error + Send + Sync>>),
}

/// Reads it, once: clones share what is left.
#[derive(Clone, Debug)]
pub(crate) struct Growing {
    runs: Arc<Mutex<Receiver<Message>>>,
    expected_bytes: Option<u64>,
}

impl Payload {
    /// A payload that is written while it is read, and what writes it.
    #[must_use]
    pub fn growing() -> (PayloadWriter, Self) {
        Self::growing_to(None)
    }

    /// The same, of about so many bytes, if that is known. Any number may come.
    #[must_use]
    pub fn growing_to(expected_bytes: Option<u64>) -> (PayloadWriter, Self) {
        let (runs, read) = channel();
        let writer = PayloadWriter {
            runs,
            segment: BytesMut::new(),
            handed_over: 0,
            bytes: 0,
        };
        let growing = Growing {
            runs: Arc::new(Mutex::new(read)),
            expected_bytes,
        };
        (writer, Self::of_growing(growing))
    }
}

impl PayloadWriter {
    /// Adds bytes at the end.
    ///
    /// # Errors
    /// Nobody wants them.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), Unwanted> {
        self.bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            if self.segment.capacity() == 0 {
                self.segment = BytesMut::with_capacity(SEGMENT_BYTES);
                self.handed_over = 0;
            }
            let room = SEGMENT_BYTES - self.handed_over - self.segment.len();
            let (now, later) = bytes.split_at(bytes.len().min(room));
            self.segment.extend_from_slice(now);
            bytes = later;
            if self.segment.len() >= RUN_BYTES || now.len() == room {
                self.hand_over()?;
            }
        }
        Ok(())
    }

    /// Bytes that were written.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Nothing follows.
    ///
    /// # Errors
    /// Nobody wants it.
    pub fn finish(mut self) -> Result<(), Unwanted> {
        self.hand_over()?;
        self.runs.send(Message::End(Ok(()))).map_err(|_| Unwanted)
    }

    /// The rest cannot be written: whoever reads is told.
    pub fn fail(self, error: impl Into<Box<dyn Error + Send + Sync>>) {
        // Who does not read needs no reason.
        let _ = self.runs.send(Message::End(Err(error.into())));
    }

    fn hand_over(&mut self) -> Result<(), Unwanted> {
        let run = self.segment.split();
        self.handed_over += run.len();
        if self.handed_over == SEGMENT_BYTES {
            self.segment = BytesMut::new();
        }
        self.runs.send(Message::Run(run)).map_err(|_| Unwanted)
    }
}

impl Growing {
    pub(super) fn expected_bytes(&self) -> Option<u64> {
        self.expected_bytes
    }

    /// The next bytes, all of one segment: each has [`SEGMENT_BYTES`], but for the last one. `None` at the end. Blocks
    /// until there are some.
    ///
    /// # Errors
    /// The writer failed, or ended too early.
    pub(super) fn next(&self) -> Result<Option<BytesMut>, PayloadError> {
        let runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        runs.recv().map_err(|_| PayloadError::Cut)?.read()
    }

    /// As [`next`](Self::next), and `None` when nothing is there yet.
    pub(super) fn next_if_there(&self) -> Option<Result<Option<BytesMut>, PayloadError>> {
        let runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        match runs.try_recv() {
            Ok(message) => Some(message.read()),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(PayloadError::Cut)),
        }
    }
}

impl Message {
    fn read(self) -> Result<Option<BytesMut>, PayloadError> {
        match self {
            Self::Run(run) => Ok(Some(run)),
            Self::End(Ok(())) => Ok(None),
            Self::End(Err(source)) => Err(PayloadError::Writer(source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(payload: Payload) -> Result<Vec<u8>, PayloadError> {
        Ok(payload.into_bytes()?.to_vec())
    }

    #[test]
    fn what_is_written_in_any_portions_is_what_is_read() {
        let content: Vec<u8> = (0..251_u8).cycle().take(2 * SEGMENT_BYTES + 1000).collect();
        for portion in [1000, RUN_BYTES, RUN_BYTES + 1, SEGMENT_BYTES - 1, content.len()] {
            let (mut writer, payload) = Payload::growing();
            for bytes in content.chunks(portion) {
                writer.write(bytes).unwrap();
            }
            writer.finish().unwrap();
            assert!(read(payload).unwrap() == content, "portions of {portion}");
        }
    }

    #[test]
    fn a_payload_that_was_not_finished_cannot_be_read() {
        for (ends, reason) in [(None, "ended before"), (Some("broken"), "could not be written")] {
            let (mut writer, payload) = Payload::growing();
            writer.write(b"the beginning").unwrap();
            match ends {
                None => drop(writer),
                Some(error) => writer.fail(error),
            }
            let refused = read(payload).unwrap_err().to_string();
            assert!(refused.contains(reason), "{refused}");
        }
    }

    #[test]
    fn who_writes_what_nobody_reads_is_told() {
        let (mut writer, payload) = Payload::growing();
        drop(payload);
        assert_eq!(writer.write(&vec![0; RUN_BYTES]), Err(Unwanted));
        assert_eq!(writer.finish(), Err(Unwanted));
    }
}
