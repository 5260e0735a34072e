//! An adapter of commands: each reads a request as JSON and prints its answer as JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Output, Stdio};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::{Adapter, AdapterCall, AdapterError, Slot, Subject, Usage};
use crate::scenario::Span;

/// The version of the requests.
const VERSION: u32 = 1;

/// A command of a profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Hook {
    /// The program and its arguments. It runs in the folder and with the environment of the suite.
    #[schemars(length(min = 1))]
    pub command: Vec<String>,
    /// How long it may take.
    #[serde(default = "half_a_minute")]
    pub timeout: Span,
}

fn half_a_minute() -> Span {
    Span::seconds(30)
}

/// The commands of a profile as an adapter.
#[derive(Clone, Debug)]
pub struct ExecHooks(BTreeMap<AdapterCall, Hook>);

impl ExecHooks {
    /// The adapter of these commands.
    #[must_use]
    pub const fn new(hooks: BTreeMap<AdapterCall, Hook>) -> Self {
        Self(hooks)
    }

    async fn call<T: DeserializeOwned>(&self, call: AdapterCall, request: &Request<'_>) -> Result<T, AdapterError> {
        let hook = self.0.get(&call).ok_or(AdapterError::Missing(call))?;
        let broken = |why: String| AdapterError::Broken { call, why };
        let text = serde_json::to_vec(request).map_err(|error| broken(format!("write the request: {error}")))?;
        let limit = hook.timeout;
        let output = tokio::time::timeout(limit.duration(), run(hook, &text)).await;
        let output = output.map_err(|_| broken(format!("`{}` did not end within {limit}", hook.command.join(" "))))?;
        answer(call, hook, &output.map_err(broken)?)
    }
}

/// What a command reads on its standard input.
#[derive(Debug, Serialize)]
struct Request<'a> {
    version: u32,
    call: &'static str,
    sandbox: &'a Subject,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    slot: Option<&'a Slot>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
}

impl<'a> Request<'a> {
    const fn new(call: AdapterCall, sandbox: &'a Subject) -> Self {
        Self {
            version: VERSION,
            call: call.as_str(),
            sandbox,
            slot: None,
            value: None,
        }
    }
}

async fn run(hook: &Hook, request: &[u8]) -> Result<Output, String> {
    let shown = hook.command.join(" ");
    let (program, args) = hook.command.split_first().ok_or("`command` is empty: name a program")?;
    let started = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = started.map_err(|error| format!("start `{shown}`: {error}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that needs no request may close its input without reading it.
        let _ = stdin.write_all(request).await;
    }
    let ended = child.wait_with_output().await;
    ended.map_err(|error| format!("wait for `{shown}`: {error}"))
}

/// Reads what a command printed: the answer, or `{"refused": "why"}`.
fn answer<T: DeserializeOwned>(call: AdapterCall, hook: &Hook, output: &Output) -> Result<T, AdapterError> {
    #[derive(Deserialize)]
    struct Refusal {
        refused: String,
    }
    let shown = hook.command.join(" ");
    let broken = |why: String| Err(AdapterError::Broken { call, why });
    let said = |bytes: &[u8]| {
        String::from_utf8_lossy(bytes)
            .trim()
            .chars()
            .take(400)
            .collect::<String>()
    };
    if !output.status.success() {
        return broken(format!(
            "`{shown}` ended with {}: {}",
            output.status,
            said(&output.stderr)
        ));
    }
    if let Ok(Refusal { refused }) = serde_json::from_slice(&output.stdout) {
        return Err(AdapterError::Refused { call, why: refused });
    }
    serde_json::from_slice(&output.stdout).or_else(|error| {
        let printed = said(&output.stdout);
        broken(format!(
            "`{shown}` printed no answer to {}: {error}: {printed:?}",
            call.as_str()
        ))
    })
}

/// An answer that says no more than that it is done.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Done {}

/// The answer to a read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    /// Must be there: an answer that forgot it is no value that is missing.
    #[serde(deserialize_with = "Option::deserialize")]
    value: Option<String>,
}

#[async_trait]
impl Adapter for ExecHooks {
    fn calls(&self) -> BTreeSet<AdapterCall> {
        self.0.keys().copied().collect()
    }

