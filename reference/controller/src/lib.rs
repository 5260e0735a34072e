//! The reference pause and resume controller for the Sandboxes of `agents.kruise.io/v1alpha1` and `agents.x-k8s.io/v1beta1`.
//!
//! ```text
//!   watch ──▶ at rest? ──▶ observe ──▶ decide ──▶ status, then effect ──▶ (again, until at rest)
//!           (reads nothing) (read once) (pure)     (one write per step)
//! ```
//!
//! Start reading at `decide`: the whole behaviour is the table in there, and `decide/table.txt` is
//! that table written out. `front` tells the two kinds of Sandbox apart, `observe` says where its inputs come from, `status` what is reported,
//! `reconcile` how it is carried out. Why it is as it is: `docs/decisions/0010` and following.

mod api;
mod backoff;
mod checkpoints;
mod companions;
mod conditions;
mod controller;
mod decide;
mod defect;
mod election;
mod error;
#[cfg(test)]
mod example;
mod fence;
mod front;
mod http_agents;
mod look;
mod metrics;
mod notice;
mod observe;
mod pod;
mod ports;
mod reconcile;
mod sim;
mod span;
mod status;
mod timers;
mod traces;
mod trim;
mod watches;

pub use controller::{Clock, Controller, ControllerConfig, Deadlines};
pub use decide::{
    Blocker, Decision, Due, Effect, Fault, Goal, History, Observed, Patience, Provision, Report, Seal, Wake, Workload,
    decide,
};
pub use defect::{Defect, UnknownDefect};
pub use election::{Election, Ended, LeaseTerms, TermsError};
pub use fence::{Fence, NotLeading};
pub use front::Front;
pub use http_agents::HttpAgents;
pub use metrics::ControllerMetrics;
pub use ports::{AgentAddress, AgentError, CheckpointCustodian, RemovalError, SandboxAgents};
pub use sim::SimNode;
pub use timers::{Timers, timers};
pub use traces::TRACES;

use error::ReconcileError;
