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
    merge_value(shape, object, patch)
}

fn merge_value(shape: Shape<'_>, current: &Value, patch: &Value) -> ApiResult<Value> {
    match (current, patch) {
        (Value::Object(current), Value::Object(patch)) => merge_map(shape, current, patch),
        (_, Value::Object(patch)) => merge_map(shape, &Map::new(), patch),
        (Value::Array(current), Value::Array(patch)) => merge_list(shape, current, patch),
        (_, Value::Array(patch)) => merge_list(shape, &[], patch),
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
        let after = merge_value(shape.member(key, false), before, value)?;
        merged.insert(key.clone(), after);
    }
    for (key, order) in patch {
        if let (Some(list), Some(order)) = (key.strip_prefix(ELEMENT_ORDER), order.as_array())
            && let Some(items) = merged.get_mut(list).and_then(Value::as_array_mut)
        {
            reorder(shape.member(list, false), items, order);
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

fn merge_list(shape: Shape<'_>, current: &[Value], patch: &[Value]) -> ApiResult<Value> {
    let replaces = patch.iter().any(|item| item[DIRECTIVE] == "replace");
    let plain = || patch.iter().filter(|item| item.get(DIRECTIVE).is_none()).cloned();
    if replaces {
        return Ok(Value::Array(plain().collect()));
    }
    if shape.patched_list() == ListKind::Set {
        let mut merged = current.to_vec();
        merged.extend(patch.iter().filter(|item| !current.contains(item)).cloned());
        return Ok(Value::Array(merged));
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
            (_, Some(index)) => merged[index] = merge_value(shape.item(), &merged[index], item)?,
            (_, None) => merged.push(merge_value(shape.item(), &Value::Null, item)?),
        }
    }
    Ok(Value::Array(merged))
}

/// Puts the listed items into the given order; others keep their place at the end.
fn reorder(shape: Shape<'_>, items: &mut [Value], order: &[Value]) {
    let key = merge_key(shape);
    items.sort_by_key(|item| {
        order
            .iter()
            .position(|wanted| match &key {
                Some(key) => wanted[key] == item[key],
                None => wanted == item,
            })
            .unwrap_or(usize::MAX)
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types;
    use serde_json::json;

    fn merged(object: &Value, patch: &Value) -> Value {
        let pod = types::message("core.v1.Pod").unwrap();
        merge(Shape::Message(pod), object, patch).unwrap()
    }

    #[test]
    fn containers_merge_by_name_and_keep_what_the_patch_does_not_mention() {
        let pod = json!({"spec": {"containers": [{"name": "a", "image": "1", "env": [{"name": "E", "value": "x"}]}, {"name": "b", "image": "2"}]}});
        let patch = json!({"spec": {"containers": [{"name": "b", "image": "3"}, {"name": "a", "env": [{"name": "F", "value": "y"}]}]}});
        let containers = &merged(&pod, &patch)["spec"]["containers"];
        assert_eq!(containers[0]["image"], "1");
        assert_eq!(containers[0]["env"].as_array().unwrap().len(), 2);
        assert_eq!(containers[1]["image"], "3");
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

    #[test]
    fn a_list_that_merges_as_a_whole_is_replaced() {
        let done = merged(
            &json!({"spec": {"tolerations": [{"key": "a"}]}}),
            &json!({"spec": {"tolerations": [{"key": "b"}]}}),
        );
        assert_eq!(done["spec"]["tolerations"], json!([{"key": "b"}]));
    }
}
