//! Admission: what others have to say about a write before it is stored.
//!
//! It decides which webhooks are asked, in which order, what their answers come to, and in whose words a write is refused. Calling
//! them is left to a [`WebhookCaller`]; no lock is held meanwhile.
//!
//! ```text
//!   request --> rest, up to the first question --+--> no webhook covers it, or answered before --> goes on, stores
//!      ^                                         +--> Question --> interrupted, nothing stored
//!      |                                                 |  (lock released)
//!      +---- carried out again from the start <-- answers recorded in Admission <-- dispatch calls the webhooks
//! ```
//! An answer counts for the object it was given about. If that has changed by the time the request is carried out again, the
//! question is a different one and is asked anew, as the retries of the real server's guaranteed update do.
//!
//! What the stand-ins of [`crate::upkeep`] do is not asked about, and neither are the configurations of admission themselves.

mod attributes;
mod client_config;
mod conditions;
mod configuration;
mod dispatch;
mod expression;
mod matching;
mod policy;
mod registry;
mod reinvocation;
mod response;
mod run;
mod webhook;

pub(crate) use attributes::{Attributes, GroupVersionKind, Operation};
pub(crate) use client_config::{Address, ClientConfig, ServiceAddresses};
pub use client_config::{WebhookCall, WebhookCaller, WebhookFailure};
pub(crate) use configuration::{client_problems, policy_problems, problems};
pub(crate) use dispatch::consult;
pub(crate) use policy::check as check_policies;
pub(crate) use registry::Registry;
pub(crate) use response::Denial;
pub(crate) use run::{Admission, Admitted, Phase};
