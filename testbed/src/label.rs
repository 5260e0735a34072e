//! The label by which what a run left can be told and removed.

/// Label of every container; its value is the run.
pub const RUN: &str = "dev.torpor.run";

/// The name of a run that no other has, with what it is of: also the name of its container and volume.
#[must_use]
pub fn run_name(what: &str) -> String {
    format!("torpor-{what}-{:08x}", rand::random::<u32>())
}
