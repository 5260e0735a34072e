//! Conversion of custom resources between versions by webhook (`spec.conversion.strategy: Webhook`).
//!
//! It decides what is to be converted, what is sent, and what an answer comes to. Calling is left to a
//! [`crate::WebhookCaller`]; no lock is held meanwhile.
//!
//! ```text
//!   request --> rest: an object in another version than wanted --+--> converted before --> goes on
//!      ^                                                         +--> Inquiry --> interrupted, nothing stored
//!      |                                                                 |  (lock released)
//!      +------ carried out again from the start <-- answers recorded <-- ask calls the webhook
//!   watch: changes taken under the lock --> asked without it --> events
//! ```
//! Objects are stored in the storage version. What is written in another one is converted before it is stored, and back for the
//! answer. Follows `apiextensions-apiserver/pkg/apiserver/conversion/webhook_converter.go`.

mod ask;
mod converter;
mod review;
mod run;

pub(crate) use ask::ask;
pub(crate) use converter::Converter;
pub(crate) use run::{Conversions, Inquiry, Line, Purpose, settled};
