//! Subresources: status, scale, log, binding, finalize, and the proxy of a node.

use super::admit;
use super::answer::{Answer, LogRequest, NodePageRequest};
use super::decode;
use super::dispatch::{Call, Method};
use super::evict;
use super::patch;
use super::read;
use super::scale;
use super::token;
use super::update;
use super::write::Part;
use crate::admission::GroupVersionKind;
use crate::api::error::{ApiError, ApiResult, Reason};
use crate::api::field::FieldError;
use crate::api::options::Query;
use crate::catalog::Resource;
use crate::core::Core;
use crate::logs::LogOptions;
use crate::store::ObjectName;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// Carries out a request on a subresource.
pub(super) fn handle(core: &mut Core, call: &mut Call<'_>) -> ApiResult<Answer> {
    let name = call.path.name.clone().unwrap_or_default();
    let subresource = call.path.subresource.clone().unwrap_or_default();
    let pod = call.resource.is("", "Pod");
    if let ("scale", Some(paths)) = (subresource.as_str(), call.resource.scale.clone()) {
        return scale::handle(core, call, &name, &paths);
    }
    if let Some(part) = part(&call.resource, &subresource) {
        return match call.request.method {
            Method::Get => read::get(core, call, &name),
            Method::Put => update::replace(core, call, &name, part),
            Method::Patch => patch::patch(core, call, &name, part),
            Method::Post => Err(call.not_supported("create")),
            Method::Delete => Err(call.not_supported("delete")),
        };
    }
    match (subresource.as_str(), call.request.method) {
        ("finalize", Method::Put) if call.resource.is("", "Namespace") => {
            let answer = update::replace(core, call, &name, Part::Finalize);
            crate::upkeep::settle(core);
            answer
        }
        ("exec" | "attach" | "portforward" | "proxy", _) if pod => Err(unconnected(core, call, &name, &subresource)),
        ("log", Method::Get) if pod => log(core, call, &name),
        ("proxy", Method::Get) if call.resource.is("", "Node") => node_page(core, call, &name),
        ("eviction", Method::Post) if pod => evict::evict(core, call, &name),
        ("binding", Method::Post) if pod => bind(core, call, &name),
        ("token", Method::Post) if call.resource.is("", "ServiceAccount") => token::request(core, call, &name),
        _ if call.resource.is_custom() => Err(call.not_found(&name)),
        _ => Ok(Answer::Text {
            code: 404,
            body: "404 page not found\n".to_owned(),
        }),
    }
}

/// Which part of the object a subresource reads and writes; `None` if it does something else.
fn part(resource: &Resource, subresource: &str) -> Option<Part> {
    let pod = resource.is("", "Pod");
    match subresource {
        "status" if resource.status => Some(Part::Status),
        "approval" if resource.is("certificates.k8s.io", "CertificateSigningRequest") => Some(Part::Status),
        "ephemeralcontainers" if pod => Some(Part::EphemeralContainers),
        "resize" if pod => Some(Part::Resize),
        _ => None,
    }
}

/// There are no containers behind the Pods of this server.
fn unconnected(core: &Core, call: &Call<'_>, name: &str, subresource: &str) -> ApiError {
    let at = ObjectName::new(call.namespace(), name);
    if core.store.get("pods", &at).is_none() {
        return call.not_found(name);
    }
    let why = format!(
        "pods/{subresource} is not implemented: this API server has no connection to the containers of its pods"
    );
    ApiError::new(Reason::NotImplemented, why)
}

/// Which container's log is wanted; the only one by default.
fn log(core: &Core, call: &Call<'_>, name: &str) -> ApiResult<Answer> {
    let query = &call.request.query;
    let pod = core
        .store
        .get("pods", &ObjectName::new(call.namespace(), name))
        .ok_or_else(|| call.not_found(name))?;
    let names: Vec<&str> = ["containers", "initContainers"]
        .iter()
        .flat_map(|list| pod["spec"][list].as_array().into_iter().flatten())
        .filter_map(|container| container["name"].as_str())
        .collect();
    let container = match (query.get("container"), names.as_slice()) {
        (Some(asked), all) if all.contains(&asked) => asked,
        (Some(asked), _) => {
            return Err(ApiError::bad_request(format!(
                "container {asked} is not valid for pod {name}"
            )));
        }
        (None, [only]) => only,
        (None, many) => {
            let list = many.join(" ");
            return Err(ApiError::bad_request(format!(
                "a container name must be specified for pod {name}, choose one of: [{list}]"
            )));
        }
    };
    if pod["spec"]["nodeName"].as_str().unwrap_or_default().is_empty() {
        // No node runs it, so it has written nothing yet.
        return Ok(Answer::Text {
            code: 200,
            body: String::new(),
        });
    }
    Ok(Answer::Log(LogRequest {
        namespace: call.namespace().to_owned(),
        pod: name.to_owned(),
        container: container.to_owned(),
        options: LogOptions {
            follow: query.flag("follow"),
            tail_lines: query.amount("tailLines")?,
            since: since(query, core.instant())?,
            timestamps: query.flag("timestamps"),
            previous: query.flag("previous"),
            limit_bytes: query.amount("limitBytes")?,
        },
    }))
}

