//! The full-fidelity engine: real processes, written down and brought back by CRIU.
//!
//! It runs inside the container of the sandbox, one sandbox to a container, as the agent does:
//!
//! ```text
//!  agent (pid 1) ──socket──▶ init ─┬─ kernel of the default context (CPython with IPython)
//!    │                             ├─ the sandbox's own program
//!    └─ criu dump/restore ─▶ tree  └─ whatever clients start, and what that starts
//! ```
//!
//! Everything below `init` is one tree, and the tree is what is checkpointed, together with every file of
//! the container that differs from its image. `init` holds the other end of every pipe, so nothing in the
//! tree is connected to the outside but `init`'s socket; the agent hangs up before the tree is dumped.
//! A freeze *is* the dump, which leaves the tree stopped: what a thaw lets go on is what was written down.
//!
//! A large memory is restored lazily: processes run before it is there (see `lazy`).
//!
//! The tree starts at a high pid, so that its pids are free in the next container, where only the
//! agent runs. Left out: connections to the outside (they are closed), files on volumes, devices.

mod baseline;
mod beside;
mod client;
mod command;
mod contexts;
mod docker;
mod dump;
mod dumper;
mod engine;
mod error;
mod fitness;
mod image;
mod image_files;
mod init;
mod kernel;
mod lazy;
mod links;
mod predump;
mod rootfs;
mod sandbox;
mod stream;
mod system;
mod tree;

pub use docker::{SANDBOX_IMAGE, docker_lacks, docker_run};
pub use engine::{CriuConfig, CriuEngine};
pub use error::CriuError;
pub use init::{InitError, run_init};
