//! What agents outside this process say of themselves, told apart by their Pods.

/// A line that the agent of a Pod (`namespace/name`) wrote to its standard error: a log line in JSON gets the Pod as a
/// field, any other has it in front.
#[must_use]
pub fn said_in(pod: &str, line: &str) -> String {
    match line.strip_prefix("{\"") {
        Some(fields) if line.ends_with('}') => format!("{{\"pod\":\"{pod}\",\"{fields}"),
        Some(_) | None => format!("{pod}: {line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_in_json_stays_json_and_both_kinds_name_the_pod() {
        let said = said_in("default/a", r#"{"level":"INFO","fields":{}}"#);
        let json: serde_json::Value = serde_json::from_str(&said).expect("JSON");
        assert_eq!((&json["pod"], &json["level"]), (&"default/a".into(), &"INFO".into()));
        for line in ["", "{", "{}", "{\"cut", "thread 'main' panicked"] {
            assert_eq!(said_in("default/a", line), format!("default/a: {line}"));
        }
    }
}
