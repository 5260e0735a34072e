//! What the real server answered, as it is kept in `fixtures/parity/recorded`.

use crate::sequence::Topic;
use libtest_mimic::Trial;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// What came of one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Outcome {
    /// The answer to a request.
    Answer {
        code: u16,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<String>,
        body: Value,
    },
    /// Events of a watch.
    Events { events: Vec<Value> },
}

/// The outcomes of all sequences of a topic.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Recording {
    /// The release of Kubernetes that answered.
    pub server: String,
    /// By the name of the sequence.
    pub sequences: BTreeMap<String, Vec<Outcome>>,
}

impl Recording {
    /// An absent file is an empty recording.
    pub fn read(path: &Path) -> Self {
        let Ok(text) = std::fs::read_to_string(path) else {
            return Self::default();
        };
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Writes one outcome a line, so that a change shows as one.
    pub fn write(&self, path: &Path) {
        let mut text = format!("{{\"server\":{},\"sequences\":{{", Value::from(self.server.as_str()));
        for (index, (name, outcomes)) in self.sequences.iter().enumerate() {
            let lines: Vec<String> = outcomes
                .iter()
                .map(|outcome| serde_json::to_string(outcome).unwrap())
                .collect();
            let separator = if index == 0 { "" } else { "," };
            write!(
                text,
                "{separator}\n{}:[\n{}]",
                Value::from(name.as_str()),
                lines.join(",\n")
            )
            .unwrap();
        }
        std::fs::write(path, text + "}}\n").unwrap();
    }
}

/// Fails if a recording is left over from a sequence that is gone.
pub fn completeness(topic: &Topic, recording: &Recording) -> Trial {
    let stale: Vec<String> = recording
        .sequences
        .keys()
        .filter(|name| !topic.sequences.iter().any(|sequence| sequence.name == **name))
        .cloned()
        .collect();
    Trial::test(format!("{}: every recording has its sequence", topic.name), move || {
        if stale.is_empty() {
            Ok(())
        } else {
            Err(format!("no sequences any more: {}", stale.join(", ")).into())
        }
    })
}

/// Where two runs of a sequence part, in words.
pub fn difference(expected: &[Outcome], actual: &[Outcome]) -> Option<String> {
    if expected.len() != actual.len() {
        return Some(format!(
            "{} outcomes are recorded, {} were seen; record again",
            expected.len(),
            actual.len()
        ));
    }
    let mut text = String::new();
    for (index, (expected, actual)) in expected.iter().zip(actual).enumerate() {
        let (expected, actual) = (
            serde_json::to_value(expected).unwrap(),
            serde_json::to_value(actual).unwrap(),
        );
        let mut parts = Vec::new();
        compare("", &expected, &actual, &mut parts);
        for part in parts {
            writeln!(text, "step {} {part}", index + 1).unwrap();
        }
    }
    (!text.is_empty()).then_some(text)
}

fn compare(path: &str, expected: &Value, actual: &Value, parts: &mut Vec<String>) {
    match (expected, actual) {
        (Value::Object(before), Value::Object(after)) => {
            let keys: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            for key in keys {
                let path = format!("{path}/{key}");
                match (before.get(key), after.get(key)) {
                    (Some(expected), Some(actual)) => compare(&path, expected, actual, parts),
                    (expected, actual) => parts.push(format!(
                        "{path}\n  real: {}\n  mock: {}",
                        shown(expected),
                        shown(actual)
                    )),
                }
            }
        }
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
            for (index, (expected, actual)) in before.iter().zip(after).enumerate() {
                compare(&format!("{path}/{index}"), expected, actual, parts);
            }
        }
        (expected, actual) if expected != actual => {
            parts.push(format!("{path}\n  real: {expected}\n  mock: {actual}"));
        }
        _ => {}
    }
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "(absent)".to_owned(), Value::to_string)
}
