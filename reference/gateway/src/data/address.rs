//! Which sandbox and which of its ports a request is for, as far as it says so itself.

use std::net::IpAddr;

use http::{HeaderMap, Method, header, request::Parts};
use torpor_api::port;

use super::refusal::DataRefusal;
use crate::id::SandboxId;

/// The parts of a request that decide where it goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<'a> {
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    pub(super) query: Option<&'a str>,
    pub(super) host: Option<&'a str>,
    pub(super) headers: &'a HeaderMap,
}

impl<'a> Head<'a> {
    /// The parts of `parts` that decide.
    pub(super) fn of(parts: &'a Parts) -> Self {
        let Parts {
            method, uri, headers, ..
        } = parts;
        let host = headers.get(header::HOST).and_then(|value| value.to_str().ok());
        let host = host.or_else(|| uri.authority().map(http::uri::Authority::as_str));
        Self {
            method,
            path: uri.path(),
            query: uri.query(),
            host,
            headers,
        }
    }

    /// A header's value, if it is there and text.
    pub(super) fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// What names the sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// A header or the host name.
    Sandbox(SandboxId),
    /// At best a token or a signature.
    ByCredentials,
}

/// Where a request wants to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) named: Named,
    pub(super) port: u16,
}

impl Address {
    /// Reads the address: headers come first, then the host name, which is one of `domain` if there is that.
    /// `default_port` is that of the listener; without one, the path tells the code interpreter from envd.
    ///
    /// # Errors
    /// If a header names what cannot be a sandbox or a port.
    pub(super) fn of(head: &Head<'_>, default_port: Option<u16>, domain: Option<&str>) -> Result<Self, DataRefusal> {
        let bad = |header: &'static str, value: &str| DataRefusal::BadHeader {
            header,
            value: value.to_owned(),
        };
        let named_port = head
            .header("e2b-sandbox-port")
            .map(|text| text.parse().map_err(|_| bad("E2b-Sandbox-Port", text)));
        let named_port = named_port.transpose()?;
        let by_path = || {
            if is_code_interpreter(head.path) {
                port::CODE_INTERPRETER
            } else {
                port::ENVD
            }
        };
        let default = || default_port.unwrap_or_else(by_path);
        if let Some(text) = head.header("e2b-sandbox-id") {
            let id = SandboxId::parse(text).map_err(|_| bad("E2b-Sandbox-Id", text))?;
            return Ok(Self {
                named: Named::Sandbox(id),
                port: named_port.unwrap_or_else(default),
            });
        }
        if let Some((port, id)) = host_address(head.host, domain) {
            return Ok(Self {
                named: Named::Sandbox(id),
                port,
            });
        }
        Ok(Self {
            named: Named::ByCredentials,
            port: named_port.unwrap_or_else(default),
        })
    }
}

fn is_code_interpreter(path: &str) -> bool {
    matches!(path.split('/').nth(1), Some("execute" | "contexts"))
}

/// Reads a host name of the form `<port>-<id>[-<anything>].<domain>`. Where it may be of any domain its id has a letter:
/// some names of other hosts are made of the numbers of their IP address.
pub(super) fn host_address(host: Option<&str>, domain: Option<&str>) -> Option<(u16, SandboxId)> {
    let (label, of) = host?.split_once('.')?;
    let (port, id) = label.split_once('-')?;
    let (port, id) = (port.parse().ok()?, SandboxId::parse(id).ok()?);
    // Below an IP address there are no names: whoever has names has others.
    let domain = domain
        .map(without_port)
        .filter(|domain| domain.parse::<IpAddr>().is_err());
    let names_sandbox = match domain {
        Some(domain) => without_port(of).eq_ignore_ascii_case(domain),
        None => id.as_str().contains(|character: char| character.is_ascii_lowercase()),
    };
    names_sandbox.then_some((port, id))
}

/// A host without its port, brackets, and the user that one of our domains may begin with.
fn without_port(host: &str) -> &str {
    let host = host.rsplit('@').next().unwrap_or_default();
    match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _port)) => address,
        None => host.split(':').next().unwrap_or_default().trim_end_matches('.'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(path: &str, host: &str, headers: &[(&str, &str)], default: Option<u16>) -> Result<Address, DataRefusal> {
        let map: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.parse::<header::HeaderName>().unwrap(), value.parse().unwrap()))
            .collect();
        let head = Head {
            method: &Method::GET,
            path,
            query: None,
            host: Some(host),
            headers: &map,
        };
        Address::of(&head, default, None)
    }

    fn named(id: &str, port: u16) -> Address {
        Address {
            named: Named::Sandbox(SandboxId::parse(id).unwrap()),
            port,
        }
    }

    #[test]
    fn headers_come_before_the_host_name() {
        let headers = [("e2b-sandbox-id", "iabc"), ("e2b-sandbox-port", "49999")];
        assert_eq!(
            address("/", "3000-iother.localhost", &headers, None),
            Ok(named("iabc", 49999))
        );
    }

    #[test]
    fn a_host_name_holds_port_and_id_and_maybe_more() {
        assert_eq!(
            address("/", "3000-iabc.localhost:8080", &[], None),
            Ok(named("iabc", 3000))
        );
        assert_eq!(
            address("/", "3000-iabc-6532.example.com", &[], None),
            Ok(named("iabc", 3000))
        );
    }

    #[test]
    fn other_host_names_hold_none() {
        for host in [
            "localhost:49999",
            "99999-iabc.localhost",
            "x-iabc.localhost",
            "3000-.localhost",
            "3000-iabc",
            "10-0-0-5.example.com",
            "127-0-0-1.nip.io:3000",
        ] {
            assert_eq!(host_address(Some(host), None), None, "{host}");
        }
    }

    #[test]
    fn where_sandboxes_have_a_domain_no_other_host_name_holds_one() {
        let port = |host, domain| host_address(Some(host), Some(domain)).map(|(port, _)| port);
        for (host, domain) in [
            ("3000-iabc.sandboxes.example", "sandboxes.example"),
            ("3000-iabc.SandBoxes.example.:8443", "sandboxes.example"),
            ("3000-iabc.localhost:8080", "localhost:3000"),
            ("3000-123.localhost", "localhost"),
            ("3000-iabc.localhost:8443", "u@localhost:8443"),
            ("3000-iabc.anything.example", "127.0.0.1:3000"),
            ("3000-iabc.anything.example", "[::1]:3000"),
        ] {
            assert_eq!(port(host, domain), Some(3000), "{host} of {domain}");
        }
        for (host, domain) in [
            ("3000-api.example", "sandboxes.example"),
            ("3000-iabc.example", "sandboxes.example"),
            ("3000-iabc.evil.sandboxes.example", "sandboxes.example"),
            ("3000-iabc.localhost.example", "localhost:3000"),
            ("10-0-0-5.anything.example", "127.0.0.1:3000"),
        ] {
            assert_eq!(port(host, domain), None, "{host} of {domain}");
        }
    }

    #[test]
    fn without_a_port_the_listener_decides_and_else_the_path() {
        let port = |path, default| address(path, "localhost", &[], default).unwrap().port;
        assert_eq!(port("/health", Some(49999)), 49999);
        assert_eq!(port("/execute", None), 49999);
        assert_eq!(port("/contexts/c1/restart", None), 49999);
        assert_eq!(port("/files", None), 49983);
    }

    #[test]
    fn what_is_no_port_or_id_is_refused() {
        assert!(address("/", "localhost", &[("e2b-sandbox-port", "70000")], None).is_err());
        assert!(address("/", "localhost", &[("e2b-sandbox-id", "../x")], None).is_err());
    }
}
