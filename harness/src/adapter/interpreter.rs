//! An adapter for Pods that speak the code interpreter's and envd's protocol at their own address,
//! without tokens: where the suite reaches the Pod network, as inside the cluster.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use serde_json::json;

use super::{Adapter, AdapterCall, AdapterError, Facet, Slot, Subject};
use crate::probe::{Authorities, Body, Execution, Http, HttpError, HttpRequest, Way, chain};

/// Where E2B's code interpreter listens.
const CODE_PORT: u16 = 49_999;
/// Where E2B's envd listens.
const FILES_PORT: u16 = 49_983;

/// Runs code in the interpreter of a Pod, and moves files by its envd.
#[derive(Clone)]
pub struct PodInterpreter {
    client: kube::Client,
    http: Http,
    timeout: Duration,
}

impl std::fmt::Debug for PodInterpreter {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("PodInterpreter")
    }
}

impl PodInterpreter {
    /// Finds Pods by this client; each request may take that long.
    ///
    /// # Errors
    /// The HTTP client cannot be made.
    pub fn new(client: kube::Client, timeout: Duration) -> Result<Self, AdapterError> {
        let agent = format!("torpor-conformance/{}", env!("CARGO_PKG_VERSION"));
        let http = Http::new(agent, Way::Direct, &Authorities::default());
        let http = http.map_err(|error| AdapterError::Broken {
            call: AdapterCall::ProbeWrite,
            why: error.to_string(),
        })?;
        Ok(Self { client, http, timeout })
    }

    /// Sends a request; gives status and text of the answer.
    async fn ask(&self, call: AdapterCall, request: HttpRequest) -> Result<(u16, String), AdapterError> {
        let what = format!("{} {}", request.method, request.url);
        let broken = |why: String| AdapterError::Broken {
            call,
            why: format!("{what}: {why}"),
        };
        let asked = async {
            let answer = self.http.send(request).await?;
            Ok::<_, HttpError>((answer.status, answer.text().await?))
        };
        let asked = tokio::time::timeout(self.timeout, asked).await;
        let asked = asked.map_err(|_| broken(format!("no answer within {} s", self.timeout.as_secs())))?;
        asked.map_err(|error| broken(chain(&error)))
    }

    async fn address(&self, call: AdapterCall, sandbox: &Subject, port: u16) -> Result<String, AdapterError> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &sandbox.namespace);
        let broken = |why: String| AdapterError::Broken { call, why };
        let pod = pods.get(&sandbox.pod).await;
        let pod = pod.map_err(|error| broken(format!("look for the Pod {}: {error}", sandbox.pod)))?;
        let ip = pod.status.and_then(|status| status.pod_ip);
        let why = || format!("the Pod {} has no address", sandbox.pod);
        let ip = ip.ok_or_else(|| AdapterError::Refused { call, why: why() })?;
        Ok(if ip.contains(':') {
            format!("http://[{ip}]:{port}")
        } else {
            format!("http://{ip}:{port}")
        })
    }

    async fn run(&self, call: AdapterCall, sandbox: &Subject, code: String) -> Result<Execution, AdapterError> {
        let url = format!("{}/execute", self.address(call, sandbox, CODE_PORT).await?);
        let request = HttpRequest {
            method: "POST",
            url,
            headers: Vec::new(),
            body: Body::Json(json!({"code": code})),
        };
        let (status, text) = self.ask(call, request).await?;
        if status != 200 {
            let why = format!("the interpreter answered {status}: {text}");
            return Err(AdapterError::Refused { call, why });
        }
        Execution::parse(&text).map_err(|why| AdapterError::Refused { call, why })
    }

    async fn files_url(&self, call: AdapterCall, sandbox: &Subject, slot: &Slot) -> Result<String, AdapterError> {
        let base = self.address(call, sandbox, FILES_PORT).await?;
        Ok(format!("{base}/files?path=/home/user/probe-{}", slot.key))
    }
}

/// What an interpreter says when it did not do what it was told.
fn fault(call: AdapterCall, execution: &Execution) -> AdapterError {
    let error = execution.error.as_ref();
    let why = error.map_or_else(
        || "it did not end".to_owned(),
        |error| format!("{}: {}", error.name, error.value),
    );
    AdapterError::Refused { call, why }
}

#[async_trait]
impl Adapter for PodInterpreter {
    fn calls(&self) -> BTreeSet<AdapterCall> {
        [AdapterCall::ProbeWrite, AdapterCall::ProbeRead].into()
    }

    async fn probe_write(&self, sandbox: &Subject, slot: &Slot, value: &str) -> Result<(), AdapterError> {
        let call = AdapterCall::ProbeWrite;
        match slot.facet {
            Facet::Memory => {
                // A text of JSON is one of Python.
                let execution = self
                    .run(call, sandbox, format!("{} = {}", slot.key, json!(value)))
                    .await?;
                let done = execution.ended && execution.error.is_none();
                done.then_some(()).ok_or_else(|| fault(call, &execution))
            }
            Facet::Files => {
                let url = self.files_url(call, sandbox, slot).await?;
                let request = HttpRequest {
                    method: "POST",
                    url,
                    headers: Vec::new(),
                    body: Body::File(value.to_owned()),
                };
                let (status, text) = self.ask(call, request).await?;
                let why = format!("the write answered {status}: {text}");
                (status == 200).then_some(()).ok_or(AdapterError::Refused { call, why })
            }
        }
    }

    async fn probe_read(&self, sandbox: &Subject, slot: &Slot) -> Result<Option<String>, AdapterError> {
        let call = AdapterCall::ProbeRead;
        match slot.facet {
            Facet::Memory => {
                let execution = self.run(call, sandbox, format!("print({})", slot.key)).await?;
                match &execution.error {
                    None if execution.ended => {
                        let printed = execution.stdout.strip_suffix('\n').unwrap_or(&execution.stdout);
                        Ok(Some(printed.to_owned()))
                    }
                    Some(error) if error.name == "NameError" => Ok(None),
                    Some(_) | None => Err(fault(call, &execution)),
                }
            }
            Facet::Files => {
                let url = self.files_url(call, sandbox, slot).await?;
                let request = HttpRequest {
                    method: "GET",
                    url,
                    headers: Vec::new(),
                    body: Body::None,
                };
                match self.ask(call, request).await? {
                    (200, text) => Ok(Some(text)),
                    (404, _) => Ok(None),
                    (status, text) => Err(AdapterError::Refused {
                        call,
                        why: format!("the read answered {status}: {text}"),
                    }),
                }
            }
        }
    }
}
