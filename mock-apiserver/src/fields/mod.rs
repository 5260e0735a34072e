//! Field ownership and server-side apply.
//!
//! It decides who owns which field after a write, what an apply changes, and whether that conflicts. It follows the rules of
//! `sigs.k8s.io/structured-merge-diff`, on JSON values, with sets of paths.

mod compare;
mod managed;
mod merge;
mod order;
mod path;
mod set;
mod shape;
mod typed;

pub(crate) use managed::{Manager, Operation, Replicas, record_creation, record_scaling, record_update};
pub(crate) use merge::apply;
pub(crate) use shape::{ListKind, Shape};
pub(crate) use typed::problem as typed_problem;
