//! Logs to standard error, and traces to an OpenTelemetry collector where one is named.
//!
//! Decides what goes where: spans under the target of traces go to the collector and not into log lines, all others the other way
//! round. Without a collector the spans are never made.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use bytes::Bytes;
use clap::ValueEnum;
use http::{Request, Response};
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::Handle;
use torpor_controller::TRACES;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};
use url::Url;

use crate::exit::wrong_input;

/// The name of this program among others that send traces.
const SERVICE: &str = "torpor-controller";

/// What has to be brought to an end with the program.
#[derive(Debug)]
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
}

/// Begins to log, and to send traces to `collector` if there is one.
///
/// # Errors
/// The collector cannot be addressed.
pub fn begin(filter: EnvFilter, format: Option<LogFormat>, collector: Option<&Url>) -> anyhow::Result<Telemetry> {
    let logs = logs(format);
    let Some(collector) = collector else {
        // A filter for all: one for each layer would be asked about every event that is below any level.
        tracing_subscriber::registry().with(logs).with(filter).init();
        return Ok(Telemetry { traces: None });
    };
    let traces = provider(collector)?;
    let layer = tracing_opentelemetry::layer()
        .with_tracer(traces.tracer(SERVICE))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_filter(Targets::new().with_target(TRACES, LevelFilter::INFO));
    tracing_subscriber::registry()
        .with(logs.with_filter(filter))
        .with(layer)
        .init();
    let traces = Some(traces);
    Ok(Telemetry { traces })
}

impl Telemetry {
    /// Sends what is left. A collector that does not take it is no reason to fail.
    pub async fn end(self) {
        let Some(traces) = self.traces else { return };
        // It waits for a thread that needs this runtime.
        let sent = tokio::task::spawn_blocking(move || traces.shutdown()).await;
        if let Ok(Err(error)) = sent {
            eprintln!("torpor: the last traces were not sent: {error}");
        }
    }
}

/// What is logged: what `--log` says, else the environment, else what is `usual`. Traces are no logs.
///
/// # Errors
/// The filter cannot be read.
pub fn filter(filter: Option<&str>, usual: &str) -> anyhow::Result<EnvFilter> {
    let filter = match filter {
        // What its error says depends on where reading stopped, and comes twice; what would do is always the same.
        Some(filter) => EnvFilter::try_new(filter).map_err(|_| {
            wrong_input(format!(
                "--log {filter} says neither a level nor TARGET=LEVEL: give off, error, warn, info, debug or trace, for all or \
                 for a target, with commas between several"
            ))
        })?,
        None => EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual)),
    };
    Ok(filter.add_directive(format!("{TRACES}=off").parse()?))
}

/// Form of the log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

impl LogFormat {
    /// For people on a terminal, and JSON elsewhere.
    pub fn fitting() -> Self {
        if std::io::stderr().is_terminal() {
            Self::Text
        } else {
            Self::Json
        }
    }
}

/// In the fitting format unless one is given.
fn logs(format: Option<LogFormat>) -> Box<dyn Layer<Registry> + Send + Sync + 'static> {
    // A log that nobody reads any more is no reason to end: to complain of it on standard error would be one.
    let layer = fmt::layer().with_writer(std::io::stderr).log_internal_errors(false);
    match format.unwrap_or_else(LogFormat::fitting) {
        LogFormat::Text => layer.boxed(),
        LogFormat::Json => layer.json().boxed(),
    }
}

fn provider(collector: &Url) -> anyhow::Result<SdkTracerProvider> {
    let endpoint = format!("{}/v1/traces", collector.as_str().trim_end_matches('/'));
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Sender {
            client: reqwest::Client::new(),
            runtime: Handle::current(),
        })
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(&endpoint)
        .build()
        .with_context(|| format!("send traces to {endpoint}"))?;
    let resource = Resource::builder()
        .with_service_name(SERVICE)
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource)
        .build())
}

/// Sends from the thread of the exporter over connections of the runtime.
#[derive(Debug)]
struct Sender {
    client: reqwest::Client,
    runtime: Handle,
}

#[async_trait::async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let answer = self.runtime.spawn(async move {
            let mut answer = client.execute(request.try_into()?).await?;
            let mut response = Response::builder().status(answer.status());
            if let Some(headers) = response.headers_mut() {
                std::mem::swap(headers, answer.headers_mut());
            }
            Ok::<_, HttpError>(response.body(answer.bytes().await?)?)
        });
        answer.await?
    }
}
