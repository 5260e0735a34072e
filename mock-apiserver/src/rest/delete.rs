//! DELETE of an object or a collection.
//!
//! ```text
//!            no grace, no finalizers
//!   alive ----------------------------------------------> gone
//!     |  grace or finalizers                                ^
//!     v                          last finalizer off, grace 0 |
//!   deletionTimestamp set --(a shorter grace may follow)-----+
//! ```

use super::admit;
use super::answer::Answer;
use super::decode;
use super::dispatch::Call;
use super::{read, stored};
use crate::api::error::{ApiError, ApiResult};
use crate::api::field::FieldError;
use crate::api::meta;
use crate::api::options::{self, Query};
use crate::catalog::Resource;
use crate::clock::meta_time;
use crate::core::Core;
use crate::kinds;
use crate::kinds::pod;
use crate::store::{Object, ObjectName};
use crate::types;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::sync::Arc;

/// What becomes of the dependents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Propagation {
    Background,
    Foreground,
    Orphan,
}

/// `metav1.DeleteOptions`.
#[derive(Debug, Clone, Default)]
pub(crate) struct DeleteOptions {
    pub(crate) grace: Option<i64>,
    pub(crate) propagation: Option<Propagation>,
    /// The older option says that dependents are to go, too.
    pub(crate) takes_dependents: bool,
    pub(crate) uid: Option<String>,
    pub(crate) resource_version: Option<String>,
    pub(crate) dry_run: bool,
}

impl DeleteOptions {
    fn parse(call: &Call<'_>) -> ApiResult<Self> {
        let request = call.request;
        if request.body.is_empty() {
            return Self::from_query(&request.query);
        }
        let mut body = decode::parse_options(&request.content_type, &request.body)?;
        if let Some(message) = types::message("meta.DeleteOptions") {
            types::check(message, &mut body).map_err(ApiError::bad_request)?;
        }
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let mut errors = Vec::new();
        let (policy, orphan) = (body["propagationPolicy"].as_str(), body["orphanDependents"].as_bool());
        let in_query = request.query.get("dryRun");
        let options = Self {
            grace: body["gracePeriodSeconds"].as_i64(),
            propagation: propagation(policy, orphan, &mut errors),
            takes_dependents: orphan == Some(false),
            uid: text(&body["preconditions"]["uid"]),
            resource_version: text(&body["preconditions"]["resourceVersion"]),
            dry_run: options::dry_run(body["dryRun"][0].as_str().or(in_query), &mut errors),
        };
        options.unless(&errors)
    }

    fn from_query(query: &Query) -> ApiResult<Self> {
        let mut errors = Vec::new();
        let orphan = query.has("orphanDependents").then(|| query.flag("orphanDependents"));
        let options = Self {
            grace: query.number("gracePeriodSeconds")?,
            propagation: propagation(query.get("propagationPolicy"), orphan, &mut errors),
            takes_dependents: orphan == Some(false),
            uid: None,
            resource_version: None,
            dry_run: options::dry_run(query.get("dryRun"), &mut errors),
        };
        options.unless(&errors)
    }

    fn unless(self, errors: &[FieldError]) -> ApiResult<Self> {
        if errors.is_empty() {
            Ok(self)
        } else {
            Err(ApiError::invalid("DeleteOptions", "meta.k8s.io", "", errors))
        }
    }
}

/// What is to become of the dependents, by the newer or the older of the two options that say it.
fn propagation(policy: Option<&str>, orphan: Option<bool>, errors: &mut Vec<FieldError>) -> Option<Propagation> {
    if let (Some(policy), Some(_)) = (policy, orphan) {
        let detail = "orphanDependents and deletionPropagation cannot be both set";
        errors.push(FieldError::invalid("propagationPolicy", &Value::from(policy), detail));
    }
    match (policy, orphan) {
        (None, None) => None,
        (Some("Background"), _) | (None, Some(false)) => Some(Propagation::Background),
        (Some("Foreground"), _) => Some(Propagation::Foreground),
        (Some("Orphan"), _) | (None, Some(true)) => Some(Propagation::Orphan),
        (Some(other), _) => {
            let supported = ["Foreground", "Background", "Orphan", "nil"];
            errors.push(FieldError::not_supported(
                "propagationPolicy",
                &Value::from(other),
                &supported,
            ));
            None
        }
    }
}

