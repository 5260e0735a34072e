//! An Event of a sandbox.

/// What is read of an Event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventSeen {
    /// Its type: `Normal` or `Warning`.
    pub(crate) kind: String,
    pub(crate) reason: String,
    pub(crate) message: String,
}

impl EventSeen {
    pub(crate) fn is_warning(&self) -> bool {
        self.kind == "Warning"
    }
}

impl std::fmt::Display for EventSeen {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}: {}", self.reason, self.message)
    }
}
