//! The watchers of a sandbox: made by clients, who come back for what has changed since they last asked.
//!
//! They outlive a pause, with what was not asked for yet, as the rest of a sandbox does.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::files::SandboxFiles;
use crate::watch::{Change, FolderWatch, WatchSpec};

/// Changes that wait for a client at most; older ones are forgotten.
const WAITING: usize = 16 << 10;

/// The watchers of one sandbox. Clones are handles to the same ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watchers(Arc<Mutex<BTreeMap<String, Watcher>>>);

#[derive(Debug)]
struct Watcher {
    spec: WatchSpec,
    waiting: Waiting,
    _watch: FolderWatch,
}

/// What a client has not taken yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waiting(Arc<Queue>);

#[derive(Debug, Default)]
struct Queue {
    changes: Mutex<VecDeque<Change>>,
    put: Notify,
}

/// The written form of a watcher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WatcherImage {
    id: String,
    spec: WatchSpec,
    waiting: Vec<Change>,
}

impl Waiting {
    pub(crate) fn put(&self, change: Change) {
        let mut waiting = self.lock();
        if waiting.len() >= WAITING {
            waiting.pop_front();
        }
        waiting.push_back(change);
        self.0.put.notify_one();
    }

    /// The oldest change, once there is one. It is taken by one that waits for this to its end only.
    pub(crate) async fn next(&self) -> Change {
        loop {
            let oldest = self.lock().pop_front();
            match oldest {
                Some(change) => return change,
                None => self.0.put.notified().await,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Change>> {
        // Nothing that holds the lock can panic half-way through a change.
        self.0.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<Vec<Change>> for Waiting {
    fn from(changes: Vec<Change>) -> Self {
        let changes = Mutex::new(changes.into());
        Self(Arc::new(Queue {
            changes,
            put: Notify::new(),
        }))
    }
}

impl Watcher {
    fn begin(root: &Path, files: &SandboxFiles, spec: WatchSpec, waiting: Waiting) -> io::Result<Self> {
        let told = waiting.clone();
        let watch = FolderWatch::begin(root, files, &spec, move |change| told.put(change))?;
        Ok(Self {
            spec,
            waiting,
            _watch: watch,
        })
    }
}

impl Watchers {
    /// A new watcher; gives its id.
    ///
    /// # Errors
    /// The folder cannot be watched.
    pub(crate) fn create(&self, root: &Path, files: &SandboxFiles, spec: WatchSpec) -> io::Result<String> {
        let id = format!("w{}", Uuid::new_v4().simple());
        let watcher = Watcher::begin(root, files, spec, Waiting::default())?;
        self.lock().insert(id.clone(), watcher);
        Ok(id)
    }

    /// What has changed since this was last asked; `None` if there is no such watcher.
    pub(crate) fn take(&self, id: &str) -> Option<(WatchSpec, Vec<Change>)> {
        let watchers = self.lock();
        let watcher = watchers.get(id)?;
        let changes = std::mem::take(&mut *watcher.waiting.lock());
        Some((watcher.spec.clone(), changes.into()))
    }

    /// Ends a watcher; says whether there was one.
    pub(crate) fn remove(&self, id: &str) -> bool {
        self.lock().remove(id).is_some()
    }

    /// All of them, to be written down.
    pub(crate) fn images(&self) -> Vec<WatcherImage> {
        let watchers = self.lock();
        let image = |(id, watcher): (&String, &Watcher)| WatcherImage {
            id: id.clone(),
            spec: watcher.spec.clone(),
            waiting: watcher.waiting.lock().iter().cloned().collect(),
        };
        watchers.iter().map(image).collect()
    }

    /// Watches again what was watched at the checkpoint. A folder that cannot be watched is left out, and that is logged.
    pub(crate) fn restore(&self, root: &Path, images: Vec<WatcherImage>) {
        if images.is_empty() {
            return;
        }
        let files = match SandboxFiles::open(root) {
            Ok(files) => files,
            Err(error) => {
                tracing::warn!(%error, "open the files of a restored sandbox to watch them");
                return;
            }
        };
        for WatcherImage { id, spec, waiting } in images {
            let path = spec.path.clone();
            match Watcher::begin(root, &files, spec, waiting.into()) {
                Ok(watcher) => drop(self.lock().insert(id, watcher)),
                Err(error) => tracing::warn!(%error, id, path = path.as_str(), "watch a folder again after a restore"),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Watcher>> {
        // Nothing that holds the lock can panic half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::files::SandboxPath;
    use crate::watch::ChangeKind;

    fn spec() -> WatchSpec {
        WatchSpec {
            path: SandboxPath::new("/"),
            recursive: false,
            include_entry: false,
        }
    }

    /// Waits until a watcher has been told of a file.
    fn hears_of(watchers: &Watchers, id: &str, name: &str) -> Vec<Change> {
        let begun = Instant::now();
        let mut heard = Vec::new();
        while !heard.iter().any(|change: &Change| change.name == name) {
            assert!(
                begun.elapsed() < Duration::from_secs(10),
                "{name} is not told: {heard:?}"
            );
            heard.extend(watchers.take(id).expect("a watcher").1);
            std::thread::yield_now();
        }
        heard
    }

    #[test]
    fn a_watcher_and_what_waits_in_it_outlive_a_checkpoint() {
        let root = tempfile::tempdir().expect("a directory");
        let files = SandboxFiles::open(root.path()).expect("opens");
        let before = Watchers::default();
        let id = before.create(root.path(), &files, spec()).expect("watches");
        std::fs::write(root.path().join("before"), "1").expect("written");
        let begun = Instant::now();
        while before.images()[0].waiting.is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(10), "nothing is told");
        }
        let images = before.images();
        assert!(before.remove(&id));

        let elsewhere = tempfile::tempdir().expect("a directory");
        let after = Watchers::default();
        after.restore(elsewhere.path(), images);
        std::fs::write(elsewhere.path().join("after"), "1").expect("written");
        let heard = hears_of(&after, &id, "after");
        let first = Change {
            kind: ChangeKind::Create,
            name: "before".to_owned(),
        };
        assert_eq!(heard.first(), Some(&first));
        assert_eq!(after.take("none"), None);
        assert!(after.remove(&id) && !after.remove(&id));
    }

    #[test]
    fn what_waits_is_bounded_and_the_oldest_is_forgotten() {
        let waiting = Waiting::default();
        for nth in 0..=WAITING {
            waiting.put(Change {
                kind: ChangeKind::Write,
                name: nth.to_string(),
            });
        }
        let waiting = waiting.lock();
        assert_eq!((waiting.len(), waiting[0].name.as_str()), (WAITING, "1"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_is_taken_oldest_first_and_once() {
        let waiting = Waiting::default();
        let change = |nth: usize| Change {
            kind: ChangeKind::Write,
            name: nth.to_string(),
        };
        let nothing = tokio::time::timeout(Duration::from_secs(1), waiting.next());
        nothing.await.expect_err("there is nothing");
        (0..WAITING + 2).for_each(|nth| waiting.put(change(nth)));
        for nth in 2..WAITING + 2 {
            assert_eq!(waiting.next().await, change(nth));
        }
        let next = tokio::time::timeout(Duration::from_secs(1), waiting.next());
        let (next, ()) = tokio::join!(next, async { waiting.put(change(0)) });
        assert_eq!(next.expect("it is told"), change(0));
    }
}
