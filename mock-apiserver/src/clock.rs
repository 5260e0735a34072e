//! Where the server gets the time from. Nothing else in this crate reads a clock.

use jiff::Timestamp;
use serde_json::Value;

/// A source of wall-clock time, asked once per request.
pub trait Clock: Send + Sync {
    /// The present instant; used for `creationTimestamp`, `deletionTimestamp`, conditions and managed fields.
    fn now(&self) -> Timestamp;
}

/// The clock of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// The instant as `metav1.Time` writes it: RFC 3339 in UTC with whole seconds.
pub(crate) fn meta_time(at: Timestamp) -> Value {
    Value::String(at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}
