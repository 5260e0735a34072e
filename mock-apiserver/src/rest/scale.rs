//! The scale subresource: an `autoscaling/v1` `Scale` as a view of the object's replica fields.

use super::admit;
use super::answer::Answer;
use super::decode;
use super::dispatch::{Call, Method};
use super::patch;
use super::update::update_object;
use super::write::{Part, Write};
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
    match call.request.method {
        Method::Post => return Err(call.not_supported("create")),
        Method::Delete => return Err(call.not_supported("delete")),
        Method::Get | Method::Put | Method::Patch => check_replicas(&old, paths)?,
    }
    let shown = view(paths, &old);
    if call.request.method == Method::Get {
        return Ok(Answer::Document { code: 200, body: shown });
    }
    let wanted = wanted(call, &shown)?;
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
    check_identity(call, &old, &wanted, name)?;
    let replicas = replicas(&resource, &wanted, name)?;
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

/// The scale as the request would have it.
fn wanted(call: &Call<'_>, shown: &Value) -> ApiResult<Value> {
    let request = call.request;
    if request.method != Method::Patch {
        return decode::parse_body(&request.content_type, &request.body);
    }
    let form = patch::Form::of(&request.content_type, true)?;
    patch::patched(form, Shape::Schema(&Value::Null), shown, &request.body)
}

/// Only an object that says how many replicas it wants has a scale.
fn check_replicas(object: &Value, paths: &ScalePaths) -> ApiResult<()> {
    if at(object, &paths.spec_replicas).is_some_and(|replicas| !replicas.is_null()) {
        return Ok(());
    }
    let why = format!("the spec replicas field {:?} does not exist", paths.spec_replicas);
    Err(ApiError {
        details: Some(json!({"causes": [{"message": why}]})),
        ..ApiError::internal(&why)
    })
}

/// Whether a body is a scale, and that of the object that the path names.
fn check_identity(call: &Call<'_>, old: &Value, wanted: &Value, name: &str) -> ApiResult<()> {
    let replicas = &wanted["spec"]["replicas"];
    let is_scale = wanted["apiVersion"] == "autoscaling/v1" && wanted["kind"] == "Scale";
    if !is_scale || !(replicas.is_null() || replicas.is_i64()) {
        // The real server has no better words: its own error is about the type that it looked for.
        let why = "no kind is registered for the type v1.Scale in scheme \"pkg/runtime/scheme.go:111\"";
        return Err(ApiError::bad_request(why));
    }
    patch::check_name(wanted, name)?;
    let (asked, found) = (meta::uid(wanted), meta::uid(old));
    if asked.is_empty() || asked == found {
        return Ok(());
    }
    let why = format!("Precondition failed: UID in precondition: {asked}, UID in object meta: {found}");
    Err(ApiError::conflict(
        &call.resource.plural,
        &call.resource.group,
        name,
        &why,
    ))
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

fn replicas(resource: &Resource, scale: &Value, name: &str) -> ApiResult<i64> {
    let replicas = scale["spec"]["replicas"].as_i64().unwrap_or_default();
    if replicas >= 0 {
        return Ok(replicas);
    }
    let error = FieldError::invalid(".spec.replicas", &replicas.into(), "should be a non-negative integer");
    Err(ApiError::invalid(&resource.kind, &resource.group, name, &[error]))
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
