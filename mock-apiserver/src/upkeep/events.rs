//! Events do not stay: each goes some time after it was last written.
//!
//! Nobody waits for that moment. Every request begins with a look at the oldest Event, so that what it sees does not depend on timing.

use crate::catalog::Resource;
use crate::clock::Clock;
use crate::core::Core;
use crate::store::{Change, Event as Happened, ObjectName};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long the API server of a cluster keeps Events.
const USUAL: SignedDuration = SignedDuration::from_hours(1);

/// When the Events that are there were last written, by the revision of that write: the oldest comes first.
#[derive(Debug)]
pub(crate) struct EventAges {
    written: BTreeMap<u64, (Timestamp, ObjectName)>,
    /// How long they stay; for ever if absent.
    kept: Option<SignedDuration>,
}

impl Default for EventAges {
    fn default() -> Self {
        Self {
            written: BTreeMap::new(),
            kept: Some(USUAL),
        }
    }
}

impl EventAges {
    /// Keeps Events for that long from now on; for ever if it is zero.
    pub(crate) fn keep_for(&mut self, time: Duration) {
        // More than the longest time is for ever, too.
        self.kept = SignedDuration::try_from(time).ok().filter(|time| !time.is_zero());
    }

    /// Notes a change that is made now.
    pub(crate) fn follow(&mut self, resource: &Resource, change: &Change, clock: &dyn Clock) {
        if resource.kind != "Event" || resource.is_custom() {
            return;
        }
        if let Some(previous) = &change.previous {
            self.written.remove(&previous.revision());
        }
        match change.event {
            Happened::Added | Happened::Modified => {
                self.written.insert(change.revision, (clock.now(), change.name.clone()));
            }
            Happened::Deleted => {}
        }
    }

    /// Takes an Event of an earlier life for as old as it says that it is.
    pub(crate) fn recall(&mut self, change: &Change) {
        if let Some((at, _)) = self.written.get_mut(&change.revision)
            && let Some(said) = last_written(&change.object)
        {
            *at = said.min(*at);
        }
    }

    /// Takes out the oldest Event, if it has been there long enough.
    fn take_outlived(&mut self, now: Timestamp) -> Option<ObjectName> {
        let oldest = self.written.first_entry()?;
        let (at, _) = oldest.get();
        (now.duration_since(*at) >= self.kept?).then(|| oldest.remove().1)
    }
}

/// When an Event was last written, as far as it says so itself.
fn last_written(event: &Value) -> Option<Timestamp> {
    let managers = event["metadata"]["managedFields"].as_array().into_iter().flatten();
    let said = [
        &event["metadata"]["creationTimestamp"],
        &event["lastTimestamp"],
        &event["series"]["lastObservedTime"],
    ];
    let times = said.into_iter().chain(managers.map(|manager| &manager["time"]));
    times.filter_map(|time| time.as_str()?.parse().ok()).max()
}

/// Removes the Events that have been there long enough, whatever finalizers they have: in a cluster it is the storage that does so.
pub(crate) fn expire(core: &mut Core) {
    let now = core.instant();
    while let Some(name) = core.event_ages.take_outlived(now) {
        let Some(resource) = core.catalog.by_kind("", "v1", "Event") else {
            return;
        };
        if let Some(event) = core.store.get(&resource.collection, &name) {
            core.remove(&resource, Value::clone(&event));
        }
    }
}
