//! Sets of fields, as a tree: what several paths have in common is there once.

use super::path::{Element, Path};
use super::shape::Shape;
use serde_json::{Map, Value};
use std::collections::btree_map::{BTreeMap, Entry};

/// A set of paths. A node stands for the path to it, which may be in the set itself; no branch is without a path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FieldSet {
    own: bool,
    children: BTreeMap<Element, FieldSet>,
}

impl FieldSet {
    /// The empty set or, if `own`, the set of the empty path.
    pub(super) fn node(own: bool) -> Self {
        Self {
            own,
            children: BTreeMap::new(),
        }
    }

    /// The set of one path.
    pub(super) fn of_path(path: &[Element]) -> Self {
        path.iter().rev().fold(Self::node(true), |below, element| Self {
            own: false,
            children: BTreeMap::from([(element.clone(), below)]),
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.own && self.children.is_empty()
    }

    /// Adds the paths of a set, each behind an element.
    pub(super) fn attach(&mut self, element: impl FnOnce() -> Element, set: Self) {
        if !set.is_empty() {
            self.join(element(), set);
        }
    }

    /// Adds the paths of another set.
    pub(super) fn extend(&mut self, other: Self) {
        self.own |= other.own;
        if self.children.is_empty() {
            self.children = other.children;
            return;
        }
        for (element, theirs) in other.children {
            self.join(element, theirs);
        }
    }

    fn join(&mut self, element: Element, set: Self) {
        match self.children.entry(element) {
            Entry::Vacant(free) => {
                free.insert(set);
            }
            Entry::Occupied(mut ours) => ours.get_mut().extend(set),
        }
    }

    /// Takes the paths of another set out.
    pub(super) fn subtract(&mut self, other: &Self) {
        self.own &= !other.own;
        if other.children.is_empty() {
            return;
        }
        self.children.retain(|element, ours| {
            if let Some(theirs) = other.children.get(element) {
                ours.subtract(theirs);
            }
            !ours.is_empty()
        });
    }

    /// The paths that are in both sets.
    pub(super) fn intersection(&self, other: &Self) -> Self {
        let mut both = Self::node(self.own && other.own);
        for (element, ours) in &self.children {
            if let Some(theirs) = other.children.get(element) {
                both.attach(|| element.clone(), ours.intersection(theirs));
            }
        }
        both
    }

    /// The paths that no other set has. A field of a type is also held by what another set has below it; an item of a list or map
    /// is not.
    pub(super) fn left_by(&self, shape: Shape<'_>, others: &[&Self]) -> Self {
        self.left(shape, true, true, others)
    }

    fn left(&self, shape: Shape<'_>, at_root: bool, is_named: bool, others: &[&Self]) -> Self {
        let is_held = |other: &&Self| other.own || (is_named && !other.is_empty());
        let mut left = Self::node(self.own && !others.iter().any(is_held));
        for (element, ours) in &self.children {
            let theirs: Vec<&Self> = others.iter().filter_map(|other| other.children.get(element)).collect();
            let (below, is_named) = match element {
                Element::Field(name) => (shape.member(name, at_root), !shape.is_map_key(name, at_root)),
                Element::Key(_) | Element::Value(_) => (shape.item(), false),
            };
            left.attach(|| element.clone(), ours.left(below, false, is_named, &theirs));
        }
        left
    }

    /// Whether a path is in the set, or one that goes on from it.
    pub(super) fn reaches(&self, path: &[Element]) -> bool {
        match path {
            [] => !self.is_empty(),
            [element, rest @ ..] => self.children.get(element).is_some_and(|child| child.reaches(rest)),
        }
    }

    /// Takes out what begins with a member that is refused; what is kept may be changed, but must not become empty.
    pub(super) fn retain_members(&mut self, mut keeps: impl FnMut(&str, &mut Self) -> bool) {
        self.children.retain(|element, below| match element {
            Element::Field(name) => keeps(name, below),
            Element::Key(_) | Element::Value(_) => true,
        });
    }

    /// Takes one path out of the set, and leaves those that go on from it.
    pub(super) fn drop_path(&mut self, path: &[Element]) {
        match path {
            [] => self.own = false,
            [element, rest @ ..] => {
                if let Some(child) = self.children.get_mut(element) {
                    child.drop_path(rest);
                    if child.is_empty() {
                        self.children.remove(element);
                    }
                }
            }
        }
    }

    /// Whether a path is in the set.
    pub(super) fn has(&self, path: &[Element]) -> bool {
        match path {
            [] => self.own,
            [element, rest @ ..] => self.children.get(element).is_some_and(|child| child.has(rest)),
        }
    }

    /// The paths in order, shorter ones before those that go on from them.
    pub(super) fn paths(&self) -> Vec<Path> {
        let mut found = Vec::new();
        self.collect(&mut Path::new(), &mut found);
        found
    }

    fn collect(&self, path: &mut Path, found: &mut Vec<Path>) {
        if self.own {
            found.push(path.clone());
        }
        for (element, child) in &self.children {
            path.push(element.clone());
            child.collect(path, found);
            path.pop();
        }
    }

    /// `FieldsV1` of the set: nested objects; `.` marks a path that others go on from.
    pub(super) fn encode(&self) -> Value {
        let mut map = Map::new();
        if self.own && !self.children.is_empty() {
            map.insert(".".to_owned(), Value::Object(Map::new()));
        }
        for (element, child) in &self.children {
            map.insert(element.encoded(), child.encode());
        }
        Value::Object(map)
    }

    /// The set that `FieldsV1` describes; members that are not understood are left out.
    pub(super) fn decode(fields: &Value) -> Self {
        let mut set = Self::default();
        for (key, child) in fields.as_object().into_iter().flatten() {
            if let Some(element) = Element::decode(key) {
                let mut below = Self::decode(child);
                below.own = child
                    .as_object()
                    .is_some_and(|child| child.is_empty() || child.contains_key("."));
                set.attach(|| element, below);
            }
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::super::path::display;
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;
    use std::collections::BTreeSet;

    fn set(paths: &BTreeSet<Path>) -> FieldSet {
        paths.iter().fold(FieldSet::default(), |mut all, path| {
            all.extend(FieldSet::of_path(path));
            all
        })
    }

    fn paths() -> impl Strategy<Value = BTreeSet<Path>> {
        let element = "[ab]".prop_map(Element::Field);
        prop::collection::btree_set(prop::collection::vec(element, 1..4), 0..8)
    }

    fn listed(set: &FieldSet) -> BTreeSet<Path> {
        set.paths().into_iter().collect()
    }

    proptest! {
        /// The model: a plain set of whole paths.
        #[test]
        fn a_tree_of_fields_agrees_with_a_set_of_paths(ours in paths(), theirs in paths()) {
            let (one, other) = (set(&ours), set(&theirs));
            prop_assert_eq!(one.paths(), ours.iter().cloned().collect::<Vec<_>>());
            prop_assert_eq!(one.is_empty(), ours.is_empty());
            prop_assert_eq!(listed(&one.intersection(&other)), ours.intersection(&theirs).cloned().collect());
            let mut less = one.clone();
            less.subtract(&other);
            prop_assert_eq!(&less, &set(&ours.difference(&theirs).cloned().collect()));
            // Members that no schema declares are items of a map.
            let left = one.left_by(Shape::Schema(&serde_json::Value::Null), &[&other]);
            prop_assert_eq!(listed(&left), ours.difference(&theirs).cloned().collect());
            let declared = json!({"properties": {"a": {"properties": {"a": {}, "b": {}}}, "b": {}}});
            let is_named = |path: &Path| match path.as_slice() {
                [Element::Field(_)] => true,
                [Element::Field(first), Element::Field(_)] => first == "a",
                _ => false,
            };
            let held = |path: &Path| theirs.contains(path) || (is_named(path) && theirs.iter().any(|other| other.starts_with(path)));
            let left = one.left_by(Shape::Schema(&declared), &[&other]);
            prop_assert_eq!(listed(&left), ours.iter().filter(|path| !held(path)).cloned().collect());
            prop_assert_eq!(FieldSet::decode(&one.encode()), one);
        }

        #[test]
        fn dropping_a_path_leaves_what_goes_on_from_it_and_refusing_a_member_does_not(ours in paths(), path in paths()) {
            let Some(path) = path.first() else { return Ok(()) };
            let (mut alone, mut branch) = (set(&ours), set(&ours));
            alone.drop_path(path);
            prop_assert_eq!(alone, set(&ours.iter().filter(|other| *other != path).cloned().collect()));
            let first = &path[0];
            branch.retain_members(|name, _| *first != Element::Field(name.to_owned()));
            prop_assert_eq!(branch, set(&ours.iter().filter(|other| other[0] != *first).cloned().collect()));
        }
    }

    #[test]
    fn fields_v1_is_read_and_written_as_clients_know_it() {
        let fields = json!({
            "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
            "f:spec": {"f:containers": {"k:{\"name\":\"x\"}": {".": {}, "f:image": {}}}, "f:list": {"v:\"y\"": {}}},
        });
        let set = FieldSet::decode(&fields);
        assert_eq!(set.paths().len(), 5);
        assert_eq!(set.encode(), fields);
        let image = ".spec.containers[name=\"x\"].image";
        assert!(set.paths().iter().any(|path| display(path) == image));
    }
}
