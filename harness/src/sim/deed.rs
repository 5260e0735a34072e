//! What users may do next, and how such sequences are made up.

use proptest::prelude::*;

/// One thing that a user does with one of a few sandboxes. What is missing for it is done first: a sandbox that is
/// not there is made, and one that is paused is resumed to be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deed {
    /// Which sandbox.
    pub slot: u8,
    /// What.
    pub act: Act,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the fields and the lines above say it")]
pub enum Act {
    /// Makes it; says whether its timeout pauses.
    Create { auto_pause: bool },
    /// Keeps a number in its memory.
    Write,
    /// Writes a file of that number.
    WriteFile(u8),
    /// Deletes a file of that number.
    DeleteFile(u8),
    /// Looks whether everything is there.
    Look,
    /// Pauses it if it runs, and resumes it if it is paused, by E2B or Kubernetes.
    Toggle { by_sdk: bool },
    /// Connects from three clients at once.
    Connects,
    /// Asks for that many changes without waiting, and at last for a pause or a resume.
    Storm { toggles: u8, ends_paused: bool },
    /// Lets its timeout end.
    Timeout,
    /// Pauses it and lets the timeout pass that it had.
    Outlast,
    /// Deletes it, by E2B or Kubernetes.
    Delete { by_sdk: bool },
    /// Asks for a resume and deletes it at once.
    DeleteOnTheWay,
    /// Pauses all that run at the same moment, and resumes them at the same moment.
    Together,
    /// Lets the controller crash before or after one of its next writes about it, and starts it anew.
    Crash { write: u8, after: bool },
}

/// Sequences of `most` deeds, or up to a third fewer, with `slots` sandboxes.
pub(super) fn deeds(slots: u8, most: usize) -> impl Strategy<Value = Vec<Deed>> {
    let deed = (0..slots.max(1), act()).prop_map(|(slot, act)| Deed { slot, act });
    let most = most.max(1);
    proptest::collection::vec(deed, most - most / 3..=most)
}

fn act() -> impl Strategy<Value = Act> {
    let either = any::<bool>;
    prop_oneof![
        2 => either().prop_map(|auto_pause| Act::Create { auto_pause }),
        6 => Just(Act::Write),
        3 => (0..3_u8).prop_map(Act::WriteFile),
        3 => (0..3_u8).prop_map(Act::DeleteFile),
        1 => Just(Act::Look),
        12 => either().prop_map(|by_sdk| Act::Toggle { by_sdk }),
        2 => Just(Act::Connects),
        2 => (1..8_u8, either()).prop_map(|(toggles, ends_paused)| Act::Storm { toggles, ends_paused }),
        2 => Just(Act::Timeout),
        1 => Just(Act::Outlast),
        2 => either().prop_map(|by_sdk| Act::Delete { by_sdk }),
        1 => Just(Act::DeleteOnTheWay),
        2 => Just(Act::Together),
        3 => (1..5_u8, either()).prop_map(|(write, after)| Act::Crash { write, after }),
    ]
}
