//! Options of the commands that run on a real cluster. Names follow the components of Kubernetes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use jiff::SignedDuration;
use url::Url;

use crate::engine::{AheadArgs, EngineKind, ExecutionArgs};

/// Which cluster to work on.
#[derive(Debug, clap::Args)]
pub struct ClusterArgs {
    /// Kubeconfig of the cluster; by default `KUBECONFIG`, then `~/.kube/config`, then the Pod's service account
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig; its current one when absent
    #[arg(long, value_name = "NAME", requires = "kubeconfig")]
    pub context: Option<String>,
}

/// Options of `controller`.
#[derive(Debug, clap::Args)]
pub struct ControllerArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Namespace to look after; may be given several times, all namespaces when absent
    #[arg(long, value_name = "NAME")]
    pub namespace: Vec<String>,
    /// Look after the Sandboxes of `agents.x-k8s.io` too; needs their definition, and no other controller of them
    #[arg(long)]
    pub agent_sandbox: bool,
    /// URL of the checkpoint store, as the controller and every sandbox Pod reach it
    #[arg(long, env = torpor_api::env::STORE, value_name = "URL")]
    pub store: String,
    /// Port of the Pod IP on which agents take orders
    #[arg(long, default_value_t = torpor_api::port::CONTROL, value_name = "PORT")]
    pub agent_port: u16,
    /// Address of the Prometheus metrics
    #[arg(long, default_value = "0.0.0.0:8080", value_name = "ADDRESS")]
    pub metrics_address: SocketAddr,
    /// Address of `/healthz` and `/readyz`
    #[arg(long, default_value = "0.0.0.0:8081", value_name = "ADDRESS")]
    pub health_address: SocketAddr,
    /// OpenTelemetry collector that takes a trace of each pause and resume, by OTLP over HTTP, e.g. `http://collector:4318`; none
    /// are made when absent
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_parser = collector, value_name = "URL")]
    pub otlp_endpoint: Option<Url>,
    /// How long a pause may take until its checkpoint is sealed
    #[arg(long, default_value = "5m", value_parser = duration, value_name = "DURATION")]
    pub pause_deadline: Duration,
    /// Delay before the first retry of a failed restore; at least one second
    #[arg(long, default_value = "10s", value_parser = delay, value_name = "DURATION")]
    pub restore_retry: Duration,
    #[command(flatten)]
    pub election: ElectionArgs,
}

/// Options of the election of one leader among several controllers.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Leader election")]
#[expect(clippy::struct_field_names, reason = "the fields are the names of the options")]
pub struct ElectionArgs {
    /// Write only while holding the lease; `false` only where no second controller can run
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub leader_elect: bool,
    /// Name of the lease
    #[arg(long, default_value = "torpor-controller", value_name = "NAME")]
    pub leader_elect_resource_name: String,
    /// Namespace of the lease; that of the kubeconfig's context or of the Pod when absent
    #[arg(long, value_name = "NAME")]
    pub leader_elect_resource_namespace: Option<String>,
    /// For how long others wait before they take over a lease that is not renewed
    #[arg(long, default_value = "15s", value_parser = duration, value_name = "DURATION")]
    pub leader_elect_lease_duration: Duration,
    /// For how long a leader goes on without having renewed the lease
    #[arg(long, default_value = "10s", value_parser = duration, value_name = "DURATION")]
    pub leader_elect_renew_deadline: Duration,
    /// Time between two tries to take or renew the lease
    #[arg(long, default_value = "2s", value_parser = duration, value_name = "DURATION")]
    pub leader_elect_retry_period: Duration,
}

/// Options of `gateway`.
#[derive(Debug, clap::Args)]
pub struct GatewayArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Namespace of the sandboxes and their templates
    #[arg(long, default_value = "default", value_name = "NAME")]
    pub namespace: String,
    /// Address of the E2B API and, for current SDKs, of all sandbox traffic
    #[arg(long, default_value = "0.0.0.0:7080", value_name = "ADDRESS")]
    pub address: SocketAddr,
    /// Address where E2B SDKs before 2.23 look for the code interpreter; not served when absent
    #[arg(long, value_name = "ADDRESS")]
    pub code_interpreter_address: Option<SocketAddr>,
    /// Address where E2B SDKs before 2.23 look for files and processes; not served when absent
    #[arg(long, value_name = "ADDRESS")]
    pub envd_address: Option<SocketAddr>,
    /// Address of `/healthz` and `/readyz`
    #[arg(long, default_value = "0.0.0.0:8081", value_name = "ADDRESS")]
    pub health_address: SocketAddr,
    /// What follows `<port>-<id>.` in the host names of sandboxes, e.g. `sandboxes.example.com`
    #[arg(long, value_name = "NAME")]
    pub domain: Option<String>,
    /// File with the API keys that callers may use, one a line
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "any_api_key",
        conflicts_with = "any_api_key"
    )]
    pub api_keys_file: Option<PathBuf>,
    /// Let in every API key; only for a gateway that nobody else can reach
    #[arg(long)]
    pub any_api_key: bool,
    /// File with the 32 bytes that access tokens of sandboxes are derived from; the same for every replica
    #[arg(long, value_name = "FILE")]
    pub token_key_file: PathBuf,
    /// How long calls under way may take to be answered, and to see to its end what they have begun, when the gateway is
    /// asked to end
    #[arg(long, default_value = "57s", value_parser = duration, value_name = "DURATION")]
    pub shutdown_grace_period: Duration,
}

