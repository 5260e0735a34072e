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
            kubernetes: url(&self.api, "127.0.0.1", "")?,
            // A name, not an address: `get_host` of the SDKs builds `<port>-<id>.localhost` from it.
            e2b: url(&self.gateway, "localhost", "")?,
            metrics: url(&self.metrics, "127.0.0.1", "metrics")?,
        })
    }
}

async fn bind(address: IpAddr, port: u16, what: &str, option: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind((address, port)).await.with_context(|| {
        format!("listen on {address}:{port} for {what}; choose another port with {option} PORT (0 takes any free one)")
    })
}

/// Where this machine reaches a socket: by that name of the loopback interface if it listens there, else at its address.
fn url(listener: &TcpListener, loopback: &str, path: &str) -> anyhow::Result<Url> {
    let address = listener.local_addr().context("read the address of a listener")?;
    let (ip, port) = (address.ip(), address.port());
    let host = match ip {
        _ if ip == IpAddr::V4(Ipv4Addr::LOCALHOST) || ip.is_unspecified() => loopback.to_owned(),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    Ok(Url::parse(&format!("http://{host}:{port}/{path}"))?)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn something_listens_at_every_address_that_is_announced() {
        for listen in ["127.0.0.1", "127.0.0.2", "0.0.0.0", "::1"] {
            let ports = Ports {
                listen: listen.parse().expect("an address"),
                ..Ports::ANY
            };
            let Ok(listeners) = Listeners::bind(&ports).await else {
                assert!(ports.listen.is_ipv6(), "only IPv6 may not be there: {listen}");
                continue;
            };
            let endpoints = listeners.endpoints().expect("addresses");
            for url in [&endpoints.kubernetes, &endpoints.e2b, &endpoints.metrics] {
                let addresses = url.socket_addrs(|| None).expect("a host that has an address");
                let connected = TcpStream::connect(&addresses[..]).await;
                assert!(connected.is_ok(), "{listen}: {url}: {connected:?}");
            }
        }
    }
}
