//! What is sent to a conversion webhook, and what its answer comes to.

use crate::api::field::go_type;
use crate::api::meta;
use serde_json::{Map, Value, json};

const V1: &str = "apiextensions.k8s.io/v1";

/// A review that asks for objects in another version.
pub(super) fn request(api_version: &str, uid: &str, desired: &str, objects: &[Value]) -> Value {
    json!({
        "kind": "ConversionReview", "apiVersion": api_version,
        "request": {"uid": uid, "desiredAPIVersion": desired, "objects": objects},
    })
}

/// The objects of an answer, as many as were sent, or why the webhook has failed.
pub(super) fn objects(api_version: &str, uid: &str, review: &Value) -> Result<Vec<Value>, String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let response = &review["response"];
    if api_version == V1 {
        let found = (text(&review["apiVersion"]), text(&review["kind"]));
        if found != (V1.to_owned(), "ConversionReview".to_owned()) {
            return Err(format!(
                "expected webhook response of {V1}, Kind=ConversionReview, got {}, Kind={}",
                found.0, found.1
            ));
        }
    }
    if !response.is_object() {
        return Err("no response provided".to_owned());
    }
    if api_version == V1 && response["uid"] != uid {
        return Err(format!(
            "expected response.uid={uid:?}, got {:?}",
            text(&response["uid"])
        ));
    }
    let result = &response["result"];
    if result["status"] != "Success" {
        let message = text(&result["message"]);
        return Err(if message.is_empty() {
            format!(
                "response.result.status was '{}', not 'Success'",
                text(&result["status"])
            )
        } else {
            message
        });
    }
    Ok(response["convertedObjects"].as_array().cloned().unwrap_or_default())
}

/// A converted object with the metadata of the original, of which only labels and annotations may change; or what is
/// wrong with it, in words that follow the webhook's name.
pub(super) fn restored(original: &Value, converted: Value, desired: &str) -> Result<Value, String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let version = text(&converted["apiVersion"]);
    if version != desired {
        return Err(format!(
            "returned invalid object at index 0: invalid groupVersion (expected {desired}, received {version})"
        ));
    }
    let (kind, found) = (text(&original["kind"]), text(&converted["kind"]));
    if kind != found {
        return Err(format!(
            "returned invalid object at index 0: invalid kind (expected {kind}, received {found})"
        ));
    }
    for (what, of) in [
        ("name", meta::name as fn(&Value) -> &str),
        ("namespace", meta::namespace),
        ("UID", meta::uid),
    ] {
        let (before, after) = (of(original), of(&converted));
        if before != after {
            return Err(format!(
                "returned invalid object: must have the same {what}: {before} != {after}"
            ));
        }
    }
    with_metadata(original, converted).map_err(|why| format!("returned invalid metadata: {why}"))
}

fn with_metadata(original: &Value, mut converted: Value) -> Result<Value, String> {
    let Some(said) = converted.get("metadata").cloned() else {
        return Err("missing metadata in converted object".to_owned());
    };
    let Some(said) = said.as_object() else {
        return Err(format!(
            "invalid metadata of type {} in converted object",
            go_type(&said)
        ));
    };
    let mut metadata = original["metadata"].as_object().cloned().unwrap_or_default();
    for member in ["labels", "annotations"] {
        match said.get(member).filter(|value| !value.is_null()) {
            None => drop(metadata.remove(member)),
            Some(Value::Object(map)) => {
                check_texts(member, map)?;
                metadata.insert(member.to_owned(), Value::Object(map.clone()));
            }
            Some(other) => {
                return Err(format!(
                    "invalid metadata.{member} of type {} in converted object",
                    go_type(other)
                ));
            }
        }
    }
    converted["metadata"] = metadata.into();
    Ok(converted)
}

fn check_texts(member: &str, map: &Map<String, Value>) -> Result<(), String> {
    match map.iter().find(|(_, value)| !value.is_string()) {
        None => Ok(()),
        Some((key, value)) => Err(format!(
            "metadata.{member}[{key}] must be a string, but is {} in converted object",
            go_type(value)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn original() -> Value {
        json!({"apiVersion": "g/v1", "kind": "K", "metadata": {"name": "a", "uid": "u", "labels": {"l": "1"}}})
    }

    #[test]
    fn only_labels_and_annotations_of_the_metadata_may_change() {
        let converted = json!({
            "apiVersion": "g/v2", "kind": "K", "spec": {"x": 1},
            "metadata": {"name": "a", "uid": "u", "finalizers": ["f"], "annotations": {"n": "2"}},
        });
        let restored = restored(&original(), converted, "g/v2").unwrap();
        assert_eq!(
            restored["metadata"],
            json!({"name": "a", "uid": "u", "annotations": {"n": "2"}})
        );
        assert_eq!(restored["spec"], json!({"x": 1}));
    }

    #[test]
    fn what_is_not_the_object_in_the_wanted_version_is_refused() {
        for (change, why) in [
            (
                json!({"apiVersion": "g/v3"}),
                "invalid groupVersion (expected g/v2, received g/v3)",
            ),
            (json!({"kind": "L"}), "invalid kind (expected K, received L)"),
            (
                json!({"metadata": {"name": "b", "uid": "u"}}),
                "must have the same name: a != b",
            ),
            (
                json!({"metadata": {"name": "a", "uid": "v"}}),
                "must have the same UID: u != v",
            ),
            (
                json!({"metadata": {"name": "a", "uid": "u", "labels": {"a": 1}}}),
                "metadata.labels[a] must be a string, but is int64 in converted object",
            ),
        ] {
            let mut converted = original();
            converted["apiVersion"] = "g/v2".into();
            converted
                .as_object_mut()
                .unwrap()
                .extend(change.as_object().unwrap().clone());
            let refused = restored(&original(), converted, "g/v2").unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
    }

    #[test]
    fn an_answer_counts_only_if_it_is_one_to_the_question() {
        let answer = |response: Value| json!({"kind": "ConversionReview", "apiVersion": V1, "response": response});
        let told = |review: &Value| objects(V1, "u", review);
        let success = json!({"uid": "u", "result": {"status": "Success"}, "convertedObjects": [{}]});
        assert_eq!(told(&answer(success)).unwrap().len(), 1);
        let failed = json!({"uid": "u", "result": {"status": "Failed", "message": "no"}});
        assert_eq!(told(&answer(failed)).unwrap_err(), "no");
        let other = json!({"uid": "v", "result": {"status": "Success"}});
        assert_eq!(
            told(&answer(other)).unwrap_err(),
            "expected response.uid=\"u\", got \"v\""
        );
        assert_eq!(
            told(&json!({})).unwrap_err(),
            "expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got , Kind="
        );
    }
}
