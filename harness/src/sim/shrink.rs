//! Which shorter sequence is tried next after a failure. Knows nothing of what is run.
//!
//! Leaves out stretches of deeds from the end on, ever shorter ones, until no single deed can be left out: as
//! Zeller and Hildebrandt's delta debugging (2002), without its tries of the stretches alone.

use super::deed::Deed;

/// A search for the deeds that matter.
#[derive(Debug)]
pub(super) struct Shrink {
    /// The fewest deeds that are known to fail.
    least: Vec<Deed>,
    /// How many are left out at a time.
    stretch: usize,
    /// Before which of [`least`](Self::least) the next stretch ends.
    end: usize,
    /// Whether anything could be left out since the search last began at the end.
    progress: bool,
}

impl Shrink {
    /// A search that begins with deeds that fail.
    pub(super) fn new(fails: Vec<Deed>) -> Self {
        Self {
            stretch: fails.len().div_ceil(2),
            end: fails.len(),
            progress: false,
            least: fails,
        }
    }

    /// The next sequence to try; none when the search is over.
    pub(super) fn candidate(&self) -> Option<Vec<Deed>> {
        if self.end == 0 {
            return None;
        }
        let mut fewer = self.least.clone();
        fewer.drain(self.start()..self.end);
        Some(fewer)
    }

    /// Takes in whether the last candidate fails, too.
    pub(super) fn judged(&mut self, fails: bool) {
        let start = self.start();
        if fails {
            self.least.drain(start..self.end);
            self.progress = true;
        }
        self.end = start;
        let again = self.stretch > 1 || self.progress;
        if self.end == 0 && again {
            self.stretch = self.stretch.div_ceil(2);
            self.end = self.least.len();
            self.progress = false;
        }
    }

    fn start(&self) -> usize {
        self.end.saturating_sub(self.stretch)
    }
}

/// How often a sequence fails of so many tries. What races fails now and then, and so does what is left of it: a
/// shorter sequence counts only if it fails as often as what was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replays {
    /// Tries that failed.
    pub failed: u32,
    /// Tries.
    pub tried: u32,
}

impl Replays {
    /// Takes in one more try.
    pub(super) fn add(&mut self, failed: bool) {
        self.tried += 1;
        self.failed += u32::from(failed);
    }

    /// Whether a sequence with these tries fails at least as often as `least`; none while only more tries can tell.
    pub(super) fn as_often_as(self, least: Self) -> Option<bool> {
        let held = self.tried - self.failed;
        if self.failed >= least.failed {
            Some(true)
        } else if held > least.tried - least.failed {
            Some(false)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::deed::Act;
    use super::*;

    /// What is left of `deeds` when a sequence fails that holds all of `culprits`, in order, and the tries it took.
    fn shrunk(deeds: Vec<Deed>, culprits: &[Deed]) -> (Vec<Deed>, usize) {
        let fails = |deeds: &[Deed]| {
            let mut rest = deeds.iter();
            culprits.iter().all(|culprit| rest.any(|deed| deed == culprit))
        };
        assert!(fails(&deeds));
        let (mut shrink, mut tries) = (Shrink::new(deeds), 0);
        let mut least = None;
        while let Some(candidate) = shrink.candidate() {
            tries += 1;
            let failed = fails(&candidate);
            shrink.judged(failed);
            if failed {
                least = Some(candidate);
            }
        }
        assert_eq!(least.unwrap_or_else(|| shrink.least.clone()), shrink.least);
        (shrink.least, tries)
    }

    fn deed(slot: u8) -> Deed {
        Deed { slot, act: Act::Write }
    }

    #[test]
    fn one_deed_of_many_is_found_in_few_tries() {
        let (least, tries) = shrunk((0..64).map(deed).collect(), &[deed(17)]);
        assert_eq!(least, [deed(17)]);
        assert!(tries < 20, "{tries}");
    }

    fn tried(outcomes: &[bool], least: Replays) -> Option<bool> {
        let mut replays = Replays::default();
        for failed in outcomes {
            assert_eq!(replays.as_often_as(least), None, "no try more than it takes");
            replays.add(*failed);
        }
        replays.as_often_as(least)
    }

    #[test]
    fn what_fails_now_and_then_stands_for_nothing_that_fails_each_time() {
        let each_time = Replays { failed: 3, tried: 3 };
        assert_eq!(tried(&[true, true], each_time), None);
        assert_eq!(tried(&[true, true, true], each_time), Some(true));
        assert_eq!(tried(&[true, false], each_time), Some(false));
        assert_eq!(tried(&[false], each_time), Some(false));
    }

    #[test]
    fn what_failed_once_in_a_while_is_shrunk_to_what_does_so_too() {
        let now_and_then = Replays { failed: 1, tried: 3 };
        assert_eq!(tried(&[false, false], now_and_then), None);
        assert_eq!(tried(&[false, false, true], now_and_then), Some(true));
        assert_eq!(tried(&[false, false, false], now_and_then), Some(false));
    }

    #[test]
    fn what_fails_with_nothing_done_shrinks_to_nothing() {
        assert_eq!(shrunk(vec![deed(1), deed(2), deed(3)], &[]).0, []);
        assert_eq!(shrunk(vec![], &[]).0, []);
    }

    proptest! {
        #[test]
        fn what_matters_is_left_and_nothing_else(
            deeds in proptest::collection::vec(0..40_u8, 0..60),
            picks in proptest::collection::vec(any::<prop::sample::Index>(), 0..4),
        ) {
            let deeds: Vec<Deed> = deeds.into_iter().map(deed).collect();
            let mut places: Vec<usize> = picks.iter().filter(|_| !deeds.is_empty()).map(|pick| pick.index(deeds.len())).collect();
            places.sort_unstable();
            places.dedup();
            let culprits: Vec<Deed> = places.into_iter().map(|place| deeds[place]).collect();
            prop_assert_eq!(shrunk(deeds, &culprits).0, culprits);
        }
    }
}
