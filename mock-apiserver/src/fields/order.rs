//! In which order the items of two lists come in the merged one.

use super::path::Element;

/// An item of the merged list, by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pick {
    /// Only the live list has it.
    Live(usize),
    /// The wanted list has it, and maybe the live one.
    Wanted(usize),
}

/// Items that only one list has keep their places among those that both have, which come in the wanted order.
pub(super) fn order(live: &[&Element], wanted: &[&Element]) -> Vec<Pick> {
    let mut shared = wanted.iter().filter(|element| live.contains(element));
    let mut next_shared = shared.next();
    let mut taken: Vec<&Element> = Vec::new();
    let mut picks = Vec::new();
    let (mut left, mut right) = (0, 0);
    while left < live.len() || right < wanted.len() {
        let (old, new) = (live.get(left), wanted.get(right));
        if let (Some(old), Some(new)) = (old, new) {
            if old == new {
                picks.push(Pick::Wanted(right));
                taken.push(new);
                (left, right) = (left + 1, right + 1);
                next_shared = shared.next();
                continue;
            }
            if wanted.contains(old) && next_shared.is_some_and(|next| next != old) {
                // It comes later, in the wanted order.
                left += 1;
                continue;
            }
        }
        match old {
            Some(old) if !wanted.contains(old) => {
                picks.push(Pick::Live(left));
                left += 1;
                continue;
            }
            Some(old) if taken.contains(old) => left += 1,
            Some(_) | None => {}
        }
        if let Some(new) = new {
            picks.push(Pick::Wanted(right));
            taken.push(new);
            right += 1;
            if next_shared == Some(new) {
                next_shared = shared.next();
            }
        }
    }
    picks
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn elements(names: &[u8]) -> Vec<Element> {
        names.iter().map(|name| Element::Value(name.to_string())).collect()
    }

    proptest! {
        /// The model: what a merged list must be, however it is made.
        #[test]
        fn every_item_comes_once_and_wanted_items_in_their_order(
            live in prop::collection::btree_set(0..8_u8, 0..6), wanted in prop::collection::btree_set(0..8_u8, 0..6), turn in 0..6_usize,
        ) {
            let live: Vec<u8> = live.into_iter().collect();
            let mut wanted: Vec<u8> = wanted.into_iter().collect();
            let turn = turn % wanted.len().max(1);
            wanted.rotate_left(turn);
            let (left, right) = (elements(&live), elements(&wanted));
            let picks = order(&left.iter().collect::<Vec<_>>(), &right.iter().collect::<Vec<_>>());
            let merged: Vec<u8> = picks.iter().map(|pick| match pick { Pick::Live(at) => live[*at], Pick::Wanted(at) => wanted[*at] }).collect();
            let only_live: Vec<u8> = live.iter().copied().filter(|item| !wanted.contains(item)).collect();
            prop_assert_eq!(merged.len(), wanted.len() + only_live.len());
            prop_assert_eq!(merged.iter().copied().filter(|item| wanted.contains(item)).collect::<Vec<_>>(), wanted);
            prop_assert_eq!(merged.iter().copied().filter(|item| only_live.contains(item)).collect::<Vec<_>>(), only_live);
        }
    }
}