    async fn probe_write(&self, sandbox: &Subject, slot: &Slot, value: &str) -> Result<(), AdapterError> {
        let call = AdapterCall::ProbeWrite;
        let request = Request {
            slot: Some(slot),
            value: Some(value),
            ..Request::new(call, sandbox)
        };
        self.call::<Done>(call, &request).await.map(|_: Done| ())
    }

    async fn probe_read(&self, sandbox: &Subject, slot: &Slot) -> Result<Option<String>, AdapterError> {
        let call = AdapterCall::ProbeRead;
        let request = Request {
            slot: Some(slot),
            ..Request::new(call, sandbox)
        };
        self.call::<Read>(call, &request).await.map(|read| read.value)
    }

    async fn usage(&self, sandbox: &Subject) -> Result<Usage, AdapterError> {
        let call = AdapterCall::Usage;
        self.call(call, &Request::new(call, sandbox)).await
    }

    async fn pause(&self, sandbox: &Subject) -> Result<(), AdapterError> {
        let call = AdapterCall::Pause;
        self.call::<Done>(call, &Request::new(call, sandbox))
            .await
            .map(|_: Done| ())
    }

    async fn resume(&self, sandbox: &Subject) -> Result<(), AdapterError> {
        let call = AdapterCall::Resume;
        self.call::<Done>(call, &Request::new(call, sandbox))
            .await
            .map(|_: Done| ())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::adapter::Facet;

    fn hooks(call: AdapterCall, script: &str, timeout: u64) -> ExecHooks {
        let hook = Hook {
            command: ["sh", "-c", script].map(str::to_owned).to_vec(),
            timeout: Span::seconds(timeout),
        };
        ExecHooks::new([(call, hook)].into())
    }

    fn subject() -> Subject {
        Subject {
            namespace: "n".to_owned(),
            name: "s".to_owned(),
            uid: "u".to_owned(),
            pod: "s-0".to_owned(),
        }
    }

    async fn read(script: &str, timeout: u64) -> Result<Option<String>, AdapterError> {
        let slot = Slot {
            facet: Facet::Memory,
            key: "k".to_owned(),
        };
        hooks(AdapterCall::ProbeRead, script, timeout)
            .probe_read(&subject(), &slot)
            .await
    }

    #[tokio::test]
    async fn a_command_gets_the_request_and_gives_the_answer() {
        let echoed = read(
            r#"read line; printf '{"value": "%s"}' "$(printf %s "$line" | sed 's/"/./g')""#,
            30,
        )
        .await;
        let request = echoed.unwrap().unwrap();
        for part in [
            ".version.:1",
            ".call.:.probe-read.",
            ".pod.:.s-0.",
            ".facet.:.memory.",
            ".key.:.k.",
        ] {
            assert!(request.contains(part), "{part} is not in {request}");
        }
        assert_eq!(read(r#"echo '{"value": null}'"#, 30).await, Ok(None));
    }

    #[tokio::test]
    async fn what_is_no_answer_is_a_fault_of_the_adapter_that_says_what_to_mend() {
        let cases = [
            ("echo nonsense", 30, "printed no answer to probe-read"),
            ("echo '{}'", 30, "missing field `value`"),
            ("echo 'no such file' >&2; exit 7", 30, "exit status: 7: no such file"),
            ("exec tail -f /dev/null", 1, "did not end within 1s"),
        ];
        for (script, timeout, why) in cases {
            let error = read(script, timeout).await.unwrap_err();
            assert!(matches!(error, AdapterError::Broken { .. }), "{error:?}");
            assert!(error.to_string().contains(why), "{error}");
        }
    }

    #[tokio::test]
    async fn a_refusal_is_a_finding_about_the_target() {
        let refused = read(r#"echo '{"refused": "the guest does not answer"}'"#, 30)
            .await
            .unwrap_err();
        assert_eq!(refused.to_string(), "probe-read was refused: the guest does not answer");
        assert!(matches!(refused, AdapterError::Refused { .. }));
    }

    #[tokio::test]
    async fn a_call_without_a_command_is_named() {
        let error = hooks(AdapterCall::Usage, "true", 30)
            .pause(&subject())
            .await
            .unwrap_err();
        assert_eq!(error, AdapterError::Missing(AdapterCall::Pause));
    }
}
