//! One collection of objects with its ring of changes.

use super::change::{Change, Compacted, Event, ObjectName};
use super::object::{Lent, Object, hand_out};
use std::collections::VecDeque;
use std::collections::btree_map::{self, BTreeMap};
use std::iter::Peekable;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

/// How many of the latest writes keep the trees of their objects.
const WARM: usize = 1024;

#[derive(Debug)]
pub(super) struct Collection {
    objects: BTreeMap<ObjectName, Arc<Object>>,
    history: VecDeque<Arc<Change>>,
    /// What was written last, and still has its tree.
    warm: VecDeque<(ObjectName, Arc<Object>)>,
    lent: Lent,
    /// The state is known for every revision from here on.
    floor: u64,
    window: usize,
}

impl Collection {
    pub(super) fn new(floor: u64, window: usize) -> Self {
        Self {
            objects: BTreeMap::new(),
            history: VecDeque::new(),
            warm: VecDeque::new(),
            lent: Lent::default(),
            floor,
            window,
        }
    }

    pub(super) fn get(&self, name: &ObjectName) -> Option<Arc<Object>> {
        self.objects.get(name).map(|object| self.lent.hand_out(object))
    }

    pub(super) fn put(&mut self, revision: u64, name: ObjectName, object: Arc<Object>) -> Arc<Change> {
        let previous = self.objects.insert(name.clone(), object.clone());
        let previous = previous.map(|previous| self.lent.hand_out(&previous));
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

    pub(super) fn remove(&mut self, revision: u64, name: &ObjectName, last: Arc<Object>) -> Arc<Change> {
        let previous = self.objects.remove(name);
        self.remember(Change {
            revision,
            event: Event::Deleted,
            name: name.clone(),
            object: last,
            previous: previous.map(|previous| self.lent.hand_out(&previous)),
        })
    }

    pub(super) fn changes_after(&self, revision: u64, limit: usize) -> Result<Vec<Arc<Change>>, Compacted> {
        self.covers(revision)?;
        let from = self.history.partition_point(|change| change.revision <= revision);
        Ok(self.history.range(from..).take(limit).cloned().collect())
    }

    /// The objects of a namespace (of all, if none is given) in key order.
    pub(super) fn present<'a>(&'a self, namespace: Option<&'a str>) -> Scan<'a> {
        self.scan(Undone::new(), namespace, None)
    }

    /// The objects as they were at `revision`, behind `after`: the present with every later change undone.
    pub(super) fn at<'a>(
        &'a self,
        revision: u64,
        namespace: Option<&'a str>,
        after: Option<&ObjectName>,
    ) -> Result<Scan<'a>, Compacted> {
        self.covers(revision)?;
        let later = self
            .history
            .iter()
            .rev()
            .take_while(|change| change.revision > revision);
        // The earliest of several changes of an object comes last, and counts.
        let undone = later.map(|change| (&change.name, change.previous.as_ref())).collect();
        Ok(self.scan(undone, namespace, after))
    }

    fn scan<'a>(&'a self, mut undone: Undone<'a>, namespace: Option<&'a str>, after: Option<&ObjectName>) -> Scan<'a> {
        let first = ObjectName::new(namespace.unwrap_or_default(), "");
        let start = match after {
            Some(after) if *after >= first => Bound::Excluded(after),
            Some(_) | None => Bound::Included(&first),
        };
        let range = (start, Bound::Unbounded);
        undone.retain(|name, _| range.contains(*name));
        Scan {
            present: self.objects.range(range).peekable(),
            undone: undone.into_iter().peekable(),
            namespace,
        }
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
        self.warm.push_back((change.name.clone(), change.object.clone()));
        self.cool();
        while self.history.len() > self.window {
            if let Some(oldest) = self.history.pop_front() {
                self.floor = oldest.revision;
            }
        }
        change
    }

    /// Lets go of the trees of what is no longer among the latest writes.
    fn cool(&mut self) {
        if self.warm.len() > WARM
            && let Some((name, aged)) = self.warm.pop_front()
            && let Some(object) = self.objects.get_mut(&name)
            && Arc::ptr_eq(object, &aged)
        {
            *object = Arc::new(aged.cold());
        }
        let aged = self.history.len().checked_sub(WARM + 1);
        if let Some(change) = aged.and_then(|index| self.history.get_mut(index)) {
            *change = Arc::new(change.cold());
        }
    }
}

/// What objects were before the changes that are undone; `None` if they were not there.
type Undone<'a> = BTreeMap<&'a ObjectName, Option<&'a Arc<Object>>>;

/// Objects in key order.
pub(crate) struct Scan<'a> {
    present: Peekable<btree_map::Range<'a, ObjectName, Arc<Object>>>,
    undone: Peekable<btree_map::IntoIter<&'a ObjectName, Option<&'a Arc<Object>>>>,
    namespace: Option<&'a str>,
}

impl<'a> Scan<'a> {
    /// A scan of nothing.
    pub(super) fn empty() -> Self {
        static NOTHING: BTreeMap<ObjectName, Arc<Object>> = BTreeMap::new();
        Self {
            present: NOTHING.range::<ObjectName, _>(..).peekable(),
            undone: Undone::new().into_iter().peekable(),
            namespace: None,
        }
    }

    fn advance(&mut self) -> Option<(&'a ObjectName, &'a Arc<Object>)> {
        loop {
            let present = self.present.peek().map(|(name, _)| *name);
            let undone = self.undone.peek().map(|(name, _)| *name);
            let (name, object) = match undone.filter(|undone| present.is_none_or(|present| *undone <= present)) {
                None => self.present.next()?,
                Some(name) => {
                    if present == Some(name) {
                        self.present.next();
                    }
                    match self.undone.next()? {
                        (name, Some(object)) => (name, object),
                        (_, None) => continue,
                    }
                }
            };
            return self
                .namespace
                .is_none_or(|namespace| namespace == name.namespace)
                .then_some((name, object));
        }
    }
}

impl<'a> Iterator for Scan<'a> {
    type Item = (&'a ObjectName, Arc<Object>);

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().map(|(name, object)| (name, hand_out(object)))
    }

    fn count(mut self) -> usize {
        std::iter::from_fn(|| self.advance()).count()
    }
}
