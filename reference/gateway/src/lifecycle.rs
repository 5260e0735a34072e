//! What a sandbox was created with and keeps for life, as it is stored on its object.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use torpor_api::{Sandbox, annotation};

/// What happens when the timeout of a running sandbox ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnTimeout {
    /// It is paused. The default for a sandbox that was not created through the gateway: it loses nothing.
    #[default]
    Pause,
    /// It is deleted.
    Kill,
}

impl OnTimeout {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Kill => "kill",
        }
    }
}

/// The content of the annotation [`annotation::E2B_LIFECYCLE`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Lifecycle {
    /// Applies to each timeout of its life, before and after each pause.
    pub(crate) on_timeout: OnTimeout,
    /// The timeout at creation, in seconds; a wake by traffic gives it at least this again.
    pub(crate) timeout_seconds: u64,
    /// Whether traffic wakes it.
    pub(crate) auto_resume: bool,
    /// Whether its ports other than those of the agent ask for the traffic token.
    pub(crate) private_traffic: bool,
    /// The name of the `SandboxTemplate` it was made from.
    pub(crate) template: String,
    /// The template name that the creator asked for.
    pub(crate) alias: String,
    /// Digest of the creating request, if that carried an idempotency key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) request_digest: Option<String>,
}

impl Lifecycle {
    /// The least timeout after a wake by traffic.
    const WAKE_MINIMUM: Duration = Duration::from_mins(5);

    /// What is stored on `sandbox`; the defaults where nothing readable is.
    pub(crate) fn of(sandbox: &Sandbox) -> Self {
        json_annotation(sandbox, annotation::E2B_LIFECYCLE)
    }

    /// The timeout that a wake by traffic gives.
    pub(crate) fn wake_timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds).max(Self::WAKE_MINIMUM)
    }
}

/// The E2B metadata of `sandbox`.
pub(crate) fn metadata(sandbox: &Sandbox) -> BTreeMap<String, String> {
    json_annotation(sandbox, annotation::E2B_METADATA)
}

fn json_annotation<T: Default + for<'a> Deserialize<'a>>(sandbox: &Sandbox, key: &str) -> T {
    let text = sandbox
        .metadata
        .annotations
        .as_ref()
        .and_then(|annotations| annotations.get(key));
    text.and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_annotation(text: &str) -> Sandbox {
        let mut sandbox = Sandbox::default();
        sandbox.metadata.annotations = Some(BTreeMap::from([(
            annotation::E2B_LIFECYCLE.to_owned(),
            text.to_owned(),
        )]));
        sandbox
    }

    #[test]
    fn what_is_stored_reads_back() {
        let stored = Lifecycle {
            on_timeout: OnTimeout::Kill,
            timeout_seconds: 600,
            ..Lifecycle::default()
        };
        assert_eq!(
            Lifecycle::of(&with_annotation(&serde_json::to_string(&stored).unwrap())),
            stored
        );
    }

    #[test]
    fn an_unreadable_annotation_never_leads_to_deletion() {
        assert_eq!(Lifecycle::of(&with_annotation("{")).on_timeout, OnTimeout::Pause);
        assert_eq!(Lifecycle::of(&Sandbox::default()).on_timeout, OnTimeout::Pause);
    }

    #[test]
    fn a_wake_gives_the_creation_timeout_but_at_least_five_minutes() {
        let with = |timeout_seconds| {
            Lifecycle {
                timeout_seconds,
                ..Lifecycle::default()
            }
            .wake_timeout()
        };
        assert_eq!(with(15), Duration::from_mins(5));
        assert_eq!(with(900), Duration::from_mins(15));
    }
}
