//! E2B over plain HTTP, as any SDK would speak it.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::Value;

use super::http::HttpAnswer;
use super::{Body, ExecutionStream, Fault, Http, HttpError, HttpRequest};
use crate::history::{Journal, Occurrence};
use crate::pulse::Patience;
use crate::scenario::{KeyUse, Method, Plane, TokenUse};
use crate::target::E2bEndpoint;

/// Speaks to one endpoint and notes every request.
#[derive(Clone, Debug)]
pub(crate) struct E2bClient {
    http: Http,
    endpoint: E2bEndpoint,
    journal: Journal,
    patience: Patience,
}

/// Where a sandbox's own servers are, and what opens them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) id: String,
    pub(crate) domain: String,
    pub(crate) envd_token: String,
    pub(crate) traffic_token: String,
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) plane: Plane,
    pub(crate) address: Option<&'a Address>,
    pub(crate) method: Method,
    /// Path and query, percent-encoded.
    pub(crate) path: &'a str,
    pub(crate) headers: &'a BTreeMap<String, String>,
    pub(crate) key: KeyUse,
    pub(crate) token: TokenUse,
    pub(crate) body: Body,
}

/// What was answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) next_page: Option<String>,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// Refuses every status but these.
    pub(crate) fn must_be(&self, accepted: &[u16], what: &str) -> Result<&Self, Fault> {
        if accepted.contains(&self.status) {
            return Ok(self);
        }
        let accepted = accepted
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" or ");
        Err(Fault::Claim(format!(
            "{what} answered {} instead of {accepted}: {}",
            self.status,
            short(&self.text)
        )))
    }
}

/// The start of a text, for a message.
fn short(text: &str) -> &str {
    text.char_indices().nth(300).map_or(text, |(end, _)| &text[..end])
}

impl E2bClient {
    pub(crate) fn new(http: Http, endpoint: E2bEndpoint, journal: Journal, patience: Patience) -> Self {
        Self {
            http,
            endpoint,
            journal,
            patience,
        }
    }

    /// A call of the API with the target's key.
    pub(crate) async fn api(&self, method: Method, path: &str, body: Body) -> Result<Answer, Fault> {
        let headers = BTreeMap::new();
        let (key, token) = (KeyUse::Valid, TokenUse::None);
        self.call(Call {
            plane: Plane::Control,
            address: None,
            method,
            path,
            headers: &headers,
            key,
            token,
            body,
        })
        .await
    }

    /// A call of a sandbox's own server with its tokens.
    pub(crate) async fn inside(
        &self,
        plane: Plane,
        address: &Address,
        method: Method,
        path: &str,
        body: Body,
    ) -> Result<Answer, Fault> {
        let headers = BTreeMap::new();
        let (key, token) = (KeyUse::None, TokenUse::Own);
        self.call(Call {
            plane,
            address: Some(address),
            method,
            path,
            headers: &headers,
            key,
            token,
            body,
        })
        .await
    }

    /// Starts code in a sandbox; the answer goes on while it runs.
    pub(crate) async fn execute(&self, address: &Address, body: Value) -> Result<ExecutionStream, Fault> {
        let headers = BTreeMap::new();
        let call = Call {
            plane: Plane::CodeInterpreter,
            address: Some(address),
            method: Method::Post,
            path: "/execute",
            headers: &headers,
            key: KeyUse::None,
            token: TokenUse::Own,
            body: Body::Json(body),
        };
        let request = self.request(call)?;
        let started = self.patience.begin().within(self.http.send(request)).await;
        let started = started.map_err(|late| late.fault(|within| format!("execute had no answer {within}")))?;
        let answer = started.map_err(|error| self.unanswered("execute", Plane::CodeInterpreter, error))?;
        if answer.status != 200 {
            return Err(Fault::Claim(format!("execute answered {}", answer.status)));
        }
        Ok(ExecutionStream::new(answer, self.patience.clone()))
    }

    /// Starts a process in a sandbox; the answer goes on while it runs.
    pub(crate) async fn start_process(&self, address: &Address, request: &Value) -> Result<HttpAnswer, Fault> {
        let (path, headers) = ("/process.Process/Start", BTreeMap::new());
        let call = Call {
            plane: Plane::Envd,
            address: Some(address),
            method: Method::Post,
            path,
            headers: &headers,
            key: KeyUse::None,
            token: TokenUse::Own,
            body: Body::Framed(request.clone()),
        };
        let (request, start) = (self.request(call)?, Instant::now());
        let started = self.patience.begin().within(self.http.send(request)).await;
        let started = started.map_err(|late| late.fault(|within| format!("the command had no answer {within}")))?;
        let answer = started.map_err(|error| self.unanswered("start the command", Plane::Envd, error))?;
        self.journal.note(Occurrence::Request {
            method: Method::Post.as_str().to_owned(),
            path: path.to_owned(),
            status: answer.status,
            millis: u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
        });
        if answer.status != 200 {
            let status = answer.status;
            let text = answer.text().await.unwrap_or_default();
            return Err(Fault::Claim(format!(
                "the command was answered {status}: {}",
                short(&text)
            )));
        }
        Ok(answer)
    }

