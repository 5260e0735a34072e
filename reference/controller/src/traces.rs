//! A trace for each pause, resume and first start of a sandbox, with a span for each part and each step of it.
//!
//! ```text
//!  pause  ├── checkpoint ─────────────────────────────┼── release ─────────────────────────────────┤
//!             freeze · checkpoint · write_status        create_checkpoint · delete_pod · write_status
//! ```
//! Spans are those of `tracing` under the target [`TRACES`]; whoever subscribes to it can hand them on. They outlive the
//! passes that make them, but not the controller: one that is restarted says nothing of what it finds under way. Nobody
//! subscribed: nothing is kept.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kube::ResourceExt;
use torpor_api::{Sandbox, SandboxStatus};
use tracing::field::Empty;
use tracing::info_span;

use crate::span::{Mark, Outcome, Span, marks};

/// The target of the spans.
pub const TRACES: &str = "torpor::traces";

/// The spans under way.
#[derive(Debug, Default)]
pub(crate) struct Traces {
    /// By the UID of the sandbox.
    under_way: Mutex<HashMap<String, BTreeMap<Span, tracing::Span>>>,
}

impl Traces {
    /// Begins and ends spans, as the change from one status to the next says.
    pub(crate) fn follow(&self, sandbox: &Sandbox, before: &SandboxStatus, after: &SandboxStatus) {
        if !tracing::enabled!(target: TRACES, tracing::Level::INFO) {
            return;
        }
        let uid = sandbox.uid().unwrap_or_default();
        let mut under_way = self.lock();
        let spans = under_way.entry(uid.clone()).or_default();
        for mark in marks(before, after) {
            match mark {
                Mark::Begin(span) => {
                    let whole = span.whole().and_then(|whole| spans.get(&whole));
                    let begun = begin(sandbox, span.name(), whole);
                    spans.insert(span, begun);
                }
                Mark::End(span, Outcome::Success) => drop(spans.remove(&span)),
                Mark::End(span, Outcome::Failure) => {
                    if let Some(span) = spans.remove(&span) {
                        fail(&span, after.message.as_deref());
                    }
                }
                Mark::FailAll => {
                    for span in std::mem::take(spans).into_values() {
                        fail(&span, after.message.as_deref());
                    }
                }
                Mark::Forget => called_off(std::mem::take(spans)),
            }
        }
        if spans.is_empty() {
            under_way.remove(&uid);
        }
    }

    /// Ends the spans of a sandbox that is gone.
    pub(crate) fn forget(&self, uid: &str) {
        if let Some(spans) = self.lock().remove(uid) {
            called_off(spans);
        }
    }

    /// A step of what is under way; a span of nothing where nothing is.
    pub(crate) fn step(&self, sandbox: &Sandbox, name: &'static str) -> tracing::Span {
        if !tracing::enabled!(target: TRACES, tracing::Level::INFO) {
            return tracing::Span::none();
        }
        let under_way = self.lock();
        let spans = under_way.get(sandbox.metadata.uid.as_deref().unwrap_or_default());
        // The parts of a pause come after the pause.
        match spans.and_then(|spans| spans.last_key_value()) {
            Some((_, innermost)) => begin(sandbox, name, Some(innermost)),
            None => tracing::Span::none(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, BTreeMap<Span, tracing::Span>>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn begin(sandbox: &Sandbox, name: &'static str, parent: Option<&tracing::Span>) -> tracing::Span {
    info_span!(
        target: TRACES,
        parent: parent.and_then(tracing::Span::id),
        "sandbox",
        otel.name = name,
        otel.status_code = Empty,
        otel.status_description = Empty,
        k8s.namespace.name = sandbox.namespace(),
        torpor.sandbox.name = sandbox.name_any(),
        torpor.sandbox.uid = sandbox.uid(),
        torpor.called_off = Empty,
    )
}

fn called_off(spans: BTreeMap<Span, tracing::Span>) {
    for span in spans.into_values() {
        span.record("torpor.called_off", true);
    }
}

/// Says that what the span stands for failed.
pub(crate) fn fail(span: &tracing::Span, message: Option<&str>) {
    span.record("otel.status_code", "ERROR");
    span.record("otel.status_description", message.unwrap_or("no reason given"));
}
