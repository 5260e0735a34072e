//! The sockets of the control plane: on the loopback interface unless asked otherwise, all bound before anything starts.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::Context as _;
use tokio::net::TcpListener;
use url::Url;

use super::Endpoints;

/// Where sandboxes of E2B SDKs before 2.23 are looked for. Pods listen on the same ports of addresses of their own, which
/// a socket on all addresses would take from them.
const SANDBOXES: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Where to listen; port 0 takes any free one.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Ports {
    /// Address of the Kubernetes API, the E2B API and the metrics; who reaches it is the administrator
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS")]
    pub listen: IpAddr,
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
        listen: IpAddr::V4(Ipv4Addr::LOCALHOST),
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
            api: bind(ports.listen, ports.api_port, "the Kubernetes API", "--api-port").await?,
            gateway: bind(ports.listen, ports.e2b_port, "the E2B API", "--e2b-port").await?,
            metrics: bind(ports.listen, ports.metrics_port, "the metrics", "--metrics-port").await?,
            code_interpreter: bind(
                SANDBOXES,
                ports.code_interpreter_port,
                "the code interpreter",
                "--code-interpreter-port",
            )
            .await?,
            envd: bind(SANDBOXES, ports.envd_port, "sandbox files and processes", "--envd-port").await?,
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

async fn bind(address: IpAddr, port: u16, what: &str, option: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind((address, port)).await.with_context(|| {
        format!("listen on {address}:{port} for {what}; choose another port with {option} PORT (0 takes any free one)")
    })
}

fn url(host: &str, listener: &TcpListener, path: &str) -> anyhow::Result<Url> {
    let port = listener.local_addr().context("read the address of a listener")?.port();
    Ok(Url::parse(&format!("http://{host}:{port}/{path}"))?)
}
