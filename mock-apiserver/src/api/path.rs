//! Which resource a request path names.

use std::borrow::Cow;

/// A parsed resource path, not yet looked up in the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ResourcePath {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) namespace: Option<String>,
    pub(crate) resource: String,
    pub(crate) name: Option<String>,
    pub(crate) subresource: Option<String>,
    /// What follows the subresource; empty where nothing does.
    pub(crate) beyond: String,
    /// The older form of a watch, `/api/v1/watch/…`.
    pub(crate) watch: bool,
}

/// What a path stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// A resource, collection, object or subresource.
    Resource(ResourcePath),
    /// `/api`: versions of the core group.
    CoreVersions,
    /// `/apis`: all groups.
    Groups,
    /// `/apis/G`: one group.
    Group(String),
    /// `/api/V` or `/apis/G/V`: the resources of a version.
    GroupVersion(String, String),
    /// `/openapi/v3` and below; the rest of the path.
    OpenApi(String),
    /// `/version`.
    Version,
    /// `/healthz`, `/livez`, `/readyz`.
    Health(String),
    /// `/metrics`.
    Metrics,
    /// `/`: what paths there are.
    Root,
    /// Anything else.
    Unknown,
}

impl Route {
    /// What a path that names no resource is called when it is counted.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::CoreVersions => "/api",
            Self::Groups | Self::Group(_) | Self::GroupVersion(..) => "/apis",
            Self::OpenApi(_) => "/openapi",
            Self::Version => "/version",
            Self::Health(check) => check,
            Self::Metrics => "/metrics",
            Self::Root => "/",
            Self::Resource(_) | Self::Unknown => "",
        }
    }
}

/// Splits and decodes a request path.
pub(crate) fn parse(path: &str) -> Route {
    let Some(segments) = segments(path) else {
        return Route::Unknown;
    };
    let parts: Vec<&str> = segments.iter().map(|segment| &**segment).collect();
    match parts.as_slice() {
        ["api"] => Route::CoreVersions,
        ["apis"] => Route::Groups,
        ["apis", group] => Route::Group((*group).to_owned()),
        ["api", version] => Route::GroupVersion(String::new(), (*version).to_owned()),
        ["apis", group, version] => Route::GroupVersion((*group).to_owned(), (*version).to_owned()),
        ["api", version, "watch", rest @ ..] if !rest.is_empty() => resource("", version, rest, true),
        ["apis", group, version, "watch", rest @ ..] if !rest.is_empty() => resource(group, version, rest, true),
        ["api", version, rest @ ..] => resource("", version, rest, false),
        ["apis", group, version, rest @ ..] => resource(group, version, rest, false),
        ["openapi", rest @ ..] => Route::OpenApi(rest.join("/")),
        [] => Route::Root,
        ["version"] => Route::Version,
        ["metrics"] => Route::Metrics,
        [check @ ("healthz" | "livez" | "readyz"), ..] => Route::Health((*check).to_owned()),
        _ => Route::Unknown,
    }
}

fn segments(path: &str) -> Option<Vec<Cow<'_, str>>> {
    path.split('/')
        .filter(|segment| !segment.is_empty())
        .map(|segment| percent_encoding::percent_decode_str(segment).decode_utf8().ok())
        .collect()
}

/// `namespaces/N/R…` is the resource R in N, except for the subresources of a namespace itself.
fn resource(group: &str, version: &str, rest: &[&str], watch: bool) -> Route {
    let (namespace, rest) = match rest {
        ["namespaces", _, "status" | "finalize"] => (None, rest),
        ["namespaces", namespace, inner @ ..] if !inner.is_empty() => (Some((*namespace).to_owned()), inner),
        _ => (None, rest),
    };
    let (plural, name, subresource, beyond) = match rest {
        [] => return Route::Unknown,
        [plural] => (*plural, None, None, &[][..]),
        [plural, name] => (*plural, Some(*name), None, &[][..]),
        [plural, name, subresource, beyond @ ..] => (*plural, Some(*name), Some(*subresource), beyond),
    };
    Route::Resource(ResourcePath {
        group: group.to_owned(),
        version: version.to_owned(),
        namespace,
        resource: plural.to_owned(),
        name: name.map(str::to_owned),
        subresource: subresource.map(str::to_owned),
        beyond: beyond.join("/"),
        watch,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(path: &str) -> (Option<String>, String, Option<String>, Option<String>) {
        match parse(path) {
            Route::Resource(found) => (found.namespace, found.resource, found.name, found.subresource),
            other => panic!("{path} parsed as {other:?}"),
        }
    }

    #[test]
    fn a_namespace_is_both_a_resource_and_a_scope() {
        let own = |text: &str| Some(text.to_owned());
        assert_eq!(
            parts("/api/v1/namespaces/a"),
            (None, "namespaces".to_owned(), own("a"), None)
        );
        assert_eq!(
            parts("/api/v1/namespaces/a/finalize"),
            (None, "namespaces".to_owned(), own("a"), own("finalize"))
        );
        assert_eq!(
            parts("/api/v1/namespaces/a/pods"),
            (own("a"), "pods".to_owned(), None, None)
        );
        assert_eq!(
            parts("/api/v1/namespaces/a/pods/b/log"),
            (own("a"), "pods".to_owned(), own("b"), own("log"))
        );
    }

    #[test]
    fn the_older_form_of_a_watch_is_one_of_what_follows() {
        match parse("/apis/g/v1/watch/namespaces/a/things/b") {
            Route::Resource(found) => {
                let at = (
                    found.resource.as_str(),
                    found.namespace.as_deref(),
                    found.name.as_deref(),
                );
                assert_eq!((at, found.watch), (("things", Some("a"), Some("b")), true));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn names_are_percent_decoded_and_bad_encodings_name_nothing() {
        assert_eq!(
            parts("/apis/g/v1/roles/system%3Anode").2,
            Some("system:node".to_owned())
        );
        assert_eq!(parse("/api/v1/pods/%ff"), Route::Unknown);
    }
}
