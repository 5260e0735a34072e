//! `torpor bench controller`: what the controller adds to a pause and a resume, and how it bears many sandboxes.
//!
//! ```text
//!   this process: driver, node and agents    torpor apiserver    torpor controller
//!       └── patches, watches ──▶ HTTP ──────────▶ │ ◀────── HTTP ──────┘ │
//!       ◀───────────────────────── orders to agents, HTTP ───────────────┘
//! ```
//! API server and controller are processes of their own, as on a cluster, so memory and processor time are theirs alone. The
//! sandboxes are simulated: their workload is a number, and a freeze or a checkpoint of it takes no time. So a
//! measured time is that of the controller, the API server and the connections between them.

mod agents;
mod bed;
mod crowd;
mod meters;
mod restart;
mod single;

use super::args::ControllerBenchArgs;
use super::report::Report;

/// How much is measured.
#[derive(Clone, Debug)]
struct Size {
    cycles: usize,
    sandboxes: Vec<usize>,
    paused: usize,
}

impl Size {
    fn new(options: &ControllerBenchArgs, quick: bool) -> Self {
        let part = if quick { 10 } else { 1 };
        let sandboxes = if options.sandboxes.is_empty() {
            [100, 1_000, 10_000].map(|sandboxes| sandboxes / part).to_vec()
        } else {
            options.sandboxes.clone()
        };
        Self {
            cycles: options.cycles.unwrap_or(500 / part),
            sandboxes,
            paused: options.paused.unwrap_or(100_000 / part),
        }
    }
}

/// Measures everything.
///
/// # Errors
/// A process cannot be started, or what it should do does not happen.
pub async fn run(options: &ControllerBenchArgs, quick: bool) -> anyhow::Result<Report> {
    let size = Size::new(options, quick);
    let mut report = Report::of_this_build();
    single::measure(&mut report, size.cycles).await?;
    crowd::measure(&mut report, &size.sandboxes).await?;
    restart::measure(&mut report, size.paused).await?;
    Ok(report)
}
