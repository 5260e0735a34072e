//! How a sandbox looks in an answer: the schemas of E2B, filled in from a `Sandbox` object.

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use torpor_api::{Sandbox, label};

use crate::{
    id::SandboxId,
    lifecycle::{self, Lifecycle},
    operation::{Visible, visible},
    quantity::Resources,
    state::{paused_at, started_at, state},
    timer::Timers,
    token::{TokenKey, TokenKind},
};

/// The envd version that is told to SDKs: it decides which calls they make.
pub(crate) const ENVD_VERSION: &str = "0.6.13";
/// E2B's id of the machine that runs a sandbox. There is none to tell here.
const CLIENT_ID: &str = "torpor";

/// Answer of create, connect and resume.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SandboxView {
    #[serde(rename = "templateID")]
    template_id: String,
    #[serde(rename = "sandboxID")]
    sandbox_id: String,
    #[serde(rename = "clientID")]
    client_id: &'static str,
    envd_version: &'static str,
    alias: String,
    envd_access_token: String,
    traffic_access_token: String,
    domain: Option<String>,
}

/// One element of a list.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListedSandbox {
    #[serde(rename = "templateID")]
    template_id: String,
    #[serde(rename = "sandboxID")]
    pub(crate) sandbox_id: String,
    #[serde(rename = "clientID")]
    client_id: &'static str,
    alias: String,
    pub(crate) started_at: Timestamp,
    end_at: Timestamp,
    cpu_count: u64,
    #[serde(rename = "memoryMB")]
    memory_mb: u64,
    #[serde(rename = "diskSizeMB")]
    disk_size_mb: u64,
    pub(crate) state: Visible,
    envd_version: &'static str,
    pub(crate) metadata: BTreeMap<String, String>,
}

impl ListedSandbox {
    /// Whether it was made from the template `name`, or asked for under that name.
    pub(crate) fn is_of_template(&self, name: &str) -> bool {
        self.template_id == name || self.alias == name
    }
}

/// Answer of a get.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SandboxDetail {
    #[serde(flatten)]
    listed: ListedSandbox,
    envd_access_token: String,
    domain: Option<String>,
    allow_internet_access: Option<bool>,
    lifecycle: LifecycleView,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LifecycleView {
    auto_resume: bool,
    on_timeout: &'static str,
}

/// What views need besides the object.
pub(crate) struct Viewer<'a> {
    pub(crate) tokens: &'a TokenKey,
    pub(crate) domain: Option<&'a str>,
    /// Stands in for the end of a run that has none: somebody resumed it without the gateway.
    pub(crate) max_timeout: Duration,
}

impl Viewer<'_> {
    /// How the sandbox `id` looks to who just created, connected to or resumed it.
    pub(crate) fn sandbox(&self, id: &SandboxId, sandbox: &Sandbox) -> SandboxView {
        let lifecycle = Lifecycle::of(sandbox);
        SandboxView {
            template_id: template_id(sandbox, &lifecycle),
            sandbox_id: id.to_string(),
            client_id: CLIENT_ID,
            envd_version: ENVD_VERSION,
            alias: lifecycle.alias,
            envd_access_token: self.tokens.token(TokenKind::Envd, id),
            traffic_access_token: self.tokens.token(TokenKind::Traffic, id),
            domain: self.domain.map(str::to_owned),
        }
    }

    /// How `sandbox` looks in a list, if it is to be seen.
    pub(crate) fn listed(&self, sandbox: &Sandbox) -> Option<ListedSandbox> {
        let visible = visible(&state(sandbox))?;
        let lifecycle = Lifecycle::of(sandbox);
        let resources = Resources::of(sandbox.spec.template.as_ref());
        let started_at = started_at(sandbox);
        Some(ListedSandbox {
            template_id: template_id(sandbox, &lifecycle),
            sandbox_id: sandbox.metadata.name.clone()?,
            client_id: CLIENT_ID,
            alias: lifecycle.alias,
            started_at,
            end_at: self.end_at(sandbox, visible, started_at),
            cpu_count: resources.cpu_count,
            memory_mb: resources.memory_mb,
            disk_size_mb: resources.disk_mb,
            state: visible,
            envd_version: ENVD_VERSION,
            metadata: lifecycle::metadata(sandbox),
        })
    }

    /// How the sandbox `id` looks in detail, if it is to be seen.
    pub(crate) fn detail(&self, id: &SandboxId, sandbox: &Sandbox) -> Option<SandboxDetail> {
        let listed = self.listed(sandbox)?;
        let lifecycle = Lifecycle::of(sandbox);
        let reachable = listed.state == Visible::Running;
        Some(SandboxDetail {
            listed,
            envd_access_token: self.tokens.token(TokenKind::Envd, id),
            domain: self.domain.filter(|_| reachable).map(str::to_owned),
            allow_internet_access: Some(true),
            lifecycle: LifecycleView {
                auto_resume: lifecycle.auto_resume,
                on_timeout: lifecycle.on_timeout.as_str(),
            },
        })
    }

    /// When the run ends, or when it ended in a pause.
    fn end_at(&self, sandbox: &Sandbox, visible: Visible, started_at: Timestamp) -> Timestamp {
        let latest = || {
            let max = SignedDuration::try_from(self.max_timeout).unwrap_or(SignedDuration::MAX);
            started_at.saturating_add(max).unwrap_or(Timestamp::MAX)
        };
        let paused_at = match visible {
            Visible::Paused => paused_at(sandbox),
            Visible::Running => None,
        };
        paused_at
            .or_else(|| Timers::of(&sandbox.spec).end())
            .unwrap_or_else(latest)
    }
}

/// The template a sandbox was made from; the label serves for those that the gateway did not create.
fn template_id(sandbox: &Sandbox, lifecycle: &Lifecycle) -> String {
    if !lifecycle.template.is_empty() {
        return lifecycle.template.clone();
    }
    let by_label = sandbox
        .metadata
        .labels
        .as_ref()
        .and_then(|labels| labels.get(label::TEMPLATE))
        .cloned();
    let by_reference = || {
        sandbox
            .spec
            .template_ref
            .as_ref()
            .map(|reference| reference.name.clone())
    };
    by_label.or_else(by_reference).unwrap_or_default()
}
