//! Request bodies: media types and the identity of what was sent.

use super::dispatch::{Call, Method};
use super::patch;
use crate::api::error::{ApiError, ApiResult, Reason};
use crate::api::field::{FieldError, go_json};
use crate::api::json;
use crate::api::meta;
use crate::api::options::FieldValidation;
use crate::catalog::{BuiltIn, Origin, Resource};
use crate::fields::{self, Shape};
use crate::protobuf;
use crate::schema;
use crate::types;
use serde_json::Value;

/// What the API accepts as the body of a write.
const ACCEPTED: &[&str] = &["application/json", "application/yaml", PROTOBUF];
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// The media type without its parameters, in lower case.
pub(super) fn media_type(content_type: &str) -> String {
    content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}

/// Parses a body as JSON, YAML or protobuf, by its media type.
pub(super) fn parse_body(content_type: &str, body: &[u8]) -> ApiResult<Value> {
    match media_type(content_type).as_str() {
        "" | "application/json" => parse_json(body),
        "application/yaml" | "text/yaml" | "application/x-yaml" => parse_yaml(body).map(|(value, _)| value),
        PROTOBUF => protobuf::decode(body).map_err(|error| undecodable(&error.to_string())),
        _ => Err(ApiError::unsupported_media_type(ACCEPTED)),
    }
}

fn is_yaml(media_type: &str) -> bool {
    matches!(media_type, "application/yaml" | "text/yaml" | "application/x-yaml")
}

/// Parses the options in the body of a deletion.
pub(super) fn parse_options(content_type: &str, body: &[u8]) -> ApiResult<Value> {
    let is_json = matches!(media_type(content_type).as_str(), "" | "application/json");
    if is_json && serde_json::from_slice::<serde::de::IgnoredAny>(body).is_err_and(|error| error.is_eof()) {
        let why = "couldn't get version/kind; json parse error: unexpected end of JSON input";
        return Err(ApiError::bad_request(why));
    }
    let options = parse_body(content_type, body)?;
    match options["kind"].as_str() {
        None | Some("" | "DeleteOptions") => Ok(options),
        Some(other) => {
            let version = options["apiVersion"].as_str().unwrap_or_default();
            Err(ApiError::bad_request(format!(
                "no kind {other:?} is registered for version {version:?} in scheme \"pkg/runtime/scheme.go:111\""
            )))
        }
    }
}

/// Parses JSON.
pub(super) fn parse_json(body: &[u8]) -> ApiResult<Value> {
    serde_json::from_slice(body).map_err(|error| undecodable(&error.to_string()))
}

/// Parses the JSON of a patch; returns the paths of repeated fields, too.
pub(super) fn parse_patch(body: &[u8]) -> ApiResult<(Value, Vec<String>)> {
    json::parse(body).map_err(|error| {
        if error.is_eof() {
            ApiError::bad_request("error decoding patch: unexpected end of JSON input")
        } else {
            ApiError::bad_request(format!("error decoding patch: {error}"))
        }
    })
}

/// Parses YAML (JSON included, which is read as such where it is no worse: much faster); says which fields are repeated.
pub(super) fn parse_yaml(body: &[u8]) -> ApiResult<(Value, Vec<String>)> {
    if body.first() == Some(&b'{')
        && let Ok((value, repeated)) = json::parse(body)
        && repeated.is_empty()
    {
        return Ok((value, repeated));
    }
    let text = std::str::from_utf8(body).map_err(|error| undecodable(&error.to_string()))?;
    json::parse_yaml(text).map_err(|error| undecodable(&error.to_string()))
}

/// What is wrong with YAML that repeats fields.
pub(super) fn unmarshalable(repeated: &[String]) -> String {
    format!("yaml: unmarshal errors:\n  {}", repeated.join("\n  "))
}

/// A body that is no object of the kind, with how it begins.
fn unrecognized(kind: &str, why: &str, body: &[u8]) -> ApiError {
    const SHOWN: usize = 30;
    let head = &body[..body.len().min(SHOWN)];
    let mut shown = match head.first() {
        None => "<empty>".to_owned(),
        Some(b'{') => String::from_utf8_lossy(head).into_owned(),
        Some(_) => head
            .iter()
            .fold(String::new(), |text, byte| format!("{text}{byte:02x}")),
    };
    if body.len() > SHOWN {
        shown.push_str(" ...");
    }
    ApiError::bad_request(format!(
        "the object provided is unrecognized (must be of type {kind}): {why} ({shown})"
    ))
}

/// A body that ends too early, or is no JSON.
fn unread(kind: &str, error: &serde_json::Error, body: &[u8]) -> ApiError {
    if error.is_eof() {
        let why = "couldn't get version/kind; json parse error: unexpected end of JSON input";
        unrecognized(kind, why, body)
    } else {
        undecodable(&error.to_string())
    }
}

fn undecodable(error: &str) -> ApiError {
    ApiError::bad_request(format!(
        "the object provided is unrecognized (must be of type Object): couldn't parse the body: {error}"
    ))
}

