//! The root of a sandbox's process tree: starts processes, holds their pipes, and adopts and reaps orphans.
//!
//! It answers on a Unix socket, one request to a connection. A connection that listens to a process is
//! given up by its client by closing the sending side: init then sends what is under way, and hangs up.
//! Left out: everything about checkpoints. It is dumped and restored like any other process.

mod process;
mod protocol;
mod server;
mod spawn;

pub use server::{InitError, run_init};

pub(super) use protocol::{Refusal, Reply, Request, receive, send};

/// What init's own allocator is told. Its memory is in every checkpoint, and in huge pages it would be three times as much.
pub(super) const INIT_ALLOCATOR: &str = "0";
