//! Bad input on every front of `torpor up`: the status and body that the API specifies, and nothing changes.

#![expect(clippy::expect_used, reason = "a test ends where something it needs is missing")]

#[path = "support/mod.rs"]
#[expect(dead_code, reason = "shared with tests that use more of it")]
mod support;

use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use support::Up;

struct Plane {
    up: Up,
    http: Client,
    _dir: tempfile::TempDir,
}

impl Plane {
    fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let up = Up::start(Up::command(dir.path()), dir.path());
        Self {
            up,
            http: Client::new(),
            _dir: dir,
        }
    }

    fn e2b(&self, method: Method, path: &str) -> RequestBuilder {
        let env = self.up.env("env");
        self.http
            .request(method, format!("{}{path}", env["E2B_API_URL"]))
            .header("X-API-KEY", &env["E2B_API_KEY"])
    }

    fn kubernetes(&self, method: Method, path: &str) -> RequestBuilder {
        let kubeconfig = std::fs::read_to_string(self.up.kubeconfig()).expect("a kubeconfig");
        let server = kubeconfig
            .lines()
            .find_map(|line| line.trim().strip_prefix("server:"))
            .expect("a server");
        let server = server.trim().trim_matches('"');
        self.http.request(method, format!("{server}{path}"))
    }

    /// How many sandboxes there are.
    async fn sandboxes(&self) -> usize {
        let (_, list) = answer(self.kubernetes(Method::GET, SANDBOXES)).await;
        list["items"].as_array().expect("a list").len()
    }
}

const SANDBOXES: &str = "/apis/agents.kruise.io/v1alpha1/namespaces/default/sandboxes";

