//! What an agent tells the node that started it.

use serde::{Deserialize, Serialize};
use torpor_agent::LogLine;
use torpor_api::WorkloadState;

/// A line of the agent's standard output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AgentReport {
    /// How its workload is, at the start and on every change.
    Workload(WorkloadState),
    /// What its program printed, lines of earlier runs first.
    Log(LogLine),
}

impl AgentReport {
    /// One line, without its line break.
    ///
    /// # Errors
    /// None of its parts is known to fail; what the encoder says is passed on.
    pub fn to_line(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }

    /// Reads a line.
    ///
    /// # Errors
    /// It is no report.
    pub fn from_line(line: &str) -> serde_json::Result<Self> {
        serde_json::from_str(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_one_line_whatever_was_printed() {
        let line = LogLine {
            time: jiff::Timestamp::UNIX_EPOCH,
            text: "two\nlines".to_owned(),
        };
        let report = AgentReport::Log(line);
        let text = report.to_line().expect("a line");
        assert!(!text.contains('\n'), "{text}");
        assert_eq!(AgentReport::from_line(&text).expect("a report"), report);
    }
}
