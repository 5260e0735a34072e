//! Strategic merge patch: a merge patch that knows which lists merge item by item, and a few directives.

use crate::api::error::{ApiError, ApiResult};
use crate::fields::{ListKind, Shape};
use serde_json::{Map, Value};

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_PRIMITIVE: &str = "$deleteFromPrimitiveList/";
const ELEMENT_ORDER: &str = "$setElementOrder/";

/// The object with the patch merged in.
pub(super) fn merge(shape: Shape<'_>, object: &Value, patch: &Value) -> ApiResult<Value> {
    merge_value(shape, object, patch, None)
}

/// `order` is that of a list's items, if the patch says one.
fn merge_value(shape: Shape<'_>, current: &Value, patch: &Value, order: Option<&[Value]>) -> ApiResult<Value> {
    match (current, patch) {
        (Value::Object(current), Value::Object(patch)) => merge_map(shape, current, patch),
        (_, Value::Object(patch)) => merge_map(shape, &Map::new(), patch),
        (Value::Array(current), Value::Array(patch)) => merge_list(shape, current, patch, order),
        (_, Value::Array(patch)) => merge_list(shape, &[], patch, order),
        (_, other) => Ok(other.clone()),
    }
}

fn merge_map(shape: Shape<'_>, current: &Map<String, Value>, patch: &Map<String, Value>) -> ApiResult<Value> {
    let plain = |map: &Map<String, Value>| {
        let kept = map.iter().filter(|(key, _)| !key.starts_with('$'));
        Value::Object(kept.map(|(key, value)| (key.clone(), value.clone())).collect())
    };
    match patch.get(DIRECTIVE).and_then(Value::as_str) {
        None | Some("merge") => {}
        Some("replace") => return Ok(plain(patch)),
        Some("delete") => return Ok(Value::Object(Map::new())),
        Some(other) => {
            return Err(ApiError::bad_request(format!("Unknown patch type found: {other}")));
        }
    }
    let mut merged = current.clone();
    if let Some(keys) = patch.get(RETAIN_KEYS).and_then(Value::as_array) {
        merged.retain(|key, _| keys.iter().any(|kept| kept == key.as_str()));
    }
    for (key, value) in patch {
        if let Some(list) = key.strip_prefix(DELETE_PRIMITIVE) {
            let gone = value.as_array().map(Vec::as_slice).unwrap_or_default();
            if let Some(items) = merged.get_mut(list).and_then(Value::as_array_mut) {
                items.retain(|item| !gone.contains(item));
            }
        }
    }
    for (key, value) in patch.iter().filter(|(key, _)| !key.starts_with('$')) {
        if value.is_null() {
            merged.remove(key);
            continue;
        }
        let before = merged.get(key).unwrap_or(&Value::Null);
        if value.get(DIRECTIVE).is_some() && !before.is_object() {
            // There is nothing that the directive could be about.
            merged.remove(key);
            continue;
        }
        let order = patch.get(&format!("{ELEMENT_ORDER}{key}")).and_then(Value::as_array);
        let after = merge_value(shape.member(key, false), before, value, order.map(Vec::as_slice))?;
        merged.insert(key.clone(), after);
    }
    for (key, order) in patch {
        if let (Some(list), Some(order)) = (key.strip_prefix(ELEMENT_ORDER), order.as_array())
            && let Some(items) = merged.get(list).and_then(Value::as_array)
            && !patch.contains_key(list)
            && shape.member(list, false).patched_list() != ListKind::Atomic
        {
            let ordered = merge_list(shape.member(list, false), items, &[], Some(order))?;
            merged.insert(list.to_owned(), ordered);
        }
    }
    Ok(Value::Object(merged))
}

/// The member that identifies the items of a list for this kind of patch.
fn merge_key(shape: Shape<'_>) -> Option<String> {
    match shape.patched_list() {
        ListKind::Map(keys) => keys.into_iter().next(),
        ListKind::Set | ListKind::Atomic => None,
    }
}