/// The object in the body, checked to be of the kind that the path names; the namespace is filled in from the path.
pub(super) fn object(call: &mut Call<'_>, validation: FieldValidation) -> ApiResult<Value> {
    let (content_type, body) = (&call.request.content_type, &call.request.body);
    let (object, repeated) = match media_type(content_type).as_str() {
        "" | "application/json" => {
            let (object, paths) = json::parse(body).map_err(|error| unread(&call.resource.kind, &error, body))?;
            (
                object,
                paths.iter().map(|path| format!("duplicate field {path:?}")).collect(),
            )
        }
        other if is_yaml(other) => match parse_yaml(body)? {
            (_, repeated) if validation == FieldValidation::Strict && !repeated.is_empty() => {
                let why = format!("strict decoding error: {}", unmarshalable(&repeated));
                return Err(unfit(&call.resource, &why));
            }
            parsed => parsed,
        },
        // Custom resources have no protobuf form.
        PROTOBUF if call.resource.is_custom() => return Err(ApiError::unsupported_media_type(&ACCEPTED[..2])),
        _ => (parse_body(content_type, body)?, Vec::new()),
    };
    identify(call, object, repeated, validation)
}

/// Refuses an applied configuration with fields that the type of its kind does not know: nobody could own them.
pub(super) fn check_declared(call: &Call<'_>, name: &str, object: &mut Value) -> ApiResult<()> {
    let mistyped = fields::typed_problem(Shape::of(&call.resource), object);
    let problem = match (mistyped, undeclared(&call.resource, object)?.into_iter().min()) {
        (None, None) => return Ok(()),
        (Some(problem), _) => problem,
        (None, Some(path)) => format!(".{path}: field not declared in schema"),
    };
    let resource = &call.resource;
    Err(ApiError::new(
        Reason::Unknown,
        format!(
            "failed to create typed patch object ({}/{name}; {}/{}, Kind={}): {problem}",
            meta::namespace(object),
            resource.group,
            resource.version,
            resource.kind
        ),
    ))
}

/// Drops the fields that the kind does not have, and returns their paths. Values of another type than a built-in kind declares
/// are refused.
pub(super) fn undeclared(resource: &Resource, object: &mut Value) -> ApiResult<Vec<String>> {
    match &resource.origin {
        Origin::Custom(custom) => {
            let mut unknown = metadata_of_custom(resource, object)?;
            if !custom.preserve_unknown && custom.schema.is_object() {
                let mut undeclared = schema::prune(&custom.schema, object);
                undeclared.sort();
                unknown.extend(undeclared);
            }
            if custom.rules.has_embedded {
                let coerced = schema::coerce_embedded(&custom.schema, object);
                unknown.extend(coerced.map_err(|why| unfit(resource, &why))?);
            }
            Ok(unknown)
        }
        Origin::BuiltIn(BuiltIn {
            message: Some(message), ..
        }) => types::check(message, object).map_err(|why| unfit(resource, &why)),
        Origin::BuiltIn(_) => Ok(Vec::new()),
    }
}

/// The metadata of custom resources is typed as that of built-in kinds is.
fn metadata_of_custom(resource: &Resource, object: &mut Value) -> ApiResult<Vec<String>> {
    let (Some(message), Some(metadata)) = (types::message("meta.ObjectMeta"), object.get_mut("metadata")) else {
        return Ok(Vec::new());
    };
    let unknown = types::check(message, metadata).map_err(|why| unfit(resource, &why))?;
    Ok(unknown.into_iter().map(|path| format!("metadata.{path}")).collect())
}

/// Leaves out what is written of no metadata. What is applied is its manager's before, even where it is empty.
pub(super) fn settle_metadata(resource: &Resource, object: &mut Value) {
    if resource.is_custom()
        && let (Some(message), Some(metadata)) = (types::message("meta.ObjectMeta"), object.get_mut("metadata"))
    {
        types::settle(message, metadata);
    }
}

fn unfit(Resource { kind, version, .. }: &Resource, why: &str) -> ApiError {
    ApiError::bad_request(format!(
        "{kind} in version {version:?} cannot be handled as a {kind}: {why}"
    ))
}

/// Drops fields that the kind does not have, and passes over what else was `told` of the body: silently, with a warning, or not
/// at all.
fn prune(call: &mut Call<'_>, object: &mut Value, told: Vec<String>, validation: FieldValidation) -> ApiResult<()> {
    let is_patch = call.request.method == Method::Patch;
    let is_apply = is_patch && media_type(&call.request.content_type) == patch::APPLY;
    let patched = (is_patch && !is_apply && validation == FieldValidation::Strict).then(|| go_json(object));
    let unknown = undeclared(&call.resource, object)?;
    if !is_apply {
        settle_metadata(&call.resource, object);
    }
    let mut unknown: Vec<String> = unknown
        .into_iter()
        .map(|path| format!("unknown field {path:?}"))
        .collect();
    unknown.splice(0..0, told);
    match validation {
        FieldValidation::Strict if !unknown.is_empty() => {
            let why = format!("strict decoding error: {}", unknown.join(", "));
            let Some(patched) = patched else {
                return Err(unfit(&call.resource, &why));
            };
            let error = FieldError::invalid("patch", &Value::from(patched), why);
            Err(ApiError::invalid("", "", "", &[error]))
        }
        FieldValidation::Warn => {
            call.warnings.extend(unknown);
            Ok(())
        }
        FieldValidation::Strict | FieldValidation::Ignore => Ok(()),
    }
}

