//! The scale subresource: an `autoscaling/v1` `Scale` as a view of the object's replica fields.

use super::admit;
use super::answer::Answer;
use super::decode;
use super::dispatch::{Call, Method};
use super::patch;
use super::update::update_object;
use super::write::{Part, Write};
use crate::admission::GroupVersionKind;
use crate::api::error::{ApiError, ApiResult, Reason};
use crate::api::field::FieldError;
use crate::api::meta;
use crate::api::options::{FieldValidation, WriteOptions, WriteVerb};
use crate::catalog::{Resource, ScalePaths};
use crate::core::Core;
use crate::fields::{Operation, Replicas, Shape, record_scaling};
use crate::store::{Object, ObjectName};
use crate::types;
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
    let name_in_store = ObjectName::new(call.namespace(), name);
    let Some(old) = call.find(core, &name_in_store)? else {
        return Err(call.not_found(name));
    };
    match call.request.method {
        Method::Post => Err(call.not_supported("create")),
        Method::Delete => Err(call.not_supported("delete")),
        Method::Get => {
            check_replicas(&old, paths)?;
            Ok(Answer::Scale(view(paths, &old)))
        }
        Method::Put | Method::Patch => write(core, call, &old, name, paths),
    }
}

fn write(core: &mut Core, call: &mut Call<'_>, old: &Arc<Object>, name: &str, paths: &ScalePaths) -> ApiResult<Answer> {
    let resource = call.resource.clone();
    let shown = view(paths, old);
    let options = WriteOptions::parse(&call.request.query, &call.request.user_agent, verb(call))?;
    let mut wanted = wanted(call, &shown)?;
    tell_unknown(call, &mut wanted, options.field_validation)?;
    let kind = GroupVersionKind {
        group: "autoscaling".to_owned(),
        version: "v1".to_owned(),
        kind: "Scale".to_owned(),
    };
    let shown = Arc::new(Object::new(shown));
    let wanted = admit::subresource(core, call, &kind, wanted, Some(&shown), options.dry_run)?;
    check_identity(call, old, &wanted, name)?;
    let replicas = replicas(&resource, &wanted, name)?;
    let before = resource.present(old);
    let mut object = Value::clone(&before);
    place(&resource, &mut object, &paths.spec_replicas, replicas)?;
    let version = match meta::resource_version(&wanted) {
        "" => meta::resource_version(old),
        version => version,
    };
    meta::set(&mut object, "resourceVersion", Some(version.into()));
    let mut write = Write::new(&resource, Part::Main, Operation::Update, &options);
    write.admitted = true;
    "scale".clone_into(&mut write.manager.subresource);
    let path: Vec<&str> = paths.spec_replicas.trim_start_matches('.').split('.').collect();
    let whose = if at(&before, &paths.spec_replicas) == at(&object, &paths.spec_replicas) {
        Replicas::Same
    } else if replicas == 0 {
        Replicas::Nobodys
    } else {
        Replicas::Of(&write.manager)
    };
    record_scaling(&before, &mut object, &path, whose);
    let object = update_object(core, call, old, object, &write)?;
    Ok(Answer::Scale(view(paths, &object)))
}

/// The scale as the request would have it.
fn wanted(call: &Call<'_>, shown: &Value) -> ApiResult<Value> {
    let request = call.request;
    if request.method != Method::Patch {
        return decode::parse_body(&request.content_type, &request.body);
    }
    let form = patch::Form::of(&request.content_type, true)?;
    if form == patch::Form::Apply && call.resource.is_custom() {
        // The real server looks for the kind among the versions of the definition.
        let name = call.path.name.as_deref().unwrap_or_default();
        let why = format!(
            "failed to convert new object (/{name}; autoscaling/v1, Kind=Scale) to proper version: request to convert CR to an invalid group/version: autoscaling/v1"
        );
        return Err(ApiError::new(Reason::Unknown, why));
    }
    let patch = if form == patch::Form::Apply {
        decode::parse_yaml(&request.body)?.0
    } else {
        decode::parse_patch(&request.body)?.0
    };
    patch::patched(form, Shape::Schema(&Value::Null), shown, patch)
}

/// Leaves out what a scale does not have: with a warning, silently, or not at all.
fn tell_unknown(call: &mut Call<'_>, wanted: &mut Value, validation: FieldValidation) -> ApiResult<()> {
    // Values of another type are refused with the identity of the scale.
    let known = types::message("autoscaling.v1.Scale").map(|message| types::check(message, wanted));
    let unknown: Vec<String> = known
        .and_then(Result::ok)
        .into_iter()
        .flatten()
        .map(|path| format!("unknown field {path:?}"))
        .collect();
    match validation {
        FieldValidation::Strict if !unknown.is_empty() => Err(ApiError::bad_request(format!(
            "Scale in version \"v1\" cannot be handled as a Scale: strict decoding error: {}",
            unknown.join(", ")
        ))),
        FieldValidation::Warn => {
            call.warnings.extend(unknown);
            Ok(())
        }
        FieldValidation::Strict | FieldValidation::Ignore => Ok(()),
    }
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