fn merge_list(shape: Shape<'_>, current: &[Value], patch: &[Value], order: Option<&[Value]>) -> ApiResult<Value> {
    let replaces = patch.iter().any(|item| item[DIRECTIVE] == "replace");
    let plain = || patch.iter().filter(|item| item.get(DIRECTIVE).is_none()).cloned();
    if replaces {
        return Ok(Value::Array(plain().collect()));
    }
    let order = order.unwrap_or(patch);
    if shape.patched_list() == ListKind::Set {
        let mut merged = current.to_vec();
        for item in patch {
            if !merged.contains(item) {
                merged.push(item.clone());
            }
        }
        return Ok(Value::Array(arranged(merged, current, order, None)));
    }
    let Some(key) = merge_key(shape) else {
        return Ok(Value::Array(patch.to_vec()));
    };
    let mut merged = current.to_vec();
    for item in patch {
        let identity = &item[&key];
        if identity.is_null() {
            return Err(ApiError::bad_request(format!(
                "map: {item} does not contain declared merge key: {key}"
            )));
        }
        let found = merged.iter().position(|other| other[&key] == *identity);
        match (item.get(DIRECTIVE).and_then(Value::as_str), found) {
            (Some("delete"), Some(index)) => drop(merged.remove(index)),
            (Some("delete"), None) => {}
            (_, Some(index)) => merged[index] = merge_value(shape.item(), &merged[index], item, None)?,
            (_, None) => merged.push(merge_value(shape.item(), &Value::Null, item, None)?),
        }
    }
    Ok(Value::Array(arranged(merged, current, order, Some(&key))))
}

