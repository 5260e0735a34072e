//! Writes values as YAML on one line, as people would.

use serde_json::Value;

/// Words that YAML reads as something else than text.
const TAKEN: [&str; 8] = ["true", "false", "null", "yes", "no", "on", "off", "y"];

/// The value in flow style.
pub(super) fn flow(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields: Vec<_> = fields
                .iter()
                .map(|(name, value)| format!("{name}: {}", flow(value)))
                .collect();
            format!("{{{}}}", fields.join(", "))
        }
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(flow).collect();
            format!("[{}]", items.join(", "))
        }
        Value::String(text) if is_word(text) => text.clone(),
        // What JSON quotes, YAML reads the same.
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn is_word(text: &str) -> bool {
    let letters = text
        .chars()
        .all(|letter| letter.is_ascii_alphanumeric() || letter == '-');
    letters
        && text.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && !TAKEN.contains(&text.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_read_the_same() {
        let value = json!({"run": {"code": "a\nb", "text": "[1]", "n": 1, "on": true, "word": "yes", "plain": "e2b"}});
        let text = flow(&value);
        assert!(text.contains("plain: e2b"), "{text}");
        let read: Value = serde_saphyr::from_str(&text).expect("YAML");
        assert_eq!(read["run"]["word"], "yes");
        assert_eq!(read["run"]["code"], "a\nb");
    }
}
