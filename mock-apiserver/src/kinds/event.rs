//! Events: one stored object, shown by both `v1` and `events.k8s.io/v1`. It carries the fields of
//! both, kept equal by whoever writes; a client reads those that its version knows.

use serde_json::Value;

/// The same field by its name in `events.k8s.io/v1` and in `v1`.
const NAMES: [(&str, &str); 7] = [
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];

/// Copies what was written through `events.k8s.io/v1` to the fields of `v1`.
pub(super) fn show_in_core(event: &mut Value) {
    for (new, core) in NAMES {
        copy(event, new, core);
    }
}

/// Copies what was written through `v1` to the fields of `events.k8s.io/v1`.
pub(super) fn show_in_new(event: &mut Value) {
    for (new, core) in NAMES {
        copy(event, core, new);
    }
}

fn copy(event: &mut Value, from: &str, to: &str) {
    if let Some(fields) = event.as_object_mut()
        && let Some(value) = fields.get(from).filter(|value| !value.is_null()).cloned()
    {
        fields.insert(to.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_of_either_version_can_be_found_by_the_other() {
        let mut event = json!({ "regarding": { "name": "a" }, "note": "paused" });
        show_in_core(&mut event);
        assert_eq!(
            (&event["involvedObject"]["name"], &event["message"]),
            (&json!("a"), &json!("paused"))
        );
        event["message"] = json!("resumed");
        show_in_new(&mut event);
        assert_eq!(event["note"], "resumed", "the last writer decides");
    }
}
