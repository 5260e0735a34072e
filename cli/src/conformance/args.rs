//! Options of `torpor conformance`.

use std::collections::BTreeSet;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

use super::address::web_address;
use crate::engine::EngineKind;
use crate::report::args::ReportingArgs;

/// Instead of a run.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum ConformanceCommand {
    /// Remove the containers and volumes that killed runs have left, and those of runs that still go on: nothing tells them apart
    Reap,
}

/// Options of `--target kind` and `--target container`.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Targets in containers")]
pub struct ContainerArgs {
    /// Image of the control plane, as deploy/image/build makes it
    #[arg(long, default_value = "torpor/control-plane:latest", value_name = "IMAGE")]
    pub image: String,
    /// Node image of kind
    #[arg(long, default_value = "kindest/node:v1.33.1", value_name = "IMAGE")]
    pub node_image: String,
    /// Image of this machine that the node gets; may be given several times
    #[arg(long, value_name = "IMAGE")]
    pub load: Vec<String>,
    /// Manifests that are applied to the cluster before the run; may be given several times
    #[arg(long, value_name = "FILE")]
    pub apply: Vec<PathBuf>,
}

/// Options of `conformance`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ConformanceArgs {
    /// What to judge: `embedded` starts Torpor's own control plane
    #[arg(long, value_enum, default_value_t)]
    pub target: TargetKind,
    /// What runs the sandboxes of `--target embedded`; `criu` needs Docker and the image that `fixtures/image/build` makes
    #[arg(long, value_enum, default_value_t)]
    pub engine: EngineKind,
    /// Instead of a run
    #[command(subcommand)]
    pub command: Option<ConformanceCommand>,
    #[command(flatten)]
    pub containers: ContainerArgs,
    /// How the target is asked and read: kruise, kruise-v0.3, kruise-master, sigs, sigs-v1alpha1, e2b or a file
    ///
    /// `e2b` with `--target e2b` and `kruise` otherwise, when absent. docs/adapters.md says how to write one.
    #[arg(long, value_name = "NAME|FILE")]
    pub profile: Option<String>,
    /// Kubeconfig of the cluster to judge, with `--target kubeconfig`
    #[arg(long, env = "KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Namespace for the suite's objects, which must exist; one that comes and goes with the run when absent
    ///
    /// Beside an E2B API it is that in which the API makes its sandboxes.
    #[arg(long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// E2B API to judge, with `--target e2b` or beside a kubeconfig
    ///
    /// With `--target e2b` it and --e2b-sandbox-url are those of `E2B_API_URL` and `E2B_SANDBOX_URL` when absent, as for SDKs.
    #[arg(long, visible_alias = "url", value_name = "URL", value_parser = web_address)]
    pub e2b_url: Option<url::Url>,
    /// Where sandbox traffic goes, when not to the E2B API's own address
    #[arg(long, value_name = "URL", value_parser = web_address)]
    pub e2b_sandbox_url: Option<url::Url>,
    /// Key for the E2B API
    #[arg(
        long,
        visible_alias = "api-key",
        env = "E2B_API_KEY",
        value_name = "KEY",
        hide_env_values = true
    )]
    pub e2b_api_key: Option<String>,
    /// File with certificates of authorities by which the E2B API and the metrics are trusted, in PEM
    ///
    /// Besides those of the system. A cluster is trusted as its kubeconfig says.
    #[arg(long, value_name = "FILE")]
    pub ca_cert: Option<PathBuf>,
    /// Prometheus page with the containers' resource use
    ///
    /// Without this and --prometheus-url the nodes of a cluster are asked through its API server.
    #[arg(long, value_name = "URL", value_parser = web_address)]
    pub metrics_url: Option<url::Url>,
    /// Prometheus server that scrapes the containers' resource use
    #[arg(long, value_name = "URL", conflicts_with = "metrics_url", value_parser = web_address)]
    pub prometheus_url: Option<url::Url>,
    /// Prometheus page of the controller
    #[arg(long, value_name = "URL", value_parser = web_address)]
    pub controller_metrics_url: Option<url::Url>,
    /// File with what the target offers, instead of what the profile or the target itself claims
    ///
    /// A list of names, or a mapping with such a list under `capabilities`.
    #[arg(long, value_name = "FILE")]
    pub capabilities: Option<PathBuf>,
    /// What the target offers besides; may be given several times
    #[arg(long, value_name = "NAME")]
    pub capability: Vec<torpor_harness::Capability>,
    /// Directory that holds the checkpoints, to count its bytes
    #[arg(long, value_name = "DIR")]
    pub storage: Option<PathBuf>,
    /// Run only scenarios whose id or requirement contains this; may be given several times
    #[arg(long, short, value_name = "TEXT")]
    pub filter: Vec<String>,
    /// Run only scenarios that have this label (docs/scenarios.md tells which there are); may be given several times
    #[arg(long, value_name = "LABEL")]
    pub label: Vec<String>,
    /// File of failures that are known: each with id, owner, reason and the day on which it expires
    #[arg(long, value_name = "FILE", help_heading = "Known failures and omissions")]
    pub expected_failures: Option<PathBuf>,
    /// Leave out a case, scenario or requirement that the target claims (no success); may be given several times
    #[arg(
        long,
        value_name = "ID",
        requires = "skip_reason",
        help_heading = "Known failures and omissions"
    )]
    pub skip: Vec<String>,
    /// Why it is left out: once for all, or once for each `--skip`
    #[arg(
        long,
        value_name = "TEXT",
        requires = "skip",
        help_heading = "Known failures and omissions"
    )]
    pub skip_reason: Vec<String>,
    /// Run cases of features that the target does not claim, too, to find what it could claim
    #[arg(long, help_heading = "Known failures and omissions")]
    pub try_unclaimed: bool,
    /// How often each case is run; its result is the worst
    #[arg(long, default_value_t = NonZeroU32::MIN, value_name = "NUMBER")]
    pub repeat: NonZeroU32,
    /// Start no further case once one did not pass
    #[arg(long)]
    pub fail_fast: bool,
    /// Directory with further scenarios
    #[arg(long, value_name = "DIR")]
    pub scenarios: Option<PathBuf>,
    /// Judge a deliberately faulty control plane instead (`torpor selftest --list` names them)
    #[arg(long, value_name = "NAME", help_heading = "For testing the suite")]
    pub fault: Option<String>,
    /// Scenarios that run at once; 48 against the embedded control plane, and 4 elsewhere and with `--engine criu`, when absent
    #[arg(long, short, value_name = "NUMBER")]
    pub jobs: Option<NonZeroUsize>,
    #[command(flatten)]
    pub reporting: ReportingArgs,
    /// The options that the command line names, by their ids: the others are absent, or of the environment.
    #[arg(skip)]
    pub named: BTreeSet<String>,
}

/// What to judge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TargetKind {
    /// Torpor's own control plane, started for the run
    #[default]
    Embedded,
    /// A cluster
    Kubeconfig,
    /// An E2B API, without access to its cluster
    E2b,
    /// A cluster of kind, booted for the run in Docker
    Kind,
    /// Torpor's own control plane in a container, started for the run by Docker
    Container,
}

impl TargetKind {
    /// As written on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Kubeconfig => "kubeconfig",
            Self::E2b => "e2b",
            Self::Kind => "kind",
            Self::Container => "container",
        }
    }
}
