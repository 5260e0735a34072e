//! The gateway over HTTP, between a Kubernetes API in memory and stand-ins for controller and agent.

#![expect(clippy::unwrap_used, reason = "what does not hold in a test ends it")]

mod aftermath;
mod control_plane;
mod data_plane;
mod support;
