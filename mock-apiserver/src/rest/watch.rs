//! What a watch delivers: decided here event by event; waiting and encoding are the HTTP shim's.

use super::dispatch::Call;
use super::read::{Filter, check_not_future};
use crate::api::error::{ApiError, ApiResult};
use crate::api::meta;
use crate::api::options::ListOptions;
use crate::catalog::Resource;
use crate::core::Core;
use crate::store::{Change, Event, Object, ObjectName};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch::Receiver;

/// How many changes one turn of a watch takes from the history.
const BATCH: usize = 256;

/// What kind of event the client sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    Added,
    Modified,
    Deleted,
    Bookmark,
    Error,
}

impl Seen {
    /// The `type` of the watch event.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
            Self::Bookmark => "BOOKMARK",
            Self::Error => "ERROR",
        }
    }
}

/// One event of a watch.
pub(crate) type WatchEvent = (Seen, Arc<Object>);

/// A watch that was accepted.
#[derive(Debug)]
pub(crate) struct WatchPlan {
    pub(crate) resource: Arc<Resource>,
    pub(crate) filter: Filter,
    /// Events to send before anything else: the initial state, or the refusal of a compacted revision.
    pub(crate) initial: Vec<WatchEvent>,
    /// Changes after this revision follow; `None` ends the watch after the initial events.
    pub(crate) cursor: Option<u64>,
    pub(crate) bookmarks: bool,
    /// How long it lives, if the client says so.
    pub(crate) timeout: Option<Duration>,
    pub(crate) signal: Receiver<u64>,
}

/// Accepts a watch and takes the initial state, if it is to be sent.
pub(super) fn plan(core: &mut Core, call: &mut Call<'_>, options: &ListOptions) -> ApiResult<WatchPlan> {
    // A watch may begin at a revision that is still to come, but not with a state that is not there yet.
    if let Some(asked) = options
        .resource_version
        .filter(|_| options.send_initial_events == Some(true))
    {
        check_not_future(core, call, asked)?;
    }
    let resource = call.resource.clone();
    let mut filter = Filter::new(call, options)?;
    if let Some(name) = &call.path.name {
        filter.fields = crate::api::selector::FieldSelector::parse(&format!("metadata.name={name}"), &[])?;
    }
    let signal = core.subscribe(&resource.collection);
    let from_state = options.send_initial_events == Some(true)
        || (options.send_initial_events.is_none() && options.resource_version.unwrap_or(0) == 0);
    let current = call.request.latest(core);
    let (initial, cursor) = if from_state {
        let mut initial = state(core, call, &filter, current)?;
        if options.send_initial_events == Some(true) && options.allow_bookmarks {
            initial.push((Seen::Bookmark, bookmark(&resource, current, true)));
        }
        (initial, Some(current))
    } else {
        let start = options
            .resource_version
            .filter(|version| *version > 0)
            .unwrap_or(current);
        match core.store.changes_after(&resource.collection, start, 0) {
            Ok(_) => (Vec::new(), Some(start)),
            Err(gone) => (vec![too_old(gone.requested, gone.oldest)], None),
        }
    };
    Ok(WatchPlan {
        resource,
        filter,
        initial,
        cursor,
        bookmarks: options.allow_bookmarks,
        timeout: options.timeout,
        signal,
    })
}

fn state(core: &mut Core, call: &mut Call<'_>, filter: &Filter, revision: u64) -> ApiResult<Vec<WatchEvent>> {
    let state = core
        .store
        .scan_at(&call.resource.collection, revision, filter.namespace.as_deref(), None)
        .map_err(|gone| ApiError::expired(too_old_text(gone.requested, gone.oldest)))?;
    let (names, stored): (Vec<ObjectName>, Vec<_>) = state.map(|(name, object)| (name.clone(), object)).unzip();
    let read = call.read(core, &stored)?;
    let selected = names
        .iter()
        .zip(read)
        .filter(|(name, object)| filter.matches(name, object));
    Ok(selected.map(|(_, object)| (Seen::Added, object)).collect())
}

fn too_old_text(requested: u64, oldest: u64) -> String {
    format!("too old resource version: {requested} ({oldest})")
}

/// A bookmark: only kind, version and revision.
pub(crate) fn bookmark(resource: &Resource, revision: u64, initial_events_end: bool) -> Arc<Object> {
    let mut metadata = json!({"resourceVersion": revision.to_string()});
    if initial_events_end {
        metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
    }
    Arc::new(Object::new(
        json!({"kind": resource.kind, "apiVersion": resource.api_version(), "metadata": metadata}),
    ))
}

fn too_old(requested: u64, oldest: u64) -> WatchEvent {
    let refused = ApiError::expired(too_old_text(requested, oldest));
    (Seen::Error, Arc::new(Object::new(refused.body())))
}

/// One turn of a watch.
pub(crate) struct Turn {
    pub(crate) changes: Vec<Arc<Change>>,
    /// An event that ends the watch instead.
    pub(crate) refused: Option<WatchEvent>,
    /// Where the next turn begins; `None` ends the watch.
    pub(crate) cursor: Option<u64>,
}

/// The next changes after `cursor`.
pub(crate) fn next_changes(core: &Core, resource: &Resource, cursor: u64) -> Turn {
    match core.store.changes_after(&resource.collection, cursor, BATCH) {
        Err(gone) => Turn {
            changes: Vec::new(),
            refused: Some(too_old(gone.requested, gone.oldest)),
            cursor: None,
        },
        Ok(changes) => {
            // An unfinished batch leaves later changes for the next turn, a finished one is as fresh as the store. A watch that
            // begins in the future has seen more than the store has.
            let seen = if changes.len() < BATCH {
                core.store.revision().max(cursor)
            } else {
                changes.last().map_or(cursor, |change| change.revision)
            };
            Turn {
                changes,
                refused: None,
                cursor: Some(seen),
            }
        }
    }
}

/// What a watcher with that filter sees of changes.
pub(crate) fn see_all(resource: &Resource, filter: &Filter, changes: &[Arc<Change>]) -> Vec<WatchEvent> {
    changes
        .iter()
        .filter_map(|change| see(resource, filter, change))
        .collect()
}

/// An event that tells of a failure and ends the watch.
pub(crate) fn failed(refused: &ApiError) -> WatchEvent {
    (Seen::Error, Arc::new(Object::new(refused.body())))
}

/// What a watcher with that filter sees of a change.
fn see(resource: &Resource, filter: &Filter, change: &Change) -> Option<WatchEvent> {
    let (object, previous) = (
        resource.read(&change.object),
        change.previous.as_ref().map(|previous| resource.read(previous)),
    );
    let before = previous
        .as_ref()
        .is_some_and(|previous| filter.matches(&change.name, previous));
    let after = change.event != Event::Deleted && filter.matches(&change.name, &object);
    match (before, after) {
        (false, false) => None,
        (false, true) => Some((Seen::Added, object)),
        (true, true) => Some((Seen::Modified, object)),
        (true, false) if change.event == Event::Deleted => Some((Seen::Deleted, object)),
        (true, false) => {
            // The object left the selection: its last selected state, at the revision of the change.
            let mut last = Value::clone(previous.as_deref()?);
            meta::set(&mut last, "resourceVersion", Some(change.revision.to_string().into()));
            Some((Seen::Deleted, Arc::new(Object::new(last))))
        }
    }
}
