//! Where a segment is cut: at places that the bytes in front of them decide, so that what is put in or taken out moves
//! no cut far from it.

use std::ops::Range;

use fastcdc::v2020::FastCDC;

use super::{AVERAGE_CHUNK_BYTES, MAX_CHUNK_BYTES, MIN_CHUNK_BYTES};

/// How long chunks are, in bytes.
struct Lengths {
    min: usize,
    average: usize,
    max: usize,
}

const OF_BYTES: Lengths = Lengths {
    min: MIN_CHUNK_BYTES as usize,
    average: AVERAGE_CHUNK_BYTES as usize,
    max: MAX_CHUNK_BYTES as usize,
};
/// Half of that: what an interpreter changes in its memory are single pages here and there, and each takes its chunk along.
const OF_MEMORY: Lengths = Lengths {
    min: OF_BYTES.min / 2,
    average: OF_BYTES.average / 2,
    max: OF_BYTES.max / 2,
};

/// How finely one looks for places to cut at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grain {
    /// At every byte: by `FastCDC`.
    Byte,
    /// At every multiple of 16 bytes, which takes an eighth of the time. For memory: allocators give out places that begin
    /// there, and it is written by the page.
    Aligned,
}

/// Pieces of a segment from one of its cuts on, of which `bytes` are known. Where they are not all, the pieces are
/// those that the segment has whatever follows.
pub(crate) fn cuts(bytes: &[u8], grain: Grain, is_all: bool) -> Vec<Range<usize>> {
    let Lengths { min, average, max } = match grain {
        Grain::Byte => OF_BYTES,
        Grain::Aligned => OF_MEMORY,
    };
    let mut cuts = Vec::with_capacity(bytes.len() / average + 1);
    let mut start = 0;
    while start < bytes.len() {
        let rest = &bytes[start..];
        let length = match grain {
            Grain::Byte => FastCDC::new(rest, min, average, max).next().map_or(0, |cut| cut.length),
            Grain::Aligned => first_of_memory(rest),
        };
        // A cut before the end was decided by what is in front of it.
        let is_decided = is_all || length < rest.len() || length == max;
        if length == 0 || !is_decided {
            break;
        }
        cuts.push(start..start + length);
        start += length;
    }
    cuts
}

/// Two words that are looked at together.
type Stride = [[u8; size_of::<u64>()]; 2];
/// Its bytes.
const STRIDE: usize = size_of::<Stride>();
/// What a cut depends on: a stride leaves the sum when it was shifted so often.
const WINDOW: usize = STRIDE * u64::BITS as usize;
/// Spreads the bits of a stride; odd (from the golden ratio).
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
/// Between the halves of a stride, so that they do not stand for each other.
const TURN: u32 = 29;
/// Bits that decide: as many as make a cut every average length; one more before so many bytes, one less behind.
const BITS: u32 = (OF_MEMORY.average / STRIDE).ilog2();
/// What they have to be. Of zeroes alone they are zero: those are not cut.
const PATTERN: u64 = 0x1a55;

/// The length of the first piece, by a sum over a rolling window of strides.
fn first_of_memory(rest: &[u8]) -> usize {
    let Lengths { min, average, max } = OF_MEMORY;
    let end = rest.len().min(max);
    if end <= min {
        return end;
    }
    let average = end.min(average);
    let mut sum = Sum(0);
    for stride in strides(&rest[min - WINDOW..min]) {
        sum.add(*stride);
    }
    let sooner = sum.find(&rest[min..average], BITS + 1).map(|at| min + at);
    sooner
        .or_else(|| sum.find(&rest[average..end], BITS - 1).map(|at| average + at))
        .unwrap_or(end)
}

fn strides(bytes: &[u8]) -> &[Stride] {
    bytes.as_chunks().0.as_chunks().0
}

/// Of the latest strides; those before were shifted out of it.
struct Sum(u64);

impl Sum {
    fn add(&mut self, stride: Stride) {
        self.0 = (self.0 << 1).wrapping_add(spread(stride));
    }

    /// Adds strides until so many of the highest bits are those of the pattern; gives how many bytes that took.
    fn find(&mut self, bytes: &[u8], bits: u32) -> Option<usize> {
        let pattern = PATTERN & ((1 << bits) - 1);
        let is_cut = |sum: u64| sum >> (u64::BITS - bits) == pattern;
        let (fours, rest) = strides(bytes).as_chunks::<4>();
        for (nth, four) in fours.iter().enumerate() {
            let sums = self.after_each_of(*four);
            // Without a jump for each: hardly any of them is one.
            if is_cut(sums[0]) | is_cut(sums[1]) | is_cut(sums[2]) | is_cut(sums[3]) {
                let which = sums.iter().position(|sum| is_cut(*sum)).unwrap_or_default();
                return Some((nth * sums.len() + which + 1) * STRIDE);
            }
            self.0 = sums[3];
        }
        for (nth, stride) in rest.iter().enumerate() {
            self.add(*stride);
            if is_cut(self.0) {
                return Some((fours.as_flattened().len() + nth + 1) * STRIDE);
            }
        }
        None
    }

    /// The sums after each of four strides. They are added up first, so that the next four wait for one shift and one
    /// addition instead of four.
    fn after_each_of(&self, strides: [Stride; 4]) -> [u64; 4] {
        let [one, two, three, four] = strides.map(spread);
        let first_two = (one << 1).wrapping_add(two);
        let last_two = (three << 1).wrapping_add(four);
        [
            (self.0 << 1).wrapping_add(one),
            (self.0 << 2).wrapping_add(first_two),
            (self.0 << 3).wrapping_add((first_two << 1).wrapping_add(three)),
            (self.0 << 4).wrapping_add((first_two << 2).wrapping_add(last_two)),
        ]
    }
}

fn spread(stride: Stride) -> u64 {
    let [first, second] = stride.map(u64::from_le_bytes);
    (first ^ second.rotate_left(TURN)).wrapping_mul(SPREAD)
}
