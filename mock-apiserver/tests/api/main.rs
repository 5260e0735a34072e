//! Drives the server through its public face, in process.

mod reads;
mod registry;
mod support;
