//! What the tokens of a request are worth, for the port and the path that it goes to.

use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use torpor_api::port;

use super::{address::Head, refusal::DataRefusal};
use crate::{
    id::SandboxId,
    signature::SignedFile,
    token::{TokenKey, TokenKind},
};

/// Paths of envd that are the platform's alone.
const INTERNAL_PATHS: [&str; 7] = [
    "init", "freeze", "unfreeze", "fsfreeze", "fsthaw", "collapse", "upgrade",
];

/// Whether a request may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// It has shown what is asked for, or the port is public: it may also wake the sandbox.
    Granted,
    /// Nothing is asked for here; that does not wake anything.
    Unasked,
    /// A token is missing or not the sandbox's.
    Denied {
        /// The header that it belongs into.
        header: &'static str,
        /// Whether there was one.
        presented: bool,
    },
    /// For nobody outside.
    Internal,
}

/// The tokens and the signature of a request, checked.
#[derive(Clone)]
pub(super) struct Credentials<'a> {
    tokens: &'a TokenKey,
    now: Timestamp,
    envd: Token,
    traffic: Token,
    signed: Option<SignedFile>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Absent,
    Forged,
    Of(SandboxId),
}

impl Token {
    fn read(tokens: &TokenKey, kind: TokenKind, text: Option<&str>) -> Self {
        text.map_or(Self::Absent, |text| {
            tokens.holder(kind, text).map_or(Self::Forged, Self::Of)
        })
    }

    fn holder(&self) -> Option<&SandboxId> {
        match self {
            Self::Of(id) => Some(id),
            Self::Absent | Self::Forged => None,
        }
    }
}

impl<'a> Credentials<'a> {
    /// Reads and checks what `head` carries.
    pub(super) fn of(head: &Head<'_>, tokens: &'a TokenKey, now: Timestamp) -> Self {
        Self {
            tokens,
            now,
            envd: Token::read(tokens, TokenKind::Envd, head.header("x-access-token")),
            traffic: Token::read(tokens, TokenKind::Traffic, head.header("e2b-traffic-access-token")),
            signed: SignedFile::read(head.method, head.path, head.query),
        }
    }

    /// The sandbox that a genuine token belongs to.
    pub(super) fn holder(&self) -> Option<&SandboxId> {
        self.envd.holder().or_else(|| self.traffic.holder())
    }

    /// The signature, unless it has expired, whoever made it.
    pub(super) fn signed(&self) -> Option<&SignedFile> {
        self.signed.as_ref().filter(|signed| signed.is_in_time(self.now))
    }

    /// Whether the signature is one of the sandbox `id`.
    fn signed_by(&self, id: &SandboxId) -> bool {
        let signed = self.signed.as_ref();
        signed.is_some_and(|signed| signed.is_valid(&self.tokens.token(TokenKind::Envd, id), self.now))
    }

    /// Why a request that names no sandbox cannot be placed by its credentials either.
    pub(super) fn unplaced(&self) -> DataRefusal {
        let presented = self.envd == Token::Forged || self.traffic == Token::Forged || self.signed.is_some();
        if presented {
            DataRefusal::BadCredentials
        } else {
            DataRefusal::NoSandboxNamed
        }
    }

    /// Whether this request may go to `path` on `port` of the sandbox `id`.
    pub(super) fn access(&self, id: &SandboxId, port: u16, path: &str, private_traffic: bool) -> Access {
        let envd_token = self.envd.holder() == Some(id);
        let traffic_token = self.traffic.holder() == Some(id);
        match port {
            port::CONTROL => Access::Internal,
            port::ENVD if is_internal(path) => Access::Internal,
            port::ENVD if envd_token || self.signed_by(id) => Access::Granted,
            port::CODE_INTERPRETER if envd_token || traffic_token => Access::Granted,
            port::ENVD | port::CODE_INTERPRETER if path == "/health" => Access::Unasked,
            port::ENVD | port::CODE_INTERPRETER => Access::Denied {
                header: "X-Access-Token",
                presented: self.envd != Token::Absent,
            },
            _ if traffic_token || !private_traffic => Access::Granted,
            _ => Access::Denied {
                header: "E2B-Traffic-Access-Token",
                presented: self.traffic != Token::Absent,
            },
        }
    }
}

