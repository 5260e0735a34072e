//! The options of `torpor bench`.

use std::path::PathBuf;

use clap::Subcommand;
use clap::builder::RangedU64ValueParser;

use crate::args::Output;
use crate::engine::EngineKind;

/// Options of `bench`.
#[derive(Debug, clap::Args)]
pub struct BenchArgs {
    /// How to print the result
    #[arg(long, value_enum, default_value_t, global = true)]
    pub output: Output,
    /// Measure about a tenth, for a first impression
    #[arg(long, global = true)]
    pub quick: bool,
    #[command(subcommand)]
    pub command: BenchCommand,
}

/// What to measure.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// The mock API server, beside Kubernetes' own
    Apiserver(ApiserverBenchArgs),
    /// Pauses and resumes, beside the engines' own dump and load
    Checkpoint(CheckpointBenchArgs),
    /// The controller over the mock API server, with sandboxes that cost nothing
    Controller(ControllerBenchArgs),
    /// The part of `checkpoint` that runs in a container
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    CriuInContainer(super::criu::InsideArgs),
}

/// Options of `bench apiserver`.
#[derive(Debug, clap::Args)]
pub struct ApiserverBenchArgs {
    /// Connections that send requests at the same time
    #[arg(long, default_value_t = 4, value_name = "NUMBER", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1000))]
    pub connections: usize,
    /// Sandboxes for the measurement of memory; 100000, or a tenth of it with --quick
    #[arg(long, value_name = "NUMBER", value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub objects: Option<usize>,
    /// Kubernetes' API server for custom resources, as `fixtures/clients/install` builds it
    #[arg(long, default_value = ".clients/parity-apiserver", value_name = "PROGRAM")]
    pub baseline: PathBuf,
}

/// Options of `bench checkpoint`.
#[derive(Debug, clap::Args)]
pub struct CheckpointBenchArgs {
    /// Measure this engine only; all that can run here when absent
    #[arg(long, value_enum)]
    pub engine: Option<EngineKind>,
    /// Where the checkpoint store is made; the directory for temporary files when absent
    #[arg(long, value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// Write a plot of the durations by size, as SVG
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
}

/// Options of `bench controller`.
#[derive(Debug, clap::Args)]
pub struct ControllerBenchArgs {
    /// Pauses and resumes of one sandbox; 500, or a tenth of it with --quick
    #[arg(long, value_name = "NUMBER", value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub cycles: Option<usize>,
    /// How many sandboxes are paused and resumed at once, one measurement for each number; 100,1000,10000, or a
    /// tenth of it with --quick
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    pub sandboxes: Vec<usize>,
    /// Paused sandboxes over which the controller is started anew; 100000, or a tenth of it with --quick
    #[arg(long, value_name = "NUMBER", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    pub paused: Option<usize>,
}
