//! Where a segment is cut: at places that the bytes in front of them decide, so that what is put in or taken out moves
//! no cut far from it.

use std::ops::Range;

use fastcdc::v2020::FastCDC;

use super::{AVERAGE_CHUNK_BYTES, MAX_CHUNK_BYTES, MIN_CHUNK_BYTES};

const MIN: usize = MIN_CHUNK_BYTES as usize;
const AVERAGE: usize = AVERAGE_CHUNK_BYTES as usize;
const MAX: usize = MAX_CHUNK_BYTES as usize;

/// How finely one looks for places to cut at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grain {
    /// At every byte: by `FastCDC`.
    Byte,
    /// At every word of eight bytes, which takes a quarter of the time. For memory: what is in it begins at a multiple of
    /// eight bytes, wherever it moves, and is written by the page.
    Word,
}

/// Pieces of a segment from one of its cuts on, of which `bytes` are known. Where they are not all, the pieces are
/// those that the segment has whatever follows.
pub(crate) fn cuts(bytes: &[u8], grain: Grain, is_all: bool) -> Vec<Range<usize>> {
    let mut cuts = Vec::with_capacity(bytes.len() / AVERAGE + 1);
    let mut start = 0;
    while start < bytes.len() {
        let rest = &bytes[start..];
        let length = match grain {
            Grain::Byte => FastCDC::new(rest, MIN, AVERAGE, MAX).next().map_or(0, |cut| cut.length),
            Grain::Word => first_of_words(rest),
        };
        // A cut before the end was decided by what is in front of it.
        let is_decided = is_all || length < rest.len() || length == MAX;
        if length == 0 || !is_decided {
            break;
        }
        cuts.push(start..start + length);
        start += length;
    }
    cuts
}

/// Bytes of one word.
const WORD: usize = size_of::<u64>();
/// What a cut depends on: a word leaves the sum when it was shifted so often.
const WINDOW: usize = WORD * u64::BITS as usize;
/// Spreads the bits of a word; odd (from the golden ratio).
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
/// Bits that decide: as many as make a cut every [`AVERAGE`] bytes; one more before so many bytes, one less behind.
const BITS: u32 = (AVERAGE / WORD).ilog2();
/// What they have to be. Of zeroes alone they are zero: those are not cut.
const PATTERN: u64 = 0x1a55;

/// The length of the first piece, by a sum over a rolling window of words.
fn first_of_words(rest: &[u8]) -> usize {
    let end = rest.len().min(MAX);
    if end <= MIN {
        return end;
    }
    let average = end.min(AVERAGE);
    let mut sum = Sum(0);
    for word in words(&rest[MIN - WINDOW..MIN]) {
        sum.add(*word);
    }
    let sooner = sum.find(&rest[MIN..average], BITS + 1).map(|at| MIN + at);
    sooner
        .or_else(|| sum.find(&rest[average..end], BITS - 1).map(|at| average + at))
        .unwrap_or(end)
}

fn words(bytes: &[u8]) -> &[[u8; WORD]] {
    bytes.as_chunks().0
}

/// Of the latest words; those before were shifted out of it.
struct Sum(u64);

impl Sum {
    fn add(&mut self, word: [u8; WORD]) {
        self.0 = (self.0 << 1).wrapping_add(spread(word));
    }

    /// Adds words until so many of the highest bits are those of the pattern; gives how many bytes that took.
    fn find(&mut self, bytes: &[u8], bits: u32) -> Option<usize> {
        let pattern = PATTERN & ((1 << bits) - 1);
        let is_cut = |sum: u64| sum >> (u64::BITS - bits) == pattern;
        let (fours, rest) = words(bytes).as_chunks::<4>();
        for (nth, four) in fours.iter().enumerate() {
            let sums = self.after_each_of(*four);
            // Without a jump for each: hardly any of them is one.
            if is_cut(sums[0]) | is_cut(sums[1]) | is_cut(sums[2]) | is_cut(sums[3]) {
                let which = sums.iter().position(|sum| is_cut(*sum)).unwrap_or_default();
                return Some((nth * sums.len() + which + 1) * WORD);
            }
            self.0 = sums[3];
        }
        for (nth, word) in rest.iter().enumerate() {
            self.add(*word);
            if is_cut(self.0) {
                return Some((fours.as_flattened().len() + nth + 1) * WORD);
            }
        }
        None
    }

    /// The sums after each of four words. The words are added up first, so that the next four wait for one shift and one
    /// addition instead of four.
    fn after_each_of(&self, words: [[u8; WORD]; 4]) -> [u64; 4] {
        let [one, two, three, four] = words.map(spread);
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

fn spread(word: [u8; WORD]) -> u64 {
    u64::from_le_bytes(word).wrapping_mul(SPREAD)
}