/// What a deletion came to.
pub(crate) enum Deleted {
    /// The object is gone.
    Gone(Arc<Object>),
    /// The object waits for its grace period or finalizers.
    Pending(Arc<Object>),
}

/// Deletes one object.
pub(super) fn delete(core: &mut Core, call: &mut Call<'_>, name: &str) -> ApiResult<Answer> {
    let options = DeleteOptions::parse(call)?;
    let resource = call.resource.clone();
    let at = ObjectName::new(call.namespace(), name);
    let Some(object) = call.find(core, &at)? else {
        return Err(call.not_found(name));
    };
    admit::delete(core, call, &object, options.dry_run)?;
    let stored = stored::of(core, &resource, &object);
    match delete_object(core, &resource, &stored, &options)? {
        Deleted::Pending(marked) => Ok(Answer::Object {
            // Only who asks in the old way is told that it is not done yet.
            code: if options.takes_dependents { 202 } else { 200 },
            object: stored::shown_as(&resource, &object, marked),
            resource,
        }),
        Deleted::Gone(object) if returns_object(&resource) => Ok(Answer::Object {
            code: 200,
            resource,
            object,
        }),
        Deleted::Gone(object) => {
            let mut details = json!({"name": name, "kind": resource.plural, "uid": meta::uid(&object)});
            if !resource.group.is_empty() {
                details["group"] = resource.group.as_str().into();
            }
            let body = json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details,
            });
            Ok(Answer::Document { code: 200, body })
        }
    }
}

/// Kinds whose deletion answers with the object instead of a `Status`.
fn returns_object(resource: &Resource) -> bool {
    resource.group.is_empty()
        && matches!(
            resource.kind.as_str(),
            "Pod" | "Service" | "ServiceAccount" | "PersistentVolumeClaim" | "PersistentVolume" | "ResourceQuota"
        )
}

/// Deletes every object of a collection that the selectors choose.
pub(super) fn delete_collection(core: &mut Core, call: &mut Call<'_>) -> ApiResult<Answer> {
    let options = DeleteOptions::parse(call)?;
    let Answer::List {
        resource,
        metadata,
        items,
    } = read::list(core, call)?
    else {
        return Err(ApiError::internal("a list was expected"));
    };
    // All of them before the first is deleted: a request that waits for webhooks must have done nothing yet.
    for object in &items {
        admit::delete(core, call, object, options.dry_run)?;
    }
    for object in &items {
        let at = ObjectName::new(meta::namespace(object), meta::name(object));
        if let Some(stored) = core.store.get(&resource.collection, &at) {
            delete_object(core, &resource, &resource.read(&stored), &options)?;
        }
    }
    Ok(Answer::List {
        resource,
        metadata,
        items,
    })
}

/// Deletes an object or starts its deletion.
pub(crate) fn delete_object(
    core: &mut Core,
    resource: &Resource,
    object: &Arc<Object>,
    options: &DeleteOptions,
) -> ApiResult<Deleted> {
    check_preconditions(resource, object, options)?;
    if resource.is("", "Namespace") {
        return delete_namespace(core, resource, object, options);
    }
    let mut marked = Value::clone(object);
    meta::set_finalizers(&mut marked, &finalizers_for(resource, object, options.propagation));
    if resource.is("apiextensions.k8s.io", "CustomResourceDefinition") {
        kinds::crd::prepare_deletion(&mut marked, &core.now());
    }
    let graceful = resource.is("", "Pod");
    let changed = if graceful {
        mark_graceful(core.instant(), &mut marked, options.grace)
    } else {
        true
    };
    let has_finalizers = !meta::finalizers(&marked).is_empty();
    let waits = graceful && meta::grace(&marked).unwrap_or(0) > 0;
    if !has_finalizers && !waits && changed {
        if options.dry_run {
            return Ok(Deleted::Gone(Arc::new(Object::new(marked))));
        }
        return Ok(Deleted::Gone(core.remove(resource, marked)));
    }
    if !graceful {
        mark_deleting(core, &mut marked, 0);
    }
    Ok(store_marked(core, resource, object, marked, options.dry_run))
}

fn store_marked(core: &mut Core, resource: &Resource, object: &Arc<Object>, marked: Value, dry_run: bool) -> Deleted {
    if marked == ***object {
        return Deleted::Pending(object.clone());
    }
    if dry_run {
        return Deleted::Pending(Arc::new(Object::new(marked)));
    }
    Deleted::Pending(core.put(resource, marked))
}

