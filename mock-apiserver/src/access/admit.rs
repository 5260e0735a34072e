//! Whether a request may be carried out, and the words in which it is refused.
//! Attributes follow `k8s.io/apiserver/pkg/endpoints/request/requestinfo.go`, texts
//! `k8s.io/apiserver/pkg/endpoints/handlers/responsewriters/errors.go`.

use super::Judgement;
use super::authentication::Credentials;
use super::rules::{AccessRequest, ResourceAccess};
use super::user::User;
use crate::api::error::{ApiError, ApiResult, Reason};
use crate::api::path::{ResourcePath, Route};
use crate::core::Core;
use crate::rest::{Method, Request};
use crate::store::ObjectName;
use serde_json::json;

/// The user whose request it is, if it may be carried out: 401 or 403 otherwise.
pub(crate) fn admit(core: &Core, request: &Request, credentials: &Credentials) -> ApiResult<User> {
    let user = core
        .access
        .authenticate(core, credentials)
        .ok_or_else(|| ApiError::new(Reason::Unauthorized, "Unauthorized"))?;
    let user = impersonate(core, user, credentials)?;
    if core.access.lets_do_all(&user) {
        return Ok(user);
    }
    for wanted in wanted(core, request) {
        permit(core, &user, &wanted)?;
    }
    Ok(user)
}

/// The name of whoever a request says it is from, whether or not it may be carried out; empty if that is not known.
pub(crate) fn claimed(core: &Core, credentials: &Credentials) -> String {
    if !credentials.impersonation.is_empty() {
        return credentials.impersonation.user().name;
    }
    let user = core.access.authenticate(core, credentials);
    user.map(|user| user.name).unwrap_or_default()
}

fn impersonate(core: &Core, user: User, credentials: &Credentials) -> ApiResult<User> {
    let impersonation = &credentials.impersonation;
    if impersonation.is_empty() {
        return Ok(user);
    }
    if impersonation.lacks_user() {
        return Err(ApiError::internal("impersonation was requested without a user"));
    }
    for needed in impersonation.needed() {
        permit(core, &user, &needed)?;
    }
    Ok(impersonation.user())
}

fn permit(core: &Core, user: &User, wanted: &AccessRequest) -> ApiResult<()> {
    let Judgement { allowed, reason } = core.access.judge(&core.store, user, wanted);
    if allowed {
        return Ok(());
    }
    let mut why = denial(user, wanted);
    if !reason.is_empty() {
        why = format!("{why}: {reason}");
    }
    Err(match wanted {
        AccessRequest::Path { .. } => {
            let mut refused = ApiError::new(Reason::Forbidden, format!("forbidden: {why}"));
            refused.details = Some(json!({}));
            refused
        }
        AccessRequest::Resource(access) => ApiError::forbidden(&access.resource, &access.group, &access.name, &why),
    })
}

fn denial(user: &User, wanted: &AccessRequest) -> String {
    let name = &user.name;
    match wanted {
        AccessRequest::Path { verb, path } => format!("User {name:?} cannot {verb} path {path:?}"),
        AccessRequest::Resource(access) => {
            let (verb, group, resource) = (&access.verb, &access.group, access.full_resource());
            let scope = if access.namespace.is_empty() {
                "at the cluster scope".to_owned()
            } else {
                format!("in the namespace {:?}", access.namespace)
            };
            format!("User {name:?} cannot {verb} resource {resource:?} in API group {group:?} {scope}")
        }
    }
}

/// What a request needs: itself, and the right to create where it may create by another verb.
fn wanted(core: &Core, request: &Request) -> Vec<AccessRequest> {
    let Route::Resource(path) = &request.route else {
        let verb = match request.method {
            Method::Get => "get",
            Method::Post => "post",
            Method::Put => "put",
            Method::Patch => "patch",
            Method::Delete => "delete",
        };
        return vec![AccessRequest::Path {
            verb: verb.to_owned(),
            path: request.path.clone(),
        }];
    };
    let own = access(request, path);
    let mut wanted = vec![own.clone()];
    if creates(core, request, path) {
        let verb = "create".to_owned();
        wanted.push(ResourceAccess { verb, ..own });
    }
    wanted.into_iter().map(AccessRequest::Resource).collect()
}

fn access(request: &Request, path: &ResourcePath) -> ResourceAccess {
    let verb = match (request.method, path.name.is_some()) {
        (Method::Get, _) if path.watch => "watch",
        (Method::Get, false) if request.query.flag("watch") => "watch",
        (Method::Get, true) => "get",
        (Method::Get, false) => "list",
        (Method::Post, _) => "create",
        (Method::Put, _) => "update",
        (Method::Patch, _) => "patch",
        (Method::Delete, true) => "delete",
        (Method::Delete, false) => "deletecollection",
    };
    // A namespace lies in itself, so that a role inside it may cover it.
    let itself = path
        .name
        .clone()
        .filter(|_| path.group.is_empty() && path.resource == "namespaces");
    let selected = || {
        let one_of_many = matches!(verb, "list" | "watch" | "deletecollection");
        one_of_many.then(|| selected_name(request.query.get("fieldSelector").unwrap_or_default()))?
    };
    ResourceAccess {
        verb: verb.to_owned(),
        group: path.group.clone(),
        resource: path.resource.clone(),
        subresource: path.subresource.clone().unwrap_or_default(),
        namespace: path.namespace.clone().or(itself).unwrap_or_default(),
        name: path.name.clone().or_else(selected).unwrap_or_default(),
    }
}

/// The only name that a field selector lets through.
fn selected_name(selector: &str) -> Option<String> {
    selector.split(',').find_map(|term| {
        let value = term.strip_prefix("metadata.name=")?;
        Some(value.strip_prefix('=').unwrap_or(value).to_owned())
    })
}

/// Whether an update or a server-side apply would create what it names.
fn creates(core: &Core, request: &Request, path: &ResourcePath) -> bool {
    let (Some(name), None, Some(resource)) = (&path.name, &path.subresource, core.catalog.find(path)) else {
        return false;
    };
    let may_create = match request.method {
        Method::Put => resource.creates_on_update(),
        Method::Patch => request.content_type.starts_with("application/apply-patch"),
        Method::Get | Method::Post | Method::Delete => false,
    };
    let at = ObjectName::new(path.namespace.as_deref().unwrap_or_default(), name);
    may_create && core.store.get(&resource.collection, &at).is_none()
}
