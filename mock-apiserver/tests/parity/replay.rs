//! Sends the requests of a sequence to a server and collects what comes back.

use crate::encode::envelope;
use crate::normalise::Normaliser;
use crate::recorded::Outcome;
use crate::sequence::{Action, Sequence, Step, Topic, Until, fill, fill_text};
use bytes::Bytes;
use http_body_util::BodyExt;
use kube::client::Body;
use mock_apiserver::MockApiServer;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a watch may take to bring its next event, and a condition to come true.
const PATIENCE: Duration = Duration::from_secs(20);
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// A server to send to.
pub struct Target {
    client: kube::Client,
    is_real: bool,
}

/// An answer as it came.
struct Raw {
    code: u16,
    warnings: Vec<String>,
    body: Value,
}

/// A sequence under way.
struct Progress {
    variables: BTreeMap<String, Value>,
    normaliser: Normaliser,
    watch: Option<Events>,
}

type Failure = String;

impl Target {
    pub fn mock(server: &MockApiServer) -> Self {
        Self {
            client: server.client(),
            is_real: false,
        }
    }

    /// A server over HTTP, without the retries of a `kube::Client` that is made from a configuration.
    pub fn real(url: &str) -> Self {
        let url = url.to_owned();
        let http: hyper_util::client::legacy::Client<_, Body> =
            hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new()).build_http();
        let service = tower::service_fn(move |mut request: http::Request<Body>| {
            let address = format!("{url}{}", request.uri()).parse();
            let http = http.clone();
            async move {
                *request.uri_mut() = address?;
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>(http.request(request).await?)
            }
        });
        Self {
            client: kube::Client::new(service, "default"),
            is_real: true,
        }
    }

    /// Creates the definitions of a topic and waits until they are established.
    pub async fn define(&self, topic: &Topic) -> Result<(), Failure> {
        for definition in &topic.definitions {
            let body = Bytes::from(definition.to_string());
            let made = self.send("POST", DEFINITIONS, &json_body(), body).await?;
            if made.code != 201 {
                return Err(format!("definition of {}: {}", topic.name, made.body));
            }
            let name = definition["metadata"]["name"].as_str().unwrap_or_default();
            let path = format!("{DEFINITIONS}/{name}");
            let established = Until::Condition("Established".to_owned());
            self.repeat("GET", &path, &[], &Bytes::new(), &established).await?;
        }
        Ok(())
    }

    /// Makes the namespace of a sequence, which the real server here neither has nor asks for.
    pub async fn make_namespace(&self, topic: &Topic, sequence: &Sequence) -> Result<(), Failure> {
        if !topic.base.contains("{ns}") {
            return Ok(());
        }
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": sequence.variables["ns"]}});
        let body = Bytes::from(namespace.to_string());
        let made = self.send("POST", "/api/v1/namespaces", &json_body(), body).await?;
        if made.code == 201 {
            Ok(())
        } else {
            Err(made.body.to_string())
        }
    }

    /// Removes what a sequence left, so that the next one does not see it.
    pub async fn clean(&self, topic: &Topic, sequence: &Sequence) -> Result<(), Failure> {
        for definition in &topic.definitions {
            let spec = &definition["spec"];
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let (group, plural) = (text(&spec["group"]), text(&spec["names"]["plural"]));
            let version = text(&spec["versions"][0]["name"]);
            let scope = if spec["scope"] == "Namespaced" {
                format!("/namespaces/{}", text(&sequence.variables["ns"]))
            } else {
                String::new()
            };
            let path = format!("/apis/{group}/{version}{scope}/{plural}");
            self.send("DELETE", &path, &[], Bytes::new()).await?;
        }
        Ok(())
    }

    /// Carries out all steps.
    pub async fn replay(&self, topic: &Topic, sequence: &Sequence) -> Result<Vec<Outcome>, Failure> {
        let mut progress = Progress {
            variables: sequence.variables.clone(),
            normaliser: Normaliser::default(),
            watch: None,
        };
        let mut outcomes = Vec::new();
        for (index, step) in sequence.steps.iter().enumerate() {
            let outcome = self.step(topic, step, &mut progress).await;
            outcomes.extend(outcome.map_err(|why| format!("{}, step {}: {why}", sequence.name, index + 1))?);
        }
        Ok(outcomes)
    }

    /// Sends the request of a step, and keeps what later ones need of its answer.
    async fn request(
        &self,
        topic: &Topic,
        step: &Step,
        (method, path): (&str, &str),
        progress: &mut Progress,
    ) -> Result<Raw, Failure> {
        let path = progress.path(topic, path);
        let (content_type, body) = body(topic, step, method, &progress.variables);
        let headers = headers(step, content_type, &progress.variables);
        let raw = match &step.until {
            None => self.send(method, &path, &headers, body).await?,
            Some(until) => self.repeat(method, &path, &headers, &body, until).await?,
        };
        if step.settle && self.is_real {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        for (name, pointer) in &step.keep {
            let value = raw.body.pointer(pointer);
            let value = value.ok_or_else(|| format!("nothing at {pointer} of {}", raw.body))?;
            progress.variables.insert(name.clone(), value.clone());
        }
        Ok(raw)
    }

    async fn step(&self, topic: &Topic, step: &Step, progress: &mut Progress) -> Result<Option<Outcome>, Failure> {
        match step.action() {
            Action::Request { method, path } => {
                let raw = self.request(topic, step, (method, path), progress).await?;
                Ok(Some(progress.answer(step, &raw)))
            }
            Action::Compact => {
                let path = if self.is_real {
                    "/parity/compact"
                } else {
                    "/torpor/compact"
                };
                let done = self.send("POST", path, &[], Bytes::new()).await?;
                if done.code < 300 {
                    Ok(None)
                } else {
                    Err(format!("compaction: {} {}", done.code, done.body))
                }
            }
            Action::Watch { path } => {
                let path = progress.path(topic, path);
                let response = self
                    .open(
                        "GET",
                        &path,
                        &headers(step, String::new(), &progress.variables),
                        Bytes::new(),
                    )
                    .await?;
                let code = response.status().as_u16();
                if code == 200 {
                    progress.watch = Some(Events::new(response.into_body()));
                    return Ok(None);
                }
                let raw = read(response).await?;
                Ok(Some(progress.answer(step, &raw)))
            }
            Action::Events { count } => {
                // A watch that was refused has no events.
                let events = match &mut progress.watch {
                    Some(watch) => watch.take(count).await?,
                    None => Vec::new(),
                };
                let events = events.iter().map(|event| progress.normaliser.value(event)).collect();
                Ok(Some(Outcome::Events { events }))
            }
        }
    }

    /// Sends a request until its answer is as wanted.
    async fn repeat(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, String)],
        body: &Bytes,
        until: &Until,
    ) -> Result<Raw, Failure> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let raw = self.send(method, path, headers, body.clone()).await?;
            if until.holds(&raw) {
                return Ok(raw);
            }
            if tokio::time::Instant::now() > deadline {
                return Err(format!("waited in vain, the last answer is {} {}", raw.code, raw.body));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Sends a request; the real server is asked again while it says that the storage of a new kind is not ready yet.
    async fn send(&self, method: &str, path: &str, headers: &[(&str, String)], body: Bytes) -> Result<Raw, Failure> {
        loop {
            let raw = read(self.open(method, path, headers, body.clone()).await?).await?;
            let message = raw.body["message"].as_str().unwrap_or_default();
            let initialising = raw.code == 429 && message.contains("initializing");
            if !(self.is_real && initialising) {
                return Ok(raw);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn open(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, String)],
        body: Bytes,
    ) -> Result<http::Response<Body>, Failure> {
        let mut request = http::Request::builder().method(method).uri(path);
        for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
            request = request.header(*name, value);
        }
        let request = request
            .body(Body::from(body.to_vec()))
            .map_err(|error| format!("{path}: {error}"))?;
        self.client
            .send(request)
            .await
            .map_err(|error| format!("{method} {path}: {error}"))
    }
}

