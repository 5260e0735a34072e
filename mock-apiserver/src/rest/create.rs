//! POST of an object.

use super::admit::{self, Mutated};
use super::answer::Answer;
use super::decode;
use super::dispatch::Call;
use super::stored::{self, Stored};
use super::update::record_creation;
use super::validate;
use super::write::{Part, Write};
use crate::access::escalation;
use crate::api::error::{ApiError, ApiResult, Reason};
use crate::api::meta;
use crate::api::options::{WriteOptions, WriteVerb};
use crate::catalog::Resource;
use crate::core::Core;
use crate::fields::Operation;
use crate::kinds;
use crate::store::{Object, ObjectName};
use serde_json::Value;
use std::sync::Arc;

const GENERATE_TRIES: usize = 8;

/// Creates the object in the body.
pub(super) fn create(core: &mut Core, call: &mut Call<'_>) -> ApiResult<Answer> {
    let options = WriteOptions::parse(&call.request.query, &call.request.user_agent, WriteVerb::Create)?;
    let object = decode::object(call, options.field_validation)?;
    let write = Write::new(&call.resource, Part::Main, Operation::Update, &options);
    let object = create_object(core, call, object, &write)?;
    Ok(Answer::Object {
        code: 201,
        resource: call.resource.clone(),
        object,
    })
}

/// Creates an object whose kind and namespace have been checked.
pub(super) fn create_object(
    core: &mut Core,
    call: &mut Call<'_>,
    mut object: Value,
    write: &Write,
) -> ApiResult<Arc<Object>> {
    let resource = call.resource.clone();
    if !matches!(meta::resource_version(&object), "" | "0") {
        return Err(ApiError::new(
            Reason::Unknown,
            "resourceVersion should not be set on objects to be created",
        ));
    }
    admit_namespace(core, call, &object)?;
    if write.manager.operation == Operation::Update {
        meta::set(&mut object, "managedFields", None);
    }
    complete(&resource, &mut object, write);
    let nameless = meta::name(&object).is_empty();
    let Mutated { mut object, requested } = admit::mutate(core, call, object, None, write.dry_run)?;
    generate_name(core, call, &mut object)?;
    if nameless || requested.is_some() {
        complete(&resource, &mut object, write);
    }
    escalation::check(core, call.user, &resource, None, &object)?;
    // What the server fills in from here on is nobody's field.
    let requested = requested.or_else(|| kinds::is_completed(&resource).then(|| object.clone()));
    kinds::prepare_create(core, &resource, &mut object)?;
    validate::check(&resource, &object, &mut call.warnings)?;
    call.warnings.extend(kinds::warnings(&resource, &object));
    kinds::stamp_new(core, &resource, &mut object);
    if write.manager.operation == Operation::Update {
        record_creation(core, &resource, &mut object, requested, write);
    }
    let object = admit::validate(core, call, object, None, write.dry_run)?;
    let Stored { object, shown } = Stored::of(core, call, object, None)?;
    let name = ObjectName::new(meta::namespace(&object), meta::name(&object));
    if let Some(there) = core.store.get(&resource.collection, &name) {
        let mut refused = ApiError::already_exists(&resource.plural, &resource.group, &name.name);
        if meta::is_deleting(&there) {
            refused.message.insert_str(0, "object is being deleted: ");
        }
        return Err(refused);
    }
    if write.dry_run {
        return Ok(Arc::new(Object::new(shown.unwrap_or(object))));
    }
    stored::check_size(None, call.request.body.len(), &object)?;
    Ok(stored::put(core, &resource, object, shown))
}

/// Fills in defaults; a status that is a subresource is not the creator's.
fn complete(resource: &Resource, object: &mut Value, write: &Write) {
    if resource.status
        && let Some(map) = object.as_object_mut()
    {
        map.remove("status");
    }
    kinds::default_fields(resource, object, write.nulls());
}

/// The namespace must exist and must not be on its way out.
fn admit_namespace(core: &Core, call: &Call<'_>, object: &Value) -> ApiResult<()> {
    let Some(namespace) = call.path.namespace.as_deref() else {
        return Ok(());
    };
    match core.namespace_state(namespace) {
        Some(false) => Ok(()),
        None => Err(ApiError::not_found("namespaces", "", namespace)),
        Some(true) => {
            let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
            let message = format!("namespace {namespace} is being terminated");
            Err(
                ApiError::forbidden(&call.resource.plural, &call.resource.group, meta::name(object), &why).with_cause(
                    "NamespaceTerminating",
                    &message,
                    "metadata.namespace",
                ),
            )
        }
    }
}

fn generate_name(core: &mut Core, call: &Call<'_>, object: &mut Value) -> ApiResult<()> {
    if !meta::name(object).is_empty() {
        return Ok(());
    }
    let Resource {
        plural,
        group,
        kind,
        collection,
        ..
    } = &*call.resource;
    let base = meta::text(object, "generateName").to_owned();
    if base.is_empty() {
        let error = crate::api::field::FieldError::required("metadata.name", "name or generateName is required");
        return Err(ApiError::invalid(kind, group, "", &[error]));
    }
    for _ in 0..GENERATE_TRIES {
        let name = core.random.generated_name(&base);
        if core
            .store
            .get(collection, &ObjectName::new(meta::namespace(object), &name))
            .is_none()
        {
            meta::set(object, "name", Some(name.into()));
            return Ok(());
        }
    }
    Err(ApiError::already_exists(plural, group, &base))
}
