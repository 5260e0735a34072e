//! The sockets of the control plane: all on the loopback interface, all bound before anything starts.

use std::net::Ipv4Addr;

use anyhow::Context as _;
use tokio::net::TcpListener;
use url::Url;

use super::Endpoints;

/// Ports to listen on; 0 takes any free one.
#[derive(Clone, Copy, Debug, clap::Args)]
#[expect(clippy::struct_field_names, reason = "the fields are the names of the options")]
pub struct Ports {
    /// Port of the Kubernetes API
    #[arg(long, default_value_t = 7443, value_name = "PORT")]
    pub api_port: u16,
    /// Port of the E2B API and, for current SDKs, of all sandbox traffic
    #[arg(long, default_value_t = 7080, value_name = "PORT")]
    pub e2b_port: u16,
    /// Port of the Prometheus metrics
    #[arg(long, default_value_t = 7090, value_name = "PORT")]
    pub metrics_port: u16,
    /// Port where E2B SDKs before 2.23 look for the code interpreter
    #[arg(long, default_value_t = torpor_api::port::CODE_INTERPRETER, value_name = "PORT")]
    pub code_interpreter_port: u16,
    /// Port where E2B SDKs before 2.23 look for files and processes
    #[arg(long, default_value_t = torpor_api::port::ENVD, value_name = "PORT")]
    pub envd_port: u16,
}

impl Ports {
    /// Any free port for each.
    pub const ANY: Self = Self {
        api_port: 0,
        e2b_port: 0,
        metrics_port: 0,
        code_interpreter_port: 0,
        envd_port: 0,
    };
}

/// Bound sockets.
pub struct Listeners {
    pub(super) api: TcpListener,
    pub(super) gateway: TcpListener,
    pub(super) metrics: TcpListener,
    pub(super) code_interpreter: TcpListener,
    pub(super) envd: TcpListener,
}

impl Listeners {
    /// Binds every port.
    ///
    /// # Errors
    /// Names the first port that cannot be bound and the option that changes it.
    pub async fn bind(ports: &Ports) -> anyhow::Result<Self> {
        Ok(Self {
            api: bind(ports.api_port, "the Kubernetes API", "--api-port").await?,
            gateway: bind(ports.e2b_port, "the E2B API", "--e2b-port").await?,
            metrics: bind(ports.metrics_port, "the metrics", "--metrics-port").await?,
            code_interpreter: bind(
                ports.code_interpreter_port,
                "the code interpreter",
                "--code-interpreter-port",
            )
            .await?,
            envd: bind(ports.envd_port, "sandbox files and processes", "--envd-port").await?,
        })
    }

    /// Where clients reach each part.
    ///
    /// # Errors
    /// A socket without a local address.
    pub fn endpoints(&self) -> anyhow::Result<Endpoints> {
        Ok(Endpoints {
            kubernetes: url("127.0.0.1", &self.api, "")?,
            // A name, not an address: `get_host` of the SDKs builds `<port>-<id>.localhost` from it.
            e2b: url("localhost", &self.gateway, "")?,
            metrics: url("127.0.0.1", &self.metrics, "metrics")?,
        })
    }
}

async fn bind(port: u16, what: &str, option: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.with_context(|| {
        format!("listen on 127.0.0.1:{port} for {what}; choose another port with {option} PORT (0 takes any free one)")
    })
}

fn url(host: &str, listener: &TcpListener, path: &str) -> anyhow::Result<Url> {
    let port = listener.local_addr().context("read the address of a listener")?.port();
    Ok(Url::parse(&format!("http://{host}:{port}/{path}"))?)
}
