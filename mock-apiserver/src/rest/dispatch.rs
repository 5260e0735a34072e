//! Which handler a request goes to.

use super::answer::{Answer, Reply};
use super::write::Part;
use super::{create, delete, patch, read, review, subresource, update};
use crate::access::User;
use crate::admission::Admission;
use crate::api::error::{ApiError, ApiResult};
use crate::api::options::Query;
use crate::api::path::{ResourcePath, Route};
use crate::catalog::{Origin, Resource};
use crate::conversion::Conversions;
use crate::core::Core;
use crate::store::{Object, ObjectName};
use crate::{discovery, upkeep};
use bytes::Bytes;
use std::sync::Arc;

/// The HTTP methods the API uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

/// A request, free of HTTP machinery.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) path: String,
    /// What the path stands for.
    pub(crate) route: Route,
    pub(crate) query: Query,
    pub(crate) accept: String,
    pub(crate) content_type: String,
    pub(crate) user_agent: String,
    /// The tags of what the client has already.
    pub(crate) if_none_match: String,
    pub(crate) body: Bytes,
    /// A fault rule has a read answered as of this revision.
    pub(crate) as_of: Option<u64>,
}

impl Request {
    /// The revision that a read shows as the latest.
    pub(crate) fn latest(&self, core: &Core) -> u64 {
        let now = core.store.revision();
        self.as_of.map_or(now, |revision| revision.min(now))
    }
}

/// What others were asked for the sake of a request, and what they said.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) admission: Admission,
    pub(crate) conversions: Conversions,
    /// What a request that was refused has to say beside it.
    pub(crate) warnings: Vec<String>,
}

/// A request on a resource that exists, with what handlers need to know.
pub(crate) struct Call<'a> {
    pub(crate) request: &'a Request,
    pub(crate) resource: Arc<Resource>,
    pub(crate) path: &'a ResourcePath,
    pub(crate) user: &'a User,
    pub(crate) warnings: Vec<String>,
    pub(crate) admission: &'a mut Admission,
    pub(crate) conversions: &'a mut Conversions,
}

impl Call<'_> {
    /// The namespace, empty for cluster-scoped objects.
    pub(crate) fn namespace(&self) -> &str {
        self.path.namespace.as_deref().unwrap_or_default()
    }

    /// The object of that name, as the version of the request shows it.
    pub(crate) fn find(&mut self, core: &mut Core, at: &ObjectName) -> ApiResult<Option<Arc<Object>>> {
        let stored = core.store.get(&self.resource.collection, at);
        if self.resource.converter().is_none() {
            return Ok(stored.map(|stored| self.resource.read(&stored)));
        }
        self.read(core, stored.as_slice()).map(|mut found| found.pop())
    }

    /// Stored objects, as the version of the request shows them.
    pub(crate) fn read(&mut self, core: &mut Core, stored: &[Arc<Object>]) -> ApiResult<Vec<Arc<Object>>> {
        self.conversions.read(core, &self.resource, stored)
    }

    pub(crate) fn not_found(&self, name: &str) -> ApiError {
        ApiError::not_found(&self.resource.plural, &self.resource.group, name)
    }

    pub(crate) fn not_supported(&self, verb: &str) -> ApiError {
        ApiError::method_not_supported(&self.resource.plural, &self.resource.group, verb)
    }
}

/// Carries out a request and what follows from it.
///
/// Where webhooks have to be asked first, the request is interrupted: `asked` then holds the question, and the error is not to be
/// shown.
pub(crate) fn handle(core: &mut Core, request: &Request, user: &User, asked: &mut Asked) -> ApiResult<Reply> {
    match &request.route {
        Route::Resource(path) => {
            let Some(resource) = core.catalog.find(path) else {
                return Ok(page_not_found());
            };
            let warnings = deprecation(&resource);
            let mut call = Call {
                request,
                resource,
                path,
                user,
                warnings,
                admission: &mut asked.admission,
                conversions: &mut asked.conversions,
            };
            upkeep::expire(core);
            let answer = resource_request(core, &mut call);
            let warnings = std::mem::take(&mut call.warnings);
            upkeep::settle(core);
            match answer {
                Ok(answer) => Ok(Reply { answer, warnings }),
                Err(refused) => {
                    asked.warnings = warnings;
                    Err(refused)
                }
            }
        }
        route => {
            let is_discovery = matches!(
                route,
                Route::CoreVersions | Route::Groups | Route::Group(_) | Route::GroupVersion(..)
            );
            // Discovery is told whatever is sent to it.
            if request.method != Method::Get && !is_discovery {
                return Err(ApiError::new(
                    crate::api::error::Reason::MethodNotAllowed,
                    "the server does not allow this method on the requested resource",
                ));
            }
            let answer = discovery::answer(core, route, &request.accept, request.query.has("verbose"));
            Ok(answer.map_or_else(page_not_found, |answer| Reply {
                answer,
                warnings: Vec::new(),
            }))
        }
    }
}

fn page_not_found() -> Reply {
    Reply {
        answer: Answer::Text {
            code: 404,
            body: "404 page not found\n".to_owned(),
        },
        warnings: Vec::new(),
    }
}

fn deprecation(resource: &Resource) -> Vec<String> {
    match &resource.origin {
        Origin::BuiltIn(_) => Vec::new(),
        Origin::Custom(custom) => custom.deprecation.iter().cloned().collect(),
    }
}

fn resource_request(core: &mut Core, call: &mut Call<'_>) -> ApiResult<Answer> {
    if call.resource.namespaced != call.path.namespace.is_some() {
        let list_of_all = call.path.name.is_none() && call.request.method == Method::Get;
        if !(call.resource.namespaced && list_of_all) {
            return Ok(page_not_found().answer);
        }
    }
    if call.path.subresource.is_some() {
        return subresource::handle(core, call);
    }
    if call.resource.is_review() {
        return review::handle(core, call);
    }
    match (call.request.method, call.path.name.as_deref()) {
        (Method::Get, Some(_)) if call.path.watch => read::list_or_watch(core, call),
        (Method::Get, Some(name)) => read::get(core, call, name),
        (Method::Get, None) => read::list_or_watch(core, call),
        (Method::Post, None) => create::create(core, call),
        (Method::Put, Some(name)) => update::replace(core, call, name, Part::Main),
        (Method::Patch, Some(name)) => patch::patch(core, call, name, Part::Main),
        (Method::Delete, Some(name)) => delete::delete(core, call, name),
        (Method::Delete, None) => delete::delete_collection(core, call),
        (Method::Post, Some(_)) if call.resource.is_custom() => create::create(core, call),
        (Method::Put | Method::Patch, None) if call.resource.is_custom() => {
            Err(ApiError::bad_request("name must be provided"))
        }
        (Method::Post, Some(_)) => Err(call.not_supported("create")),
        (Method::Put, None) => Err(call.not_supported("update")),
        (Method::Patch, None) => Err(call.not_supported("patch")),
    }
}
