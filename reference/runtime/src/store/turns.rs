//! Who of one program may seal and who may remove, of each sandbox by itself.
//!
//! A removal waits for the seals of its sandbox that this program has under way, also those whose callers gave up, and
//! for nobody else's: one store is behind all sandboxes of a controller, and one request to it may take half a minute.
//! What other programs do meanwhile is told in [`super::attempt`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::RwLock;

/// Held shared to seal and exclusively to remove; guards no data.
pub(super) type Turn = Arc<RwLock<()>>;

/// The turns of all sandboxes that anybody is at.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<String, Weak<RwLock<()>>>>);

impl Turns {
    /// That of one sandbox.
    pub(super) fn of(&self, sandbox_uid: &str) -> Turn {
        // A map of weak handles is whole whoever panicked.
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(sandbox_uid).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Turn::default();
        turns.insert(sandbox_uid.to_owned(), Arc::downgrade(&turn));
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_of_one_sandbox_wait_for_each_other_and_for_nobody_else() {
        let turns = Turns::default();
        let one = turns.of("one");
        let sealing = one.try_read().expect("nobody removes");
        assert!(turns.of("one").try_write().is_err());
        assert!(turns.of("other").try_write().is_ok());
        drop(sealing);
        assert!(turns.of("one").try_write().is_ok());
    }

    #[test]
    fn a_sandbox_that_nobody_is_at_is_forgotten() {
        let turns = Turns::default();
        let one = turns.of("one");
        drop(turns.of("two"));
        drop(turns.of("three"));
        assert!(Arc::ptr_eq(&one, &turns.of("one")));
        let known = turns.0.lock().expect("whole");
        assert!(!known.contains_key("two") && known.len() <= 2, "{known:?}");
    }
}
