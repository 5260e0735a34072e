//! PUT of an object or of its status, and the rules every update obeys.

use super::admit::{self, Mutated};
use super::answer::Answer;
use super::dispatch::{Call, Method};
use super::stored::{self, Stored};
use super::write::{Part, Write};
use super::{create, decode, validate};
use crate::access::escalation;
use crate::api::error::{ApiError, ApiResult, Reason};
use crate::api::field::FieldError;
use crate::api::meta;
use crate::api::options::{WriteOptions, WriteVerb};
use crate::catalog::Resource;
use crate::core::Core;
use crate::fields::{self, Operation, Shape, record_update};
use crate::kinds;
use crate::store::{Object, ObjectName};
use serde_json::Value;
use std::sync::Arc;

/// Replaces an object.
pub(super) fn replace(core: &mut Core, call: &mut Call<'_>, name: &str, part: Part) -> ApiResult<Answer> {
    let options = WriteOptions::parse(&call.request.query, &call.request.user_agent, WriteVerb::Update)?;
    let mut object = decode::object(call, options.field_validation)?;
    match meta::name(&object) {
        "" if call.resource.is_custom() => return Err(undeterminable(name)),
        "" => meta::set(&mut object, "name", Some(name.into())),
        found if found != name => {
            return Err(ApiError::bad_request(format!(
                "the name of the object ({found}) does not match the name on the URL ({name})"
            )));
        }
        _ => {}
    }
    let resource = call.resource.clone();
    let write = Write::new(&resource, part, Operation::Update, &options);
    let at = ObjectName::new(call.namespace(), name);
    match call.find(core, &at)? {
        Some(old) => {
            let object = update_object(core, call, &old, object, &write)?;
            Ok(Answer::Object {
                code: 200,
                resource,
                object,
            })
        }
        None if resource.creates_on_update() && part == Part::Main => {
            meta::set(&mut object, "resourceVersion", None);
            let object = create::create_object(core, call, object, &write)?;
            Ok(Answer::Object {
                code: 201,
                resource,
                object,
            })
        }
        None => Err(call.not_found(name)),
    }
}

/// The object does not say its name.
pub(super) fn undeterminable(name: &str) -> ApiError {
    ApiError::bad_request(format!(
        "the name of the object ({name} based on URL) was undeterminable: name must be provided"
    ))
}

/// Updates `old` to what `new` says, as far as `part` may.
pub(super) fn update_object(
    core: &mut Core,
    call: &mut Call<'_>,
    old: &Arc<Object>,
    new: Value,
    write: &Write,
) -> ApiResult<Arc<Object>> {
    let resource = &call.resource.clone();
    lock(call, old, &new)?;
    if write.part == Part::Main {
        validate::check_deletion(resource, old, &new)?;
    }
    let object = confine(resource, old, new, write);
    let Mutated { mut object, requested } = if write.admitted {
        Mutated {
            object,
            requested: None,
        }
    } else {
        admit::mutate(core, call, object, Some(old), write.dry_run)?
    };
    if requested.is_some() {
        object = confine(resource, old, object, write);
    }
    escalation::check(core, call.user, resource, Some(old), &object)?;
    if write.part == Part::Main {
        kinds::prepare_update(core, resource, old, &mut object)?;
    }
    object["apiVersion"] = old["apiVersion"].clone();
    set_generation(resource, old, &mut object);
    judge(call, old, &object, write.part)?;
    if write.manager.operation == Operation::Update && !write.admitted {
        record(core, resource, old, &mut object, requested, write);
    }
    if !write.admitted {
        object = admit::validate(core, call, object, Some(old), write.dry_run)?;
    }
    // The last state is answered as it is, not as it would be read.
    let last = (resource.converts() && is_done(resource, &object)).then(|| object.clone());
    let Stored { object, shown } = Stored::of(core, call, object, Some(old))?;
    // What is stored may lack defaults that `old` was read with; then the write is one.
    let at = ObjectName::new(meta::namespace(old), meta::name(old));
    let before = core.store.get(&resource.collection, &at);
    let before = match before {
        Some(before) if **before != object => before,
        Some(_) | None => return Ok(old.clone()),
    };
    if write.dry_run {
        return Ok(Arc::new(Object::new(shown.unwrap_or(object))));
    }
    if is_done(resource, &object) {
        // The answer carries the revision that the object had: no state of it was stored after that.
        let last = Arc::new(Object::new(last.unwrap_or(object)));
        // Watchers see what was stored last.
        let stored_last = if resource.converts() { &before } else { old };
        core.remove(resource, Value::clone(stored_last));
        return Ok(last);
    }
    stored::check_size(Some(&before), call.request.body.len(), &object)?;
    Ok(stored::put(core, resource, object, shown))
}

