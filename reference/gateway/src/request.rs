//! The bodies that SDKs send, and what must hold in them.
//!
//! Unknown fields are accepted: each SDK generation sends some that are of no meaning here. A known
//! field that asks for what the gateway cannot do is refused, never ignored.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;
use serde_json::{Map, Value};
use torpor_api::env;

use crate::{
    lifecycle::{Lifecycle, OnTimeout},
    refusal::Refusal,
};

/// Which generation of a route was called; they differ in the timeout of a call that names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ApiVersion {
    V1,
    V2,
}

impl ApiVersion {
    const fn default_timeout(self) -> i64 {
        match self {
            Self::V1 => 15,
            Self::V2 => 300,
        }
    }
}

/// Body of a create call.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NewSandbox {
    #[serde(rename = "templateID")]
    template_id: String,
    timeout: Option<i64>,
    auto_pause: Option<bool>,
    auto_pause_memory: Option<bool>,
    auto_resume: Option<AutoResume>,
    #[serde(rename = "allow_internet_access")]
    allow_internet_access: Option<bool>,
    network: Option<Network>,
    metadata: Option<BTreeMap<String, String>>,
    env_vars: Option<BTreeMap<String, String>>,
    mcp: Option<Value>,
    iam: Option<Value>,
    volume_mounts: Option<Vec<Value>>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct AutoResume {
    enabled: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Network {
    allow_public_traffic: Option<bool>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// Body of `…/connect`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(crate) struct ConnectSandbox {
    pub(crate) timeout: Option<i64>,
    pub(crate) memory: Option<bool>,
}

/// Body of `…/resume`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ResumeSandbox {
    pub(crate) timeout: Option<i64>,
    pub(crate) auto_pause: Option<bool>,
    pub(crate) memory: Option<bool>,
}

/// Body of `…/pause`. `requireHealthyGuest` needs no field: a pause never goes on without the agent.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(crate) struct PauseSandbox {
    pub(crate) memory: Option<bool>,
}

/// Body of `…/timeout`.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct SetTimeout {
    pub(crate) timeout: i64,
}

/// Body of `…/refreshes`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(crate) struct Refresh {
    pub(crate) duration: Option<i64>,
}

/// A create call that was found to be in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Creation {
    pub(crate) template: String,
    pub(crate) timeout: Duration,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) env: BTreeMap<String, String>,
    /// `template`, `alias` and `request_digest` are filled in once they are known.
    pub(crate) lifecycle: Lifecycle,
}

impl NewSandbox {
    /// Checks the call.
    ///
    /// # Errors
    /// On the first field that is wrong or asks for what is not supported.
    pub(crate) fn check(self, version: ApiVersion, max_timeout: Duration) -> Result<Creation, Refusal> {
        if self.template_id.is_empty() {
            return Err(Refusal::invalid("field \"templateID\"", "it is empty"));
        }
        self.refuse_unsupported()?;
        let auto_pause = self.auto_pause.unwrap_or(false);
        let auto_resume = self.auto_resume.is_some_and(|auto| auto.enabled);
        let timeout = positive_timeout(self.timeout, version.default_timeout(), max_timeout)?;
        let env = self.env_vars.unwrap_or_default();
        env.keys().try_for_each(|name| check_env_name(name))?;
        let network = self.network.unwrap_or_default();
        let lifecycle = Lifecycle {
            on_timeout: if auto_pause { OnTimeout::Pause } else { OnTimeout::Kill },
            timeout_seconds: timeout.as_secs(),
            auto_resume,
            private_traffic: network.allow_public_traffic == Some(false),
            alias: self.template_id.clone(),
            ..Lifecycle::default()
        };
        let metadata = self.metadata.unwrap_or_default();
        Ok(Creation {
            template: self.template_id,
            timeout,
            metadata,
            env,
            lifecycle,
        })
    }

    fn refuse_unsupported(&self) -> Result<(), Refusal> {
        let restricts = |network: &Network| network.rest.values().any(is_meaningful);
        let wanted = [
            (
                self.auto_pause_memory == Some(false),
                "a pause without memory (autoPauseMemory: false)",
                "leave it out",
            ),
            (
                self.allow_internet_access == Some(false),
                "a sandbox without internet access",
                "use a NetworkPolicy",
            ),
            (
                self.network.as_ref().is_some_and(restricts),
                "a network restriction",
                "use a NetworkPolicy",
            ),
            (
                self.mcp.as_ref().is_some_and(is_meaningful),
                "an MCP gateway (mcp)",
                "leave it out",
            ),
            (
                self.iam.as_ref().is_some_and(is_meaningful),
                "workload identity (iam)",
                "leave it out",
            ),
            (
                self.volume_mounts.as_ref().is_some_and(|mounts| !mounts.is_empty()),
                "a volume mount per sandbox (volumeMounts)",
                "put the volume into the SandboxTemplate",
            ),
        ];
        let refused = wanted.into_iter().find(|(wanted, ..)| *wanted);
        refused.map_or(Ok(()), |(_, feature, hint)| Err(Refusal::Unsupported { feature, hint }))
    }
}

fn is_meaningful(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(_) => true,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => fields.values().any(is_meaningful),
    }
}

fn check_env_name(name: &str) -> Result<(), Refusal> {
    let problem = if name.is_empty() || name.contains(['=', '\0']) {
        "a name is not empty and holds no '='"
    } else if name.starts_with(env::PREFIX) {
        "names that start with TORPOR_ are taken"
    } else {
        return Ok(());
    };
    Err(Refusal::invalid(format!("field \"envVars.{name}\""), problem))
}

