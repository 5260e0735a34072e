//! A bare E2B client: what the SDKs send, by hand.

use serde_json::{Value, json};

use super::support::Up;

/// Calls of the E2B API and of sandboxes.
pub struct E2b {
    http: reqwest::Client,
    url: String,
    key: String,
}

impl E2b {
    /// A client of a control plane.
    pub fn of(up: &Up) -> Self {
        let env = up.env("env");
        Self {
            http: reqwest::Client::new(),
            url: env["E2B_API_URL"].clone(),
            key: env["E2B_API_KEY"].clone(),
        }
    }

    /// Status and body of an answer.
    pub async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let request = self
            .http
            .post(format!("{}{path}", self.url))
            .header("X-API-KEY", &self.key)
            .json(&body);
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or(Value::Null))
    }

    /// A new sandbox.
    ///
    /// # Panics
    /// When there is none.
    pub async fn create(&self) -> Value {
        let create = json!({ "templateID": "code-interpreter", "timeout": 600 });
        let (status, sandbox) = self.post("/v2/sandboxes", create).await;
        assert_eq!(status, 201, "{sandbox}");
        sandbox
    }

    /// Everything that an execution said, as it came; or why it broke off.
    pub async fn run_code(&self, sandbox: &Value, code: &str) -> String {
        let token = |name: &str| sandbox[name].as_str().expect("a token").to_owned();
        let request = self
            .http
            .post(format!("{}/execute", self.url))
            .header("E2b-Sandbox-Id", token("sandboxID"))
            .header("E2b-Sandbox-Port", "49999")
            .header("X-Access-Token", token("envdAccessToken"))
            .json(&json!({ "code": code }));
        match request.send().await {
            Ok(answer) => answer.text().await.unwrap_or_else(|error| error.to_string()),
            Err(error) => error.to_string(),
        }
    }
}
