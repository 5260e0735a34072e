//! What the benchmarks share: a mock API server in process, called as HTTP would call it, on one thread.

mod cpu;

pub use cpu::CpuTime;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use mock_apiserver::{MockApiServer, ResponseBody};

/// The allocator of the `torpor` program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The collection of the benchmarks' custom resources.
pub const SANDBOXES: &str = "/apis/agents.kruise.io/v1alpha1/namespaces/default/sandboxes";
/// The definition of the benchmarks' custom resource, with its schema and rules.
const DEFINITION: &str = include_str!("../../fixtures/crds/sandboxes.agents.kruise.io.yaml");
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// A mock API server with the custom resource `Sandbox`.
pub struct Bed {
    runtime: tokio::runtime::Runtime,
    server: MockApiServer,
}

impl Bed {
    /// A server that holds no sandbox.
    ///
    /// # Panics
    /// There is no runtime to be had, or the definition is refused.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a benchmark ends where something it needs is missing")]
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime");
        let server = MockApiServer::builder().seed(1).build();
        let bed = Self { runtime, server };
        bed.send(&Method::POST, DEFINITIONS, "application/yaml", DEFINITION);
        bed
    }

    /// Creates the sandboxes `s0` to `s{count - 1}`.
    pub fn fill(&self, count: usize) {
        for number in 0..count {
            self.create(sandbox(&format!("s{number}")));
        }
    }

    /// Creates a sandbox.
    pub fn create(&self, body: String) {
        self.send(&Method::POST, SANDBOXES, "application/json", body);
    }

    /// Sends a request and returns the body of its answer.
    ///
    /// # Panics
    /// The request is refused.
    pub fn send(&self, method: &Method, uri: &str, content_type: &str, body: impl Into<Bytes>) -> Bytes {
        self.runtime.block_on(async {
            let response = self.call(method, uri, content_type, body.into()).await;
            collected(response).await
        })
    }

    /// Opens `count` watches of the sandboxes, which begin with the present state.
    pub fn watch(&self, count: usize) -> Vec<ResponseBody> {
        let uri = format!("{SANDBOXES}?watch=true&resourceVersion={}", self.server.revision());
        let open = async || self.call(&Method::GET, &uri, "", Bytes::new()).await.into_body();
        self.runtime.block_on(async {
            let mut watches = Vec::with_capacity(count);
            for _ in 0..count {
                watches.push(open().await);
            }
            watches
        })
    }

    /// Waits until every watch has delivered its next events, and returns their bytes.
    pub fn deliver(&self, watches: &mut [ResponseBody]) -> usize {
        self.runtime.block_on(async {
            let mut bytes = 0;
            for watch in watches {
                if let Some(Ok(frame)) = watch.frame().await {
                    bytes += frame.data_ref().map_or(0, Bytes::len);
                }
            }
            bytes
        })
    }

    #[expect(clippy::expect_used, reason = "a benchmark ends where a request cannot be made")]
    async fn call(&self, method: &Method, uri: &str, content_type: &str, body: Bytes) -> Response<ResponseBody> {
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header("content-type", content_type)
            .header("accept", "application/json")
            .header("user-agent", "bench/1")
            .body(Full::new(body))
            .expect("a well-formed request");
        let response = self.server.call(request).await.expect("no fault rule is in force");
        assert!(response.status().is_success(), "{method} {uri}: {}", response.status());
        response
    }
}

impl Default for Bed {
    fn default() -> Self {
        Self::new()
    }
}

async fn collected(response: Response<ResponseBody>) -> Bytes {
    match response.into_body().collect().await {
        Ok(body) => body.to_bytes(),
        Err(never) => match never {},
    }
}

/// A sandbox as people write them.
#[must_use]
pub fn sandbox(name: &str) -> String {
    format!(
        r#"{{"apiVersion":"agents.kruise.io/v1alpha1","kind":"Sandbox","metadata":{{"name":"{name}","labels":{{"app":"bench","team":"a"}}}},
        "spec":{{"paused":false,"template":{{"metadata":{{"labels":{{"app":"bench"}}}},"spec":{{"restartPolicy":"Never","containers":[
        {{"name":"sandbox","image":"torpor/code-interpreter","command":["python3","-c","print(1)"],"env":[{{"name":"A","value":"1"}}],
        "resources":{{"requests":{{"cpu":"50m","memory":"64Mi"}}}}}}]}}}}}}}}"#
    )
}
