//! How the suite touches a target: each front and each source of numbers, one file.
//!
//! Probes say what they saw. What it should have been, scenarios and oracles decide.

mod census;
mod cluster;
mod e2b;
mod event;
mod execution;
mod execution_stream;
mod finalizers;
mod http;
mod log_counter;
mod namespace;
mod process_stream;
mod prometheus;
mod room;
mod storage;
mod table;
mod usage;

pub(crate) use cluster::{Cluster, IN_THE_FOREGROUND};
pub(crate) use e2b::{Address, Answer, Call, E2bClient};
pub(crate) use event::EventSeen;
pub(crate) use execution::Execution;
pub(crate) use execution_stream::ExecutionStream;
pub use http::{Authorities, AuthoritiesError};
pub(crate) use http::{Http, HttpBody as Body, HttpError, HttpRequest, Way};
pub(crate) use log_counter::{last_number, unbroken_count};
pub(crate) use process_stream::{ProcessDecoder, ProcessEvent, framed};
#[cfg(test)]
pub(crate) use prometheus::parse as parse_metrics;
pub(crate) use prometheus::{Sample, fetch as fetch_metrics};
pub(crate) use room::Room;
pub(crate) use storage::{Original, bytes_of, damage, repair};
pub use usage::nodes_show_usage;
pub(crate) use usage::{PodSeriesName, pod_usage};

/// Why a step did not do what it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The target did not keep its word.
    Claim(String),
    /// The suite could not find out.
    Harness(String),
    /// What it takes to find out is missing, although it was claimed.
    Untestable(String),
}

impl Fault {
    pub(crate) fn harness(what: &str, error: impl std::error::Error) -> Self {
        Self::Harness(format!("{what}: {}", chain(&error)))
    }

    pub(crate) fn message(&self) -> &str {
        match self {
            Self::Claim(message) | Self::Harness(message) | Self::Untestable(message) => message,
        }
    }
}

/// An error with its sources, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    text
}
