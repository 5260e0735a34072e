//! The command line: commands, options, defaults and help texts.

mod logging;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::RangedU64ValueParser;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

use crate::bench::BenchArgs;
use crate::conformance::args::ConformanceArgs;
use crate::conformance::placing;
use crate::engine::{AheadArgs, EngineKind, ExecutionArgs};
use crate::operate::args::{AgentArgs, ControllerArgs, GatewayArgs};
use crate::plane::Ports;
use crate::report::args::{CatalogueArgs, ReportArgs};
use crate::stand_ins::StandIns;
use crate::telemetry::LogFormat;
use crate::webhook_services::WebhookServices;

/// Proves that a paused agent sandbox wakes up exactly as it fell asleep, and costs nothing in between.
#[derive(Debug, Parser)]
#[command(
    version,
    propagate_version = true,
    disable_help_subcommand = true,
    args_override_self = true
)]
pub struct Cli {
    /// What to log, e.g. `info` or `torpor_controller=debug` (`RUST_LOG` is read, too); warnings when absent, and nothing
    /// where a control plane is judged
    #[arg(long, global = true, value_name = "FILTER")]
    pub log: Option<String>,
    /// Form of the log lines; `text` on a terminal and `json` elsewhere when absent
    #[arg(long, global = true, value_enum, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// The command line, with what of it was said there and not in the environment.
    ///
    /// # Errors
    /// It makes no sense, or asks for help.
    pub fn read() -> Result<Self, clap::Error> {
        let matches = Self::command().try_get_matches()?;
        let mut cli = Self::from_arg_matches(&matches).map_err(|error| error.format(&mut Self::command()))?;
        if let (Command::Conformance(args), Some((_, matches))) = (&mut cli.command, matches.subcommand()) {
            args.named = placing::named(matches);
        }
        Ok(cli)
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a control plane on this machine: Kubernetes API, controller, node and E2B gateway
    #[command(args_override_self = true)]
    Up(UpArgs),
    /// Run the conformance suite and report, requirement by requirement
    ///
    /// Exit codes: 0 conformant, 1 not conformant, 2 error of the harness, 3 usage.
    Conformance(Box<ConformanceArgs>),
    /// Show that deliberately faulty implementations are caught by the suite
    ///
    /// Exit codes: 0 every fault is caught by a scenario of a requirement that it breaks, 1 one is not, 2 error.
    Selftest(SelftestArgs),
    /// Show, check and compare the reports of conformance runs
    ///
    /// Exit codes: 0 all is well, 1 a report is rejected or something got worse, 2 error, 3 no such report.
    Report(ReportArgs),
    /// Print the requirements that the suite tests, and the cases that test them
    Catalogue(CatalogueArgs),
    /// Do things in random order and see whether everything still holds
    ///
    /// Exit codes: 0 everything held, 1 something did not, and the scenario that shows it is printed, 2 error, 3 usage.
    Sim(SimArgs),
    /// Serve a Kubernetes API by itself, for controllers of your own
    Apiserver(ApiserverArgs),
    /// Run the controller against a cluster
    ///
    /// Exit codes: 0 stopped by a signal, 2 error, 3 missing or wrong input.
    Controller(Box<ControllerArgs>),
    /// Run the E2B gateway against a cluster
    ///
    /// Exit codes: 0 stopped by a signal, 2 error, 3 missing or wrong input.
    Gateway(Box<GatewayArgs>),
    /// Run the process inside a sandbox Pod
    ///
    /// Exit codes: 0 stopped by a signal, 2 error, 3 missing or wrong input.
    Agent(AgentArgs),
    /// Measure a part and compare it with its targets
    ///
    /// Use a release build (`cargo run --release -- bench …`). Exit codes: 0 every target is reached, 1 one is missed, 2 error.
    Bench(BenchArgs),
    /// Be the first process of a sandbox; started by the agent
    #[command(hide = true)]
    SandboxInit {
        /// Where to listen
        socket: PathBuf,
    },
    /// Look into a checkpoint store, check it and clear it up
    ///
    /// Exit codes: 0 done and all is well, 1 a checkpoint is missing, damaged or cannot be opened with the keys
    /// given, 2 the store failed, 3 usage. Encrypted checkpoints need the keys in `TORPOR_STORE_KEYS` or in the
    /// file that `TORPOR_STORE_KEYS_FILE` names, lines of ID:KEY; buckets their settings in `AWS_*`, `GOOGLE_*`
    /// or `AZURE_*`.
    Checkpoint(CheckpointArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// How to print a result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

/// Options of `up`.
#[derive(Debug, clap::Args)]
pub struct UpArgs {
    /// Where checkpoints and the connection files go
    #[arg(long, default_value = ".torpor", value_name = "DIR")]
    pub data_dir: PathBuf,
    /// What runs the sandboxes; `criu` runs each Pod as a Docker container
    #[arg(long, value_enum, default_value_t)]
    pub engine: EngineKind,
    /// Run each sandbox in a process of its own, so that one whose interpreter crashes or is killed takes no other down; for the
    /// monty engine, on Linux. A start takes longer, and a sandbox about 15 MiB more (docs/engines.md has figures)
    #[arg(long)]
    pub isolate: bool,
    #[command(flatten)]
    pub execution: ExecutionArgs,
    #[command(flatten)]
    pub ahead: AheadArgs,
    #[arg(
        long,
        value_name = "URL",
        conflicts_with = "without_controller",
        help = "Keep checkpoints here instead of in the data directory: file:///DIR, s3://BUCKET/PREFIX, gs://… or az://…",
        long_help = "Keep checkpoints here instead of in the data directory: file:///DIR, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX \
                     or az://CONTAINER/PREFIX. The settings come from the environment: AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and \
                     so on, TORPOR_STORE_KEYS, TORPOR_STORE_QUOTA"
    )]
    pub store: Option<String>,
    #[command(flatten)]
    pub ports: Ports,
    #[command(flatten)]
    pub node: NodeArgs,
    /// Leave the controller to another process, such as `torpor controller`
    #[arg(long, conflicts_with = "fault")]
    pub without_controller: bool,
    #[command(flatten)]
    pub stand_ins: StandIns,
    #[command(flatten)]
    pub webhooks: WebhookServices,
    /// Run a deliberately faulty control plane (`torpor selftest --list` names them)
    #[arg(long, value_name = "NAME", help_heading = "For testing the suite")]
    pub fault: Option<String>,
}

/// What the node can hold.
#[derive(Clone, Copy, Debug, clap::Args)]
#[expect(clippy::struct_field_names, reason = "the fields are the names of the options")]
pub struct NodeArgs {
    /// Cores of the node, in thousandths
    #[arg(long, default_value_t = 64_000, value_name = "MILLICORES", value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    pub node_cpu: u64,
    /// Memory of the node, in MiB
    #[arg(long, default_value_t = 65_536, value_name = "MIB", value_parser = RangedU64ValueParser::<u64>::new().range(1..=4_294_967_296))]
    pub node_memory: u64,
    /// Pods that the node can hold
    #[arg(long, default_value_t = 1000, value_name = "NUMBER", value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    pub node_pods: u64,
}

/// Options of `selftest`.
#[derive(Debug, clap::Args)]
pub struct SelftestArgs {
    /// Only this fault; may be given several times
    #[arg(long, value_name = "NAME")]
    pub fault: Vec<String>,
    /// Print what the faults do and break, and run nothing
    #[arg(long, conflicts_with = "all_cases")]
    pub list: bool,
    /// Run every case against every fault, not only those that must fail or must pass; takes long
    #[arg(long)]
    pub all_cases: bool,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
    /// Scenarios that run at once against each fault
    #[arg(long, short, default_value_t = 4, value_name = "NUMBER")]
    pub jobs: usize,
    /// Faults that are tried at once
    #[arg(long, default_value_t = 6, value_name = "NUMBER")]
    pub faults_at_once: usize,
}

/// Options of `sim`.
#[derive(Debug, clap::Args)]
pub struct SimArgs {
    /// Where the random numbers begin; made up and shown when absent
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// Sequences to run
    #[arg(long, default_value_t = 20, value_name = "NUMBER", value_parser = RangedU64ValueParser::<u32>::new().range(1..))]
    pub runs: u32,
    /// Things done in the longest sequence
    #[arg(long, default_value_t = 20, value_name = "NUMBER", value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub steps: usize,
    /// Sandboxes of each sequence
    #[arg(long, default_value_t = 3, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(1..=26))]
    pub sandboxes: u8,
    /// Sequences that run at once
    #[arg(long, short, default_value_t = 4, value_name = "NUMBER")]
    pub jobs: usize,
    /// Shorter sequences to try after a failure
    #[arg(long, default_value_t = 60, value_name = "NUMBER")]
    pub shrink: u32,
    /// Run what failed so often again; something shorter counts only if it fails as often
    #[arg(long, default_value_t = 2, value_name = "NUMBER")]
    pub replays: u32,
    /// Seconds that a single change of state may take
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    pub patience: u64,
    /// Write the scenario of a failure into this directory, for `torpor conformance --scenarios`
    #[arg(long, value_name = "DIR")]
    pub write: Option<PathBuf>,
    /// Try a deliberately faulty control plane (`torpor selftest --list` names them)
    #[arg(long, value_name = "NAME", help_heading = "For testing the suite")]
    pub fault: Option<String>,
}

/// Options of `apiserver`.
#[derive(Debug, clap::Args)]
pub struct ApiserverArgs {
    /// Port to listen on; 0 takes any free one
    #[arg(long, default_value_t = 7443, value_name = "PORT")]
    pub port: u16,
    /// Write a kubeconfig here once it serves
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Keep every object here, so that it survives the end of the process; in memory only when absent
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Serve HTTPS, with a certificate of an authority of its own that the kubeconfig trusts
    #[arg(long)]
    pub tls: bool,
    /// Serve faults, the request log and snapshots under `/torpor/` to whoever reaches the port (see the README of mock-apiserver)
    #[arg(long)]
    pub control: bool,
    #[command(flatten)]
    pub access: AccessArgs,
    #[command(flatten)]
    pub stand_ins: StandIns,
    #[command(flatten)]
    pub webhooks: WebhookServices,
}

/// Who may do what. Without these options everybody is the administrator.
#[derive(Debug, clap::Args)]
pub struct AccessArgs {
    /// Believe only who shows a token; the kubeconfig gets one of the administrator. kubectl sends tokens only with `--tls`
    #[arg(long)]
    pub authentication: bool,
    /// A further token and whose it is; may be given several times
    #[arg(long, value_name = "TOKEN,USER[,GROUP...]", requires = "authentication")]
    pub token: Vec<TokenOwner>,
    /// Refuse requests without a token, instead of treating them as from `system:anonymous`
    #[arg(long, requires = "authentication")]
    pub no_anonymous: bool,
    /// Let roles and bindings decide what users may do
    #[arg(long)]
    pub rbac: bool,
}

/// A bearer token with its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenOwner {
    pub token: String,
    pub user: String,
    pub groups: Vec<String>,
}

