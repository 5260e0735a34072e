//! Which fields an object has, and which differ between two objects.

use super::path::Element;
use super::set::FieldSet;
use super::shape::{ListKind, Shape};
use serde_json::{Map, Value};

/// The key of a list item, or `None` if the list merges as a whole or the item lacks its keys.
pub(super) fn element(kind: &ListKind, item: &Value) -> Option<Element> {
    match kind {
        ListKind::Atomic => None,
        ListKind::Set => Some(Element::Value(item.to_string())),
        ListKind::Map(keys) => {
            let mut found = Map::new();
            for key in keys {
                // A missing protocol is the default one, as the schema of ports says.
                let default = || (key == "protocol").then(|| Value::from("TCP"));
                if let Some(value) = item.get(key).cloned().or_else(default) {
                    found.insert(key.clone(), value);
                }
            }
            (!found.is_empty()).then(|| Element::Key(Value::Object(found).to_string()))
        }
    }
}

/// The items of a list by their elements; `None` if the list merges as a whole.
pub(super) fn keyed<'a>(shape: Shape<'_>, items: &'a [Value]) -> Option<Vec<(Element, &'a Value)>> {
    let kind = shape.list_kind();
    items.iter().map(|item| Some((element(&kind, item)?, item))).collect()
}

/// The children of a value that merge one by one; `None` for leaves, atomic parts and empty containers.
fn children<'a>(shape: Shape<'a>, value: &'a Value, at_root: bool) -> Option<Vec<(Element, Shape<'a>, &'a Value)>> {
    match value {
        Value::Object(map) if !shape.is_atomic_map() && !map.is_empty() => Some(
            map.iter()
                .map(|(name, child)| (Element::Field(name.clone()), shape.member(name, at_root), child))
                .collect(),
        ),
        Value::Array(items) if !items.is_empty() => {
            let keyed = keyed(shape, items)?;
            Some(
                keyed
                    .into_iter()
                    .map(|(element, item)| (element, shape.item(), item))
                    .collect(),
            )
        }
        _ => None,
    }
}

/// The fields an applied object sets: its leaves, and the items of its lists.
pub(super) fn fields_of(shape: Shape<'_>, value: &Value) -> FieldSet {
    applied(shape, value, true, false)
}

fn applied(shape: Shape<'_>, value: &Value, at_root: bool, is_item: bool) -> FieldSet {
    // A list that merges item by item has no field of its own.
    if value.as_array().is_some_and(Vec::is_empty) && shape.list_kind() != ListKind::Atomic {
        return FieldSet::node(is_item);
    }
    let Some(children) = children(shape, value, at_root) else {
        return FieldSet::node(!at_root);
    };
    let mut set = FieldSet::node(is_item);
    for (element, below, child) in children {
        let is_item = match &element {
            Element::Field(name) => shape.is_map_key(name, at_root),
            Element::Key(_) | Element::Value(_) => true,
        };
        set.attach(|| element, applied(below, child, false, is_item));
    }
    set
}

/// The differences between two objects.
#[derive(Debug, Default)]
pub(super) struct Difference {
    /// Added or changed fields.
    pub(super) changed: FieldSet,
    /// Removed fields.
    pub(super) removed: FieldSet,
}

impl Difference {
    fn attach(&mut self, element: impl Fn() -> Element, below: Self) {
        self.changed.attach(&element, below.changed);
        self.removed.attach(&element, below.removed);
    }
}

/// Compares two objects of a shape.
pub(super) fn compare(shape: Shape<'_>, old: &Value, new: &Value) -> Difference {
    walk(shape, old, new, true)
}

fn walk(shape: Shape<'_>, old: &Value, new: &Value, at_root: bool) -> Difference {
    if old == new {
        return Difference::default();
    }
    match (old, new) {
        (Value::Object(_) | Value::Null, Value::Object(_) | Value::Null)
            if !(shape.is_atomic_map() || is_bare(old) && is_bare(new)) =>
        {
            let none = Map::new();
            let (old, new) = (old.as_object().unwrap_or(&none), new.as_object().unwrap_or(&none));
            walk_maps(shape, old, new, at_root)
        }
        (Value::Array(_) | Value::Null, Value::Array(_) | Value::Null) if !(is_bare(old) && is_bare(new)) => {
            match (keyed(shape, items(old)), keyed(shape, items(new))) {
                (Some(before), Some(after)) if shape.list_kind() != ListKind::Atomic => {
                    walk_lists(shape, &before, &after)
                }
                (_, _) => replaced(shape, old, new, at_root),
            }
        }
        (_, _) => replaced(shape, old, new, at_root),
    }
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Whether a value has nothing in it that could merge: a container that is empty is, like null, a value of its own.
fn is_bare(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn walk_maps(shape: Shape<'_>, old: &Map<String, Value>, new: &Map<String, Value>, at_root: bool) -> Difference {
    let mut difference = Difference::default();
    for (name, child) in old.iter().filter(|(name, _)| !new.contains_key(*name)) {
        let gone = whole(shape.member(name, at_root), child, false);
        difference.removed.attach(|| Element::Field(name.clone()), gone);
    }
    for (name, child) in new {
        let shape = shape.member(name, at_root);
        let below = match old.get(name) {
            Some(previous) => walk(shape, previous, child, false),
            None => Difference {
                changed: whole(shape, child, false),
                removed: FieldSet::default(),
            },
        };
        difference.attach(|| Element::Field(name.clone()), below);
    }
    difference
}

fn walk_lists(shape: Shape<'_>, before: &[(Element, &Value)], after: &[(Element, &Value)]) -> Difference {
    let mut difference = Difference::default();
    // Of items that share a key the first one counts.
    let first = |items: &[(Element, &Value)], element: &Element| items.iter().position(|(other, _)| other == element);
    for (element, item) in before {
        if first(after, element).is_none() {
            let gone = whole(shape.item(), item, false);
            difference.removed.attach(|| element.clone(), gone);
        }
    }
    for (element, item) in after {
        let below = match first(before, element) {
            Some(index) => walk(shape.item(), before[index].1, item, false),
            None => Difference {
                changed: whole(shape.item(), item, false),
                removed: FieldSet::default(),
            },
        };
        difference.attach(|| element.clone(), below);
    }
    difference
}

/// A value in place of one that does not merge with it.
fn replaced(shape: Shape<'_>, old: &Value, new: &Value, at_root: bool) -> Difference {
    let changed = whole(shape, new, at_root);
    let mut removed = whole(shape, old, at_root);
    removed.subtract(&changed);
    Difference { changed, removed }
}

/// A value that came or went as a whole: itself and everything below it.
fn whole(shape: Shape<'_>, value: &Value, at_root: bool) -> FieldSet {
    // Nulls of built-in kinds are not there.
    if value.is_null() && !at_root && !matches!(shape, Shape::Schema(_)) {
        return FieldSet::default();
    }
    let mut set = FieldSet::node(!at_root);
    for (element, shape, child) in children(shape, value, at_root).unwrap_or_default() {
        set.attach(|| element, whole(shape, child, false));
    }
    set
}
