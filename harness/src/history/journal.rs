//! The record of a running case.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;

use super::{Change, Entry, HIDDEN, History, Occurrence};

/// The record of a running case. Cheap to clone; all clones write to the same record.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    entries: Arc<Mutex<Vec<Entry>>>,
    secrets: Arc<Mutex<Vec<String>>>,
    /// Names of the sandboxes that the case made.
    own: Arc<Mutex<BTreeSet<String>>>,
    changed: Arc<watch::Sender<()>>,
}

impl Journal {
    pub(crate) fn new() -> Self {
        Self {
            secrets: Arc::default(),
            entries: Arc::default(),
            own: Arc::default(),
            changed: Arc::new(watch::Sender::new(())),
        }
    }

    pub(crate) fn note(&self, what: Occurrence) {
        let what = self.without_secrets(what);
        lock(&self.entries).push(Entry { at: now(), what });
    }

    /// Notes a change of an object that belongs to the sandbox of that name. Every change is
    /// noted, since whose it is may turn out later; only those of the case's own wake it up.
    pub(super) fn note_change(&self, change: Change, sandbox: &str) {
        self.note(Occurrence::Change(change));
        if lock(&self.own).contains(sandbox) {
            self.changed.send_replace(());
        }
    }

    /// Says that the case made a sandbox of that name.
    pub(crate) fn owns(&self, sandbox: &str) {
        lock(&self.own).insert(sandbox.to_owned());
        // It may have changed already.
        self.changed.send_replace(());
    }

    /// Keeps a key or token out of the record.
    pub(crate) fn hide(&self, secret: &str) {
        if !secret.is_empty() {
            lock(&self.secrets).push(secret.to_owned());
        }
    }

    /// A text in which every hidden secret is `***`.
    pub(crate) fn redact(&self, text: &str) -> String {
        let secrets = lock(&self.secrets);
        secrets
            .iter()
            .fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), HIDDEN))
    }

    fn without_secrets(&self, what: Occurrence) -> Occurrence {
        let hide = |text: String| self.redact(&text);
        match what {
            Occurrence::StepStarted { path, text } => Occurrence::StepStarted { path, text: hide(text) },
            Occurrence::StepEnded { path, fault } => Occurrence::StepEnded {
                path,
                fault: fault.map(hide),
            },
            Occurrence::Request {
                method,
                path,
                status,
                millis,
            } => Occurrence::Request {
                method,
                path: hide(path),
                status,
                millis,
            },
            Occurrence::Command {
                number,
                sandbox,
                command,
                value,
                lost,
            } => Occurrence::Command {
                number,
                sandbox,
                command: hide(command),
                value: value.map(hide),
                lost: lost.map(hide),
            },
            Occurrence::Probe { what, value } => Occurrence::Probe {
                what,
                value: hide(value),
            },
            change @ (Occurrence::Change(_) | Occurrence::WatchLost { .. }) => change,
        }
    }

    /// Wakes up at each change of the case's own sandboxes that a watch reports from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Everything so far.
    pub(crate) fn history(&self) -> History {
        History {
            entries: lock(&self.entries).clone(),
        }
    }

    /// Takes the secrets out of the objects of a history, too, also those that were learned
    /// of after an object was noted.
    pub(crate) fn hide_secrets_in(&self, history: &mut History) {
        for entry in &mut history.entries {
            if let Occurrence::Change(change) = &mut entry.what {
                let text = change.state.to_string();
                if lock(&self.secrets).iter().any(|secret| text.contains(secret.as_str())) {
                    let mut state = (*change.state).clone();
                    self.redact_value(&mut state);
                    change.state = Arc::new(state);
                }
            } else {
                entry.what = self.without_secrets(entry.what.clone());
            }
        }
    }

    fn redact_value(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.redact(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.redact_value(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.redact_value(field)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The one place that reads the wall clock.
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::history::Watched;

    #[test]
    fn a_hidden_secret_is_in_no_text_of_the_record() {
        let journal = Journal::new();
        let object = json!({"metadata": {"annotations": {"token": "s3cret"}, "labels": ["is s3cret"]}, "n": 1});
        journal.note(Occurrence::Change(Change {
            object: Watched::Sandbox,
            deleted: false,
            state: Arc::new(object),
        }));
        journal.hide("s3cret");
        journal.hide("");
        journal.note(Occurrence::Probe {
            what: "token".to_owned(),
            value: "is s3cret".to_owned(),
        });
        journal.note(Occurrence::StepEnded {
            path: "1".to_owned(),
            fault: Some("s3cret, s3cret".to_owned()),
        });
        let mut history = journal.history();
        journal.hide_secrets_in(&mut history);
        let record = serde_json::to_string(&history).unwrap();
        assert!(!record.contains("s3cret") && record.contains("is ***"), "{record}");
    }

    #[test]
    fn only_changes_of_its_own_sandboxes_wake_a_case_and_all_are_noted() {
        let journal = Journal::new();
        let change = || Change {
            object: Watched::Pod,
            deleted: false,
            state: Arc::new(json!({})),
        };
        journal.owns("mine");
        let changes = journal.changes();
        journal.note_change(change(), "other");
        assert!(!changes.has_changed().unwrap());
        journal.note_change(change(), "mine");
        assert!(changes.has_changed().unwrap());
        assert_eq!(journal.history().changes().len(), 2);
    }
}
