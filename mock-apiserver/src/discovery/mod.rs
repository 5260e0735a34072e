//! What the server says about itself: versions, groups, resources, health.

mod aggregated;
mod legacy;
mod openapi;
mod openapi_v2;
mod openapi_v2_protobuf;
mod schemas;

pub(crate) use legacy::fingerprint;

use crate::api::path::Route;
use crate::catalog::Resource;
use crate::core::Core;
use crate::rest::Answer;
use serde_json::{Value, json};

/// The version of Kubernetes whose behaviour this server follows.
const MAJOR: &str = "1";
const MINOR: &str = "33";

/// The answer to a GET that is not about a resource; `None` is 404. `verbose` asks for every health check by name.
pub(crate) fn answer(core: &Core, route: &Route, accept: &str, verbose: bool) -> Option<Answer> {
    let aggregated = accept.contains("as=APIGroupDiscoveryList") && accept.contains("v=v2");
    let body = match route {
        Route::CoreVersions if aggregated => aggregated::groups(core, true, accept),
        Route::Groups if aggregated => aggregated::groups(core, false, accept),
        Route::CoreVersions => legacy::core_versions(),
        Route::Groups => legacy::groups(core),
        Route::Group(group) => legacy::group(core, group)?,
        Route::GroupVersion(group, version) => legacy::resources(core, group, version)?,
        Route::Version => version(),
        Route::Health(check) => {
            return Some(Answer::Text {
                code: 200,
                body: health(check, verbose),
            });
        }
        Route::OpenApi(rest) => return openapi_answer(core, rest, accept),
        Route::Metrics => return Some(Answer::Metrics),
        Route::Root => legacy::paths(core),
        Route::Unknown => {
            return Some(Answer::Document {
                code: 404,
                body: legacy::paths(core),
            });
        }
        Route::Resource(_) => return None,
    };
    Some(Answer::Document { code: 200, body })
}

/// `/openapi/v2`, `/openapi/v3` and below.
fn openapi_answer(core: &Core, rest: &str, accept: &str) -> Option<Answer> {
    let document = |group, version| {
        let document = openapi::document(&core.catalog, group, version)?;
        Some(Answer::OpenApi {
            body: document.body.clone(),
            hash: document.hash.clone(),
        })
    };
    match rest.split('/').collect::<Vec<_>>().as_slice() {
        ["v2"] => Some(openapi_v2::answer(&core.catalog, accept)),
        ["v3"] => Some(Answer::Document {
            code: 200,
            body: openapi::index(&core.catalog),
        }),
        ["v3", "api", version] => document("", version),
        ["v3", "apis", group, version] => document(group, version),
        _ => None,
    }
}

fn health(check: &str, verbose: bool) -> String {
    if verbose {
        format!("[+]ping ok\n{check} check passed\n")
    } else {
        "ok".to_owned()
    }
}

fn version() -> Value {
    json!({
        "major": MAJOR, "minor": MINOR, "gitVersion": format!("v{MAJOR}.{MINOR}.0"),
        "gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "none", "compiler": "rustc", "platform": "linux/amd64",
    })
}

/// The verbs of a resource itself, in the order that a server lists them for its kind of resource.
fn verbs(resource: &Resource) -> Value {
    if resource.is_review() {
        return json!(["create"]);
    }
    if resource.is_custom() {
        return json!([
            "delete",
            "deletecollection",
            "get",
            "list",
            "patch",
            "create",
            "update",
            "watch"
        ]);
    }
    json!([
        "create",
        "delete",
        "deletecollection",
        "get",
        "list",
        "patch",
        "update",
        "watch"
    ])
}

/// A subresource: name, the kind it speaks (group, version, kind) and its verbs.
pub(crate) struct Subresource {
    pub(crate) name: &'static str,
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    pub(crate) verbs: &'static [&'static str],
}

const READ_AND_WRITE: &[&str] = &["get", "patch", "update"];
const CREATE: &[&str] = &["create"];
const UPDATE: &[&str] = &["update"];

/// Subresources of single kinds: group and kind of the resource, name, verbs, and the kind it speaks where that is another.
type OwnSubresource = (
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
    Option<(&'static str, &'static str, &'static str)>,
);

const OWN_SUBRESOURCES: &[OwnSubresource] = &[
    ("", "Namespace", "finalize", UPDATE, None),
    ("", "Pod", "binding", CREATE, Some(("", "v1", "Binding"))),
    ("", "Pod", "ephemeralcontainers", READ_AND_WRITE, None),
    ("", "Pod", "eviction", CREATE, Some(("policy", "v1", "Eviction"))),
    ("", "Pod", "log", &["get"], None),
    ("", "Pod", "resize", READ_AND_WRITE, None),
    (
        "",
        "ServiceAccount",
        "token",
        CREATE,
        Some(("authentication.k8s.io", "v1", "TokenRequest")),
    ),
    (
        "certificates.k8s.io",
        "CertificateSigningRequest",
        "approval",
        READ_AND_WRITE,
        None,
    ),
];

/// The subresources of a resource.
pub(crate) fn subresources(resource: &Resource) -> Vec<Subresource> {
    let own = (
        resource.group.as_str(),
        resource.version.as_str(),
        resource.kind.as_str(),
    );
    let of = |name, verbs, (group, version, kind): (&str, &str, &str)| Subresource {
        name,
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind.to_owned(),
        verbs,
    };
    let mut found = Vec::new();
    if resource.status {
        found.push(of("status", READ_AND_WRITE, own));
    }
    for (_, _, name, verbs, speaks) in OWN_SUBRESOURCES
        .iter()
        .filter(|(group, kind, ..)| resource.is(group, kind))
    {
        found.push(of(name, verbs, speaks.unwrap_or(own)));
    }
    if resource.scale.is_some() {
        found.push(of("scale", READ_AND_WRITE, ("autoscaling", "v1", "Scale")));
    }
    found
}
