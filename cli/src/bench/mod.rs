//! `torpor bench NAME`: how fast and how large a part is, beside its targets and, where there is one, a real server.
//!
//! ```text
//!   measure (apiserver, ...) --> Measurement --> Report --> table or JSON
//! ```
//! A benchmark only measures; whether a figure is good enough is decided by [`report::Target`].

mod apiserver;
mod args;
mod checkpoint;
mod controller;
#[cfg(target_os = "linux")]
mod criu;
mod figures;
mod heap;
mod load;
mod plot;
mod report;
mod server;

pub use args::BenchArgs;

use crate::args::Output;
use crate::exit::Exit;
use args::BenchCommand;

/// Runs a benchmark and prints what it found.
///
/// # Errors
/// A server cannot be started or refuses what the benchmark asks of it.
pub async fn run(args: BenchArgs) -> anyhow::Result<Exit> {
    let report = match &args.command {
        BenchCommand::Apiserver(options) => apiserver::run(options, args.quick).await?,
        BenchCommand::Checkpoint(options) => checkpoint::run(options, args.quick).await?,
        BenchCommand::Controller(options) => controller::run(options, args.quick).await?,
        #[cfg(target_os = "linux")]
        BenchCommand::CriuInContainer(options) => {
            criu::run_inside(options, args.quick).await?;
            return Ok(Exit::Success);
        }
    };
    match args.output {
        Output::Text => report.print_table(),
        Output::Json => report.print_json()?,
    }
    Ok(if report.is_ok() {
        Exit::Success
    } else {
        Exit::NotConformant
    })
}

/// Says on standard error what is being measured; the result goes to standard output.
fn progress(step: &str) {
    eprintln!("measuring {step}");
}
