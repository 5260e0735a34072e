//! Whether the data holds what a report holds, and nothing else.

use serde_json::Value;

use super::Finding;
use crate::report::FoundReport;

/// Most findings of this kind: whoever sees so many needs no more.
const MOST: usize = 10;

/// Where the data differs from what this version would write for what it says.
pub(super) fn findings(found: &FoundReport) -> Vec<Finding> {
    let written = serde_json::to_value(&found.report).unwrap_or_default();
    let mut findings = Vec::new();
    compare(&found.data, &written, String::new(), &mut findings);
    findings.truncate(MOST);
    findings
}

fn compare(found: &Value, written: &Value, pointer: String, findings: &mut Vec<Finding>) {
    let mut wrong = |pointer: String, what: &str| {
        findings.push(Finding::Layout {
            pointer,
            what: what.to_owned(),
        });
    };
    match (found, written) {
        (Value::Object(found), Value::Object(written)) => {
            for (key, value) in found {
                let place = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
                match written.get(key) {
                    None => findings.push(Finding::Layout {
                        pointer: place,
                        what: "no report has that field".to_owned(),
                    }),
                    Some(expected) => compare(value, expected, place, findings),
                }
            }
        }
        (Value::Array(found), Value::Array(written)) if found.len() == written.len() => {
            for (index, (value, expected)) in found.iter().zip(written).enumerate() {
                compare(value, expected, format!("{pointer}/{index}"), findings);
            }
        }
        // `1` and `1.0` are one number.
        (Value::Number(one), Value::Number(other)) if one.as_f64() == other.as_f64() => {}
        (one, other) if one == other => {}
        (_, _) => wrong(pointer, "it is not written as a report writes it"),
    }
}