/// Refuses what is wrong with an update, and says what its writer should know.
fn judge(call: &mut Call<'_>, old: &Value, object: &Value, part: Part) -> ApiResult<()> {
    let resource = &call.resource;
    // These parts of a pod change what its spec otherwise keeps.
    let fixed = match part {
        Part::Main | Part::Status | Part::Finalize => Some(old),
        Part::EphemeralContainers | Part::Resize => None,
    };
    validate::check_part(resource, fixed, object, part == Part::Status, &mut call.warnings)?;
    if part == Part::Main {
        call.warnings.extend(kinds::warnings(resource, object));
    }
    Ok(())
}

/// Takes from `new` what may change, with defaults.
fn confine(resource: &Resource, old: &Value, mut new: Value, write: &Write) -> Value {
    let part = write.part;
    // What a status does not change is not completed: it may have been converted, and defaults then are not written yet.
    let only_status = part == Part::Status && resource.is_custom();
    if only_status {
        kinds::default_fields(resource, &mut new, write.nulls());
    }
    let mut object = restrict(resource, old, new, part);
    keep_identity(old, &mut object);
    if !only_status {
        kinds::default_fields(resource, &mut object, write.nulls());
    }
    object
}

/// Records whose fields the write changes. What webhooks changed beyond what was `requested` is nobody's.
pub(super) fn record(
    core: &Core,
    resource: &Resource,
    old: &Value,
    object: &mut Value,
    requested: Option<Value>,
    write: &Write,
) {
    let (shape, now) = (Shape::of(resource), core.now());
    match requested {
        None => record_update(shape, old, object, &write.manager, &now),
        Some(mut requested) => {
            record_update(shape, old, &mut requested, &write.manager, &now);
            let fields = requested["metadata"].get("managedFields").cloned();
            meta::set(object, "managedFields", fields);
        }
    }
}

/// Records that everything which the creator says is its own. The status, where that is a subresource, is the server's.
pub(super) fn record_creation(
    core: &Core,
    resource: &Resource,
    object: &mut Value,
    requested: Option<Value>,
    write: &Write,
) {
    let status = object
        .as_object_mut()
        .filter(|_| resource.status)
        .and_then(|object| object.remove("status"));
    let zero = kinds::zero(resource);
    match requested {
        None => fields::record_creation(Shape::of(resource), &zero, object, &write.manager, &core.now()),
        Some(mut requested) => {
            fields::record_creation(Shape::of(resource), &zero, &mut requested, &write.manager, &core.now());
            let fields = requested["metadata"].get("managedFields").cloned();
            meta::set(object, "managedFields", fields);
        }
    }
    if let Some(status) = status {
        object["status"] = status;
    }
}

/// Whether nothing holds up the end of an object that is being deleted.
fn is_done(resource: &Resource, object: &Value) -> bool {
    let emptied = || !resource.is("", "Namespace") || meta::strings(&object["spec"]["finalizers"]).is_empty();
    meta::is_deleting(object)
        && meta::finalizers(object).is_empty()
        && meta::grace(object).unwrap_or(0) == 0
        && emptied()
}

