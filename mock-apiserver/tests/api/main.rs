//! Drives the server through its public face, in process.

mod apply;
mod protobuf;
mod reads;
mod registry;
mod schema;
mod support;