    pub(crate) async fn call(&self, call: Call<'_>) -> Result<Answer, Fault> {
        let (method, path, plane) = (call.method.as_str(), call.path.to_owned(), call.plane);
        let request = self.request(call)?;
        let start = Instant::now();
        let answered = self.patience.begin().within(self.answer(request)).await;
        let answer = answered
            .map_err(|late| late.fault(|within| format!("{method} {path} had no answer {within}")))?
            .map_err(|error| self.unanswered(&format!("{method} {path}"), plane, error))?;
        let millis = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.journal.note(Occurrence::Request {
            method: method.to_owned(),
            path,
            status: answer.status,
            millis,
        });
        Ok(answer)
    }

    /// Why there is no answer, and what to do where names of sandboxes lead nowhere.
    fn unanswered(&self, what: &str, plane: Plane, error: HttpError) -> Fault {
        let by_name = self.endpoint.sandbox_url.is_none() && !matches!(plane, Plane::Control);
        let unsent = matches!(error, HttpError::Send { .. });
        let fault = Fault::harness(what, error);
        if by_name && unsent {
            let hint = "where names of sandboxes do not resolve, say where their traffic goes (`--e2b-sandbox-url`)";
            Fault::Harness(format!("{}; {hint}", fault.message()))
        } else {
            fault
        }
    }

    fn request(&self, call: Call<'_>) -> Result<HttpRequest, Fault> {
        let method = call.method.as_str();
        let url = self
            .url(&call)
            .map_err(|problem| Fault::Harness(format!("{method} {}: {problem}", call.path)))?;
        Ok(HttpRequest {
            method,
            url,
            headers: self.headers(&call),
            body: call.body,
        })
    }

    async fn answer(&self, request: HttpRequest) -> Result<Answer, HttpError> {
        let answer = self.http.send(request).await?;
        let next = answer.headers.get("x-next-token").and_then(|value| value.to_str().ok());
        let next_page = next.filter(|token| !token.is_empty()).map(str::to_owned);
        Ok(Answer {
            status: answer.status,
            next_page,
            text: answer.text().await?,
        })
    }

    fn url(&self, call: &Call<'_>) -> Result<String, String> {
        let base = match (call.plane, call.address, &self.endpoint.sandbox_url) {
            (Plane::Control, _, _) => self.endpoint.url.to_string(),
            (Plane::Envd | Plane::CodeInterpreter, Some(_), Some(url)) => url.to_string(),
            (plane, Some(address), None) if !address.domain.is_empty() => {
                format!("https://{}-{}.{}", port(plane), address.id, address.domain)
            }
            (_, Some(address), None) => return Err(format!("the API named no domain for {}", address.id)),
            (_, None, _) => return Err("no sandbox to speak to".to_owned()),
        };
        Ok(format!("{}{}", base.trim_end_matches('/'), call.path))
    }

    fn headers(&self, call: &Call<'_>) -> Vec<(String, String)> {
        let mut headers: Vec<(String, String)> = call.headers.clone().into_iter().collect();
        let mut add = |name: &str, value: &str| headers.push((name.to_owned(), value.to_owned()));
        match (call.plane, call.key) {
            (Plane::Control, KeyUse::Valid) => add("X-API-KEY", &self.endpoint.api_key),
            (Plane::Control, KeyUse::None) | (Plane::Envd | Plane::CodeInterpreter, _) => {}
        }
        if let (Plane::Envd | Plane::CodeInterpreter, Some(address)) = (call.plane, call.address) {
            add("E2b-Sandbox-Id", &address.id);
            add("E2b-Sandbox-Port", port(call.plane));
            let (envd, traffic) = match call.token {
                TokenUse::Own => (address.envd_token.as_str(), address.traffic_token.as_str()),
                TokenUse::Wrong => ("wrong-token", "wrong-token"),
                TokenUse::None => ("", ""),
            };
            for (name, value) in [("X-Access-Token", envd), ("E2B-Traffic-Access-Token", traffic)] {
                if !value.is_empty() {
                    add(name, value);
                }
            }
        }
        headers
    }
}

const fn port(plane: Plane) -> &'static str {
    match plane {
        Plane::Control => "443",
        Plane::Envd => "49983",
        Plane::CodeInterpreter => "49999",
    }
}
