//! PATCH in its forms.

use super::answer::Answer;
use super::decode;
use super::dispatch::Call;
use super::merge::merge;
use super::update::{Part, update_object};
use crate::api::error::{ApiError, ApiResult};
use crate::api::meta;
use crate::api::options::WriteOptions;
use crate::core::Core;
use crate::store::ObjectName;
use serde_json::Value;

const JSON_PATCH: &str = "application/json-patch+json";
const MERGE_PATCH: &str = "application/merge-patch+json";
const MAX_OPERATIONS: usize = 10_000;

/// Patches an object.
pub(super) fn patch(core: &mut Core, call: &mut Call<'_>, name: &str, part: Part) -> ApiResult<Answer> {
    let options = WriteOptions::parse(&call.request.query, &call.request.user_agent)?;
    let resource = call.resource.clone();
    let at = ObjectName::new(call.namespace(), name);
    let form = decode::media_type(&call.request.content_type);
    if ![JSON_PATCH, MERGE_PATCH].contains(&form.as_str()) {
        return Err(ApiError::unsupported_media_type(&[JSON_PATCH, MERGE_PATCH]));
    }
    let Some(old) = core.store.get(&resource.collection, &at) else {
        return Err(call.not_found(name));
    };
    let shown = resource.present(&old);
    let patched = apply_patch(&form, &shown, &call.request.body)?;
    let mut patched = decode::identify(call, patched)?;
    if meta::name(&patched) != name {
        let found = meta::name(&patched);
        return Err(ApiError::bad_request(format!(
            "the name of the object ({found}) does not match the name on the URL ({name})"
        )));
    }
    if meta::resource_version(&patched).is_empty() {
        meta::set(
            &mut patched,
            "resourceVersion",
            Some(meta::resource_version(&old).into()),
        );
    }
    let object = update_object(core, &resource, &old, patched, part, &options)?;
    Ok(Answer::Object {
        code: 200,
        resource,
        object,
    })
}

/// The object as the patch would have it.
pub(super) fn apply_patch(form: &str, object: &Value, body: &[u8]) -> ApiResult<Value> {
    let mut patched = object.clone();
    match form {
        JSON_PATCH => {
            let operations: json_patch::Patch = serde_json::from_slice(body)
                .map_err(|error| ApiError::bad_request(format!("error decoding patch: {error}")))?;
            if operations.0.len() > MAX_OPERATIONS {
                return Err(ApiError::too_large(format!(
                    "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
                    operations.0.len()
                )));
            }
            json_patch::patch(&mut patched, &operations).map_err(|_| ApiError::unprocessable_patch())?;
        }
        _ => {
            let patch = decode::parse_json(body)?;
            if !patch.is_object() {
                return Err(ApiError::bad_request(
                    "error decoding patch: a merge patch must be an object",
                ));
            }
            merge(&mut patched, &patch);
        }
    }
    Ok(patched)
}
