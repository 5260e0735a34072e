//! Control plane or data plane: which of the two a request on the shared port is for.

use super::address::{Head, host_address};

/// The two services of the main port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plane {
    Control,
    Data,
}

/// First segments of the control plane's paths.
const CONTROL_SEGMENTS: [&str; 4] = ["sandboxes", "v2", "snapshots", "templates"];
/// First segments of the paths that SDKs call inside a sandbox.
const DATA_SEGMENTS: [&str; 13] = [
    "files",
    "metrics",
    "envs",
    "execute",
    "contexts",
    "process.Process",
    "filesystem.Filesystem",
    "init",
    "freeze",
    "unfreeze",
    "fsfreeze",
    "fsthaw",
    "collapse",
];

/// Decides by what names a sandbox first, then by the path. A call of the control plane may carry the
/// headers of the data plane (some SDK versions send them on connect), but then it has an API key. Host names of
/// sandboxes are those of `domain`, if there is that.
pub(super) fn plane(head: &Head<'_>, domain: Option<&str>) -> Plane {
    let first = head.path.split('/').nth(1).unwrap_or_default();
    if host_address(head.host, domain).is_some() {
        return Plane::Data;
    }
    let control_call = CONTROL_SEGMENTS.contains(&first) && head.header("x-api-key").is_some();
    let names_sandbox = head.header("e2b-sandbox-id").is_some();
    let has_token = head.header("x-access-token").is_some() || head.header("e2b-traffic-access-token").is_some();
    if names_sandbox && !control_call {
        return Plane::Data;
    }
    // Without a token, /health asks for the gateway itself.
    let inside = DATA_SEGMENTS.contains(&first) || (first == "health" && has_token);
    if inside { Plane::Data } else { Plane::Control }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn of(path: &str, host: &str, headers: &[(&'static str, &str)]) -> Plane {
        of_domain(path, host, headers, None)
    }

    fn of_domain(path: &str, host: &str, headers: &[(&'static str, &str)], domain: Option<&str>) -> Plane {
        let map: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        let head = Head {
            method: &http::Method::POST,
            path,
            query: None,
            host: Some(host),
            headers: &map,
        };
        plane(&head, domain)
    }

    #[test]
    fn calls_of_each_sdk_generation_reach_their_plane() {
        let key = ("x-api-key", "e2b_00");
        let sandbox = ("e2b-sandbox-id", "iabc");
        let token = ("x-access-token", "ea");
        let table = [
            ("/sandboxes", vec![key], Plane::Control),
            ("/v2/sandboxes/iabc/connect", vec![key], Plane::Control),
            ("/sandboxes/iabc/connect", vec![key, sandbox], Plane::Control),
            ("/execute", vec![sandbox, token], Plane::Data),
            ("/execute", vec![sandbox, token, key], Plane::Data),
            ("/process.Process/List", vec![token], Plane::Data),
            ("/files", vec![], Plane::Data),
            ("/health", vec![sandbox], Plane::Data),
            ("/health", vec![token], Plane::Data),
            ("/health", vec![], Plane::Control),
            ("/sandboxes", vec![sandbox], Plane::Data),
            ("/", vec![], Plane::Control),
            ("/nowhere", vec![key], Plane::Control),
        ];
        for (path, headers, expected) in table {
            assert_eq!(of(path, "localhost:3000", &headers), expected, "{path} {headers:?}");
        }
    }

    #[test]
    fn a_host_name_of_a_sandbox_decides_whatever_the_path_is() {
        assert_eq!(
            of("/sandboxes", "3000-iabc.localhost:3000", &[("x-api-key", "k")]),
            Plane::Data
        );
        assert_eq!(of("/anything", "api.example.com", &[]), Plane::Control);
    }

    #[test]
    fn a_host_name_of_the_gateway_is_not_taken_for_one_of_a_sandbox() {
        for (host, domain) in [
            ("10-0-0-5.example.com", None),
            ("127-0-0-1.nip.io:3000", None),
            ("10-0-0-5.example.com", Some("sandboxes.example.com")),
            ("2-api.example.com", Some("sandboxes.example.com")),
        ] {
            let key = [("x-api-key", "k")];
            assert_eq!(of_domain("/sandboxes", host, &key, domain), Plane::Control, "{host}");
        }
        let sandboxes = Some("example.com");
        assert_eq!(of_domain("/", "3000-iabc.example.com", &[], sandboxes), Plane::Data);
    }
}