fn check_preconditions(resource: &Resource, object: &Value, options: &DeleteOptions) -> ApiResult<()> {
    // The kind stands where other conflicts name the resource.
    let conflict = |why: String| ApiError::conflict(&resource.kind, &resource.group, meta::name(object), &why);
    if let Some(uid) = options.uid.as_deref().filter(|uid| *uid != meta::uid(object)) {
        return Err(conflict(format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have been deleted and then recreated",
            meta::uid(object)
        )));
    }
    let found = meta::resource_version(object);
    if let Some(version) = options.resource_version.as_deref().filter(|version| *version != found) {
        return Err(conflict(format!(
            "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record ({found}). The object might have been modified"
        )));
    }
    Ok(())
}

/// The object's finalizers with those of the garbage collector that the policy asks for.
fn finalizers_for(resource: &Resource, object: &Value, asked: Option<Propagation>) -> Vec<String> {
    use crate::upkeep::{FOREGROUND, ORPHAN};
    let present = meta::finalizers(object);
    let legacy_orphan = resource.is("batch", "Job") || resource.is("", "ReplicationController");
    let (orphan, foreground) = match asked {
        Some(Propagation::Orphan) => (true, false),
        Some(Propagation::Foreground) => (false, true),
        Some(Propagation::Background) => (false, false),
        None if present.contains(&ORPHAN) => (true, false),
        None if present.contains(&FOREGROUND) => (false, true),
        None => (legacy_orphan, false),
    };
    let own = present.into_iter().filter(|name| ![ORPHAN, FOREGROUND].contains(name));
    own.chain(orphan.then_some(ORPHAN))
        .chain(foreground.then_some(FOREGROUND))
        .map(str::to_owned)
        .collect()
}

/// Marks the object as deleting, once.
fn mark_deleting(core: &Core, object: &mut Value, grace: i64) {
    if meta::is_deleting(object) {
        return;
    }
    meta::set(object, "deletionTimestamp", Some(core.now()));
    meta::set(object, "deletionGracePeriodSeconds", Some(grace.into()));
    raise_generation(object);
}

fn raise_generation(object: &mut Value) {
    let generation = meta::generation(object);
    if generation > 0 {
        meta::set(object, "generation", Some((generation + 1).into()));
    }
}

fn after(start: Timestamp, seconds: i64) -> Value {
    meta_time(
        start
            .checked_add(SignedDuration::from_secs(seconds))
            .unwrap_or(Timestamp::MAX),
    )
}

/// Marks a pod; a later deletion may only shorten the grace period. False if nothing changes.
fn mark_graceful(now: Timestamp, object: &mut Value, asked: Option<i64>) -> bool {
    if !meta::is_deleting(object) {
        let grace = pod::deletion_grace(object, asked);
        meta::set(object, "deletionTimestamp", Some(after(now, grace)));
        meta::set(object, "deletionGracePeriodSeconds", Some(grace.into()));
        raise_generation(object);
        return true;
    }
    let Some(known) = meta::grace(object) else { return true };
    let Some(shorter) = asked
        .map(|grace| if grace < 0 { 1 } else { grace })
        .filter(|grace| *grace < known)
    else {
        return false;
    };
    let end: Option<Timestamp> = meta::text(object, "deletionTimestamp").parse().ok();
    let start = end
        .and_then(|end| end.checked_sub(SignedDuration::from_secs(known)).ok())
        .unwrap_or(now);
    meta::set(object, "deletionTimestamp", Some(after(start, shorter)));
    meta::set(object, "deletionGracePeriodSeconds", Some(shorter.into()));
    true
}

/// A namespace first terminates; its content goes before it does.
fn delete_namespace(
    core: &mut Core,
    resource: &Resource,
    object: &Arc<Object>,
    options: &DeleteOptions,
) -> ApiResult<Deleted> {
    if matches!(meta::name(object), "default" | "kube-system" | "kube-public") {
        return Err(ApiError::forbidden(
            "namespaces",
            "",
            meta::name(object),
            "this namespace may not be deleted",
        ));
    }
    let mut marked = Value::clone(object);
    if !meta::is_deleting(object) {
        meta::set(&mut marked, "deletionTimestamp", Some(core.now()));
        marked["status"]["phase"] = "Terminating".into();
    }
    Ok(store_marked(core, resource, object, marked, options.dry_run))
}
