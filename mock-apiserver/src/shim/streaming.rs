//! An open watch: waits for changes and encodes what the core decides to show.
//!
//! ```text
//!   initial events --> [ wait for change | bookmark due | deadline | closing ] --> events --> ... --> end
//! ```

use super::metrics::UnderWay;
use super::service::{Shared, WatchFault};
use super::view::{Form, View};
use crate::api::error::ApiResult;
use crate::conversion::{self, Inquiry, settled};
use crate::rest::watch::{Seen, Turn, WatchEvent, WatchPlan, bookmark, failed, next_changes, see_all};
use crate::store::{Change, Object};
use bytes::Bytes;
use futures::Stream;
use std::sync::Arc;
use tokio::time::{Duration, Instant, sleep_until};
use tokio_util::sync::CancellationToken;

const BOOKMARK_EVERY: Duration = Duration::from_mins(1);
/// How long a watch that is not told lives.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(40);

struct Open {
    shared: Arc<Shared>,
    plan: WatchPlan,
    view: View,
    fault: WatchFault,
    deadline: Instant,
    bookmark_due: Instant,
    /// The columns of tables have been described.
    columns_sent: bool,
    _under_way: UnderWay,
}

/// Why a watch woke.
enum Wake {
    Changed,
    Bookmark,
    End,
    /// What it watches is not there any more, or not as it was.
    Withdrawn,
}

/// The stream of a watch, each item one or more lines of JSON.
pub(super) fn watch(
    shared: Arc<Shared>,
    plan: WatchPlan,
    view: View,
    fault: WatchFault,
    under_way: UnderWay,
) -> impl Stream<Item = Bytes> + Send + use<> {
    let now = Instant::now();
    let timeout = plan.timeout.unwrap_or(DEFAULT_TIMEOUT);
    let open = Open {
        shared,
        plan,
        view,
        fault,
        // What is beyond the clock's end is no end.
        deadline: now.checked_add(timeout).unwrap_or(now + DEFAULT_TIMEOUT),
        bookmark_due: now + BOOKMARK_EVERY,
        columns_sent: false,
        _under_way: under_way,
    };
    futures::stream::unfold(Some(open), |open| async move { open?.next().await })
}

impl Open {
    async fn next(mut self) -> Option<(Bytes, Option<Self>)> {
        if self.fault.cut_after == Some(0) {
            return None;
        }
        if let Some(until) = self.fault.hold.take()
            && !self.released(&until).await
        {
            return None;
        }
        if !self.plan.initial.is_empty() {
            let events = std::mem::take(&mut self.plan.initial);
            return Some(self.deliver(events));
        }
        if let Some(until) = self.fault.freeze.take()
            && !self.released(&until).await
        {
            return None;
        }
        loop {
            let cursor = self.plan.cursor?;
            self.plan.signal.borrow_and_update();
            let events = self.turn(cursor).await;
            if !events.is_empty() {
                return Some(self.deliver(events));
            }
            match self.wait().await {
                Wake::Changed => {}
                Wake::Bookmark => {
                    self.bookmark_due = Instant::now() + BOOKMARK_EVERY;
                    let encoded = self.encode_bookmark();
                    return Some((encoded, Some(self)));
                }
                Wake::End if self.plan.bookmarks => return Some((self.encode_bookmark(), None)),
                Wake::End | Wake::Withdrawn => return None,
            }
        }
    }

    /// The events after a cursor, which goes on. Changes of objects in another version are converted without the lock.
    async fn turn(&mut self, cursor: u64) -> Vec<WatchEvent> {
        let resource = &self.plan.resource;
        let Turn {
            mut changes,
            refused,
            cursor,
        } = next_changes(&self.shared.core(), resource, cursor);
        self.plan.cursor = cursor;
        if resource.converter().is_some() && !changes.is_empty() {
            match self.converted(&changes).await {
                Ok(converted) => changes = converted,
                Err(failure) => {
                    self.plan.cursor = None;
                    return vec![failed(&failure)];
                }
            }
        }
        refused
            .into_iter()
            .chain(see_all(&self.plan.resource, &self.plan.filter, &changes))
            .collect()
    }

