//! The watches of a run: one for each kind of object, whatever the number of cases, and every
//! case notes what they report.
//!
//! ```text
//! list ─▶ watch ─▶ watch from the last revision … ─▶ lost: every case has a gap ─▶ list
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use kube::Api;
use kube::api::{DynamicObject, ListParams, WatchEvent, WatchParams};
use tokio::task::JoinSet;

use super::{Change, Journal, Occurrence, Owner, Watched};

/// How often a watch may fail to open in a row.
const TRIES: u32 = 5;
/// How long to rest before a watch or list is tried again, after the first failure.
const FIRST_REST: Duration = Duration::from_millis(100);

/// Watches that go on until they are dropped.
pub(crate) struct Watches {
    listeners: Arc<Mutex<Listeners>>,
    _tasks: JoinSet<()>,
}

/// Who notes what the watches report.
#[derive(Default)]
struct Listeners {
    journals: BTreeMap<u64, Journal>,
    next: u64,
    /// Kinds whose watch is interrupted, with why: a record that starts now has a gap.
    lost: BTreeMap<Watched, String>,
}

/// A case that notes what the watches report, until it is dropped.
pub(crate) struct Listening {
    listeners: Arc<Mutex<Listeners>>,
    id: u64,
}

impl Watches {
    /// Watches from now on; whatever exists already is none of a case's own. The owner of a
    /// Pod is the object of that kind that controls it.
    pub(crate) async fn start(apis: Vec<(Watched, Api<DynamicObject>)>, owner_kind: &str) -> Self {
        let listeners = Arc::new(Mutex::new(Listeners::default()));
        let mut tasks = JoinSet::new();
        for (object, api) in apis {
            let watch = Watch {
                object,
                api,
                owner_kind: owner_kind.to_owned(),
                listeners: Arc::clone(&listeners),
            };
            let revision = watch.list().await;
            tasks.spawn(watch.run(revision));
        }
        Self {
            listeners,
            _tasks: tasks,
        }
    }

    /// Lets a case note every change from now on.
    pub(crate) fn listen(&self, journal: Journal) -> Listening {
        let mut listeners = lock(&self.listeners);
        for message in listeners.lost.values() {
            journal.note(Occurrence::WatchLost {
                message: message.clone(),
            });
        }
        let id = listeners.next;
        listeners.next += 1;
        listeners.journals.insert(id, journal);
        drop(listeners);
        Listening {
            listeners: Arc::clone(&self.listeners),
            id,
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        lock(&self.listeners).journals.remove(&self.id);
    }
}

struct Watch {
    object: Watched,
    api: Api<DynamicObject>,
    owner_kind: String,
    listeners: Arc<Mutex<Listeners>>,
}

impl Watch {
    async fn run(self, mut revision: Option<String>) {
        let mut failures = 0;
        loop {
            if let Some(from) = revision.take() {
                failures = 0;
                if let Err(error) = self.follow(from).await {
                    self.lose(&error);
                }
            } else {
                rest(failures).await;
                failures = (failures + 1).min(TRIES);
            }
            revision = self.list().await;
        }
    }

    /// The revision to watch from, if the API answers.
    async fn list(&self) -> Option<String> {
        match self.api.list(&ListParams::default().limit(1)).await {
            Ok(list) => {
                lock(&self.listeners).lost.remove(&self.object);
                Some(list.metadata.resource_version.unwrap_or_default())
            }
            Err(error) => {
                self.lose(&error);
                None
            }
        }
    }

    /// Tells every case that its record has a gap.
    fn lose(&self, error: &kube::Error) {
        let message = format!("watch of {:?}: {error}", self.object);
        let mut listeners = lock(&self.listeners);
        for journal in listeners.journals.values() {
            journal.note(Occurrence::WatchLost {
                message: message.clone(),
            });
        }
        listeners.lost.insert(self.object, message);
    }

    async fn follow(&self, mut revision: String) -> Result<(), kube::Error> {
        let mut failures = 0;
        loop {
            match self.api.watch(&WatchParams::default().timeout(240), &revision).await {
                Ok(stream) => {
                    failures = 0;
                    revision = self.drain(stream, revision).await?;
                }
                Err(error) if failures + 1 >= TRIES => return Err(error),
                Err(_) => {
                    rest(failures).await;
                    failures += 1;
                }
            }
        }
    }

    /// Notes what a stream reports; gives the revision from which the next one goes on.
    async fn drain(
        &self,
        stream: impl Stream<Item = Result<WatchEvent<DynamicObject>, kube::Error>>,
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
            self.note(deleted, &item);
        }
        Ok(revision)
    }

    fn note(&self, deleted: bool, item: &DynamicObject) {
        let Ok(state) = serde_json::to_value(item) else {
            return;
        };
        let state = Arc::new(state);
        let owner = Owner::of(&state, &self.owner_kind).map(|owner| owner.name);
        let sandbox = owner.or(item.metadata.name.as_deref()).unwrap_or_default();
        for journal in lock(&self.listeners).journals.values() {
            let change = Change {
                object: self.object,
                deleted,
                state: Arc::clone(&state),
            };
            journal.note_change(change, sandbox);
        }
    }
}

/// Rests longer after each failure in a row.
async fn rest(failures: u32) {
    tokio::time::sleep(FIRST_REST * 2_u32.saturating_pow(failures)).await;
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
