//! Mistakes of the E2B face that depend on what came before.

use std::time::Duration;

use axum::response::Response;
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

use super::by_face::{RESUMES, ruled};
use super::face::{Asked, Gateway, Route, Told, body_of, with_body};
use super::notes::Notes;
use super::{Fault, Hooks, gateway};

pub(super) const FAULTS: &[Fault] = &[
    gateway("reads-wake", "resumes a paused sandbox that is asked about", || {
        ruled(reads_wake)
    })
    .breaks(&["ZERO-04"], &["reads-do-not-wake"])
    .touches(RESUMES)
    .spares(&["deleting-by-sdk-while-running", "paused-has-no-pod"]),
    gateway("any-token-opens", "lets traffic in with any token", any_token_opens)
        .breaks(&["E2B-05"], &["tokens-are-enforced-and-stable"])
        .spares(&["a-missing-key-is-refused"]),
    gateway(
        "token-changes-at-resume",
        "answers another access token with every resume",
        token_changes_at_resume,
    )
    .breaks(
        &["E2B-05", "CTX-05"],
        &["tokens-are-enforced-and-stable", "identity-survives@e2b"],
    )
    .spares(&["a-missing-key-is-refused"]),
    gateway(
        "metadata-lost-at-resume",
        "loses the metadata at a resume",
        metadata_lost_at_resume,
    )
    .breaks(&["CTX-05"], &["identity-survives@e2b"]),
    gateway(
        "connect-shortens",
        "sets the timeout of a connect, also where it ends a run earlier",
        || ruled(connect_shortens),
    )
    .breaks(&["TIME-03"], &["connect-only-extends-a-running-sandbox"])
    .spares(&["connect-on-a-paused-sandbox-sets-the-end"]),
    gateway(
        "connect-never-resumes",
        "answers a connect to a paused sandbox and leaves it paused",
        || remembering(|created, state| state == "paused" && created),
    )
    .breaks(
        &["TIME-03", "E2B-06"],
        &[
            "connect-on-a-paused-sandbox-sets-the-end",
            "concurrent-connects-start-once",
        ],
    )
    .touches(RESUMES)
    .spares(&[
        "deleting-by-sdk-while-running",
        "connect-only-extends-a-running-sandbox",
    ]),
    gateway(
        "every-connect-starts-an-instance",
        "starts an instance for every connect that comes until the sandbox is resumed, and lets them take turns",
        every_connect_starts_an_instance,
    )
    .breaks(&["E2B-06"], &["concurrent-connects-start-once"]),
    gateway(
        "connect-does-not-extend",
        "answers a connect to a running sandbox and leaves its timer",
        || remembering(|created, state| state == "running" && created),
    )
    .breaks(&["TIME-03"], &["connect-only-extends-a-running-sandbox"]),
    gateway(
        "resume-right-after-pause-is-404",
        "does not find a sandbox that was paused a moment ago",
        resume_right_after_pause_is_404,
    )
    .breaks(&["E2B-02"], &["every-operation-answers-by-state"])
    .touches(RESUMES)
    .spares(&["deleting-by-sdk-while-running", "paused-has-no-pod"]),
    gateway(
        "connect-loses-to-auto-pause",
        "pauses at the timeout that a connect has put off",
        connect_loses_to_auto_pause,
    )
    .breaks(&["TIME-07"], &["connect-wins-against-the-automatic-pause"]),
    gateway(
        "state-by-its-own-record",
        "shows of each sandbox the state that it was last brought to through the gateway",
        state_by_its_own_record,
    )
    .breaks(&["E2B-03"], &["both-fronts-show-the-same-sandbox"])
    .touches(&["CTX", "ZERO", "TIME", "FSM", "E2B-09"])
    .spares(&["interpreter-state-survives@e2b", "lists-filter-by-state-and-metadata"]),
];

async fn reads_wake(asked: Asked, gateway: Gateway) -> Response {
    let headers = asked.request.headers().clone();
    let Route::Show(id) = asked.to else {
        return gateway.answer(asked.request).await;
    };
    let told = gateway.read(asked.request).await;
    if told.body["state"] == "paused" {
        let path = format!("/sandboxes/{id}/connect");
        gateway
            .call(&headers, Method::POST, &path, &json!({"timeout": 300}))
            .await;
    }
    told.send()
}

/// The headers of tokens, and where answers name them.
const TOKENS: [(&str, &str); 2] = [
    ("x-access-token", "envdAccessToken"),
    ("e2b-traffic-access-token", "trafficAccessToken"),
];