    async fn converted(&self, changes: &[Arc<Change>]) -> ApiResult<Vec<Arc<Change>>> {
        let resource = &self.plan.resource;
        let desired = resource.api_version();
        let states = changes
            .iter()
            .flat_map(|change| [Some(&change.object), change.previous.as_ref()]);
        let stored: Vec<Arc<Object>> = states
            .flatten()
            .filter(|object| object["apiVersion"] != desired.as_str())
            .cloned()
            .collect();
        let inquiry = Inquiry::of_stored(&mut self.shared.core(), resource, &stored).filter(|_| !stored.is_empty());
        let converted = match &inquiry {
            Some(inquiry) => conversion::ask(inquiry, &*self.shared.webhooks).await?,
            None => Vec::new(),
        };
        let mut converted = converted.into_iter();
        let mut next = |object: &Arc<Object>| {
            let other = object["apiVersion"] != desired.as_str();
            let value = other.then(|| converted.next()).flatten();
            value.map_or_else(|| object.clone(), |value| settled(resource, value))
        };
        let change = |change: &Arc<Change>| {
            let object = next(&change.object);
            Arc::new(Change {
                revision: change.revision,
                event: change.event,
                name: change.name.clone(),
                object,
                previous: change.previous.as_ref().map(&mut next),
            })
        };
        Ok(changes.iter().map(change).collect())
    }

    /// Waits for a fault rule to let go; false if the watch ends before.
    async fn released(&self, until: &CancellationToken) -> bool {
        tokio::select! {
            () = until.cancelled() => true,
            () = self.shared.closing.cancelled() => false,
            () = sleep_until(self.deadline) => false,
        }
    }

    /// Sends events; a fault rule may cut the watch among them.
    fn deliver(mut self, mut events: Vec<WatchEvent>) -> (Bytes, Option<Self>) {
        if let Some(left) = self.fault.cut_after {
            events.truncate(left);
            self.fault.cut_after = Some(left - events.len());
        }
        let encoded = self.encode(&events);
        (encoded, Some(self))
    }

    async fn wait(&mut self) -> Wake {
        tokio::select! {
            biased;
            changed = self.plan.signal.changed() => if changed.is_ok() { Wake::Changed } else { Wake::Withdrawn },
            () = self.shared.closing.cancelled() => Wake::End,
            () = sleep_until(self.deadline) => Wake::End,
            () = sleep_until(self.bookmark_due), if self.plan.bookmarks => Wake::Bookmark,
        }
    }

    fn encode_bookmark(&mut self) -> Bytes {
        let revision = self.plan.cursor.unwrap_or_default();
        let event = (Seen::Bookmark, bookmark(&self.plan.resource, revision, false));
        self.encode(&[event])
    }

    fn encode(&mut self, events: &[WatchEvent]) -> Bytes {
        let now = self.shared.now();
        let mut lines = Vec::new();
        for (seen, object) in events {
            let is_shown = match seen {
                Seen::Added | Seen::Modified | Seen::Deleted => true,
                Seen::Bookmark => matches!(self.view.form, Form::Metadata | Form::MetadataList | Form::Table),
                Seen::Error => false,
            };
            let shown = if is_shown {
                let columns = !std::mem::replace(&mut self.columns_sent, true);
                self.view.json_of(&self.plan.resource, object, now, columns)
            } else {
                object.json().clone()
            };
            for part in [
                br#"{"type":""#,
                seen.as_str().as_bytes(),
                br#"","object":"#,
                &shown,
                b"}\n",
            ] {
                lines.extend_from_slice(part);
            }
        }
        lines.into()
    }
}