impl Until {
    fn holds(&self, raw: &Raw) -> bool {
        match self {
            Self::Code(code) => raw.code == *code,
            Self::Condition(name) => {
                let conditions = raw.body["status"]["conditions"].as_array().into_iter().flatten();
                conditions
                    .into_iter()
                    .any(|condition| condition["type"] == **name && condition["status"] == "True")
            }
            Self::Values(values) => values
                .iter()
                .all(|(pointer, value)| raw.body.pointer(pointer) == Some(value)),
        }
    }
}

impl Progress {
    fn path(&self, topic: &Topic, path: &str) -> String {
        let path = fill_text(path, &self.variables).replace(' ', "%20");
        if path.starts_with('/') {
            return path;
        }
        format!("{}/{path}", fill_text(&topic.base, &self.variables))
    }

    fn answer(&mut self, step: &Step, raw: &Raw) -> Outcome {
        let body = if step.pick.is_empty() {
            self.normaliser.value(&raw.body)
        } else {
            let picked = step.pick.iter().map(|pointer| {
                let value = raw
                    .body
                    .pointer(pointer)
                    .map_or(Value::Null, |value| self.normaliser.value(value));
                (pointer.clone(), value)
            });
            picked.collect()
        };
        let warnings = raw.warnings.iter().map(|text| self.normaliser.text(text)).collect();
        Outcome::Answer {
            code: raw.code,
            warnings,
            body,
        }
    }
}

