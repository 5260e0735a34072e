//! What is read of an image of pages at once.

use std::ops::Range;

use crate::payload::PayloadReader;

/// An image of pages, and where its chunks begin.
#[derive(Clone, Debug)]
pub(in super::super) struct Image {
    pub(in super::super) reader: PayloadReader,
    pub(super) cuts: Vec<u64>,
}

impl Image {
    pub(in super::super) fn new(reader: PayloadReader) -> Self {
        Self {
            cuts: reader.cuts(),
            reader,
        }
    }

    /// The chunks that have some of these bytes.
    pub(super) fn chunks(&self, offsets: &Range<u64>) -> Range<usize> {
        let first = self.cuts.partition_point(|cut| *cut <= offsets.start).max(1) - 1;
        first..self.cuts.partition_point(|cut| *cut < offsets.end)
    }

    /// The chunks that have some of these bytes, with the bytes of each.
    pub(in super::super) fn chunks_of(&self, offsets: &Range<u64>) -> Vec<(usize, Range<u64>)> {
        let chunks = self.chunks(offsets);
        chunks.map(|nth| (nth, self.offsets(&(nth..nth + 1)))).collect()
    }

    /// The bytes of chunks that follow each other.
    pub(super) fn offsets(&self, chunks: &Range<usize>) -> Range<u64> {
        let begin = |nth: usize| self.cuts.get(nth).copied().unwrap_or(self.reader.len());
        begin(chunks.start)..begin(chunks.end)
    }
}
