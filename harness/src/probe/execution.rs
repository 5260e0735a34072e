//! What a code interpreter answers: one JSON value per line.

use serde_json::Value;

/// The outcome of an execution.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Execution {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// Text of the main result.
    pub(crate) text: Option<String>,
    pub(crate) error: Option<ExecutionError>,
    /// Whether the end was announced.
    pub(crate) ended: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExecutionError {
    pub(crate) name: String,
    pub(crate) value: String,
}

impl Execution {
    /// Reads an answer.
    ///
    /// # Errors
    /// The first line that is not JSON, with its number.
    pub(crate) fn parse(answer: &str) -> Result<Self, String> {
        let mut execution = Self::default();
        for (index, line) in answer.lines().enumerate() {
            let event: Value = serde_json::from_str(line)
                .map_err(|error| format!("line {} of the answer is not JSON ({error}): {line:?}", index + 1))?;
            execution.take(&event);
        }
        Ok(execution)
    }

    fn take(&mut self, event: &Value) {
        let text = |field: &str| event.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        match event.get("type").and_then(Value::as_str).unwrap_or_default() {
            "stdout" => self.stdout.push_str(&text("text")),
            "stderr" => self.stderr.push_str(&text("text")),
            "result" if event["is_main_result"] == Value::Bool(true) => self.text = Some(text("text")),
            "error" => {
                self.error = Some(ExecutionError {
                    name: text("name"),
                    value: text("value"),
                });
            }
            "end_of_execution" => self.ended = true,
            // Clients ignore what they do not know.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_result_and_error_are_told_apart_and_unknown_events_ignored() {
        let answer = r#"{"type":"number_of_executions","execution_count":1}
{"type":"stdout","text":"a\n","timestamp":"t"}
{"type":"result","is_main_result":false,"text":"no"}
{"type":"result","is_main_result":true,"text":"3"}
{"type":"error","name":"NameError","value":"v","traceback":""}
{"type":"end_of_execution"}"#;
        let execution = Execution::parse(answer).unwrap();
        assert_eq!(
            (execution.stdout.as_str(), execution.text.as_deref()),
            ("a\n", Some("3"))
        );
        assert_eq!(execution.error.unwrap().name, "NameError");
        assert!(execution.ended);
    }

    #[test]
    fn a_blank_line_is_an_error_as_it_is_for_the_sdk() {
        assert!(
            Execution::parse("{\"type\":\"stdout\",\"text\":\"\"}\n\n{}")
                .unwrap_err()
                .contains("line 2")
        );
    }
}
