//! The events of an execution as E2B's clients read them: a JSON object on a line each. Pure but for the time of output.

use axum::body::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use torpor_runtime::ExecutionEvent;

/// MIME types and what E2B calls them.
const NAMED_FORMATS: [(&str, &str); 10] = [
    ("text/plain", "text"),
    ("text/html", "html"),
    ("text/markdown", "markdown"),
    ("image/svg+xml", "svg"),
    ("image/png", "png"),
    ("image/jpeg", "jpeg"),
    ("application/pdf", "pdf"),
    ("text/latex", "latex"),
    ("application/json", "json"),
    ("application/javascript", "javascript"),
];

/// An event as a client reads it; the last one also says that it is.
pub(super) fn event_lines(event: ExecutionEvent) -> Bytes {
    let ended = matches!(event, ExecutionEvent::Ended { .. });
    let told = line(&event_json(event));
    if ended {
        [told, line(&json!({ "type": "end_of_execution" }))].concat().into()
    } else {
        told
    }
}

fn event_json(event: ExecutionEvent) -> Value {
    match event {
        ExecutionEvent::Stdout(text) => {
            json!({ "type": "stdout", "text": text, "timestamp": Timestamp::now().to_string() })
        }
        ExecutionEvent::Stderr(text) => {
            json!({ "type": "stderr", "text": text, "timestamp": Timestamp::now().to_string() })
        }
        ExecutionEvent::Display { formats, is_main } => display_json(formats, is_main),
        ExecutionEvent::Result(text) => json!({ "type": "result", "is_main_result": true, "text": text }),
        ExecutionEvent::Error { name, value, traceback } => {
            json!({ "type": "error", "name": name, "value": value, "traceback": traceback })
        }
        ExecutionEvent::Ended { executions } => {
            json!({ "type": "number_of_executions", "execution_count": executions })
        }
    }
}

/// A result under the names that E2B has for MIME types; formats that it has no name for are in `extra`.
fn display_json(formats: Map<String, Value>, is_main: bool) -> Value {
    let mut result = json!({ "type": "result", "is_main_result": is_main });
    let mut extra = Map::new();
    for (mime, value) in formats {
        match NAMED_FORMATS.iter().find(|(known, _)| *known == mime) {
            Some((_, name)) => result[*name] = value,
            None => drop(extra.insert(mime, value)),
        }
    }
    if !extra.is_empty() {
        result["extra"] = extra.into();
    }
    result
}

/// A value on a line of its own.
pub(super) fn line(value: &Value) -> Bytes {
    format!("{value}\n").into()
}
