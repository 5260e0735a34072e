//! Protobuf request bodies of built-in kinds, decoded to JSON.
//!
//! Go clients send built-in kinds as protobuf by default. The body is `k8s\0`, then a `runtime.Unknown` that names the kind and
//! carries the message. Field numbers and JSON names are those of [`crate::types`]. Responses are always JSON, which every
//! client accepts.

mod decode;
mod special;
mod wire;

pub(crate) use decode::decode;
