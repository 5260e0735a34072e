//! What the command line says of logs and traces, and what holds where it says nothing.

use super::{Cli, Command};
use crate::telemetry::LogFormat;

impl Cli {
    /// The options by which another `torpor` logs as this one does.
    pub fn log_options(&self) -> Vec<String> {
        let said = self.log.clone().or_else(|| std::env::var("RUST_LOG").ok());
        let filter = said.map(|filter| format!("--log={filter}"));
        // The other writes into a pipe.
        let format = match self.log_format.unwrap_or_else(LogFormat::fitting) {
            LogFormat::Text => "--log-format=text".to_owned(),
            LogFormat::Json => "--log-format=json".to_owned(),
        };
        filter.into_iter().chain([format]).collect()
    }
}

impl Command {
    /// What is logged where nobody says. A control plane that is judged is meant to have much to complain of, and what came
    /// of it is in the report.
    pub fn usual_log(&self) -> &'static str {
        match self {
            Self::Conformance(_) | Self::Selftest(_) | Self::Sim(_) => "off",
            Self::Up(_)
            | Self::Report(_)
            | Self::Catalogue(_)
            | Self::Apiserver(_)
            | Self::Controller(_)
            | Self::Gateway(_)
            | Self::Agent(_)
            | Self::Bench(_)
            | Self::SandboxInit { .. }
            | Self::Checkpoint(_)
            | Self::Completions { .. } => "warn",
        }
    }

    /// Where traces go, if anywhere.
    pub fn collector(&self) -> Option<&url::Url> {
        match self {
            Self::Controller(args) => args.otlp_endpoint.as_ref(),
            Self::Up(_)
            | Self::Conformance(_)
            | Self::Selftest(_)
            | Self::Report(_)
            | Self::Catalogue(_)
            | Self::Sim(_)
            | Self::Apiserver(_)
            | Self::Gateway(_)
            | Self::Agent(_)
            | Self::Bench(_)
            | Self::SandboxInit { .. }
            | Self::Checkpoint(_)
            | Self::Completions { .. } => None,
        }
    }
}
