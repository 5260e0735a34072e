//! The `torpor` command: reads the command line, runs one command, turns its outcome into an exit code.

mod apiserver;
mod args;
mod bench;
mod catalogue;
mod checkpoint;
mod compactor;
mod conformance;
mod contact;
#[cfg(feature = "containers")]
mod contained;
#[cfg(not(feature = "containers"))]
mod contained_not;
mod custodian;
mod elsewhere;
mod engine;
mod environment;
mod exit;
mod fault;
mod laboratory;
mod operate;
mod plane;
mod progress;
mod proxy;
mod report;
mod say;
mod selftest;
mod signal;
mod sim;
mod stand_ins;
mod target;
mod telemetry;
mod up;
mod webhook_services;

use std::io::Write as _;
use std::process::ExitCode;

use clap::CommandFactory as _;

use args::{Cli, Command};
use exit::Exit;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    end_quietly_when_nobody_reads();
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, not errors.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Success };
            let _ = error.print();
            return exit.into();
        }
    };
    if let Command::SandboxInit { socket } = &cli.command {
        return match engine::run_init(socket) {
            Ok(()) => Exit::Success.into(),
            Err(error) => {
                eprintln!("torpor: {error:#}");
                Exit::Error.into()
            }
        };
    }
    match start(cli) {
        Ok(exit) => exit.into(),
        Err(error) => Exit::of(&error).into(),
    }
}

/// Ends the process without a word when whoever read its output has gone, as after `| head`. What has something to clean up
/// prints by [`say`], and goes on.
fn end_quietly_when_nobody_reads() {
    /// As a shell reports a process that SIGPIPE ended.
    const NOBODY_READS: i32 = 141;
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let said = panic.payload_as_str().unwrap_or_default();
        if said.starts_with("failed printing to std") && said.contains("Broken pipe") {
            std::process::exit(NOBODY_READS);
        }
        usual(panic);
    }));
}

fn start(cli: Cli) -> anyhow::Result<Exit> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Command::Apiserver(_) = cli.command {
        // Its state has one owner: more threads would mostly wait for each other.
        runtime.worker_threads(1);
    }
    if let Command::Agent(agent) = &cli.command
        && agent.under_node
    {
        // One of many on a machine; the interpreter has a thread of its own.
        runtime.worker_threads(1);
    }
    let runtime = runtime.enable_all().build()?;
    runtime.block_on(async {
        let collector = cli.command.collector();
        let filter = telemetry::filter(cli.log.as_deref(), cli.command.usual_log())?;
        let telemetry = telemetry::begin(filter, cli.log_format, collector)?;
        let log_options = cli.log_options();
        let exit = run(cli.command, log_options).await;
        telemetry.end().await;
        exit
    })
}

async fn run(command: Command, log_options: Vec<String>) -> anyhow::Result<Exit> {
    match command {
        Command::Up(args) => up::run(args, log_options).await,
        Command::Conformance(args) => Box::pin(conformance::run(*args)).await,
        Command::Selftest(args) => Box::pin(selftest::run(args)).await,
        Command::Report(args) => report::run(&args),
        Command::Catalogue(args) => catalogue::run(&args),
        Command::Sim(args) => Box::pin(sim::run(args)).await,
        Command::Apiserver(args) => apiserver::run(args).await,
        Command::Controller(args) => operate::controller::run(*args).await,
        Command::Gateway(args) => operate::gateway::run(*args).await,
        Command::Agent(args) => operate::agent::run(args).await,
        Command::Bench(args) => bench::run(args).await,
        // A process of one thread, run before there is a runtime of several.
        Command::SandboxInit { .. } => Ok(Exit::Usage),
        Command::Checkpoint(args) => checkpoint::run(args).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "torpor", &mut script);
            std::io::stdout().write_all(&script)?;
            Ok(Exit::Success)
        }
    }
}
