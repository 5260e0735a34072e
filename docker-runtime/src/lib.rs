//! Runs the Pods of the node stand-in as Docker containers, whose first process is `torpor agent` with the
//! CRIU engine.
//!
//! Decides how a container is set up and when it counts as ended. Leaves out pulling images: what a Pod
//! names has to be in Docker. Every container carries a label with the node's name, by which leftovers of an
//! earlier life are found and removed.

mod container;
mod error;
mod runtime;
mod spec;
mod watch;

pub use error::DockerError;
pub use runtime::{DockerConfig, DockerRuntime};
