//! Targets in containers, in a build without them.

use torpor_harness::{Profile, Report, RunOptions, Suite};

use crate::conformance::args::ConformanceArgs;
use crate::exit::Exit;

fn not_here(what: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "{what} is not in this build; make one with the feature `containers`, which `cargo build -p torpor-cli` has"
    )
}

/// Would boot a cluster of kind.
///
/// # Errors
/// Always, with what to do.
#[expect(clippy::unused_async, reason = "the other build waits here")]
pub async fn on_kind(_: &mut ConformanceArgs, _: Profile, _: &Suite, _: &RunOptions) -> anyhow::Result<Report> {
    Err(not_here("--target kind"))
}

/// Would start a control plane in a container.
///
/// # Errors
/// Always, with what to do.
#[expect(clippy::unused_async, reason = "the other build waits here")]
pub async fn on_control_plane(
    _: &mut ConformanceArgs,
    _: Profile,
    _: &Suite,
    _: &RunOptions,
) -> anyhow::Result<Report> {
    Err(not_here("--target container"))
}

/// Would remove what runs have left.
///
/// # Errors
/// Always, with what to do.
#[expect(clippy::unused_async, reason = "the other build waits here")]
pub async fn reap() -> anyhow::Result<Exit> {
    Err(not_here("reap"))
}
