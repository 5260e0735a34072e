//! Which of the chunks that the store has a new checkpoint relies on. Pure.
//!
//! A pack stays as long as anything in it is needed. To rely on packs of which little is needed would keep
//! the rest for ever, so the needed chunks of the worst are written again: what the store keeps for a checkpoint is at
//! most twice what it needs. That is so of all packs together, not of each: to write again takes time while somebody waits
//! for a pause, and a compaction drops the rest of what it compresses when nobody does.

use std::cmp::{Ordering, Reverse};
use std::collections::{HashMap, HashSet};

use blake3::Hash;
use uuid::Uuid;

use crate::chunks::Piece;
use crate::envelope::{Entry, Holder, Pack};

/// Packs that one checkpoint relies on, beside its own; those with the least needed are written again.
const MAX_PACKS: usize = 32;

/// The chunks of an earlier checkpoint that a new one may rely on.
#[derive(Clone, Debug, Default)]
pub(super) struct Base {
    pub(super) packs: Vec<Pack>,
    pub(super) entries: Vec<Entry>,
}

/// The chunks of an earlier checkpoint that a new one does rely on; they name packs by their place in `packs`.
#[derive(Clone, Debug, Default)]
pub(super) struct Reuse {
    pub(super) packs: Vec<Pack>,
    pub(super) entries: HashMap<Hash, Entry>,
}

/// Chooses among the packs that are `secure`.
pub(super) fn reuse(pieces: &[Piece], base: &Base, secure: impl Fn(&Pack) -> bool) -> Reuse {
    let wanted: HashSet<Hash> = pieces.iter().map(|piece| piece.chunk.hash).collect();
    let mut needed: HashMap<usize, HashMap<Hash, Entry>> = HashMap::new();
    for entry in &base.entries {
        if let Holder::Pack(nth) = entry.holder
            && wanted.contains(&entry.chunk.hash)
        {
            let pack = needed.entry(usize::from(nth)).or_default();
            pack.insert(entry.chunk.hash, *entry);
        }
    }
    let mut packs: Vec<Needed> = needed
        .into_iter()
        .filter_map(|(nth, entries)| Some(Needed::of(*base.packs.get(nth)?, entries)))
        .filter(|needed| secure(&needed.pack))
        .collect();
    packs.sort_unstable_by_key(|needed| (Reverse(needed.bytes), needed.pack.id));
    packs.truncate(MAX_PACKS);
    keep_the_best(&mut packs);

    let mut reuse = Reuse::default();
    for (nth, Needed { pack, entries, .. }) in (0..).zip(packs) {
        reuse.packs.push(pack);
        let renumbered = entries.into_iter().map(|(hash, entry)| {
            let holder = Holder::Pack(nth);
            (hash, Entry { holder, ..entry })
        });
        reuse.entries.extend(renumbered);
    }
    reuse
}

/// A pack, with what is needed of it.
struct Needed {
    pack: Pack,
    entries: HashMap<Hash, Entry>,
    /// Stored bytes of these.
    bytes: u64,
}

impl Needed {
    fn of(pack: Pack, entries: HashMap<Hash, Entry>) -> Self {
        let bytes = entries.values().map(|entry| u64::from(entry.stored_bytes)).sum();
        Self { pack, entries, bytes }
    }

    /// By how large a part of the whole is needed.
    fn compare(&self, other: &Self) -> Ordering {
        let part = |one: &Self, other: &Self| u128::from(one.bytes) * u128::from(other.pack.bytes);
        part(self, other).cmp(&part(other, self))
    }
}

/// Drops the packs of which the smallest parts are needed, until at least half of all is.
fn keep_the_best(packs: &mut Vec<Needed>) {
    packs.sort_by(|one, other| other.compare(one));
    let (mut needed, mut kept) = (0, 0);
    let is_enough = |pack: &Needed| {
        needed += pack.bytes;
        kept += pack.pack.bytes;
        needed * 2 >= kept
    };
    let best = packs.iter().map(is_enough).take_while(|is_enough| *is_enough).count();
    packs.truncate(best);
}

