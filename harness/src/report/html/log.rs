//! The commands that sandboxes carried out in a case, each with what it was acknowledged with.

use maud::{Markup, html};

use crate::history::Occurrence;
use crate::report::CaseReport;

/// The log; nothing of a case without commands.
pub(super) fn section(case: &CaseReport) -> Markup {
    let commands = case.history.entries.iter().filter_map(|entry| match &entry.what {
        Occurrence::Command {
            number,
            sandbox,
            command,
            value,
            lost,
        } => Some((
            *number,
            sandbox.as_str(),
            command.as_str(),
            value.as_deref(),
            lost.as_deref(),
        )),
        Occurrence::StepStarted { .. }
        | Occurrence::StepEnded { .. }
        | Occurrence::Request { .. }
        | Occurrence::Change(_)
        | Occurrence::Probe { .. }
        | Occurrence::WatchLost { .. } => None,
    });
    let commands: Vec<_> = commands.collect();
    html! {
        @if !commands.is_empty() {
            details.log open {
                summary { "The log of its " (commands.len()) " commands" }
                table.events {
                    @for (number, sandbox, command, value, lost) in commands {
                        tr class=(if lost.is_some() { "fault" } else { "probe" }) {
                            td.number { (number) }
                            td.kind { (sandbox) }
                            td { (command) (became(value, lost)) }
                        }
                    }
                }
            }
        }
    }
}

/// What came of a command.
pub(super) fn became(value: Option<&str>, lost: Option<&str>) -> Markup {
    html! {
        @match (value, lost) {
            (_, Some(why)) => { " has no answer: " (why) },
            (Some(value), None) => { " → " code { (value) } },
            (None, None) => { " done" },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Entry, History};
    use crate::report::Outcome;

    #[test]
    fn every_command_is_shown_with_what_it_was_answered() {
        let case: CaseReport = serde_json::from_value(serde_json::json!({
            "id": "a", "title": "A claim", "requirements": [], "result": Outcome::Fail, "seconds": 0.0,
        }))
        .unwrap();
        let command = |number, value: Option<&str>, lost: Option<&str>| Entry {
            at: jiff::Timestamp::UNIX_EPOCH,
            what: Occurrence::Command {
                number,
                sandbox: "sandbox".to_owned(),
                command: "counter count: add 3".to_owned(),
                value: value.map(str::to_owned),
                lost: lost.map(str::to_owned),
            },
        };
        assert!(section(&case).into_string().is_empty());
        let entries = vec![command(1, Some("3"), None), command(2, None, Some("no answer <b>"))];
        let shown = section(&CaseReport {
            history: History { entries },
            ..case
        })
        .into_string();
        assert!(
            shown.contains("The log of its 2 commands") && shown.contains("<code>3</code>"),
            "{shown}"
        );
        assert!(shown.contains("has no answer: no answer &lt;b&gt;"), "{shown}");
    }
}
