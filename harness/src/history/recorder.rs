//! Writes the record: one journal per case, and a watch for each kind that feeds it.

use std::sync::{Arc, Mutex, PoisonError};

use futures::{Stream, StreamExt as _};
use jiff::Timestamp;
use kube::Api;
use kube::api::{DynamicObject, ListParams, WatchEvent, WatchParams};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Change, Entry, History, Occurrence, Watched};

/// The record of a running case. Cheap to clone; all clones write to the same record.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    entries: Arc<Mutex<Vec<Entry>>>,
    secrets: Arc<Mutex<Vec<String>>>,
    changed: Arc<watch::Sender<()>>,
}

impl Journal {
    pub(crate) fn new() -> Self {
        Self {
            secrets: Arc::default(),
            entries: Arc::default(),
            changed: Arc::new(watch::Sender::new(())),
        }
    }

    pub(crate) fn note(&self, what: Occurrence) {
        let news = matches!(what, Occurrence::Change(_));
        let entry = Entry {
            at: now(),
            what: self.without_secrets(what),
        };
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
        if news {
            self.changed.send_replace(());
        }
    }

    /// Keeps a key or token out of the record from now on.
    pub(crate) fn hide(&self, secret: &str) {
        if !secret.is_empty() {
            self.secrets
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(secret.to_owned());
        }
    }

    /// A text in which every hidden secret is `***`.
    pub(crate) fn redact(&self, text: &str) -> String {
        let secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        secrets
            .iter()
            .fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "***"))
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
            Occurrence::Probe { what, value } => Occurrence::Probe {
                what,
                value: hide(value),
            },
            change @ (Occurrence::Change(_) | Occurrence::WatchLost { .. }) => change,
        }
    }

    /// Wakes up at each change that a watch reports from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    pub(crate) fn history(&self) -> History {
        History {
            entries: self.entries.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

/// The one place that reads the wall clock.
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// A watch that writes every change to a journal until it is dropped.
pub(crate) struct WatchRecorder {
    task: JoinHandle<()>,
}

impl WatchRecorder {
    /// Watches from this moment on. What exists already is noted first.
    pub(crate) async fn start(api: Api<DynamicObject>, object: Watched, journal: Journal) -> Result<Self, kube::Error> {
        let list = api.list(&ListParams::default()).await?;
        let revision = list.metadata.resource_version.unwrap_or_default();
        for item in list.items {
            note(&journal, object, false, &item);
        }
        let task = tokio::spawn(async move {
            if let Err(error) = follow(&api, object, &journal, revision).await {
                journal.note(Occurrence::WatchLost {
                    message: format!("watch of {object:?}: {error}"),
                });
            }
        });
        Ok(Self { task })
    }
}

impl Drop for WatchRecorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How often a watch may fail to open in a row.
const TRIES: u32 = 5;

async fn follow(
    api: &Api<DynamicObject>,
    object: Watched,
    journal: &Journal,
    mut revision: String,
) -> Result<(), kube::Error> {
    let mut failures = 0;
    loop {
        match api.watch(&WatchParams::default().timeout(240), &revision).await {
            Ok(stream) => {
                failures = 0;
                revision = drain(stream, object, journal, revision).await?;
            }
            Err(error) if failures + 1 >= TRIES => return Err(error),
            Err(_) => {
                failures += 1;
                tokio::time::sleep(std::time::Duration::from_millis(100 << failures)).await;
            }
        }
    }
}

/// Notes what a stream reports; gives the revision from which the next one goes on.
async fn drain(
    stream: impl Stream<Item = Result<WatchEvent<DynamicObject>, kube::Error>>,
    object: Watched,
    journal: &Journal,
    mut revision: String,
) -> Result<String, kube::Error> {
    let mut stream = std::pin::pin!(stream);
    while let Some(event) = stream.next().await {
        let (deleted, item) = match event {
            Ok(WatchEvent::Added(item) | WatchEvent::Modified(item)) => (false, item),
            Ok(WatchEvent::Deleted(item)) => (true, item),
            Ok(WatchEvent::Bookmark(bookmark)) => {
                revision = bookmark.metadata.resource_version;
                continue;
            }
            Ok(WatchEvent::Error(status)) => return Err(kube::Error::Api(status)),
            // A broken connection: the next watch goes on from the last revision.
            Err(_) => break,
        };
        revision = item.metadata.resource_version.clone().unwrap_or(revision);
        note(journal, object, deleted, &item);
    }
    Ok(revision)
}

fn note(journal: &Journal, object: Watched, deleted: bool, item: &DynamicObject) {
    if let Ok(state) = serde_json::to_value(item) {
        journal.note(Occurrence::Change(Change { object, deleted, state }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hidden_secret_is_in_no_text_of_the_record() {
        let journal = Journal::new();
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
        let record = serde_json::to_string(&journal.history()).unwrap();
        assert!(!record.contains("s3cret") && record.contains("is ***"), "{record}");
    }
}