/// The time from which on lines are wanted, by `sinceSeconds` or `sinceTime`.
fn since(query: &Query, now: Timestamp) -> ApiResult<Option<Timestamp>> {
    match (query.amount("sinceSeconds")?, query.get("sinceTime")) {
        (None, None) => Ok(None),
        (Some(seconds), None) => {
            let age = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
            Ok(Some(now.checked_sub(age).unwrap_or(Timestamp::MIN)))
        }
        (None, Some(text)) => match text.parse() {
            Ok(time) => Ok(Some(time)),
            Err(_) => Err(ApiError::bad_request(format!(
                "parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": it is no RFC 3339 time"
            ))),
        },
        (Some(_), Some(_)) => {
            let detail = "at most one of `sinceTime` or `sinceSeconds` may be specified";
            let error = FieldError::forbidden("", detail);
            Err(ApiError::invalid("PodLogOptions", "", "", &[error]))
        }
    }
}

/// Which page of which node is wanted.
fn node_page(core: &Core, call: &Call<'_>, name: &str) -> ApiResult<Answer> {
    if core.store.get("nodes", &ObjectName::new("", name)).is_none() {
        return Err(call.not_found(name));
    }
    Ok(Answer::NodePage(NodePageRequest {
        node: name.to_owned(),
        path: call.path.beyond.clone(),
    }))
}

/// The kind of a subresource's own object.
pub(super) fn kind(group: &str, kind: &str) -> GroupVersionKind {
    GroupVersionKind {
        group: group.to_owned(),
        version: "v1".to_owned(),
        kind: kind.to_owned(),
    }
}

/// Assigns a pod to a node, once.
fn bind(core: &mut Core, call: &mut Call<'_>, name: &str) -> ApiResult<Answer> {
    let binding = decode::parse_body(&call.request.content_type, &call.request.body)?;
    let binding = admit::subresource(core, call, &kind("", "Binding"), binding, None, false)?;
    let Some(node) = binding["target"]["name"].as_str().filter(|node| !node.is_empty()) else {
        let error = FieldError::required("target.name", "");
        return Err(ApiError::invalid("Binding", "", name, &[error]));
    };
    let pod = core
        .store
        .get("pods", &ObjectName::new(call.namespace(), name))
        .ok_or_else(|| call.not_found(name))?;
    let assigned = pod["spec"]["nodeName"].as_str().unwrap_or_default();
    if !assigned.is_empty() {
        let why = format!("pod {name} is already assigned to node {assigned:?}");
        return Err(ApiError::conflict("pods/binding", "", name, &why));
    }
    let mut bound = Value::clone(&pod);
    bound["spec"]["nodeName"] = node.into();
    let condition = json!({
        "type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": core.now(),
    });
    let mut conditions = bound["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.retain(|known| known["type"] != "PodScheduled");
    conditions.push(condition);
    bound["status"]["conditions"] = conditions.into();
    core.put(&call.resource, bound);
    let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    Ok(Answer::Document { code: 201, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(query: &str) -> ApiResult<Option<String>> {
        let now = Timestamp::from_second(100).expect("a time");
        let wanted = since(&Query::parse(Some(query)), now)?;
        Ok(wanted.map(|time| time.to_string()))
    }

    #[test]
    fn lines_of_a_log_are_wanted_from_an_age_or_a_time_on() {
        let told = |query: &str| wanted(query).expect("it is understood");
        assert_eq!(told(""), None);
        assert_eq!(told("sinceSeconds=40").as_deref(), Some("1970-01-01T00:01:00Z"));
        let time = "2026-11-28T10:00:00Z";
        assert_eq!(told(&format!("sinceTime={time}")).as_deref(), Some(time));
        assert!(told("sinceSeconds=9223372036854775807").is_some());
    }

    #[test]
    fn an_age_beside_a_time_and_what_is_no_time_are_refused() {
        for query in ["sinceSeconds=1&sinceTime=2026-11-28T10:00:00Z", "sinceTime=soon"] {
            wanted(query).expect_err(query);
        }
    }
}