/// Options of `agent`; what it is to run is in its environment (`TORPOR_*`), set by the controller.
#[derive(Debug, clap::Args)]
pub struct AgentArgs {
    /// What runs the sandbox
    #[arg(long, value_enum, default_value_t)]
    pub engine: EngineKind,
    #[command(flatten)]
    pub execution: ExecutionArgs,
    /// Take listening sockets over standard input, report on standard output, and end when standard input does; for
    /// the node of `torpor up --isolate`, which starts agents like this
    #[arg(long, hide = true, conflicts_with_all = ["bind", "control_port", "envd_port", "code_interpreter_port"])]
    pub under_node: bool,
    /// End when more memory than this is in use, as a container would
    #[arg(long, hide = true, value_name = "BYTES")]
    pub memory_ceiling: Option<u64>,
    #[command(flatten)]
    pub ahead: AheadArgs,
    /// IP address to listen on
    #[arg(long, default_value = "0.0.0.0", value_name = "IP")]
    pub bind: std::net::IpAddr,
    /// Port on which it takes the controller's orders
    #[arg(long, default_value_t = torpor_api::port::CONTROL, value_name = "PORT")]
    pub control_port: u16,
    /// Port of files and processes
    #[arg(long, default_value_t = torpor_api::port::ENVD, value_name = "PORT")]
    pub envd_port: u16,
    /// Port of the code interpreter
    #[arg(long, default_value_t = torpor_api::port::CODE_INTERPRETER, value_name = "PORT")]
    pub code_interpreter_port: u16,
    /// Where the files of the sandbox are while it runs; removed at the end
    #[arg(long, default_value = "/var/lib/torpor/sandbox", value_name = "DIR")]
    pub work_dir: PathBuf,
    /// What the sandbox runs by itself: nothing, or `python3 -c CODE`; with `--engine criu` any program
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// Reads the address of a collector; `/v1/traces` comes after it.
fn collector(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{error}; try `http://collector:4318`"))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(format!("{other} is not spoken here; try `http://collector:4318`")),
    }
}

/// Reads a length of time that is not negative, such as `15s`, `5m` or `1h30m`.
fn duration(text: &str) -> Result<Duration, String> {
    let parsed: SignedDuration = text.parse().map_err(|error| format!("{error}; try `15s` or `5m`"))?;
    Duration::try_from(parsed).map_err(|_| "it must not be negative".to_owned())
}

/// Reads a length of time of at least a second. A status gives times in seconds: a retry that is due sooner would be
/// due as soon as it is written there.
fn delay(text: &str) -> Result<Duration, String> {
    let read = duration(text)?;
    if read < Duration::from_secs(1) {
        return Err("it must be at least one second; try `10s`".to_owned());
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_read_with_its_unit_and_refused_without() {
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert!(duration("15").is_err_and(|text| text.contains("try `15s`")));
        assert!(duration("-1s").is_err());
    }

    #[test]
    fn a_delay_between_tries_is_at_least_a_second() {
        assert_eq!(delay("1s"), Ok(Duration::from_secs(1)));
        for short in ["0s", "999ms"] {
            assert!(
                delay(short).is_err_and(|text| text.contains("at least one second")),
                "{short}"
            );
        }
        assert!(delay("10").is_err_and(|text| text.contains("try `15s`")));
    }

    #[test]
    fn a_collector_is_addressed_over_http() {
        assert!(collector("http://collector:4318").is_ok_and(|url| url.port() == Some(4318)));
        for wrong in ["collector:4317", "grpc://collector:4317", "4318"] {
            assert!(
                collector(wrong).is_err_and(|text| text.contains("try `http://")),
                "{wrong}"
            );
        }
    }
}
