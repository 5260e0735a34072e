//! Which fields an object has, and which differ between two objects.

use super::path::{Element, FieldSet, Path};
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
    let mut set = FieldSet::new();
    collect(shape, value, &mut Vec::new(), &mut set);
    set
}

fn collect(shape: Shape<'_>, value: &Value, path: &mut Path, set: &mut FieldSet) {
    let Some(children) = children(shape, value, path.is_empty()) else {
        if !path.is_empty() {
            set.insert(path.clone());
        }
        return;
    };
    for (element, shape, child) in children {
        let is_item = !matches!(element, Element::Field(_));
        path.push(element);
        if is_item {
            set.insert(path.clone());
        }
        collect(shape, child, path, set);
        path.pop();
    }
}

/// The differences between two objects.
#[derive(Debug, Default)]
pub(super) struct Difference {
    /// Added or changed fields.
    pub(super) changed: FieldSet,
    /// Removed fields.
    pub(super) removed: FieldSet,
}

/// Compares two objects of a shape.
pub(super) fn compare(shape: Shape<'_>, old: &Value, new: &Value) -> Difference {
    let mut difference = Difference::default();
    walk(shape, old, new, &mut Vec::new(), &mut difference);
    difference
}

fn walk(shape: Shape<'_>, old: &Value, new: &Value, path: &mut Path, difference: &mut Difference) {
    if old == new {
        return;
    }
    let at_root = path.is_empty();
    let (before, after) = (children(shape, old, at_root), children(shape, new, at_root));
    let (Some(before), Some(after)) = (&before, &after) else {
        whole(shape, old, path, &mut difference.removed);
        whole(shape, new, path, &mut difference.changed);
        let still: Vec<Path> = difference.removed.intersection(&difference.changed).cloned().collect();
        for path in still {
            difference.removed.remove(&path);
        }
        return;
    };
    for (element, shape, child) in before {
        if !after.iter().any(|(other, _, _)| other == element) {
            path.push(element.clone());
            whole(*shape, child, path, &mut difference.removed);
            path.pop();
        }
    }
    for (element, shape, child) in after {
        path.push(element.clone());
        match before.iter().find(|(other, _, _)| other == element) {
            Some((_, _, previous)) => walk(*shape, previous, child, path, difference),
            None => whole(*shape, child, path, &mut difference.changed),
        }
        path.pop();
    }
}

/// A value that came or went as a whole: itself and everything below it.
fn whole(shape: Shape<'_>, value: &Value, path: &mut Path, set: &mut FieldSet) {
    if value.is_null() && !path.is_empty() {
        return;
    }
    let children = children(shape, value, path.is_empty());
    if !path.is_empty() {
        set.insert(path.clone());
    }
    for (element, shape, child) in children.unwrap_or_default() {
        path.push(element);
        whole(shape, child, path, set);
        path.pop();
    }
}
