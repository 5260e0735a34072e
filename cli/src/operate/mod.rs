//! The parts of the reference implementation as processes of their own, for a real cluster:
//! `torpor controller`, `torpor gateway` and `torpor agent`.
//!
//! Reads what the operator gave and refuses what is wrong before anything starts (exit code 3);
//! leaves out what the parts do, which their crates decide.

pub mod agent;
pub mod args;
mod cluster;
pub mod controller;
pub mod gateway;
mod listen;
mod probes;