/// Objects without metadata get some.
fn metadata_of(resource: &Resource, object: &mut Value) -> ApiResult<()> {
    match &object["metadata"] {
        Value::Object(_) => Ok(()),
        Value::Null => {
            object["metadata"] = serde_json::json!({});
            Ok(())
        }
        other => {
            let found = json_type(other);
            let why = format!("json: cannot unmarshal {found} into Go value of type v1.ObjectMeta");
            Err(unfit(resource, &why))
        }
    }
}

fn no_object(call: &Call<'_>, body: &Value) -> ApiError {
    let found = json_type(body);
    let why = format!(
        "couldn't get version/kind; json parse error: json: cannot unmarshal {found} into Go value of type struct {{ APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }}"
    );
    unrecognized(&call.resource.kind, &why, &call.request.body)
}

fn no_kind(patched: &Value) -> ApiError {
    let text = go_json(patched);
    let why = format!("Object 'Kind' is missing in '{text}'");
    let error = FieldError::invalid("patch", &Value::from(text), why);
    ApiError::invalid("", "", "", &[error])
}

/// Checks kind and namespace of an object against the path. What is `told` of its body is judged with its unknown fields.
pub(super) fn identify(
    call: &mut Call<'_>,
    mut object: Value,
    told: Vec<String>,
    validation: FieldValidation,
) -> ApiResult<Value> {
    if !object.is_object() {
        return Err(no_object(call, &object));
    }
    let resource = &call.resource;
    let expected = (resource.api_version(), resource.kind.clone());
    for (member, want) in [("apiVersion", &expected.0), ("kind", &expected.1)] {
        match &object[member] {
            Value::Null if !resource.is_custom() => object[member] = want.as_str().into(),
            // A patch that leaves no kind is what is wrong.
            Value::Null if call.request.method == Method::Patch => {
                return Err(no_kind(&object));
            }
            Value::Null if member == "kind" => {
                let body = &call.request.body;
                let why = format!("Object 'Kind' is missing in '{}'", String::from_utf8_lossy(body));
                return Err(unrecognized(want, &why, body));
            }
            Value::Null => {
                return Err(ApiError::bad_request(format!(
                    "the API version in the data () does not match the expected API version ({want})"
                )));
            }
            Value::String(found) if found == want => {}
            Value::String(found) if member == "kind" && resource.is_custom() => {
                let error = FieldError::invalid("kind", &Value::from(found.as_str()), format!("must be {want}"));
                return Err(ApiError::invalid(found, &resource.group, meta::name(&object), &[error]));
            }
            Value::String(found) if resource.is_custom() && call.request.method == Method::Patch => {
                let group = found.split_once('/').map_or("", |(group, _)| group);
                let error = FieldError::invalid(member, &Value::from(found.as_str()), format!("must be {want}"));
                return Err(ApiError::invalid(&resource.kind, group, meta::name(&object), &[error]));
            }
            other => {
                let found = other.as_str().map_or_else(|| other.to_string(), str::to_owned);
                let what = if member == "kind" { "kind" } else { "API version" };
                return Err(ApiError::bad_request(format!(
                    "the {what} in the data ({found}) does not match the expected {what} ({want})"
                )));
            }
        }
    }
    metadata_of(resource, &mut object)?;
    scope(call, &mut object)?;
    drop_repeated_owners(call, &mut object);
    prune(call, &mut object, told, validation)?;
    Ok(object)
}

/// Drops references to owners that stand there already, with a warning.
fn drop_repeated_owners(call: &mut Call<'_>, object: &mut Value) {
    let owners = object
        .pointer_mut("/metadata/ownerReferences")
        .and_then(Value::as_array_mut);
    let Some(owners) = owners else { return };
    let (mut kept, mut repeated) = (Vec::new(), Vec::new());
    for owner in owners.drain(..) {
        if kept.contains(&owner) {
            repeated.push(owner["uid"].as_str().unwrap_or_default().to_owned());
        } else {
            kept.push(owner);
        }
    }
    *owners = kept;
    if !repeated.is_empty() {
        call.warnings.push(format!(
            ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {}",
            repeated.join(", ")
        ));
    }
}

/// The type of a value as Go's decoder names it.
pub(super) fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn scope(call: &Call<'_>, object: &mut Value) -> ApiResult<()> {
    let found = meta::namespace(object).to_owned();
    match call.path.namespace.as_deref() {
        Some(namespace) if found.is_empty() => meta::set(object, "namespace", Some(namespace.into())),
        Some(namespace) if found != namespace => {
            return Err(ApiError::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        Some(_) => {}
        None => meta::set(object, "namespace", None),
    }
    Ok(())
}
