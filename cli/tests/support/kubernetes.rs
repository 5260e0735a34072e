//! The Kubernetes API of a `torpor up`, without a client.

use std::time::Instant;

use serde_json::Value;

use super::support::{LIMIT, Up};

/// The Kubernetes API without a client.
pub struct Kubernetes {
    http: reqwest::Client,
    url: String,
}

impl Kubernetes {
    /// A client of a control plane.
    pub fn of(up: &Up) -> Self {
        let config = std::fs::read_to_string(up.kubeconfig()).expect("a kubeconfig");
        let server = config.lines().find_map(|line| line.trim().strip_prefix("server: "));
        Self {
            http: reqwest::Client::new(),
            url: server
                .expect("the address of the server")
                .trim_end_matches('/')
                .to_owned(),
        }
    }

    /// What is there.
    pub async fn get(&self, path: &str) -> Value {
        let answer = self.http.get(format!("{}{path}", self.url)).send().await;
        answer.expect("an answer").json().await.unwrap_or(Value::Null)
    }

    /// What is there, as text.
    pub async fn text(&self, path: &str) -> String {
        let answer = self.http.get(format!("{}{path}", self.url)).send().await;
        answer.expect("an answer").text().await.expect("a body")
    }

    /// A Pod.
    pub async fn pod(&self, name: &str) -> Value {
        self.get(&format!("/api/v1/namespaces/default/pods/{name}")).await
    }

    /// A sandbox.
    pub async fn sandbox(&self, name: &str) -> Value {
        let path = "/apis/agents.kruise.io/v1alpha1/namespaces/default/sandboxes";
        self.get(&format!("{path}/{name}")).await
    }

    /// Makes a sandbox, or changes one.
    pub async fn apply(&self, name: &str, sandbox: Value) {
        let path = "/apis/agents.kruise.io/v1alpha1/namespaces/default/sandboxes";
        let request = self.http.patch(format!("{}{path}/{name}?fieldManager=test", self.url));
        let request = request
            .header("content-type", "application/apply-patch+yaml")
            .body(sandbox.to_string());
        let answer = request.send().await.expect("an answer");
        assert!(answer.status().is_success(), "{:?}", answer.text().await);
    }

    /// The number of the process of a Pod.
    pub async fn pid(&self, pod: &str) -> u32 {
        let pod = self.pod(pod).await;
        let id = pod
            .pointer("/status/containerStatuses/0/containerID")
            .and_then(Value::as_str);
        let pid = id.and_then(|id| id.strip_prefix("process://")?.parse().ok());
        pid.unwrap_or_else(|| panic!("no process: {pod}"))
    }
}

/// Waits until a reading satisfies `holds`, and gives it.
pub async fn until<T: std::fmt::Debug>(what: &str, mut read: impl AsyncFnMut() -> T, holds: impl Fn(&T) -> bool) -> T {
    let began = Instant::now();
    loop {
        let reading = read().await;
        if holds(&reading) {
            return reading;
        }
        assert!(began.elapsed() < LIMIT, "{what}: not after {LIMIT:?}, but {reading:?}");
        tokio::task::yield_now().await;
    }
}

/// The phase of a Pod or a sandbox.
pub fn phase(object: &Value) -> &str {
    object
        .pointer("/status/phase")
        .and_then(Value::as_str)
        .unwrap_or_default()
}