impl Reuse {
    /// Without what one pack holds.
    pub(super) fn without(&self, pieces: &[Piece], pack: Uuid) -> Self {
        let base = Base {
            packs: self.packs.clone(),
            entries: self.entries.values().copied().collect(),
        };
        reuse(pieces, &base, |other| other.id != pack)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chunks::{CHECK_BYTES, ChunkRef, Encoding, Form};

    const CHUNK: u32 = 1000;

    fn hash(name: u32) -> Hash {
        blake3::hash(&name.to_le_bytes())
    }

    fn pieces(names: impl IntoIterator<Item = u32>) -> Vec<Piece> {
        let piece = |name| Piece {
            chunk: ChunkRef {
                hash: hash(name),
                length: CHUNK,
            },
            range: 0..0,
        };
        names.into_iter().map(piece).collect()
    }

    /// A checkpoint whose packs hold the given chunks.
    fn base(packs: &[std::ops::Range<u32>]) -> Base {
        let mut base = Base::default();
        for (nth, names) in (0..).zip(packs) {
            base.packs.push(Pack {
                id: Uuid::from_u128(u128::from(nth)),
                bytes: u64::from(names.end - names.start) * u64::from(CHUNK),
            });
            for name in names.clone() {
                base.entries.push(Entry {
                    chunk: pieces([name])[0].chunk,
                    form: Form {
                        encoding: Encoding::Plain,
                        check: [0; CHECK_BYTES],
                    },
                    holder: Holder::Pack(nth),
                    offset: u64::from(name - names.start) * u64::from(CHUNK),
                    stored_bytes: CHUNK,
                });
            }
        }
        base
    }

    #[test]
    fn a_pack_that_is_half_needed_is_relied_on_and_one_that_is_less_is_not() {
        let base = base(&[0..10, 10..20]);
        let reuse = reuse(&pieces((0..5).chain(10..14)), &base, |_| true);
        assert_eq!(reuse.packs, [base.packs[0]]);
        assert_eq!(reuse.entries.len(), 5);
        assert_eq!(reuse.entries[&hash(3)], base.entries[3]);
    }

    #[test]
    fn a_pack_of_which_little_is_needed_is_relied_on_beside_others_as_long_as_half_of_all_is() {
        let base = base(&[0..10, 10..20, 20..30]);
        let packs_for = |needed: &[std::ops::Range<u32>]| {
            let needed = pieces(needed.iter().cloned().flatten());
            reuse(&needed, &base, |_| true).packs
        };
        assert_eq!(packs_for(&[0..9, 10..11]), base.packs[..2]);
        assert_eq!(
            packs_for(&[0..9, 10..12, 20..24]),
            [base.packs[0], base.packs[2], base.packs[1]]
        );
        assert_eq!(
            packs_for(&[0..9, 10..11, 20..24]),
            [base.packs[0], base.packs[2]],
            "14 of 30"
        );
        assert_eq!(packs_for(&[0..4, 10..14, 20..24]), []);
    }

    proptest! {
        /// By how many of its ten chunks are needed of each pack.
        #[test]
        fn no_more_is_kept_than_twice_what_is_needed_and_no_pack_given_up_of_which_half_is(
            needed in prop::collection::vec(0..=10_u32, 0..MAX_PACKS),
        ) {
            let begins = (0..).step_by(10).take(needed.len());
            let packs: Vec<_> = begins.clone().map(|begin| begin..begin + 10).collect();
            let wanted: Vec<_> = begins.zip(&needed).flat_map(|(begin, needed)| begin..begin + needed).collect();
            let base = base(&packs);
            let reuse = reuse(&pieces(wanted), &base, |_| true);
            prop_assert!(reuse.packs.len() * 10 <= reuse.entries.len() * 2);
            for (pack, needed) in base.packs.iter().zip(needed) {
                prop_assert!(needed < 5 || reuse.packs.contains(pack), "{needed} of {pack:?}");
            }
        }
    }

    #[test]
    fn a_pack_that_is_not_secure_is_not_relied_on() {
        let base = base(&[0..10, 10..20]);
        let reuse = reuse(&pieces(0..20), &base, |pack| pack.id != base.packs[0].id);
        assert_eq!(reuse.packs, [base.packs[1]]);
        assert_eq!(reuse.entries[&hash(12)].holder, Holder::Pack(0), "counted anew");
        assert!(reuse.without(&pieces(0..20), base.packs[1].id).packs.is_empty());
    }

    #[test]
    fn of_too_many_packs_those_with_the_most_needed_are_relied_on() {
        let ranges: Vec<_> = (0..40_u32).map(|nth| nth * 100..nth * 100 + nth + 1).collect();
        let reuse = reuse(&pieces(0..4000), &base(&ranges), |_| true);
        assert_eq!(reuse.packs.len(), MAX_PACKS);
        assert!(reuse.packs.iter().all(|pack| pack.bytes > 8 * u64::from(CHUNK)));
    }
}