/// A timeout that has to be positive.
///
/// # Errors
/// If it is zero, negative or longer than `max`.
pub(crate) fn positive_timeout(asked: Option<i64>, default: i64, max: Duration) -> Result<Duration, Refusal> {
    let seconds = asked.unwrap_or(default);
    if seconds <= 0 {
        return Err(Refusal::invalid(
            "field \"timeout\"",
            format!("{seconds} s is not positive"),
        ));
    }
    bounded_timeout("timeout", seconds, max)
}

/// A timeout of which zero and everything below means now.
///
/// # Errors
/// If it is longer than `max`.
pub(crate) fn bounded_timeout(field: &str, seconds: i64, max: Duration) -> Result<Duration, Refusal> {
    let timeout = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    if timeout > max {
        let hours = max.as_secs() / 3600;
        let problem = format!("Timeout cannot be greater than {hours} hours");
        return Err(Refusal::invalid(format!("field {field:?}"), problem));
    }
    Ok(timeout)
}

/// The timeout of a connect or resume call.
///
/// # Errors
/// As [`positive_timeout`]; also if the older route, which asks for a timeout, is given none.
pub(crate) fn connect_timeout(asked: Option<i64>, version: ApiVersion, max: Duration) -> Result<Duration, Refusal> {
    match (version, asked) {
        (ApiVersion::V1, None) => Err(Refusal::invalid("field \"timeout\"", "it is missing")),
        (ApiVersion::V1 | ApiVersion::V2, asked) => positive_timeout(asked, 300, max),
    }
}

/// The timeout of a call of the older resume route.
///
/// # Errors
/// As [`positive_timeout`].
pub(crate) fn resume_timeout(asked: Option<i64>, max: Duration) -> Result<Duration, Refusal> {
    positive_timeout(asked, ApiVersion::V1.default_timeout(), max)
}

/// Refuses `memory: false`: every pause and every resume here is one of the whole context.
///
/// # Errors
/// If it is false.
pub(crate) fn require_memory(memory: Option<bool>) -> Result<(), Refusal> {
    if memory == Some(false) {
        let feature = "a pause or resume of the files alone (memory: false)";
        return Err(Refusal::Unsupported {
            feature,
            hint: "leave \"memory\" out",
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body;

    const DAY: Duration = Duration::from_hours(24);

    fn check(text: &str, version: ApiVersion) -> Result<Creation, Refusal> {
        body::parse::<NewSandbox>(text.as_bytes())?.check(version, DAY)
    }

    #[test]
    fn the_body_of_the_beta_sdk_is_accepted() {
        let text = r#"{"templateID":"code-interpreter","allow_internet_access":true,"autoPause":true,"envVars":{},
            "metadata":{},"secure":true,"timeout":600}"#;
        let creation = check(text, ApiVersion::V1).unwrap();
        assert_eq!(creation.timeout, Duration::from_mins(10));
        assert_eq!(creation.lifecycle.on_timeout, OnTimeout::Pause);
    }

    #[test]
    fn a_missing_timeout_depends_on_the_route() {
        let timeout = |version| check(r#"{"templateID":"base"}"#, version).unwrap().timeout.as_secs();
        assert_eq!((timeout(ApiVersion::V1), timeout(ApiVersion::V2)), (15, 300));
    }

    #[test]
    fn a_timeout_that_is_not_positive_or_too_long_is_refused() {
        for timeout in ["0", "-1", "86401", "9223372036854775807"] {
            let refusal = check(
                &format!(r#"{{"templateID":"base","timeout":{timeout}}}"#),
                ApiVersion::V2,
            )
            .unwrap_err();
            assert_eq!(refusal.status(), 400, "{timeout}");
        }
        assert!(check(r#"{"templateID":"base","timeout":86400}"#, ApiVersion::V2).is_ok());
    }

    #[test]
    fn what_the_gateway_cannot_do_is_refused_and_what_means_nothing_is_not() {
        for field in [
            r#""autoPauseMemory":false"#,
            r#""allow_internet_access":false"#,
            r#""network":{"denyOut":["1.1.1.1"]}"#,
            r#""mcp":{"github":{"token":"x"}}"#,
            r#""volumeMounts":[{"name":"v","path":"/v"}]"#,
        ] {
            let refusal = check(&format!(r#"{{"templateID":"base",{field}}}"#), ApiVersion::V2).unwrap_err();
            assert_eq!(refusal.status(), 501, "{field}");
        }
        for field in [
            r#""network":{"denyOut":[],"rules":null}"#,
            r#""mcp":null"#,
            r#""volumeMounts":[]"#,
            r#""x":1"#,
        ] {
            assert!(
                check(&format!(r#"{{"templateID":"base",{field}}}"#), ApiVersion::V2).is_ok(),
                "{field}"
            );
        }
    }

    #[test]
    fn environment_names_that_the_platform_uses_are_refused() {
        for name in ["TORPOR_STORE", "", "A=B"] {
            let text = format!(r#"{{"templateID":"base","envVars":{{"{name}":"x"}}}}"#);
            assert_eq!(check(&text, ApiVersion::V2).unwrap_err().status(), 400, "{name:?}");
        }
    }

    #[test]
    fn a_missing_template_is_told_by_name() {
        assert!(
            check("{}", ApiVersion::V2)
                .unwrap_err()
                .to_string()
                .contains("templateID")
        );
        assert_eq!(check(r#"{"templateID":""}"#, ApiVersion::V2).unwrap_err().status(), 400);
    }

    #[test]
    fn a_negative_timeout_of_a_running_sandbox_means_now() {
        assert_eq!(bounded_timeout("timeout", -5, DAY), Ok(Duration::ZERO));
    }
}