fn any_token_opens() -> Hooks {
    let tokens = Notes::new();
    ruled(move |mut asked, gateway| {
        let tokens = tokens.clone();
        async move {
            match &asked.to {
                Route::Create { .. } => {
                    let told = gateway.read(asked.request).await;
                    if let Some(id) = told.body["sandboxID"].as_str() {
                        tokens.put(id, told.body.clone());
                    }
                    told.send()
                }
                Route::Inside(id) => {
                    let known: Value = tokens.get(id).unwrap_or_default();
                    for (header, field) in TOKENS {
                        if let Some(Ok(token)) = known[field].as_str().map(HeaderValue::from_str) {
                            asked.request.headers_mut().insert(header, token);
                        }
                    }
                    gateway.answer(asked.request).await
                }
                _ => gateway.answer(asked.request).await,
            }
        }
    })
}

fn token_changes_at_resume() -> Hooks {
    let resumes = Notes::new();
    ruled(move |asked, gateway| {
        let resumes = resumes.clone();
        async move {
            let (Route::Connect(id) | Route::Show(id)) = &asked.to else {
                return gateway.answer(asked.request).await;
            };
            let mut told = gateway.read(asked.request).await;
            let mut times: u32 = resumes.get(id).unwrap_or_default();
            if told.status == StatusCode::CREATED {
                times += 1;
                resumes.put(id, times);
            }
            let is_new = told.status == StatusCode::CREATED || matches!(asked.to, Route::Show(_));
            if is_new
                && times > 0
                && let Some(token) = told.body["envdAccessToken"].as_str()
            {
                told.body["envdAccessToken"] = json!(format!("{token}-{times}"));
            }
            told.send()
        }
    })
}

fn metadata_lost_at_resume() -> Hooks {
    let resumed = Notes::new();
    ruled(move |asked, gateway| {
        let resumed = resumed.clone();
        async move {
            if matches!(asked.to, Route::Inside(_)) {
                return gateway.answer(asked.request).await;
            }
            let mut told = gateway.read(asked.request).await;
            match &asked.to {
                Route::Connect(id) if told.status == StatusCode::CREATED => drop(resumed.put(id, ())),
                Route::Show(id) if resumed.get(id).is_some() && told.status.is_success() => {
                    told.body["metadata"] = json!({});
                }
                _ => {}
            }
            told.send()
        }
    })
}

async fn connect_shortens(asked: Asked, gateway: Gateway) -> Response {
    let headers = asked.request.headers().clone();
    let Route::Connect(id) = asked.to else {
        return gateway.answer(asked.request).await;
    };
    let (request, body) = body_of(asked.request).await;
    let told = gateway.read(request).await;
    if told.status == StatusCode::OK && !body["timeout"].is_null() {
        let path = format!("/sandboxes/{id}/timeout");
        let timeout = json!({"timeout": body["timeout"]});
        gateway.call(&headers, Method::POST, &path, &timeout).await;
    }
    told.send()
}

/// Answers connects of which `skips` says so (whether the creation is known, and the state) and does nothing.
fn remembering(skips: fn(bool, &str) -> bool) -> Hooks {
    let created = Notes::new();
    ruled(move |asked, gateway| {
        let created = created.clone();
        async move {
            let headers = asked.request.headers().clone();
            match &asked.to {
                Route::Create { .. } => {
                    let told = gateway.read(asked.request).await;
                    if let Some(id) = told.body["sandboxID"].as_str() {
                        created.put(id, told.body.clone());
                    }
                    told.send()
                }
                Route::Connect(id) => {
                    let (known, state) = (created.get(id), gateway.state(&headers, id).await);
                    let status = if state == "paused" {
                        StatusCode::CREATED
                    } else {
                        StatusCode::OK
                    };
                    match known {
                        Some(answer) if skips(true, &state) => Told::made_up(status, answer).send(),
                        Some(_) | None => gateway.answer(asked.request).await,
                    }
                }
                _ => gateway.answer(asked.request).await,
            }
        }
    })
}

/// How often a sandbox was started at its last resume.
#[derive(Clone, Default)]
struct Instances {
    /// The code that ran last before the pause.
    earlier: String,
    started: usize,
    executions: usize,
    /// Connects that are not answered yet.
    connecting: usize,
}

