//! A log of the requests, so that a test can ask who asked for what.

use crate::faults::RequestInfo;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// How many requests are kept.
const KEPT: usize = 10_000;

/// A request that was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoggedRequest {
    /// When it was answered, by the server's clock.
    pub at: Timestamp,
    /// What was asked, and by whom.
    #[serde(flatten)]
    pub request: RequestInfo,
    /// The HTTP status code; `None` if the answer was lost on purpose.
    pub code: Option<u16>,
}

/// The latest requests, oldest first.
#[derive(Debug, Default)]
pub(crate) struct RequestLog(Mutex<VecDeque<LoggedRequest>>);

impl RequestLog {
    pub(crate) fn note(&self, entry: LoggedRequest) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() == KEPT {
            entries.pop_front();
        }
        entries.push_back(entry);
    }

    pub(crate) fn entries(&self) -> Vec<LoggedRequest> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect()
    }
}