/// The optimistic lock, and the UID if one was sent.
fn lock(call: &Call<'_>, old: &Value, new: &Value) -> ApiResult<()> {
    let Resource {
        plural, group, kind, ..
    } = &*call.resource;
    let name = meta::name(old);
    let uid = meta::uid(new);
    if !uid.is_empty() && uid != meta::uid(old) {
        if call.request.method == Method::Patch {
            let error = FieldError::invalid("metadata.uid", &Value::from(uid), "field is immutable");
            // As other metadata of custom resources, it is judged twice.
            let times = if call.resource.is_custom() { 2 } else { 1 };
            return Err(ApiError::invalid(kind, group, name, &vec![error; times]));
        }
        let why = format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            meta::uid(old)
        );
        return Err(ApiError::conflict(plural, group, name, &why));
    }
    match meta::resource_version(new) {
        "" | "0" if call.resource.allows_unconditional_update() => Ok(()),
        "" | "0" => {
            let error = FieldError::invalid(
                "metadata.resourceVersion",
                &Value::from(0),
                "must be specified for an update",
            );
            // The resource stands where other refusals name the kind.
            Err(ApiError::invalid(plural, group, name, &[error]))
        }
        version if version.parse::<u64>().is_err() => {
            let why = format!("strconv.ParseUint: parsing {version:?}: invalid syntax");
            Err(ApiError::new(Reason::Unknown, why))
        }
        version if version == meta::resource_version(old) => Ok(()),
        _ => Err(ApiError::modified(plural, group, name)),
    }
}

fn copy_member(from: &Value, to: &mut Value, member: &str) {
    let Some(map) = to.as_object_mut() else { return };
    match from.get(member) {
        Some(value) => map.insert(member.to_owned(), value.clone()),
        None => map.remove(member),
    };
}

/// Takes from `new` only what the part may change.
fn restrict(resource: &Resource, old: &Value, mut new: Value, part: Part) -> Value {
    match part {
        Part::Main => {
            if resource.status {
                copy_member(old, &mut new, "status");
            }
            if resource.is("", "Namespace") {
                new["spec"]["finalizers"] = old["spec"]["finalizers"].clone();
            }
            new
        }
        Part::Status => {
            let mut object = old.clone();
            copy_member(&new, &mut object, "status");
            meta::set(
                &mut object,
                "managedFields",
                new["metadata"].get("managedFields").cloned(),
            );
            if !resource.is_custom() {
                // Built-in kinds let labels and annotations through with the status.
                for member in ["labels", "annotations", "finalizers"] {
                    let value = new["metadata"].get(member).cloned();
                    meta::set(&mut object, member, value);
                }
            }
            object
        }
        Part::Finalize => {
            let mut object = old.clone();
            object["spec"]["finalizers"] = new["spec"]["finalizers"].clone();
            object
        }
        Part::EphemeralContainers => {
            let mut object = old.clone();
            object["spec"]["ephemeralContainers"] = new["spec"]["ephemeralContainers"].clone();
            object
        }
        Part::Resize => resized(old, &new),
    }
}

/// A pod with the resources that another version of it gives to its containers.
fn resized(old: &Value, new: &Value) -> Value {
    let mut pod = old.clone();
    for list in ["containers", "initContainers"] {
        for container in pod["spec"]
            .get_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            let wanted = new["spec"][list].as_array().into_iter().flatten();
            if let Some(wanted) = wanted.into_iter().find(|wanted| wanted["name"] == container["name"]) {
                copy_member(wanted, container, "resources");
                copy_member(wanted, container, "resizePolicy");
            }
        }
    }
    pod
}

/// What a client cannot change.
fn keep_identity(old: &Value, object: &mut Value) {
    const KEPT: &[&str] = &[
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "resourceVersion",
        "selfLink",
    ];
    for member in KEPT {
        let value = old["metadata"].get(member).cloned();
        meta::set(object, member, value);
    }
    for member in [
        "labels",
        "annotations",
        "finalizers",
        "ownerReferences",
        "managedFields",
    ] {
        if object["metadata"]
            .get(member)
            .is_some_and(|value| value.is_null() || is_empty(value))
        {
            meta::set(object, member, None);
        }
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(serde_json::Map::is_empty)
}

/// Raises the generation if anything outside metadata (and outside the status, if that is a subresource) changed.
fn set_generation(resource: &Resource, old: &Value, object: &mut Value) {
    if !resource.keeps_generation() {
        return;
    }
    let (Some(before), Some(after)) = (old.as_object(), object.as_object()) else {
        return;
    };
    let counts = |key: &str| key != "metadata" && key != "apiVersion" && !(resource.status && key == "status");
    let same = before
        .iter()
        .filter(|(key, _)| counts(key))
        .eq(after.iter().filter(|(key, _)| counts(key)));
    if !same {
        meta::set(object, "generation", Some((meta::generation(old) + 1).into()));
    }
}