impl Instances {
    /// The code as the instance whose turn it is executes it. What was assigned last before the pause has in each a name
    /// of its own, and begins as it was then.
    fn executing(&mut self, code: &str) -> String {
        if self.started == 0 {
            code.clone_into(&mut self.earlier);
        }
        let turn = self.executions % self.started.max(1);
        let first = self.executions < self.started;
        self.executions += 1;
        match self.earlier.split_once(" = ") {
            Some((name, _)) if turn > 0 => {
                let begun = if first {
                    format!("{}\n", self.earlier)
                } else {
                    String::new()
                };
                format!("{begun}{code}").replace(name, &format!("{name}_{turn}"))
            }
            Some(_) | None => code.to_owned(),
        }
    }
}

fn every_connect_starts_an_instance() -> Hooks {
    let instances: Notes<Instances> = Notes::new();
    ruled(move |mut asked, gateway| {
        let instances = instances.clone();
        async move {
            let note = |id: &str, change: &mut (dyn FnMut(&mut Instances) + Send)| {
                change(instances.values().entry(id.to_owned()).or_default());
            };
            match asked.to.clone() {
                Route::Connect(id) => {
                    let headers = asked.request.headers().clone();
                    let paused = gateway.state(&headers, &id).await == "paused";
                    note(&id, &mut |of_it| {
                        of_it.started += usize::from(paused || of_it.connecting > 0);
                        of_it.connecting += 1;
                    });
                    let answer = gateway.answer(asked.request).await;
                    note(&id, &mut |of_it| of_it.connecting -= 1);
                    return answer;
                }
                Route::Pause(id) => note(&id, &mut |of_it| (of_it.started, of_it.executions) = (0, 0)),
                Route::Inside(id) if asked.request.uri().path() == "/execute" => {
                    let (request, mut body) = body_of(asked.request).await;
                    if let Some(code) = body["code"].as_str().map(str::to_owned) {
                        body["code"] = json!(instances.values().entry(id).or_default().executing(&code));
                    }
                    asked.request = with_body(request, &body);
                }
                _ => {}
            }
            gateway.answer(asked.request).await
        }
    })
}

/// For how long after a pause it is not found.
const LOST: Duration = Duration::from_secs(20);

fn resume_right_after_pause_is_404() -> Hooks {
    let paused = Notes::new();
    ruled(move |asked, gateway| {
        let paused = paused.clone();
        async move {
            match asked.to {
                Route::Pause(id) => {
                    let told = gateway.read(asked.request).await;
                    paused.put(&id, tokio::time::Instant::now());
                    told.send()
                }
                Route::Connect(id) if paused.get(&id).is_some_and(|at| at.elapsed() < LOST) => {
                    let body = json!({"code": 404, "message": format!("sandbox {id} was not found")});
                    Told::made_up(StatusCode::NOT_FOUND, body).send()
                }
                _ => gateway.answer(asked.request).await,
            }
        }
    })
}

/// For how long a timeout that has come is not forgotten.
const DUE: Duration = Duration::from_secs(30);

fn connect_loses_to_auto_pause() -> Hooks {
    let due = Notes::new();
    ruled(move |asked, gateway| {
        let due = due.clone();
        async move {
            let headers = asked.request.headers().clone();
            match asked.to {
                Route::SetTimeout(id) => {
                    let (request, body) = body_of(asked.request).await;
                    if body["timeout"] == 0 {
                        due.put(&id, tokio::time::Instant::now());
                    }
                    gateway.answer(request).await
                }
                Route::Connect(id) => {
                    let told = gateway.read(asked.request).await;
                    if due.get(&id).is_some_and(|at| at.elapsed() < DUE) {
                        let path = format!("/sandboxes/{id}/pause");
                        gateway.call(&headers, Method::POST, &path, &Value::Null).await;
                    }
                    told.send()
                }
                _ => gateway.answer(asked.request).await,
            }
        }
    })
}

fn state_by_its_own_record() -> Hooks {
    let states = Notes::new();
    ruled(move |asked, gateway| {
        let states: Notes<&'static str> = states.clone();
        async move {
            if matches!(asked.to, Route::Inside(_)) {
                return gateway.answer(asked.request).await;
            }
            let mut told = gateway.read(asked.request).await;
            let taken = told.status.is_success();
            match &asked.to {
                Route::Pause(id) if taken => drop(states.put(id, "paused")),
                Route::Connect(id) if taken => drop(states.put(id, "running")),
                Route::Show(id) => {
                    if let Some(state) = states.get(id).filter(|_| taken) {
                        told.body["state"] = json!(state);
                    }
                }
                Route::Create { .. } => {
                    if let Some(id) = told.body["sandboxID"].as_str() {
                        states.put(id, "running");
                    }
                }
                _ => {}
            }
            told.send()
        }
    })
}
