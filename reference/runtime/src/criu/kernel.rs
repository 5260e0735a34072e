//! What is said to a kernel and what it says: JSON lines, as `kernel.py` documents them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::engine::ExecutionEvent;

/// The program of a kernel.
pub(super) const SCRIPT: &str = include_str!("kernel.py");

/// Code for a kernel.
#[derive(Debug, Serialize)]
pub(super) struct KernelRequest<'a> {
    pub(super) id: u64,
    pub(super) code: &'a str,
    pub(super) env: &'a BTreeMap<String, String>,
}

impl KernelRequest<'_> {
    pub(super) fn to_line(&self) -> Vec<u8> {
        // Strings and numbers have a JSON form.
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

/// What a kernel says of one execution.
#[derive(Debug, Deserialize)]
pub(super) struct KernelLine {
    /// Absent before the first one.
    pub(super) id: Option<u64>,
    #[serde(flatten)]
    pub(super) event: KernelEvent,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum KernelEvent {
    Started,
    Stdout {
        text: String,
    },
    Stderr {
        text: String,
    },
    Display {
        formats: Map<String, Value>,
        is_main: bool,
    },
    Error {
        name: String,
        value: String,
        traceback: String,
    },
    Ended {
        executions: u64,
    },
}

impl KernelEvent {
    /// For whoever sent the code; `None` for what concerns nobody else.
    pub(super) fn into_execution_event(self) -> Option<ExecutionEvent> {
        Some(match self {
            Self::Started => return None,
            Self::Stdout { text } => ExecutionEvent::Stdout(text),
            Self::Stderr { text } => ExecutionEvent::Stderr(text),
            Self::Display { formats, is_main } => match plain_text(&formats, is_main) {
                Some(text) => ExecutionEvent::Result(text),
                None => ExecutionEvent::Display { formats, is_main },
            },
            Self::Error { name, value, traceback } => ExecutionEvent::Error { name, value, traceback },
            Self::Ended { executions } => ExecutionEvent::Ended { executions },
        })
    }
}

/// The text of a value that has no other form.
fn plain_text(formats: &Map<String, Value>, is_main: bool) -> Option<String> {
    let text = formats.get("text/plain")?.as_str()?;
    (is_main && formats.len() == 1).then(|| text.to_owned())
}

/// Cuts what comes in pieces into lines; what follows the last line break waits for the next piece.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    pub(super) fn begun_with(partial: &[u8]) -> Self {
        Self {
            partial: partial.to_vec(),
        }
    }

    pub(super) fn partial(&self) -> &[u8] {
        &self.partial
    }

    /// What is there of a line that has no end yet, if it is longer than `limit`.
    pub(super) fn cut(&mut self, limit: usize) -> Option<Vec<u8>> {
        (self.partial.len() > limit).then(|| std::mem::take(&mut self.partial))
    }

    /// The lines that `piece` completes, without their line breaks.
    pub(super) fn push(&mut self, piece: &[u8]) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        let mut rest = piece;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(&rest[..end]);
            lines.push(std::mem::take(&mut self.partial));
            rest = &rest[end + 1..];
        }
        self.partial.extend_from_slice(rest);
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_put_together_from_pieces() {
        let mut lines = Lines::begun_with(b"a");
        assert!(lines.push(b"b").is_empty());
        assert_eq!(lines.push(b"c\nd\n\ne"), [b"abc".to_vec(), b"d".to_vec(), Vec::new()]);
        assert_eq!(lines.partial(), b"e");
        assert_eq!((lines.cut(1), lines.cut(0)), (None, Some(b"e".to_vec())));
        assert!(lines.partial().is_empty());
    }

    #[test]
    fn events_are_read_by_their_type() {
        let line = r#"{"id": 3, "type": "display", "formats": {"text/plain": "4"}, "is_main": true}"#;
        let line: KernelLine = serde_json::from_str(line).expect("a line");
        assert_eq!(line.id, Some(3));
        assert_eq!(
            line.event.into_execution_event(),
            Some(ExecutionEvent::Result("4".to_owned()))
        );
    }
}
