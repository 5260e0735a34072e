//! Which pages a restored tree waited for. What it touched first after one restore it touches first after the next, so they
//! come first then. Pure.
//!
//! It is only ever a hint: a page that is not named comes as well, and one that is named and gone is passed over.

use serde::{Deserialize, Serialize};

/// Pages that are remembered. A first answer of an interpreter waits for a few hundred.
const MOST: usize = 2048;

/// Pages that somebody waited for, the first of them first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::criu) struct Touched(Vec<Page>);

/// A page of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Page {
    pub(super) pid: u64,
    pub(super) address: u64,
}

impl Touched {
    /// Remembers a page, if it is among the first.
    pub(super) fn note(&mut self, page: Page) {
        if self.0.len() < MOST && !self.0.contains(&page) {
            self.0.push(page);
        }
    }

    /// What is known when `later` were waited for although these came first. When there are too many, those that were
    /// learned first are forgotten.
    pub(in crate::criu) fn and(&self, later: &Self) -> Self {
        let known = self.0.iter().filter(|page| !later.0.contains(page));
        let all: Vec<Page> = known.chain(&later.0).copied().collect();
        Self(all[all.len().saturating_sub(MOST)..].to_vec())
    }

    pub(super) fn pages(&self) -> impl Iterator<Item = Page> {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touched(addresses: impl IntoIterator<Item = u64>) -> Touched {
        let mut touched = Touched::default();
        for address in addresses {
            touched.note(Page { pid: 300, address });
        }
        touched
    }

    #[test]
    fn the_first_pages_are_kept_in_their_order_and_each_once() {
        let most = MOST as u64;
        let all = touched((0..2 * most).flat_map(|nth| [nth * 4096, 0]));
        let expected: Vec<u64> = (0..most).map(|nth| nth * 4096).collect();
        assert_eq!(all.pages().map(|page| page.address).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_was_learned_first_is_forgotten_first() {
        assert_eq!(touched([1, 2, 3]).and(&touched([2, 4])), touched([1, 3, 2, 4]));
        let most = MOST as u64;
        let many = touched(0..most).and(&touched([7, most, most + 1]));
        let expected = (2..most).filter(|nth| *nth != 7).chain([7, most, most + 1]);
        assert_eq!(many, touched(expected));
    }
}