/// Puts the items that `order` lists into that order. The others keep theirs, each before the first listed item that it stood
/// before.
fn arranged(merged: Vec<Value>, current: &[Value], order: &[Value], key: Option<&str>) -> Vec<Value> {
    let identity = |item: &Value| key.map_or_else(|| item.clone(), |key| item[key].clone());
    let place = |list: &[Value], item: &Value| {
        let wanted = identity(item);
        list.iter().position(|other| identity(other) == wanted)
    };
    let (mut listed, others): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(|item| place(order, item).is_some());
    listed.sort_by_key(|item| place(order, item));
    let stood_before = |one: &Value, other: &Value| match (place(current, one), place(current, other)) {
        (Some(one), Some(other)) => one < other,
        (Some(_) | None, _) => false,
    };
    let mut arranged = Vec::with_capacity(listed.len() + others.len());
    let mut others = others.into_iter().peekable();
    for item in listed {
        while let Some(other) = others.next_if(|other| stood_before(other, &item)) {
            arranged.push(other);
        }
        arranged.push(item);
    }
    arranged.extend(others);
    arranged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types;
    use proptest::prelude::*;
    use serde_json::json;
    use std::collections::BTreeMap;

    fn merged(object: &Value, patch: &Value) -> Value {
        let pod = types::message("core.v1.Pod").unwrap();
        merge(Shape::Message(pod), object, patch).unwrap()
    }

    #[test]
    fn containers_merge_by_name_and_keep_what_the_patch_does_not_mention() {
        let pod = json!({"spec": {"containers": [{"name": "a", "image": "1", "env": [{"name": "E", "value": "x"}]}, {"name": "b", "image": "2"}]}});
        let patch = json!({"spec": {"containers": [{"name": "b", "image": "3"}, {"name": "a", "env": [{"name": "F", "value": "y"}]}]}});
        let containers = &merged(&pod, &patch)["spec"]["containers"];
        assert_eq!(containers[0]["image"], "3");
        assert_eq!(containers[1]["image"], "1");
        assert_eq!(containers[1]["env"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn directives_delete_replace_and_order() {
        let pod = json!({"metadata": {"finalizers": ["x", "y"]}, "spec": {"containers": [{"name": "a"}, {"name": "b"}], "nodeSelector": {"k": "v"}}});
        let patch = json!({
            "metadata": {"$deleteFromPrimitiveList/finalizers": ["x"]},
            "spec": {
                "$setElementOrder/containers": [{"name": "c"}, {"name": "b"}],
                "containers": [{"name": "a", "$patch": "delete"}, {"name": "c"}],
                "nodeSelector": {"$patch": "replace", "l": "w"},
            },
        });
        let done = merged(&pod, &patch);
        assert_eq!(done["metadata"]["finalizers"], json!(["y"]));
        assert_eq!(done["spec"]["containers"], json!([{"name": "c"}, {"name": "b"}]));
        assert_eq!(done["spec"]["nodeSelector"], json!({"l": "w"}));
    }

    /// As the library of the real server does it.
    #[test]
    fn items_come_in_the_order_of_the_patch_and_others_keep_their_place_before_it() {
        let names = |list: &[&str]| list.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>();
        for (live, patch, order, expected) in [
            (&["a", "b", "c"][..], &["b", "a"][..], None, &["b", "a", "c"][..]),
            (&["a", "b", "c"], &["c", "d"], None, &["a", "b", "c", "d"]),
            (&["a", "b"], &["d", "b"], None, &["d", "a", "b"]),
            (&["a", "b", "c"], &[], Some(&["c", "a"][..]), &["b", "c", "a"]),
            (&["a", "b", "c"], &["d"], Some(&["d", "c"]), &["d", "a", "b", "c"]),
        ] {
            let pod = json!({"spec": {"containers": names(live)}});
            let mut change = json!({"spec": {"containers": names(patch)}});
            if let Some(order) = order {
                change["spec"]["$setElementOrder/containers"] = names(order).into();
            }
            if patch.is_empty() {
                change["spec"].as_object_mut().unwrap().remove("containers");
            }
            let done = merged(&pod, &change);
            assert_eq!(
                done["spec"]["containers"],
                Value::Array(names(expected)),
                "{live:?} {patch:?} {order:?}"
            );
        }
    }

    #[test]
    fn a_list_that_merges_as_a_whole_is_replaced() {
        let done = merged(
            &json!({"spec": {"tolerations": [{"key": "a"}]}}),
            &json!({"spec": {"tolerations": [{"key": "b"}]}}),
        );
        assert_eq!(done["spec"]["tolerations"], json!([{"key": "b"}]));
    }

    /// A container of the model: image, and environment by name.
    type Container = (Option<u8>, BTreeMap<String, u8>);

    /// What a patch does to a container.
    #[derive(Debug, Clone)]
    enum Change {
        Delete,
        /// An image of `None` takes it away.
        Merge {
            image: Vec<Option<u8>>,
            env: BTreeMap<String, Option<u8>>,
        },
    }

    fn live() -> impl Strategy<Value = Vec<(String, Container)>> {
        let env = prop::collection::btree_map("[EF]", 0..3_u8, 0..2);
        let container = (prop::option::of(0..3_u8), env);
        prop::collection::btree_map("[a-e]", container, 0..4)
            .prop_map(|map| map.into_iter().collect::<Vec<_>>())
            .prop_shuffle()
    }

    fn changes() -> impl Strategy<Value = Vec<(String, Change)>> {
        let env = prop::collection::btree_map("[EF]", prop::option::of(0..3_u8), 0..2);
        let change = prop_oneof![
            1 => Just(Change::Delete),
            3 => (prop::collection::vec(prop::option::of(0..3_u8), 0..2), env).prop_map(|(image, env)| Change::Merge { image, env }),
        ];
        prop::collection::btree_map("[a-e]", change, 0..4)
            .prop_map(|map| map.into_iter().collect::<Vec<_>>())
            .prop_shuffle()
    }

    fn named(name: &str, mut members: Value) -> Value {
        members["name"] = name.into();
        members
    }

    fn live_json((name, (image, env)): &(String, Container)) -> Value {
        let mut container = named(name, json!({}));
        if let Some(image) = image {
            container["image"] = image.to_string().into();
        }
        if !env.is_empty() {
            let env = env
                .iter()
                .map(|(name, value)| named(name, json!({"value": value.to_string()})));
            container["env"] = env.collect();
        }
        container
    }

    fn change_json((name, change): &(String, Change)) -> Value {
        let (image, env) = match change {
            Change::Delete => return named(name, json!({"$patch": "delete"})),
            Change::Merge { image, env } => (image, env),
        };
        let mut container = named(name, json!({}));
        if let [image] = image.as_slice() {
            container["image"] = image.map_or(Value::Null, |image| image.to_string().into());
        }
        if !env.is_empty() {
            let entry = |(name, value): (&String, &Option<u8>)| match value {
                Some(value) => named(name, json!({"value": value.to_string()})),
                None => named(name, json!({"$patch": "delete"})),
            };
            container["env"] = env.iter().map(entry).collect();
        }
        container
    }

    /// The model: each container by itself, in a map.
    fn expected(live: &[(String, Container)], changes: &[(String, Change)]) -> BTreeMap<String, Container> {
        let mut found: BTreeMap<String, Container> = live.iter().cloned().collect();
        for (name, change) in changes {
            let Change::Merge { image, env } = change else {
                found.remove(name);
                continue;
            };
            let container = found.entry(name.clone()).or_default();
            if let [image] = image.as_slice() {
                container.0 = *image;
            }
            for (name, value) in env {
                match value {
                    Some(value) => drop(container.1.insert(name.clone(), *value)),
                    None => drop(container.1.remove(name)),
                }
            }
        }
        found
    }

    fn read(container: &Value) -> (String, Container) {
        let number = |value: &Value| value.as_str().and_then(|text| text.parse().ok());
        let env = container["env"].as_array().into_iter().flatten();
        let env = env.map(|entry| {
            (
                entry["name"].as_str().unwrap().to_owned(),
                number(&entry["value"]).unwrap(),
            )
        });
        (
            container["name"].as_str().unwrap().to_owned(),
            (number(&container["image"]), env.collect()),
        )
    }

    proptest! {
        #[test]
        fn every_item_is_what_the_model_says_and_keeps_its_place_among_its_like(live in live(), changes in changes(), has_order: bool) {
            let pod = json!({"spec": {"containers": live.iter().map(live_json).collect::<Vec<_>>(), "nodeName": "n"}});
            let mut patch = json!({"spec": {"containers": changes.iter().map(change_json).collect::<Vec<_>>()}});
            let kept = changes.iter().filter(|(_, change)| !matches!(change, Change::Delete));
            let listed: Vec<&str> = kept.map(|(name, _)| name.as_str()).rev().collect();
            if has_order {
                patch["spec"]["$setElementOrder/containers"] = listed.iter().map(|name| json!({"name": name})).collect();
            }
            let done = merged(&pod, &patch);
            prop_assert_eq!(&done["spec"]["nodeName"], "n");
            let found: Vec<(String, Container)> = done["spec"]["containers"].as_array().unwrap().iter().map(read).collect();
            prop_assert_eq!(found.iter().cloned().collect::<BTreeMap<_, _>>(), expected(&live, &changes));
            prop_assert_eq!(found.len(), expected(&live, &changes).len());
            let among = |list: &[&str]| found.iter().map(|(name, _)| name.as_str()).filter(|name| list.contains(name)).map(str::to_owned).collect::<Vec<_>>();
            let wanted: Vec<&str> = if has_order { listed.clone() } else { listed.iter().rev().copied().collect() };
            prop_assert_eq!(among(&listed), wanted);
            let others: Vec<&str> = live.iter().map(|(name, _)| name.as_str()).filter(|name| changes.iter().all(|(other, _)| other != name)).collect();
            prop_assert_eq!(among(&others), others);
        }
    }
}
