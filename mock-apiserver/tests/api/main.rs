//! Drives the server through its public face, in process.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod access;
mod apply;
mod builtins;
mod control;
mod conversions;
mod custom;
mod events;
mod faults;
mod kinds;
mod metrics;
mod node_pages;
mod policies;
mod protobuf;
mod reads;
mod registry;
mod schema;
mod serve;
mod services;
mod snapshot;
mod stand_ins;
mod support;
mod webhooks;
