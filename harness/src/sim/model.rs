//! What users were told of their sandboxes: the whole of what must hold. It knows nothing of Pods, phases,
//! checkpoints or controllers.
//!
//! ```text
//!  Absent ──create──▶ Running ◀──pause / resume──▶ Paused ──delete──▶ Absent
//! ```

use std::collections::BTreeMap;

/// A sandbox as its user knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Known {
    /// There is none.
    #[default]
    Absent,
    /// There is one.
    Present(Present),
}

/// A sandbox that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Present {
    /// Whether it is paused.
    pub(super) paused: bool,
    /// Whether its timeout pauses it.
    pub(super) auto_pause: bool,
    /// Every number that it was given to keep, in order.
    pub(super) writes: Vec<u32>,
    /// Every file that was ever written, with its content, or nothing where it was deleted.
    pub(super) files: BTreeMap<u8, Option<u32>>,
}

/// All sandboxes.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    slots: BTreeMap<u8, Known>,
    numbers: u32,
}

impl Model {
    /// A number that was never given out.
    pub(super) fn number(&mut self) -> u32 {
        self.numbers += 1;
        self.numbers
    }

    pub(super) fn known(&mut self, slot: u8) -> &mut Known {
        self.slots.entry(slot).or_default()
    }

    /// The sandbox, if it runs.
    pub(super) fn running(&mut self, slot: u8) -> Option<&mut Present> {
        self.present(slot).filter(|present| !present.paused)
    }

    /// The sandbox, if it is paused.
    pub(super) fn paused(&mut self, slot: u8) -> Option<&mut Present> {
        self.present(slot).filter(|present| present.paused)
    }

    /// The sandbox, if there is one.
    pub(super) fn present(&mut self, slot: u8) -> Option<&mut Present> {
        match self.known(slot) {
            Known::Present(present) => Some(present),
            Known::Absent => None,
        }
    }

    /// Those that run.
    pub(super) fn all_running(&self) -> Vec<u8> {
        let runs = |known: &Known| matches!(known, Known::Present(present) if !present.paused);
        self.slots
            .iter()
            .filter(|(_, known)| runs(known))
            .map(|(slot, _)| *slot)
            .collect()
    }

    /// Those that are there.
    pub(super) fn all_present(&self) -> Vec<u8> {
        let there = |known: &Known| matches!(known, Known::Present(_));
        self.slots
            .iter()
            .filter(|(_, known)| there(known))
            .map(|(slot, _)| *slot)
            .collect()
    }
}
