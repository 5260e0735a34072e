//! Server-side apply: merging what a manager wants into what is there.

use super::compare::{compare, element, fields_of, keyed};
use super::managed::{Manager, Operation, Ownership, entry, ownable, read, write};
use super::order::{Pick, order};
use super::path::{self, Element, Path};
use super::set::FieldSet;
use super::shape::Shape;
use crate::api::error::{ApiError, Reason};
use serde_json::{Map, Value};

/// Merges `wanted` into `live` for a manager; the result carries the new ownership. Conflicts are refused unless forced.
pub(crate) fn apply(
    shape: Shape<'_>,
    live: &Value,
    wanted: &Value,
    manager: &Manager,
    force: bool,
    now: &Value,
) -> Result<Value, ApiError> {
    let wanted_fields = ownable(fields_of(shape, wanted));
    let mut merged = merge(shape, live, wanted, true);
    let mut entries = read(live);
    if entries.is_empty() && !live["metadata"].is_null() {
        entries.push(before_first_apply(shape, live, manager, now));
    }
    let given_up = given_up(shape, &entries, manager, &wanted_fields);
    // Who gives a field up is in nobody's way.
    let mut difference = compare(shape, live, &merged);
    let changed = ownable(difference.changed);
    if !given_up.is_empty() {
        // Shortest first: an item goes as a whole, before the members that identify it.
        for path in given_up.paths() {
            remove(shape, &mut merged, &path, true);
        }
        let others = entries.iter().filter(|entry| entry.manager != *manager);
        let held: Vec<&FieldSet> = others.map(|entry| &entry.fields).chain([&wanted_fields]).collect();
        tidy(&mut merged, &given_up, &held);
        difference.removed = compare(shape, live, &merged).removed;
    }
    let mut conflicts: Vec<(Manager, Path)> = Vec::new();
    for other in entries.iter_mut().filter(|entry| entry.manager != *manager) {
        for path in other.fields.intersection(&changed).paths() {
            conflicts.push((other.manager.clone(), path));
        }
        other.fields.subtract(&changed);
        other.fields.subtract(&difference.removed);
    }
    if !conflicts.is_empty() && !force {
        return Err(conflict(&conflicts));
    }
    let own = entry(&mut entries, manager);
    // Who comes to own what is there already has changed nothing, and gets no time.
    let is_changed = !changed.is_empty() || !difference.removed.is_empty();
    if own.fields != wanted_fields && (is_changed || !own.time.is_null()) {
        own.time = now.clone();
    }
    own.fields = wanted_fields;
    write(&mut merged, &entries);
    Ok(merged)
}

/// Whatever is there when ownership begins to be kept.
fn before_first_apply(shape: Shape<'_>, live: &Value, manager: &Manager, now: &Value) -> Ownership {
    Ownership {
        manager: Manager {
            name: "before-first-apply".to_owned(),
            operation: Operation::Update,
            api_version: manager.api_version.clone(),
            subresource: String::new(),
        },
        time: now.clone(),
        fields: ownable(compare(shape, &Value::Null, live).changed),
    }
}

/// What the manager applied before, does not want any more, and nobody else owns.
fn given_up(shape: Shape<'_>, entries: &[Ownership], manager: &Manager, wanted: &FieldSet) -> FieldSet {
    let Some(before) = entries.iter().find(|entry| entry.manager == *manager) else {
        return FieldSet::default();
    };
    let others = entries.iter().filter(|entry| entry.manager != *manager);
    let known: Vec<&FieldSet> = others.map(|entry| &entry.fields).chain([wanted]).collect();
    before.fields.left_by(shape, &known)
}

fn merge(shape: Shape<'_>, live: &Value, wanted: &Value, at_root: bool) -> Value {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) if !shape.is_atomic_map() => {
            let kept = live.iter().filter(|(name, _)| !wanted.contains_key(*name));
            let kept = kept.map(|(name, value)| (name.clone(), value.clone()));
            let merged = wanted.iter().map(|(name, value)| {
                let before = live.get(name).unwrap_or(&Value::Null);
                (name.clone(), merge(shape.member(name, at_root), before, value, false))
            });
            Value::Object(kept.chain(merged).collect())
        }
        (Value::Array(live), Value::Array(wanted)) => merge_lists(shape, live, wanted),
        (Value::Null, Value::Object(map)) => {
            let clean = map.iter().map(|(name, value)| {
                (
                    name.clone(),
                    merge(shape.member(name, at_root), &Value::Null, value, false),
                )
            });
            Value::Object(clean.collect::<Map<_, _>>())
        }
        (_, wanted) => wanted.clone(),
    }
}

