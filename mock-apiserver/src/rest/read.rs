//! GET of an object or a collection.

use super::answer::Answer;
use super::dispatch::Call;
use super::watch;
use crate::api::error::{ApiError, ApiResult};
use crate::api::options::{ListOptions, VersionMatch, exact_revision};
use crate::api::selector::{FieldSelector, LabelSelector};
use crate::core::Core;
use crate::store::{Compacted, Object, ObjectName};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::sync::Arc;

/// Reads one object.
pub(super) fn get(core: &mut Core, call: &mut Call<'_>, name: &str) -> ApiResult<Answer> {
    if let Some(asked) = call
        .request
        .query
        .get("resourceVersion")
        .map(exact_revision)
        .transpose()?
    {
        check_not_future(core, call, asked)?;
    }
    let at = ObjectName::new(call.namespace(), name);
    let object = found(core, call, &at)?.ok_or_else(|| call.not_found(name))?;
    Ok(Answer::Object {
        code: 200,
        resource: call.resource.clone(),
        object,
    })
}

/// Lists or watches, as the query says.
pub(super) fn list_or_watch(core: &mut Core, call: &mut Call<'_>) -> ApiResult<Answer> {
    let watch = call.path.watch || call.request.query.flag("watch");
    let options = ListOptions::parse(&call.request.query, watch)?;
    if options.watch {
        watch::plan(core, call, &options).map(Answer::Watch)
    } else {
        list_with(core, call, &options)
    }
}

/// Lists with the options of the query.
pub(super) fn list(core: &mut Core, call: &mut Call<'_>) -> ApiResult<Answer> {
    list_with(core, call, &ListOptions::parse(&call.request.query, false)?)
}

pub(super) fn check_not_future(core: &Core, call: &Call<'_>, asked: u64) -> ApiResult<()> {
    let latest = call.request.latest(core);
    if asked > latest {
        return Err(ApiError::revision_too_large(asked, latest));
    }
    Ok(())
}

/// The object as the request is to see it.
fn found(core: &mut Core, call: &mut Call<'_>, at: &ObjectName) -> ApiResult<Option<Arc<Object>>> {
    let resource = call.resource.clone();
    let Some(revision) = call.request.as_of else {
        return call.find(core, at);
    };
    let mut state = core
        .store
        .scan_at(&resource.collection, revision, Some(&at.namespace), None)
        .map_err(|Compacted { .. }| expired(None))?;
    let stored = state.find(|(name, _)| *name == at).map(|(_, object)| object);
    drop(state);
    call.read(core, stored.as_slice()).map(|mut found| found.pop())
}

/// Which objects a list or watch is about.
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    pub(crate) namespace: Option<String>,
    pub(crate) labels: LabelSelector,
    pub(crate) fields: FieldSelector,
}

impl Filter {
    pub(super) fn new(call: &Call<'_>, options: &ListOptions) -> ApiResult<Self> {
        Ok(Self {
            namespace: call.path.namespace.clone(),
            labels: LabelSelector::parse(&options.label_selector)?,
            fields: FieldSelector::parse(&options.field_selector, &call.resource.selectable)?,
        })
    }

    pub(crate) fn matches(&self, name: &ObjectName, object: &Object) -> bool {
        let in_namespace = self.namespace.as_ref().is_none_or(|it| *it == name.namespace);
        if !in_namespace || self.is_open() {
            return in_namespace;
        }
        let head = object.head();
        self.labels.matches(&head)
            && if self.fields.is_about_names() {
                self.fields.matches(&head)
            } else {
                self.fields.matches(object)
            }
    }

    fn is_open(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }
}

/// Where a paged list goes on.
struct Page {
    /// The revision of the first page, or `None` for "whatever is now".
    revision: Option<u64>,
    after: Option<ObjectName>,
}

fn list_with(core: &mut Core, call: &mut Call<'_>, options: &ListOptions) -> ApiResult<Answer> {
    if let Some(asked) = options.resource_version {
        check_not_future(core, call, asked)?;
    }
    let resource = call.resource.clone();
    let filter = Filter::new(call, options)?;
    let namespace = filter.namespace.clone();
    let page = page(options)?;
    let revision = page.revision.unwrap_or(call.request.latest(core));
    let scan = core
        .store
        .scan_at(
            &resource.collection,
            revision,
            namespace.as_deref(),
            page.after.as_ref(),
        )
        .map_err(|Compacted { .. }| expired(page.after.as_ref()))?;
    // A list at revision 0 may come from a cache, which ignores the limit.
    let limit = if options.resource_version == Some(0) {
        0
    } else {
        usize::try_from(options.limit).unwrap_or(0)
    };
    let at = Listing {
        filter,
        limit,
        revision,
    };
    let (metadata, items) = if resource.converter().is_none() {
        at.page(scan, |object| resource.read(object))
    } else {
        let (names, stored): (Vec<ObjectName>, Vec<_>) = scan.map(|(name, object)| (name.clone(), object)).unzip();
        let read = call.read(core, &stored)?;
        at.page(names.iter().zip(read), Arc::clone)
    };
    Ok(Answer::List {
        resource,
        metadata,
        items,
    })
}