/// The body of a request and its media type.
fn body(topic: &Topic, step: &Step, method: &str, variables: &BTreeMap<String, Value>) -> (String, Bytes) {
    let content_type = step.content_type.as_deref().map(|text| fill_text(text, variables));
    let content_type = match content_type.as_deref() {
        Some("merge") => "application/merge-patch+json",
        Some("json") => "application/json-patch+json",
        Some("strategic") => "application/strategic-merge-patch+json",
        Some("apply") => "application/apply-patch+yaml",
        Some(other) => other,
        None => "application/json",
    };
    let is_object = matches!(method, "POST" | "PUT") || step.content_type.as_deref() == Some("apply");
    let body = match (&step.raw, &step.body) {
        (Some(raw), _) => fill_text(raw, variables),
        (None, Some(body)) => {
            let mut body = fill(body, variables);
            if is_object && let (Some(body), Some(known)) = (body.as_object_mut(), topic.object.as_object()) {
                for (member, value) in known {
                    body.entry(member).or_insert_with(|| value.clone());
                }
            }
            for (pointer, bytes) in &step.fill {
                if let Some(place) = body.pointer_mut(pointer) {
                    *place = "x".repeat(*bytes).into();
                }
            }
            if let (Some(times), Some(item)) = (step.times, body.get(0).cloned()) {
                body = vec![item; times].into();
            }
            if let Some(message) = &step.protobuf {
                return (PROTOBUF.to_owned(), Bytes::from(envelope(message, &body)));
            }
            body.to_string()
        }
        (None, None) => return (String::new(), Bytes::new()),
    };
    (content_type.to_owned(), Bytes::from(body))
}

/// The headers of a request, by name; those without a value are not sent.
type Headers = [(&'static str, String); 3];

fn headers(step: &Step, content_type: String, variables: &BTreeMap<String, Value>) -> Headers {
    let or = |text: &Option<String>, default: &str| fill_text(text.as_deref().unwrap_or(default), variables);
    [
        ("content-type", content_type),
        ("accept", or(&step.accept, "application/json")),
        ("user-agent", or(&step.agent, "parity")),
    ]
}

fn json_body() -> Headers {
    ["content-type", "accept", "user-agent"].map(|name| {
        (
            name,
            if name == "content-type" { "application/json" } else { "" }.to_owned(),
        )
    })
}

async fn read(response: http::Response<Body>) -> Result<Raw, Failure> {
    let code = response.status().as_u16();
    let warnings = response.headers().get_all("warning").iter();
    let warnings = warnings
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .collect();
    let body = tokio::time::timeout(PATIENCE, response.into_body().collect()).await;
    let body = body
        .map_err(|_| "the answer does not end")?
        .map_err(|error| error.to_string())?;
    let body = body.to_bytes();
    let body = serde_json::from_slice(&body).unwrap_or_else(|_| String::from_utf8_lossy(&body).into());
    Ok(Raw { code, warnings, body })
}

/// The events of a watch, as far as they have been received.
struct Events {
    body: Body,
    buffer: Vec<u8>,
}

impl Events {
    fn new(body: Body) -> Self {
        Self {
            body,
            buffer: Vec::new(),
        }
    }

    /// The next events: `count`, or all to the end of the stream.
    async fn take(&mut self, count: Option<u64>) -> Result<Vec<Value>, Failure> {
        let mut events = Vec::new();
        while count.is_none_or(|count| (events.len() as u64) < count) {
            let next = tokio::time::timeout(PATIENCE, self.next()).await;
            match next.map_err(|_| format!("no further event after {}", Value::from(events.clone())))?? {
                Some(event) => events.push(event),
                None => break,
            }
        }
        Ok(events)
    }

    async fn next(&mut self) -> Result<Option<Value>, Failure> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return serde_json::from_slice(&line)
                    .map(Some)
                    .map_err(|error| error.to_string());
            }
            let Some(frame) = self.body.frame().await else {
                return Ok(None);
            };
            let frame = frame.map_err(|error| error.to_string())?;
            self.buffer.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        }
    }
}