impl FromStr for TokenOwner {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',').map(str::to_owned);
        match (parts.next(), parts.next()) {
            (Some(token), Some(user)) if !token.is_empty() && !user.is_empty() => Ok(Self {
                token,
                user,
                groups: parts.filter(|group| !group.is_empty()).collect(),
            }),
            (_, _) => Err("expected TOKEN,USER[,GROUP...], such as s3cret,jane,developers".to_owned()),
        }
    }
}

/// Options of `checkpoint`.
#[derive(Debug, clap::Args)]
pub struct CheckpointArgs {
    /// The data directory of the control plane
    #[arg(long, default_value = ".torpor", value_name = "DIR", global = true)]
    pub data_dir: PathBuf,
    /// URL of the store, instead of that of a data directory: `file:///directory`,
    /// `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`
    #[arg(long, value_name = "URL", global = true, conflicts_with = "data_dir")]
    pub store: Option<String>,
    /// How to print the result
    #[arg(long, value_enum, default_value_t, global = true)]
    pub output: Output,
    #[command(subcommand)]
    pub command: CheckpointCommand,
}

/// What to do with a checkpoint store.
#[derive(Debug, Subcommand)]
pub enum CheckpointCommand {
    /// List checkpoints
    Ls {
        /// `metadata.uid` of the sandbox; all when absent
        uid: Option<String>,
    },
    /// Show the header of one checkpoint
    Show {
        /// `metadata.uid` of the sandbox
        uid: String,
        /// Number of the checkpoint; the newest when absent
        generation: Option<u64>,
    },
    /// Read checkpoints whole and check every byte
    Verify {
        /// `metadata.uid` of the sandbox; all when absent
        uid: Option<String>,
    },
    /// Remove older checkpoints and what crashes left, and compress what stays
    ///
    /// Safe while sandboxes are paused and resumed. A sandbox of which a remaining checkpoint or a note is damaged
    /// is left as it is.
    Gc {
        /// `metadata.uid` of the sandbox; all when absent
        uid: Option<String>,
        /// Checkpoints of each sandbox that stay, the newest first
        #[arg(long, default_value_t = NonZeroUsize::MIN, value_name = "NUMBER")]
        keep: NonZeroUsize,
        /// Only say what would be removed
        #[arg(long)]
        dry_run: bool,
    },
}

impl CheckpointCommand {
    /// The one sandbox that it is about, if it is about one.
    pub fn sandbox(&self) -> Option<&str> {
        match self {
            Self::Show { uid, .. } => Some(uid),
            Self::Ls { uid } | Self::Verify { uid } | Self::Gc { uid, .. } => uid.as_deref(),
        }
    }
}
