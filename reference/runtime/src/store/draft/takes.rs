//! What takes the parts of a payload, and what is likely to be in it.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use super::flow;
use crate::chunks::Grain;
use crate::envelope::Entry;
use crate::store::depot::Depot;
use crate::store::pack::{PackError, Sieve, Survey};

/// What takes.
#[derive(Debug)]
pub(in crate::store) struct Takes {
    pub(in crate::store) depot: Arc<Depot>,
    pub(in crate::store) sieve: Sieve,
    parts: Mutex<Vec<Survey>>,
    /// What is in the depot since it is likely to be of use.
    likely: Mutex<Vec<Entry>>,
    failed: Mutex<Option<PackError>>,
}

/// What was taken.
pub(in crate::store) struct AllTaken {
    pub(in crate::store) depot: Arc<Depot>,
    pub(in crate::store) sieve: Sieve,
    pub(in crate::store) parts: Vec<Survey>,
    /// What is in the depot besides, likely to be of use.
    pub(in crate::store) likely: Vec<Entry>,
}

impl Takes {
    /// Puts what `sieve` finds new in the depot.
    pub(super) fn new(depot: Arc<Depot>, sieve: Sieve) -> Self {
        Self {
            depot,
            sieve,
            parts: Mutex::default(),
            likely: Mutex::default(),
            failed: Mutex::default(),
        }
    }

    /// Takes a part: its number and its bytes.
    pub(super) fn take(&self, grain: Grain, source: impl Read + Send) -> io::Result<(usize, u64)> {
        let (surveyed, done) = flow::take(self, grain, source);
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.push(surveyed);
        Ok((parts.len() - 1, done?))
    }

    /// Takes what is likely to be in the payload; gives its bytes, which are on disk then.
    pub(super) fn take_likely(&self, grain: Grain, source: impl Read + Send) -> io::Result<u64> {
        let (surveyed, done) = flow::take(self, grain, source);
        if self.has_failed() {
            return Err(io::Error::other("the store does not take it"));
        }
        self.depot.settle()?;
        let mut likely = self.likely.lock().unwrap_or_else(PoisonError::into_inner);
        likely.extend(surveyed.into_shelved());
        done
    }

    /// What was taken, in the order of its parts, and what was likely.
    ///
    /// # Errors
    /// The first thing that went wrong.
    pub(in crate::store) fn into_parts(self) -> Result<AllTaken, PackError> {
        let failed = self.failed.into_inner().unwrap_or_else(PoisonError::into_inner);
        let all = AllTaken {
            depot: self.depot,
            sieve: self.sieve,
            parts: self.parts.into_inner().unwrap_or_else(PoisonError::into_inner),
            likely: self.likely.into_inner().unwrap_or_else(PoisonError::into_inner),
        };
        failed.map_or(Ok(all), Err)
    }

    pub(in crate::store) fn fail(&self, error: PackError) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.get_or_insert(error);
    }

    pub(in crate::store) fn has_failed(&self) -> bool {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}