/// What a list is of.
struct Listing {
    filter: Filter,
    /// The most objects of a page; 0 for all.
    limit: usize,
    revision: u64,
}

impl Listing {
    /// The first page of a scan, with the metadata of the list. What is only counted is not read.
    fn page<'a>(
        &self,
        mut scan: impl Iterator<Item = (&'a ObjectName, Arc<Object>)>,
        read: impl Fn(&Arc<Object>) -> Arc<Object>,
    ) -> (Value, Vec<Arc<Object>>) {
        let mut metadata = json!({"resourceVersion": self.revision.to_string()});
        let (mut items, mut last) = (Vec::new(), None);
        while let Some((name, object)) = scan.next() {
            let object = read(&object);
            if !self.filter.matches(name, &object) {
                continue;
            }
            if let Some(last) = last.filter(|_| items.len() == self.limit) {
                metadata["continue"] = continue_token(self.revision, last).into();
                if self.filter.is_open() {
                    metadata["remainingItemCount"] = (1 + scan.count()).into();
                }
                break;
            }
            items.push(object);
            last = (self.limit > 0).then_some(name);
        }
        (metadata, items)
    }
}

/// The revision is compacted; a paged list is offered to go on inconsistently.
fn expired(after: Option<&ObjectName>) -> ApiError {
    match after {
        None => ApiError::expired("The resourceVersion for the provided list is too old."),
        Some(after) => {
            let mut error = ApiError::expired(
                "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.",
            );
            error.continue_token = Some(encode_token(-1, after));
            error
        }
    }
}

fn continue_token(revision: u64, last: &ObjectName) -> String {
    encode_token(i64::try_from(revision).unwrap_or(i64::MAX), last)
}

fn encode_token(revision: i64, last: &ObjectName) -> String {
    let start = format!("{}/{}\u{0}", last.namespace, last.name);
    URL_SAFE_NO_PAD.encode(json!({"v": "meta.k8s.io/v1", "rv": revision, "start": start}).to_string())
}

/// Where a text stops being base64.
fn place(error: &base64::DecodeError, text: &str) -> usize {
    match error {
        base64::DecodeError::InvalidByte(place, _) | base64::DecodeError::InvalidLastSymbol(place, _) => *place,
        base64::DecodeError::InvalidLength(_) | base64::DecodeError::InvalidPadding => text.len(),
    }
}

/// Why a token is no JSON, as Go puts it.
fn no_json(bytes: &[u8]) -> String {
    match String::from_utf8_lossy(bytes).trim_start().chars().next() {
        Some('{') | None => "unexpected end of JSON input".to_owned(),
        Some(first) => format!("invalid character '{first}' looking for beginning of value"),
    }
}

fn page(options: &ListOptions) -> ApiResult<Page> {
    let Some(token) = &options.continue_token else {
        let exact = options.version_match == Some(VersionMatch::Exact)
            || (options.limit > 0 && options.version_match.is_none());
        return Ok(Page {
            revision: options.resource_version.filter(|version| exact && *version > 0),
            after: None,
        });
    };
    let invalid =
        |why: &str| ApiError::bad_request(format!("invalid continue token: continue key is not valid: {why}"));
    let bytes = URL_SAFE_NO_PAD
        .decode(token.trim_end_matches('='))
        .map_err(|error| invalid(&format!("illegal base64 data at input byte {}", place(&error, token))))?;
    let token: Value = serde_json::from_slice(&bytes).map_err(|_| invalid(&no_json(&bytes)))?;
    if options.resource_version.is_some_and(|version| version > 0) {
        return Err(ApiError::bad_request(
            "specifying resource version is not allowed when using continue",
        ));
    }
    if token["v"] != "meta.k8s.io/v1" {
        return Err(invalid("server does not recognize this encoded version"));
    }
    let revision = token["rv"]
        .as_i64()
        .ok_or_else(|| invalid("incorrect encoded start resourceVersion"))?;
    let start = token["start"].as_str().unwrap_or_default().trim_end_matches('\u{0}');
    let (namespace, name) = start
        .split_once('/')
        .ok_or_else(|| invalid("encoded start key missing or empty"))?;
    Ok(Page {
        revision: u64::try_from(revision).ok(),
        after: Some(ObjectName::new(namespace, name)),
    })
}