async fn answer(request: RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    let text = answer.text().await.expect("a body");
    (
        status,
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{status}: {text}: {error}")),
    )
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of refusals")]
async fn e2b_calls_are_refused_as_json_and_change_nothing() {
    let plane = Plane::start();
    let id = "i0000000000000000000a";
    let post = |path: &str| plane.e2b(Method::POST, path);
    let create = |body: Value| post("/v2/sandboxes").json(&body);
    let cases = [
        (
            "unknown id",
            plane.e2b(Method::GET, &format!("/sandboxes/{id}")),
            404,
            id,
        ),
        (
            "pause of an unknown id",
            post(&format!("/sandboxes/{id}/pause")),
            404,
            id,
        ),
        (
            "kill of an unknown id",
            plane.e2b(Method::DELETE, &format!("/sandboxes/{id}")),
            404,
            id,
        ),
        (
            "bad JSON",
            post("/v2/sandboxes")
                .header("content-type", "application/json")
                .body("{\"templateID\":"),
            400,
            "line 1",
        ),
        ("no template", create(json!({})), 400, "templateID"),
        ("wrong type", create(json!({ "templateID": 5 })), 400, "templateID"),
        (
            "unknown template",
            create(json!({ "templateID": "nothing" })),
            404,
            "nothing",
        ),
        (
            "negative timeout",
            create(json!({ "templateID": "base", "timeout": -1 })),
            400,
            "imeout",
        ),
        ("wrong method", plane.e2b(Method::PUT, "/v2/sandboxes"), 405, ""),
        ("unknown route", plane.e2b(Method::GET, "/v9/nothing"), 404, ""),
    ];
    for (what, request, status, says) in cases {
        let (answered, body) = answer(request).await;
        assert_eq!(answered, status, "{what}: {body}");
        assert_eq!(body["code"], status, "{what}: {body}");
        assert!(
            body["message"].as_str().is_some_and(|message| message.contains(says)),
            "{what}: {body}"
        );
    }
    // Just over the limit: of a much larger body the connection is closed before it is read.
    let huge = "x".repeat((1 << 20) + 1);
    let (status, body) = answer(create(json!({ "templateID": "base", "metadata": { "k": huge } }))).await;
    assert_eq!((status, &body["code"]), (413, &json!(413)), "{body}");
    let env = plane.up.env("env");
    let (status, body) = answer(plane.http.get(format!("{}/v2/sandboxes", env["E2B_API_URL"]))).await;
    assert_eq!((status, &body["code"]), (401, &json!(401)), "no key: {body}");
    assert_eq!(plane.sandboxes().await, 0, "nothing was made");
}

#[tokio::test]
async fn traffic_with_a_bad_token_is_refused() {
    let plane = Plane::start();
    let (status, sandbox) = answer(
        plane
            .e2b(Method::POST, "/v2/sandboxes")
            .json(&json!({ "templateID": "base" })),
    )
    .await;
    assert_eq!(status, 201, "{sandbox}");
    let env = plane.up.env("env");
    let execute = |token: &str| {
        plane
            .http
            .post(format!("{}/execute", env["E2B_SANDBOX_URL"]))
            .header("E2b-Sandbox-Id", sandbox["sandboxID"].as_str().expect("an id"))
            .header("E2b-Sandbox-Port", "49999")
            .header("X-Access-Token", token)
            .json(&json!({ "code": "1" }))
    };
    let refused = execute("wrong").send().await.expect("an answer");
    assert_eq!(refused.status(), 401);
    let accepted = execute(sandbox["envdAccessToken"].as_str().expect("a token"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(accepted.status(), 200);
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of refusals")]
async fn kubernetes_writes_are_refused_as_status_objects_and_change_nothing() {
    let plane = Plane::start();
    let sandbox = |spec: Value| json!({ "apiVersion": "agents.kruise.io/v1alpha1", "kind": "Sandbox", "metadata": { "name": "s" }, "spec": spec });
    let template = json!({ "spec": { "containers": [{ "name": "c", "image": "i" }] } });
    let create = |body: &Value| {
        plane
            .kubernetes(Method::POST, &format!("{SANDBOXES}?fieldValidation=Strict"))
            .json(body)
    };
    let both = sandbox(json!({ "template": template, "templateRef": { "name": "base" } }));
    let cases = [
        (
            "both templates",
            create(&both),
            422,
            "Invalid",
            "exactly one of template and templateRef",
        ),
        (
            "no template",
            create(&sandbox(json!({ "paused": true }))),
            422,
            "Invalid",
            "exactly one of template",
        ),
        (
            "unknown field",
            create(&sandbox(json!({ "template": template, "pausd": true }))),
            400,
            "BadRequest",
            "pausd",
        ),
        (
            "wrong type",
            create(&sandbox(json!({ "template": template, "paused": "yes" }))),
            422,
            "Invalid",
            "spec.paused",
        ),
        (
            "bad time",
            create(&sandbox(json!({ "template": template, "pauseTime": "soon" }))),
            422,
            "Invalid",
            "spec.pauseTime",
        ),
        (
            "bad JSON",
            plane
                .kubernetes(Method::POST, SANDBOXES)
                .header("content-type", "application/json")
                .body("{"),
            400,
            "BadRequest",
            "",
        ),
        (
            "unknown name",
            plane.kubernetes(Method::GET, &format!("{SANDBOXES}/nobody")),
            404,
            "NotFound",
            "nobody",
        ),
        (
            "wrong method",
            plane
                .kubernetes(Method::POST, "/api/v1/namespaces/default/configmaps/nobody")
                .json(&json!({})),
            405,
            "MethodNotAllowed",
            "",
        ),
    ];
    for (what, request, status, reason, says) in cases {
        let (answered, body) = answer(request).await;
        assert_eq!(answered, status, "{what}: {body}");
        assert_eq!(
            (&body["kind"], &body["reason"]),
            (&json!("Status"), &json!(reason)),
            "{what}: {body}"
        );
        assert!(
            body["message"].as_str().is_some_and(|message| message.contains(says)),
            "{what}: {body}"
        );
    }
    let huge = sandbox(json!({ "template": { "x": "x".repeat((3 << 20) + 1) } }));
    let (status, body) = answer(create(&huge)).await;
    assert_eq!((status, &body["kind"]), (413, &json!("Status")), "{body}");
    assert_eq!(plane.sandboxes().await, 0, "nothing was made");
}
