//! Where a report comes from: what was run, how, against what, and on what.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::limits::Limits;
use crate::profile::Profile;
use crate::run::RunOptions;
use crate::suite::{Filter, Suite};
use crate::target::Target;

use super::digest::{digest, digest_of};

/// What a run was made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Provenance {
    /// When the run began.
    #[schemars(with = "String")]
    pub started_at: Timestamp,
    /// Digest over the catalogue and all scenarios, those of the vendor included.
    pub suite_digest: String,
    /// Cases that the suite has, whatever the options took of them.
    pub suite_cases: usize,
    /// Digest over the profile by which the target was read.
    pub profile_digest: String,
    /// How it was run.
    pub options: OptionFacts,
    /// What the target was said to be.
    pub declared: TargetFacts,
    /// What the run was made on.
    pub environment: Environment,
}

/// The options of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OptionFacts {
    /// Cases at the same time.
    pub jobs: usize,
    /// What was asked for; empty means everything.
    pub filter: Vec<String>,
    /// Whether the run went on after a failure.
    pub keep_going: bool,
    /// How often each case was run.
    pub repeat: u32,
    /// Whether cases of features that the target does not claim were tried.
    pub try_unclaimed: bool,
    /// Only cases that have one of these labels; empty means whatever labels they have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// How long the target was given, by kind of wait.
    #[serde(default)]
    pub limits: Limits,
    /// Cases, scenarios and requirements that were left out, each with why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub skips: BTreeMap<String, String>,
}

/// What the owner of a target said of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetFacts {
    /// Namespace of its custom resources, where it has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Host and port of its E2B API, where it has one. Never user or key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub e2b: Option<String>,
    /// The longest that a single change of state was given, in seconds.
    #[serde(serialize_with = "super::seconds")]
    pub patience_seconds: f64,
    /// Anything else that is known of it, such as its engine.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<String, String>,
}

/// What a run was made on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Environment {
    /// The machine that the suite ran on.
    pub suite: MachineFacts,
    /// The cluster, where there is one that answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterFacts>,
}

/// A machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MachineFacts {
    /// Operating system, e.g. `linux`.
    pub os: String,
    /// Processor architecture, e.g. `x86_64`.
    pub architecture: String,
    /// Release of the kernel, where it could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// What `criu --version` says, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub criu: Option<String>,
    /// Processors that the suite may use.
    pub processors: usize,
    /// Seconds of the run in which the suite itself was held up, since its machine was busy with something else. Limits
    /// were that much longer.
    #[serde(default, skip_serializing_if = "is_none")]
    pub held_up_seconds: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls")]
const fn is_none(seconds: &u64) -> bool {
    *seconds == 0
}

/// A cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterFacts {
    /// `gitVersion` of its API server.
    pub version: String,
    /// Platform of its API server.
    pub platform: String,
    /// Kinds of nodes and how many there are of each; absent when the suite may not list them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<Vec<NodeFacts>>,
}

/// Nodes that are alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeFacts {
    /// Release of the kernel.
    pub kernel: String,
    /// Container runtime and its version.
    pub container_runtime: String,
    /// Version of the kubelet.
    pub kubelet: String,
    /// Processor architecture.
    pub architecture: String,
    /// How many.
    pub count: usize,
}

impl Provenance {
    /// What is known once the environment was looked at.
    #[must_use]
    pub(crate) fn new(
        suite: &Suite,
        target: &Target,
        options: &RunOptions,
        environment: Environment,
        started_at: Timestamp,
    ) -> Self {
        Self {
            started_at,
            suite_digest: suite.digest(),
            suite_cases: suite.select(&Filter::default()).len(),
            profile_digest: target.profile.digest(),
            options: OptionFacts {
                jobs: options.jobs,
                filter: options.filter.any_of.clone(),
                labels: options.filter.labels.clone(),
                limits: *target.limits(),
                keep_going: options.keep_going,
                repeat: options.repeat,
                try_unclaimed: options.try_unclaimed,
                skips: options
                    .skips
                    .iter()
                    .map(|skip| (skip.id.clone(), skip.reason.clone()))
                    .collect(),
            },
            declared: TargetFacts::of(target, options),
            environment,
        }
    }
}

impl TargetFacts {
    fn of(target: &Target, options: &RunOptions) -> Self {
        let place = |endpoint: &crate::target::E2bEndpoint| {
            let host = endpoint.url.host_str().unwrap_or_default();
            endpoint
                .url
                .port()
                .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
        };
        Self {
            namespace: target
                .kubernetes
                .as_ref()
                .map(|kubernetes| kubernetes.namespace.clone()),
            e2b: target.e2b.as_ref().map(place),
            patience_seconds: target.limits().longest_change().as_secs_f64(),
            facts: options.facts.clone(),
        }
    }
}

impl Suite {
    /// A digest over the catalogue and every scenario: two suites with the same one ask the same.
    #[must_use]
    pub fn digest(&self) -> String {
        let parts = self.scenarios.values().map(|scenario| digest_of(scenario.as_ref()));
        let all: Vec<String> = [digest_of(&self.catalogue)].into_iter().chain(parts).collect();
        digest(all.join("\n").as_bytes())
    }
}

impl Profile {
    /// A digest over everything the profile says.
    #[must_use]
    pub fn digest(&self) -> String {
        digest_of(self)
    }
}
