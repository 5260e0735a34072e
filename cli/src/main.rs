//! The `torpor` command: reads the command line, runs one command, turns its outcome into an exit code.

mod apiserver;
mod args;
mod bench;
mod checkpoint;
mod conformance;
mod custodian;
mod engine;
mod environment;
mod exit;
mod operate;
mod plane;
mod selftest;
mod signal;
mod stand_ins;
mod target;
mod up;
mod webhook_services;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use tracing_subscriber::EnvFilter;

use args::{Cli, Command, LogFormat};
use exit::Exit;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
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
    let outcome = init_logging(cli.log.as_deref(), cli.log_format).and_then(|()| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(run(cli.command))
    });
    match outcome {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("torpor: {error:#}");
            Exit::Error.into()
        }
    }
}

async fn run(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Up(args) => up::run(args).await,
        Command::Conformance(args) => conformance::run(*args).await,
        Command::Selftest(args) => selftest::run(args).await,
        Command::Catalogue { output } => conformance::catalogue(output),
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

/// Logs go to standard error: for people on a terminal, as JSON elsewhere, unless a format is given.
fn init_logging(filter: Option<&str>, format: Option<LogFormat>) -> anyhow::Result<()> {
    let filter = match filter {
        Some(filter) => EnvFilter::try_new(filter)?,
        None => EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn")),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let fitting = || {
        if std::io::stderr().is_terminal() {
            LogFormat::Text
        } else {
            LogFormat::Json
        }
    };
    match format.unwrap_or_else(fitting) {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}
