//! PATCH in its forms.

use super::answer::Answer;
use super::create::create_object;
use super::decode;
use super::dispatch::Call;
use super::merge::merge;
use super::strategic;
use super::update::{Part, Write, update_object};
use crate::api::error::{ApiError, ApiResult, Reason};
use crate::api::meta;
use crate::api::options::WriteOptions;
use crate::core::Core;
use crate::fields::{self, Operation, Shape};
use crate::store::ObjectName;
use serde_json::{Value, json};

const MAX_OPERATIONS: usize = 10_000;

/// The forms of a patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Merge,
    Strategic,
    Apply,
}

const JSON: &str = "application/json-patch+json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

impl Form {
    /// By media type; custom resources have no strategic merge patch.
    pub(super) fn of(content_type: &str, custom: bool) -> ApiResult<Self> {
        match decode::media_type(content_type).as_str() {
            JSON => Ok(Self::Json),
            MERGE => Ok(Self::Merge),
            STRATEGIC if !custom => Ok(Self::Strategic),
            APPLY => Ok(Self::Apply),
            _ if custom => Err(ApiError::unsupported_media_type(&[JSON, MERGE, APPLY])),
            _ => Err(ApiError::unsupported_media_type(&[JSON, MERGE, STRATEGIC, APPLY])),
        }
    }
}

/// Patches an object.
pub(super) fn patch(core: &mut Core, call: &mut Call<'_>, name: &str, part: Part) -> ApiResult<Answer> {
    let options = WriteOptions::parse(&call.request.query, &call.request.user_agent)?;
    let form = Form::of(&call.request.content_type, call.resource.is_custom())?;
    if form == Form::Apply {
        return apply(core, call, name, part, &options);
    }
    let resource = call.resource.clone();
    let at = ObjectName::new(call.namespace(), name);
    let Some(old) = core.find(&resource, &at) else {
        return Err(call.not_found(name));
    };
    let shown = resource.present(&old);
    let patched = patched(form, Shape::of(&resource), &shown, &call.request.body)?;
    let mut patched = decode::identify(call, patched, options.field_validation)?;
    check_name(&patched, name)?;
    if meta::resource_version(&patched).is_empty() {
        meta::set(
            &mut patched,
            "resourceVersion",
            Some(meta::resource_version(&old).into()),
        );
    }
    let write = Write::new(&resource, part, Operation::Update, &options);
    let object = update_object(core, call, &old, patched, &write)?;
    Ok(Answer::Object {
        code: 200,
        resource,
        object,
    })
}

fn check_name(object: &Value, name: &str) -> ApiResult<()> {
    match meta::name(object) {
        found if found == name => Ok(()),
        found => Err(ApiError::bad_request(format!(
            "the name of the object ({found}) does not match the name on the URL ({name})"
        ))),
    }
}

/// The object as the patch would have it.
pub(super) fn patched(form: Form, shape: Shape<'_>, object: &Value, body: &[u8]) -> ApiResult<Value> {
    let mut patched = object.clone();
    if form == Form::Json {
        let patch = decode::parse_json(body)?;
        if !patch.is_array() {
            return Err(ApiError::bad_request(format!(
                "error decoding patch: json: cannot unmarshal {} into Go value of type []interface {{}}",
                json_type(&patch)
            )));
        }
        let operations: json_patch::Patch = serde_json::from_value(patch)
            .map_err(|error| ApiError::bad_request(format!("error decoding patch: {error}")))?;
        let count = operations.0.len();
        if count > MAX_OPERATIONS {
            return Err(ApiError::too_large(format!(
                "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {count}"
            )));
        }
        json_patch::patch(&mut patched, &operations).map_err(|_| ApiError::unprocessable_patch())?;
        return Ok(patched);
    }
    let patch = decode::parse_json(body)?;
    if !patch.is_object() {
        return Err(ApiError::bad_request(format!(
            "error decoding patch: json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
            json_type(&patch)
        )));
    }
    if form == Form::Strategic {
        return strategic::merge(shape, object, &patch);
    }
    merge(&mut patched, &patch);
    Ok(patched)
}

/// The type of a value as decoding errors name it.
fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Server-side apply; creates what is absent.
fn apply(core: &mut Core, call: &mut Call<'_>, name: &str, part: Part, options: &WriteOptions) -> ApiResult<Answer> {
    if call.request.query.get("fieldManager").is_none() {
        return Err(ApiError::new(
            Reason::Invalid,
            "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
        ));
    }
    let body = decode::parse_yaml(&call.request.body)?;
    decode::check_declared(call, name, &body)?;
    let mut wanted = decode::identify(call, body, options.field_validation)?;
    check_name(&wanted, name)?;
    if wanted["metadata"]
        .get("managedFields")
        .is_some_and(|fields| !fields.is_null())
    {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    let resource = call.resource.clone();
    let write = Write::new(&resource, part, Operation::Apply, options);
    let version = meta::resource_version(&wanted).to_owned();
    confine(&mut wanted, &resource, part);
    let at = ObjectName::new(call.namespace(), name);
    let Some(old) = core.find(&resource, &at) else {
        return apply_new(core, call, &wanted, &write, options.force);
    };
    let (live, now) = (resource.present(&old), core.now());
    let mut merged = fields::apply(
        Shape::of(&resource),
        &live,
        &wanted,
        &write.manager,
        options.force,
        &now,
    )?;
    let version = if version.is_empty() {
        meta::resource_version(&old).to_owned()
    } else {
        version
    };
    meta::set(&mut merged, "resourceVersion", Some(version.into()));
    let object = update_object(core, call, &old, merged, &write)?;
    Ok(Answer::Object {
        code: 200,
        resource,
        object,
    })
}

/// Applies to an absent object, which creates it.
fn apply_new(core: &mut Core, call: &mut Call<'_>, wanted: &Value, write: &Write, force: bool) -> ApiResult<Answer> {
    let resource = call.resource.clone();
    let (name, uid) = (meta::name(wanted), meta::uid(wanted));
    if write.part != Part::Main {
        return Err(call.not_found(name));
    }
    if !uid.is_empty() {
        let why = format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
        return Err(ApiError::conflict(&resource.plural, &resource.group, name, &why));
    }
    let now = core.now();
    let made = fields::apply(Shape::of(&resource), &json!({}), wanted, &write.manager, force, &now)?;
    let object = create_object(core, call, made, write)?;
    Ok(Answer::Object {
        code: 201,
        resource,
        object,
    })
}

/// Leaves out what the part of the object cannot change, so that nobody comes to own it.
fn confine(wanted: &mut Value, resource: &crate::catalog::Resource, part: Part) {
    let Some(map) = wanted.as_object_mut() else { return };
    match part {
        Part::Main if resource.status => drop(map.remove("status")),
        Part::Main => {}
        Part::EphemeralContainers | Part::Resize => drop(map.remove("status")),
        Part::Status | Part::Finalize => {
            map.retain(|member, _| ["apiVersion", "kind", "metadata", "status"].contains(&member.as_str()));
            if let Some(metadata) = map.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.retain(|member, _| ["name", "namespace", "uid"].contains(&member.as_str()));
            }
        }
    }
}