/// Whether a path is internal however it is written.
fn is_internal(path: &str) -> bool {
    let decoded = percent_decode_str(path).decode_utf8_lossy().into_owned();
    let first = decoded
        .split('/')
        .find(|segment| !segment.is_empty() && *segment != ".");
    first.is_some_and(|first| INTERNAL_PATHS.contains(&first)) || decoded.split('/').any(|segment| segment == "..")
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method, header::HeaderName};

    use super::*;

    fn id(text: &str) -> SandboxId {
        SandboxId::parse(text).unwrap()
    }

    /// What a request to `iabc` may do that carries the tokens of the named sandboxes.
    fn access(port: u16, path: &str, envd: Option<&str>, traffic: Option<&str>, private: bool) -> Access {
        let key = TokenKey::new([1; 32]);
        let tokens = [
            (envd, TokenKind::Envd, "x-access-token"),
            (traffic, TokenKind::Traffic, "e2b-traffic-access-token"),
        ];
        let headers: HeaderMap = tokens
            .into_iter()
            .filter_map(|(of, kind, name)| {
                Some((
                    name.parse::<HeaderName>().unwrap(),
                    key.token(kind, &id(of?)).parse().unwrap(),
                ))
            })
            .collect();
        let head = Head {
            method: &Method::POST,
            path,
            query: None,
            host: None,
            headers: &headers,
        };
        Credentials::of(&head, &key, Timestamp::UNIX_EPOCH).access(&id("iabc"), port, path, private)
    }

    #[test]
    fn envd_asks_for_the_envd_token_of_this_sandbox() {
        assert_eq!(access(49983, "/files", Some("iabc"), None, false), Access::Granted);
        let wrong = Access::Denied {
            header: "X-Access-Token",
            presented: true,
        };
        assert_eq!(access(49983, "/files", Some("iother"), None, false), wrong);
        let missing = Access::Denied {
            header: "X-Access-Token",
            presented: false,
        };
        assert_eq!(access(49983, "/files", None, Some("iabc"), false), missing);
    }

    #[test]
    fn the_code_interpreter_takes_either_token() {
        assert_eq!(access(49999, "/contexts", None, Some("iabc"), false), Access::Granted);
        assert_eq!(access(49999, "/execute", Some("iabc"), None, false), Access::Granted);
        assert!(matches!(
            access(49999, "/execute", None, Some("iother"), false),
            Access::Denied { .. }
        ));
    }

    #[test]
    fn health_is_for_everybody_and_wakes_nothing() {
        assert_eq!(access(49983, "/health", None, None, true), Access::Unasked);
        assert_eq!(access(49983, "/health", Some("iabc"), None, true), Access::Granted);
    }

    #[test]
    fn what_is_internal_stays_so_with_every_token_and_in_every_spelling() {
        for path in [
            "/init",
            "/freeze",
            "//init",
            "/%69nit",
            "/./init",
            "/x/../init",
            "/init/",
        ] {
            assert_eq!(
                access(49983, path, Some("iabc"), Some("iabc"), false),
                Access::Internal,
                "{path}"
            );
        }
        assert_eq!(
            access(49982, "/v1/state", Some("iabc"), Some("iabc"), false),
            Access::Internal
        );
    }

    #[test]
    fn other_ports_are_public_unless_the_sandbox_keeps_them_private() {
        assert_eq!(access(3000, "/", None, None, false), Access::Granted);
        assert_eq!(access(3000, "/", None, Some("iabc"), true), Access::Granted);
        assert!(matches!(
            access(3000, "/", Some("iabc"), None, true),
            Access::Denied { presented: false, .. }
        ));
    }
}