fn merge_lists(shape: Shape<'_>, live: &[Value], wanted: &[Value]) -> Value {
    let (Some(before), Some(after)) = (keyed(shape, live), keyed(shape, wanted)) else {
        return Value::Array(wanted.to_vec());
    };
    let elements =
        |items: &'_ [(Element, &Value)]| items.iter().map(|(element, _)| element.clone()).collect::<Vec<_>>();
    let (live, wanted) = (elements(&before), elements(&after));
    let picks = order(&live.iter().collect::<Vec<_>>(), &wanted.iter().collect::<Vec<_>>());
    let item = |pick: Pick| match pick {
        Pick::Live(at) => Value::clone(before[at].1),
        Pick::Wanted(at) => match live.iter().position(|element| *element == wanted[at]) {
            Some(known) => merge(shape.item(), before[known].1, after[at].1, false),
            None => Value::clone(after[at].1),
        },
    };
    picks.into_iter().map(item).collect()
}

/// What is left empty by what was given up goes, too, unless somebody had it or something in it: then it becomes null, as in the
/// real server.
fn tidy(merged: &mut Value, given_up: &FieldSet, held: &[&FieldSet]) {
    let mut parents: Vec<Path> = given_up.paths();
    // The deepest first, each with all around it.
    parents.sort_by_key(|path| std::cmp::Reverse(path.len()));
    for path in parents {
        for depth in (1..path.len()).rev() {
            let at = &path[..depth];
            if !at.iter().all(|element| matches!(element, Element::Field(_))) {
                continue;
            }
            let (Some(last), Some(parent)) = (at.last(), member_mut(merged, &at[..depth - 1])) else {
                continue;
            };
            let (Element::Field(name), Some(map)) = (last, parent.as_object_mut()) else {
                continue;
            };
            if !map.get(name).is_some_and(is_empty) || name == "metadata" {
                break;
            }
            if held.iter().any(|set| set.reaches(at)) {
                map.insert(name.clone(), Value::Null);
                break;
            }
            map.remove(name);
        }
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
}

fn member_mut<'a>(value: &'a mut Value, path: &[Element]) -> Option<&'a mut Value> {
    path.iter().try_fold(value, |value, element| match element {
        Element::Field(name) => value.get_mut(name.as_str()),
        Element::Key(_) | Element::Value(_) => None,
    })
}

/// Removes the field at a path.
fn remove(shape: Shape<'_>, value: &mut Value, path: &[Element], at_root: bool) {
    let Some((first, rest)) = path.split_first() else {
        return;
    };
    match (first, value) {
        (Element::Field(name), Value::Object(map)) => {
            if rest.is_empty() {
                map.remove(name);
            } else if let Some(child) = map.get_mut(name) {
                remove(shape.member(name, at_root), child, rest, false);
            }
        }
        (Element::Key(_) | Element::Value(_), Value::Array(items)) => {
            let kind = shape.list_kind();
            let found = items
                .iter()
                .position(|item| element(&kind, item).as_ref() == Some(first));
            match (found, rest.is_empty()) {
                (Some(index), true) => drop(items.remove(index)),
                (Some(index), false) => remove(shape.item(), &mut items[index], rest, false),
                (None, _) => {}
            }
        }
        (Element::Field(_) | Element::Key(_) | Element::Value(_), _) => {}
    }
}

fn describe(manager: &Manager) -> String {
    let mut text = format!("{:?}", manager.name);
    if !manager.subresource.is_empty() {
        text = format!("{text} with subresource {:?}", manager.subresource);
    }
    match manager.operation {
        Operation::Apply => text,
        Operation::Update => format!("{text} using {}", manager.api_version),
    }
}

fn conflict(conflicts: &[(Manager, Path)]) -> ApiError {
    let text = match conflicts {
        [(manager, path)] => format!("conflict with {}: {}", describe(manager), path::display(path)),
        many => {
            let mut lines: Vec<String> = Vec::new();
            let mut current = String::new();
            for (manager, path) in many {
                let name = describe(manager);
                if name != current {
                    lines.push(format!("conflicts with {name}:"));
                    current = name;
                }
                lines.push(format!("- {}", path::display(path)));
            }
            lines.join("\n")
        }
    };
    let count = conflicts.len();
    let plural = if count == 1 { "" } else { "s" };
    let error = ApiError::new(
        Reason::Conflict,
        format!("Apply failed with {count} conflict{plural}: {text}"),
    );
    conflicts.iter().fold(error, |error, (manager, path)| {
        let message = format!("conflict with {}", describe(manager));
        error.with_cause("FieldManagerConflict", &message, &path::display(path))
    })
}
