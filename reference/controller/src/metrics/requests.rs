//! What a request to the API server asks for, in the words of Kubernetes: a verb and a resource.

use http::Method;
use prometheus_client::encoding::EncodeLabelSet;

/// A request, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RequestLabel {
    verb: &'static str,
    resource: String,
    code: String,
}

impl RequestLabel {
    /// The request, not answered yet.
    pub(crate) fn asked(method: &Method, uri: &http::Uri) -> Self {
        let parts: Vec<&str> = uri.path().split('/').filter(|part| !part.is_empty()).collect();
        let of_group = match parts.as_slice() {
            ["api", _version, rest @ ..] | ["apis", _, _version, rest @ ..] => rest,
            _ => &[],
        };
        let (resource, name) = match of_group {
            ["namespaces", _, resource, rest @ ..] | [resource, rest @ ..] => match rest {
                [] => ((*resource).to_owned(), None),
                [name] => ((*resource).to_owned(), Some(name)),
                [name, subresource, ..] => (format!("{resource}/{subresource}"), Some(name)),
            },
            [] => (String::new(), None),
        };
        Self {
            verb: verb(method, name.is_some(), uri.query().unwrap_or_default()),
            resource,
            code: String::new(),
        }
    }

    /// With the status code of the answer, or `none` if there was none.
    #[must_use]
    pub(crate) fn answered(mut self, code: Option<u16>) -> Self {
        self.code = code.map_or_else(|| "none".to_owned(), |code| code.to_string());
        self
    }
}

fn verb(method: &Method, named: bool, query: &str) -> &'static str {
    match (method, named) {
        (&Method::GET, _) if query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1")) => "watch",
        (&Method::GET, true) => "get",
        (&Method::GET, false) => "list",
        (&Method::POST, _) => "create",
        (&Method::PUT, _) => "update",
        (&Method::PATCH, _) => "patch",
        (&Method::DELETE, true) => "delete",
        (&Method::DELETE, false) => "deletecollection",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_named_by_its_verb_and_resource() {
        let named = |method, path: &str| {
            let label = RequestLabel::asked(&method, &path.parse().expect("a path"));
            format!("{} {}", label.verb, label.resource)
        };
        let group = "/apis/agents.kruise.io/v1alpha1";
        for (method, path, expected) in [
            (
                Method::GET,
                "/api/v1/namespaces/default/pods/one".to_owned(),
                "get pods",
            ),
            (Method::GET, "/api/v1/pods?limit=500".to_owned(), "list pods"),
            (Method::GET, "/api/v1/pods?a=b&watch=true".to_owned(), "watch pods"),
            (
                Method::DELETE,
                "/api/v1/namespaces/default/pods/one".to_owned(),
                "delete pods",
            ),
            (
                Method::DELETE,
                "/api/v1/namespaces/default/pods".to_owned(),
                "deletecollection pods",
            ),
            (
                Method::POST,
                format!("{group}/namespaces/a/checkpoints"),
                "create checkpoints",
            ),
            (
                Method::PATCH,
                format!("{group}/namespaces/a/sandboxes/one/status?"),
                "patch sandboxes/status",
            ),
            (Method::PUT, "/api/v1/namespaces/a".to_owned(), "update namespaces"),
            (Method::GET, "/version".to_owned(), "list "),
        ] {
            assert_eq!(named(method, &path), expected, "{path}");
        }
    }

    #[test]
    fn a_request_without_an_answer_is_counted_as_such() {
        let asked = || RequestLabel::asked(&Method::GET, &http::Uri::from_static("/api/v1/pods"));
        assert_eq!(asked().answered(Some(409)).code, "409");
        assert_eq!(asked().answered(None).code, "none");
    }
}
