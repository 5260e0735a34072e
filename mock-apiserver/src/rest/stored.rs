//! What is stored of an object that was written in another version than that of the storage, and what its writer sees of it.

use super::dispatch::Call;
use crate::api::error::{ApiError, ApiResult, Reason};
use crate::api::meta;
use crate::catalog::Resource;
use crate::conversion::Purpose;
use crate::core::Core;
use crate::kinds;
use crate::schema::Nulls;
use crate::store::{Object, ObjectName};
use serde_json::Value;
use std::sync::Arc;

/// An object ready to be stored.
pub(super) struct Stored {
    pub(super) object: Value,
    /// As the version of the request shows it, if it had to be converted.
    pub(super) shown: Option<Value>,
}

impl Stored {
    /// Converts an object of the request's version into that of the storage and, for the answer, back.
    pub(super) fn of(
        core: &mut Core,
        call: &mut Call<'_>,
        object: Value,
        old: Option<&Arc<Object>>,
    ) -> ApiResult<Self> {
        let resource = call.resource.clone();
        if !resource.converts() {
            return Ok(Self { object, shown: None });
        }
        let stored_as = stored_as(core, &resource);
        if resource.converter().is_none() {
            return Ok(Self::renamed(&resource, stored_as.as_deref(), object));
        }
        let old = old.map(|old| &***old);
        let (shown_in, stored_in) = (resource.api_version(), resource.storage_version());
        let conversions = &mut *call.conversions;
        let mut object = conversions.made(core, (&resource, Purpose::Write), &object, old, &stored_in)?;
        if let Some(stored_as) = stored_as {
            stored_as.settle(&mut object);
        }
        let mut shown = conversions.made(core, (&resource, Purpose::Answer), &object, old, &shown_in)?;
        resource.settle(&mut shown);
        Ok(Self {
            object,
            shown: Some(shown),
        })
    }

    /// Versions differ in what their schemas know: what either does not is lost on the way.
    fn renamed(resource: &Resource, stored_as: Option<&Resource>, mut object: Value) -> Self {
        let mut shown = match stored_as {
            Some(stored_as) => {
                stored_as.settle(&mut object);
                let mut shown = object.clone();
                kinds::default_fields(stored_as, &mut shown, Nulls::Drop);
                shown
            }
            None => object.clone(),
        };
        resource.settle(&mut shown);
        Self {
            object,
            shown: Some(shown),
        }
    }
}

/// The size of a request to the storage of the real server, in bytes, and what is in it beside the object.
const MAX_STORED: usize = 1_572_864;
const BESIDE: usize = 512;
/// Objects that were smaller, and are written by a smaller body, are not measured.
const UNMEASURED: usize = MAX_STORED / 4;

/// Refuses an object that the storage of the real server would not take; `sent` is the size of the request's body.
pub(super) fn check_size(old: Option<&Object>, sent: usize, object: &Value) -> ApiResult<()> {
    let before = old.map_or(0, |old| old.json().len());
    if before.max(sent) < UNMEASURED {
        return Ok(());
    }
    let size = serde_json::to_vec(object).map_or(0, |text| text.len());
    if size + BESIDE > MAX_STORED {
        return Err(ApiError::new(Reason::Unknown, "etcdserver: request is too large"));
    }
    Ok(())
}

/// The resource in the version of the storage, if that is served.
fn stored_as(core: &Core, resource: &Resource) -> Option<Arc<Resource>> {
    let storage = resource.storage_version();
    core.catalog
        .get(&resource.group, storage.rsplit('/').next()?, &resource.plural)
}

/// Stores an object; gives what the writer sees of it.
pub(super) fn put(core: &mut Core, resource: &Resource, object: Value, shown: Option<Value>) -> Arc<Object> {
    let stored = core.put(resource, object);
    match shown {
        None => stored,
        Some(mut shown) => {
            let version = meta::resource_version(&stored);
            meta::set(&mut shown, "resourceVersion", Some(version.into()));
            Arc::new(Object::new(shown))
        }
    }
}

/// The stored object behind one that was read.
pub(super) fn of(core: &Core, resource: &Resource, read: &Arc<Object>) -> Arc<Object> {
    if !resource.converts() {
        return read.clone();
    }
    let at = ObjectName::new(meta::namespace(read), meta::name(read));
    core.store
        .get(&resource.collection, &at)
        .unwrap_or_else(|| read.clone())
}

/// A stored object that differs from one that was read in its metadata alone, in the version of that one.
pub(super) fn shown_as(resource: &Resource, read: &Arc<Object>, stored: Arc<Object>) -> Arc<Object> {
    if !resource.converts() {
        return stored;
    }
    let mut shown = Value::clone(read);
    for (member, value) in stored["metadata"].as_object().into_iter().flatten() {
        if member != "labels" && member != "annotations" {
            shown["metadata"][member] = value.clone();
        }
    }
    Arc::new(Object::new(shown))
}
