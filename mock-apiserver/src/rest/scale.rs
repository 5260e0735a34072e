//! The scale subresource: an `autoscaling/v1` `Scale` as a view of the object's replica fields.

use super::admit;
use super::answer::Answer;
use super::decode;
use super::dispatch::{Call, Method};
use super::patch;
use super::update::{Part, Write, update_object};
use crate::admission::GroupVersionKind;
use crate::api::error::{ApiError, ApiResult};
use crate::api::field::FieldError;
use crate::api::meta;
use crate::api::options::{WriteOptions, WriteVerb};
use crate::catalog::{Resource, ScalePaths};
use crate::core::Core;
use crate::fields::{Operation, Shape};
use crate::store::{Object, ObjectName};
use serde_json::{Value, json};
use std::sync::Arc;

fn at<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    path.trim_start_matches('.')
        .split('.')
        .try_fold(object, |value, member| value.get(member))
}

/// The scale of an object.
fn view(paths: &ScalePaths, object: &Value) -> Value {
    let number = |path: &str| at(object, path).and_then(Value::as_i64).unwrap_or(0);
    let mut status = json!({"replicas": number(&paths.status_replicas)});
    let selector = paths
        .label_selector
        .as_deref()
        .and_then(|path| at(object, path))
        .and_then(Value::as_str);
    let match_labels = || {
        let labels = object["spec"]["selector"]["matchLabels"].as_object()?;
        let terms: Vec<String> = labels
            .iter()
            .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
            .collect();
        Some(terms.join(","))
    };
    if let Some(selector) = selector.map(str::to_owned).or_else(match_labels) {
        status["selector"] = selector.into();
    }
    let kept = ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"];
    let metadata: serde_json::Map<String, Value> = kept
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), object["metadata"].get(*name)?.clone())))
        .collect();
    let mut scale = json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata,
        "spec": {"replicas": number(&paths.spec_replicas)}, "status": status,
    });
    if number(&paths.spec_replicas) == 0 {
        scale["spec"] = json!({});
    }
    scale
}

/// Reads or writes the scale.
pub(super) fn handle(core: &mut Core, call: &mut Call<'_>, name: &str, paths: &ScalePaths) -> ApiResult<Answer> {
    let resource = call.resource.clone();
    let name_in_store = ObjectName::new(call.namespace(), name);
    let Some(old) = call.find(core, &name_in_store)? else {
        return Err(call.not_found(name));
    };
    let shown = view(paths, &old);
    let wanted = match call.request.method {
        Method::Get => return Ok(Answer::Document { code: 200, body: shown }),
        Method::Put => decode::parse_body(&call.request.content_type, &call.request.body)?,
        Method::Patch => {
            let form = patch::Form::of(&call.request.content_type, true)?;
            patch::patched(form, Shape::Schema(&Value::Null), &shown, &call.request.body)?
        }
        Method::Post => return Err(call.not_supported("create")),
        Method::Delete => return Err(call.not_supported("delete")),
    };
    let options = WriteOptions::parse(&call.request.query, &call.request.user_agent, verb(call))?;
    let kind = GroupVersionKind {
        group: "autoscaling".to_owned(),
        version: "v1".to_owned(),
        kind: "Scale".to_owned(),
    };
    let wanted = admit::subresource(
        core,
        call,
        &kind,
        wanted,
        Some(&Arc::new(Object::new(shown))),
        options.dry_run,
    )?;
    let replicas = replicas(&wanted, name)?;
    let mut object = Value::clone(&resource.present(&old));
    place(&resource, &mut object, &paths.spec_replicas, replicas)?;
    let version = meta::resource_version(&wanted);
    let version = if version.is_empty() {
        meta::resource_version(&old)
    } else {
        version
    };
    meta::set(&mut object, "resourceVersion", Some(version.into()));
    let mut write = Write::new(&resource, Part::Main, Operation::Update, &options);
    write.admitted = true;
    "scale".clone_into(&mut write.manager.subresource);
    let object = update_object(core, call, &old, object, &write)?;
    Ok(Answer::Document {
        code: 200,
        body: view(paths, &object),
    })
}

/// Whose options a write has.
fn verb(call: &Call<'_>) -> WriteVerb {
    match (
        call.request.method,
        decode::media_type(&call.request.content_type).as_str(),
    ) {
        (Method::Patch, patch::APPLY) => WriteVerb::Apply,
        (Method::Patch, _) => WriteVerb::Patch,
        (Method::Get | Method::Post | Method::Put | Method::Delete, _) => WriteVerb::Update,
    }
}

fn replicas(scale: &Value, name: &str) -> ApiResult<i64> {
    let asked = &scale["spec"]["replicas"];
    match (asked.as_i64(), asked.is_null()) {
        (_, true) => Ok(0),
        (Some(replicas), false) if replicas >= 0 => Ok(replicas),
        (Some(_) | None, false) => {
            let error = FieldError::invalid("spec.replicas", asked, "must be greater than or equal to 0");
            Err(ApiError::invalid("Scale", "autoscaling", name, &[error]))
        }
    }
}

/// Sets the replica field, making the objects on the way.
fn place(resource: &Resource, object: &mut Value, path: &str, replicas: i64) -> ApiResult<()> {
    let mut node = object;
    for member in path.trim_start_matches('.').split('.') {
        if node.is_null() {
            *node = json!({});
        }
        if !node.is_object() {
            let why = format!(
                "the path {path} of {} does not lead through objects",
                resource.qualified()
            );
            return Err(ApiError::internal(&why));
        }
        node = &mut node[member];
    }
    *node = replicas.into();
    Ok(())
}
