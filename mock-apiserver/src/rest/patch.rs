//! PATCH in its forms.

use super::answer::Answer;
use super::create::create_object;
use super::decode;
use super::dispatch::Call;
use super::merge::merge;
use super::strategic;
use super::update::{undeterminable, update_object};
use super::write::{Part, Write};
use crate::api::error::{ApiError, ApiResult};
use crate::api::meta;
use crate::api::options::{FieldValidation, WriteOptions, WriteVerb};
use crate::core::Core;
use crate::fields::{self, Operation, Shape};
use crate::store::ObjectName;
use serde_json::{Value, json};

const MAX_OPERATIONS: usize = 10_000;
/// How many bytes the `copy` operations of one patch may add up to.
const MAX_COPIED: usize = 3 * 1024 * 1024;

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
pub(super) const APPLY: &str = "application/apply-patch+yaml";

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
    let form = Form::of(&call.request.content_type, call.resource.is_custom())?;
    let verb = match form {
        Form::Apply => WriteVerb::Apply,
        Form::Json | Form::Merge | Form::Strategic => WriteVerb::Patch,
    };
    let options = WriteOptions::parse(&call.request.query, &call.request.user_agent, verb)?;
    if form == Form::Apply {
        return apply(core, call, name, part, &options);
    }
    let resource = call.resource.clone();
    let at = ObjectName::new(call.namespace(), name);
    let Some(old) = call.find(core, &at)? else {
        return Err(call.not_found(name));
    };
    let shown = resource.present(&old);
    let (patch, repeated) = decode::parse_patch(&call.request.body)?;
    let told = told(form, &patch, &repeated);
    let patched = patched(form, Shape::of(&resource), &shown, patch)?;
    let mut patched = decode::identify(call, patched, told, options.field_validation)?;
    check_name(&patched, name)?;
    if meta::resource_version(&patched).is_empty() && !resource.is_custom() {
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

pub(super) fn check_name(object: &Value, name: &str) -> ApiResult<()> {
    match meta::name(object) {
        found if found == name => Ok(()),
        "" => Err(undeterminable(name)),
        found => Err(ApiError::bad_request(format!(
            "the name of the object ({found}) does not match the name on the URL ({name})"
        ))),
    }
}

/// What is to be told of a patch by itself.
fn told(form: Form, patch: &Value, repeated: &[String]) -> Vec<String> {
    if form != Form::Json {
        return repeated
            .iter()
            .map(|path| format!("duplicate field {path:?}"))
            .collect();
    }
    let duplicate = repeated
        .iter()
        .map(|path| format!("json patch duplicate field {path:?}"));
    let operations = patch.as_array().into_iter().flatten().enumerate();
    let unknown = operations.flat_map(|(index, operation)| {
        let members = operation
            .as_object()
            .into_iter()
            .flatten()
            .map(|(member, _)| member.as_str());
        let unknown = members.filter(|member| !["op", "path", "from", "value"].contains(member));
        unknown.map(move |member| format!("json patch unknown field \"[{index}].{member}\""))
    });
    duplicate.chain(unknown).collect()
}

/// The object as the patch would have it.
pub(super) fn patched(form: Form, shape: Shape<'_>, object: &Value, patch: Value) -> ApiResult<Value> {
    let mut patched = object.clone();
    if form == Form::Json {
        json_patched(&mut patched, patch)?;
        return Ok(patched);
    }
    if !patch.is_object() {
        return Err(ApiError::bad_request(format!(
            "error decoding patch: json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
            decode::json_type(&patch)
        )));
    }
    if form == Form::Strategic {
        return strategic::merge(shape, object, &patch);
    }
    merge(&mut patched, &patch);
    Ok(patched)
}

/// Carries out a JSON patch, one operation after another.
fn json_patched(object: &mut Value, patch: Value) -> ApiResult<()> {
    let Value::Array(operations) = patch else {
        return Err(ApiError::bad_request(format!(
            "error decoding patch: json: cannot unmarshal {} into Go value of type []handlers.jsonPatchOp",
            decode::json_type(&patch)
        )));
    };
    let count = operations.len();
    if count > MAX_OPERATIONS {
        return Err(ApiError::too_large(format!(
            "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {count}"
        )));
    }
    let mut copied = 0;
    for operation in operations {
        if operation["op"] == "copy" {
            let source = operation["from"].as_str().and_then(|from| object.pointer(from));
            copied += source.map_or(0, |source| source.to_string().len());
            if copied > MAX_COPIED {
                return Err(ApiError::unprocessable_patch());
            }
        }
        let Some(operation) = as_go_reads(object, operation) else {
            continue;
        };
        let operation: json_patch::PatchOperation =
            serde_json::from_value(operation).map_err(|_| ApiError::unprocessable_patch())?;
        json_patch::patch(object, &[operation]).map_err(|_| ApiError::unprocessable_patch())?;
    }
    Ok(())
}

/// The API server's library takes an absent value for null, adds where it should replace what is absent, and copies null
/// from where nothing is. A test for null of what is absent holds, so there is nothing to carry out.
fn as_go_reads(object: &Value, mut operation: Value) -> Option<Value> {
    let text = |member: &str| operation[member].as_str().unwrap_or_default().to_owned();
    let (name, path, from) = (text("op"), text("path"), text("from"));
    let in_map = |path: &str| {
        let parent = path.rsplit_once('/').and_then(|(parent, _)| object.pointer(parent));
        parent.is_some_and(Value::is_object) && object.pointer(path).is_none()
    };
    match name.as_str() {
        "test" if operation["value"].is_null() && in_map(&path) => return None,
        "replace" if in_map(&path) => operation["op"] = "add".into(),
        "copy" if in_map(&from) => {
            operation["op"] = "add".into();
            operation["value"] = Value::Null;
        }
        _ => {}
    }
    if let ("add" | "replace" | "test", Some(map)) = (name.as_str(), operation.as_object_mut()) {
        map.entry("value").or_insert(Value::Null);
    }
    Some(operation)
}

/// Server-side apply; creates what is absent.
fn apply(core: &mut Core, call: &mut Call<'_>, name: &str, part: Part, options: &WriteOptions) -> ApiResult<Answer> {
    let (mut body, told) = applied(call, options.field_validation)?;
    decode::check_declared(call, name, &mut body)?;
    let mut wanted = decode::identify(call, body, told, options.field_validation)?;
    check_name(&wanted, name)?;
    let resource = call.resource.clone();
    let write = Write::new(&resource, part, Operation::Apply, options);
    let version = meta::resource_version(&wanted).to_owned();
    confine(&mut wanted, &resource, part);
    let at = ObjectName::new(call.namespace(), name);
    let Some(old) = call.find(core, &at)? else {
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
    decode::settle_metadata(&resource, &mut merged);
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

/// The configuration in the body, of the kind that the path names, and what is to be told of it.
fn applied(call: &Call<'_>, validation: FieldValidation) -> ApiResult<(Value, Vec<String>)> {
    let (body, repeated) = decode::parse_yaml(&call.request.body)?;
    if validation == FieldValidation::Strict && !repeated.is_empty() {
        let why = decode::unmarshalable(&repeated);
        return Err(ApiError::bad_request(format!(
            "error strict decoding YAML: error converting YAML to JSON: {why}"
        )));
    }
    if !body.is_object() && !body.is_null() {
        let found = decode::json_type(&body);
        return Err(ApiError::bad_request(format!(
            "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {found} into Go value of type map[string]interface {{}}"
        )));
    }
    let text = |member: &str| body[member].as_str().unwrap_or_default();
    let (version, kind) = (text("apiVersion"), text("kind"));
    if version != call.resource.api_version() || kind != call.resource.kind {
        // Without a kind the version does not count either.
        let version = if kind.is_empty() || version.is_empty() {
            "/"
        } else {
            version
        };
        return Err(ApiError::bad_request(format!(
            "invalid object type: {version}, Kind={kind}"
        )));
    }
    if body["metadata"]
        .get("managedFields")
        .is_some_and(|fields| !fields.is_null())
    {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    Ok((body, repeated))
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
    let mut made = fields::apply(Shape::of(&resource), &json!({}), wanted, &write.manager, force, &now)?;
    decode::settle_metadata(&resource, &mut made);
    meta::set(&mut made, "resourceVersion", None);
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
