//! A payload read in order, a run of whole chunks at a time, also while it is written.
//!
//! Cuts where the segments of the same bytes in memory would be cut. What is there already is read at once, so that
//! who is slower than the writer gets longer runs.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::{Growing, Part, Payload, PayloadError, Segment};
use crate::chunks::{self, Grain, Piece, SEGMENT_BYTES};
use crate::encryption::TenantKey;

/// Bytes that follow each other in a payload, and the whole pieces that they are.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// Where it begins in the payload.
    pub(crate) start: usize,
    pub(crate) plain: Bytes,
    pub(crate) pieces: Vec<Piece>,
}

/// Reads a payload.
#[derive(Debug)]
pub(crate) struct Runs {
    payload: Payload,
    /// Parts that were not begun.
    parts: VecDeque<usize>,
    /// Segments that were not read, of the part that was begun.
    segments: VecDeque<Segment>,
    /// Or what is written of it.
    follower: Option<Follower>,
    /// Where the next run begins in the payload.
    start: usize,
}

/// Bytes of a segment that is still written.
#[derive(Debug)]
struct Follower {
    growing: Growing,
    /// What was read and not cut.
    uncut: BytesMut,
    /// Bytes that were read of the segment.
    read: usize,
    ended: bool,
}

impl Runs {
    pub(super) fn new(payload: Payload) -> Self {
        Self {
            parts: (0..payload.parts.len()).collect(),
            payload,
            segments: VecDeque::new(),
            follower: None,
            start: 0,
        }
    }

    /// The next run, cut and named; `None` at the end. Blocks while there is nothing.
    ///
    /// # Errors
    /// A file cannot be read, or the writer failed.
    pub(crate) fn next(&mut self, key: Option<&TenantKey>) -> Result<Option<Run>, PayloadError> {
        let cut = |start: usize, plain: &[u8], is_all: bool| {
            if is_all {
                chunks::cut_segment(start, plain, Grain::Byte, key)
            } else {
                chunks::cut_beginning(start, plain, Grain::Byte, key)
            }
        };
        loop {
            if let Some(segment) = self.segments.pop_front() {
                let plain = self.read(&segment)?;
                let pieces = chunks::cut_segment(self.start, &plain, segment.grain, key);
                return Ok(Some(self.run(plain, pieces)));
            }
            if let Some(follower) = &mut self.follower {
                match follower.next(self.start, cut)? {
                    Some((plain, pieces)) => return Ok(Some(self.run(plain, pieces))),
                    None => self.follower = None,
                }
            }
            let Some(part) = self.parts.pop_front() else {
                return Ok(None);
            };
            self.begin(part)?;
        }
    }

    /// What is left, without its cuts.
    ///
    /// # Errors
    /// As for [`next`](Self::next).
    pub(super) fn into_bytes(mut self) -> Result<Bytes, PayloadError> {
        let mut all = Vec::new();
        while let Some(run) = self.next(None)? {
            all.extend_from_slice(&run.plain);
        }
        Ok(all.into())
    }

    fn begin(&mut self, part: usize) -> Result<(), PayloadError> {
        match self.payload.parts.get(part) {
            Some(Part::Growing(growing)) => self.follower = Some(Follower::new(growing.clone())),
            Some(Part::Memory(_) | Part::File { .. } | Part::SmallFiles(_)) => {
                let segments = self.payload.segments().into_iter();
                self.segments = segments.filter(|segment| segment.part == part).collect();
            }
            Some(Part::Taken(_)) => return Err(PayloadError::Taken),
            None => {}
        }
        Ok(())
    }

    fn read(&self, segment: &Segment) -> Result<Bytes, PayloadError> {
        if let Some(bytes) = self.payload.in_memory(segment) {
            return Ok(bytes);
        }
        let mut buffer = Vec::new();
        self.payload.read(segment, &mut buffer)?;
        Ok(buffer.into())
    }

    fn run(&mut self, plain: Bytes, pieces: Vec<Piece>) -> Run {
        let start = self.start;
        self.start += plain.len();
        Run { start, plain, pieces }
    }
}

impl Follower {
    fn new(growing: Growing) -> Self {
        Self {
            growing,
            uncut: BytesMut::new(),
            read: 0,
            ended: false,
        }
    }

    /// The next bytes that are whole pieces. `None` at the end.
    fn next(
        &mut self,
        start: usize,
        cut: impl Fn(usize, &[u8], bool) -> Vec<Piece>,
    ) -> Result<Option<(Bytes, Vec<Piece>)>, PayloadError> {
        loop {
            let is_all = self.ended || self.read == SEGMENT_BYTES;
            let pieces = cut(start, &self.uncut, is_all);
            if let Some(last) = pieces.last() {
                let plain = self.uncut.split_to(last.range.end - start).freeze();
                return Ok(Some((plain, pieces)));
            }
            if self.ended {
                return Ok(None);
            }
            if is_all {
                self.read = 0;
            }
            self.read_on()?;
        }
    }

    /// Waits for more, and takes all that there is of the segment.
    fn read_on(&mut self) -> Result<(), PayloadError> {
        let mut more = Some(self.growing.next());
        while let Some(read) = more.take() {
            let Some(bytes) = read? else {
                self.ended = true;
                break;
            };
            self.read += bytes.len();
            // Side by side in memory, so nothing is copied.
            self.uncut.unsplit(bytes);
            if self.read < SEGMENT_BYTES {
                more = self.growing.next_if_there();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::payload::PayloadWriter;

    fn noise(bytes: usize) -> Vec<u8> {
        let mut noise = vec![0; bytes];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        noise
    }

    fn write(mut writer: PayloadWriter, content: &[u8], portion: usize) {
        for bytes in content.chunks(portion) {
            writer.write(bytes).unwrap();
        }
        writer.finish().unwrap();
    }

    #[test]
    fn a_payload_is_cut_while_it_is_written_as_it_would_be_afterwards() {
        for bytes in [0, 1, 300_000, SEGMENT_BYTES, 2 * SEGMENT_BYTES + 300_000] {
            let content = noise(bytes);
            let expected = chunks::cut(&content, None);
            for portion in [1000, 100_000, SEGMENT_BYTES] {
                let (writer, growing) = Payload::growing();
                let mut payload = Payload::from(b"head".as_slice());
                payload.append(growing);
                let mut runs = payload.runs();
                let mut all = Vec::new();
                let mut pieces = Vec::new();
                thread::scope(|scope| {
                    scope.spawn(|| write(writer, &content, portion));
                    while let Some(run) = runs.next(None).unwrap() {
                        assert_eq!(run.start, all.len());
                        all.extend_from_slice(&run.plain);
                        pieces.extend(run.pieces);
                    }
                });
                assert!(all == [b"head", content.as_slice()].concat());
                let (head, pieces) = pieces.split_first().unwrap();
                assert_eq!(head.range, 0..4);
                assert!(
                    pieces
                        .iter()
                        .map(|piece| piece.chunk)
                        .eq(expected.iter().map(|piece| piece.chunk))
                );
            }
        }
    }
}
