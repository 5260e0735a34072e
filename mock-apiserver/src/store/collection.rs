//! One collection of objects with its ring of changes.

use super::change::{Change, Compacted, Event, ObjectName};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Collection {
    objects: BTreeMap<ObjectName, Arc<Value>>,
    history: VecDeque<Arc<Change>>,
    /// The state is known for every revision from here on.
    floor: u64,
    window: usize,
}

impl Collection {
    pub(super) fn new(floor: u64, window: usize) -> Self {
        Self {
            objects: BTreeMap::new(),
            history: VecDeque::new(),
            floor,
            window,
        }
    }

    pub(super) fn objects(&self) -> &BTreeMap<ObjectName, Arc<Value>> {
        &self.objects
    }

    pub(super) fn put(&mut self, revision: u64, name: ObjectName, object: Arc<Value>) -> Arc<Change> {
        let previous = self.objects.insert(name.clone(), object.clone());
        let event = if previous.is_some() {
            Event::Modified
        } else {
            Event::Added
        };
        self.remember(Change {
            revision,
            event,
            name,
            object,
            previous,
        })
    }

    pub(super) fn remove(&mut self, revision: u64, name: &ObjectName, last: Arc<Value>) -> Option<Arc<Change>> {
        let previous = Some(self.objects.remove(name)?);
        Some(self.remember(Change {
            revision,
            event: Event::Deleted,
            name: name.clone(),
            object: last,
            previous,
        }))
    }

    pub(super) fn changes_after(&self, revision: u64, limit: usize) -> Result<Vec<Arc<Change>>, Compacted> {
        self.covers(revision)?;
        let from = self.history.partition_point(|change| change.revision <= revision);
        Ok(self.history.range(from..).take(limit).cloned().collect())
    }

    /// The objects at `revision`: the present with every later change undone.
    pub(super) fn at(&self, revision: u64) -> Result<BTreeMap<ObjectName, Arc<Value>>, Compacted> {
        self.covers(revision)?;
        let mut objects = self.objects.clone();
        for change in self
            .history
            .iter()
            .rev()
            .take_while(|change| change.revision > revision)
        {
            match &change.previous {
                Some(previous) => objects.insert(change.name.clone(), previous.clone()),
                None => objects.remove(&change.name),
            };
        }
        Ok(objects)
    }

    pub(super) fn compact(&mut self, floor: u64) {
        self.history.clear();
        self.floor = floor;
    }

    fn covers(&self, revision: u64) -> Result<(), Compacted> {
        if revision < self.floor {
            return Err(Compacted {
                requested: revision,
                oldest: self.floor,
            });
        }
        Ok(())
    }

    fn remember(&mut self, change: Change) -> Arc<Change> {
        let change = Arc::new(change);
        self.history.push_back(change.clone());
        while self.history.len() > self.window {
            if let Some(oldest) = self.history.pop_front() {
                self.floor = oldest.revision;
            }
        }
        change
    }
}
