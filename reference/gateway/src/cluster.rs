//! Every write to, and every single read from, the Kubernetes API.
//!
//! A write names the version of the object that it was decided on, and is refused if that has changed.
//! What fails for a passing reason is tried again a few times.

use std::time::Duration;

use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions},
};
use serde_json::{Value, json};
use torpor_api::{Sandbox, SandboxTemplate, label};

use crate::{id::SandboxId, refusal::Refusal, template};

const FIELD_MANAGER: &str = "torpor-gateway";
/// A write that fails for a passing reason is sent this many times.
const ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The objects of one namespace.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) sandboxes: Api<Sandbox>,
    templates: Api<SandboxTemplate>,
}

/// How a write ended that was not refused for good.
#[derive(Debug)]
pub(crate) enum Written {
    Done(Box<Sandbox>),
    /// The object is not the one that the write was decided on.
    Stale,
}

impl Cluster {
    pub(crate) fn new(client: &Client, namespace: &str) -> Self {
        Self {
            sandboxes: Api::namespaced(client.clone(), namespace),
            templates: Api::namespaced(client.clone(), namespace),
        }
    }

    /// Reads the sandbox `id`, if it exists and is one of the gateway's.
    pub(crate) async fn get(&self, id: &SandboxId) -> Result<Option<Sandbox>, Refusal> {
        let found = retried(|| self.sandboxes.get_opt(id.as_str())).await.map_err(refusal)?;
        Ok(found.filter(|sandbox| {
            sandbox
                .metadata
                .labels
                .as_ref()
                .is_some_and(|labels| labels.contains_key(label::SANDBOX_ID))
        }))
    }

    /// Creates `sandbox`. `Stale` if there is one of its name.
    pub(crate) async fn create(&self, sandbox: &Sandbox) -> Result<Written, Refusal> {
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        // A conflict of a creation is one about something else: a quota that another creation has counted on meanwhile.
        let passing = |error: &kube::Error| is_passing(error) || is_conflict(error);
        match retried_if(passing, || self.sandboxes.create(&params, sandbox)).await {
            Ok(created) => Ok(Written::Done(Box::new(created))),
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(Written::Stale),
            Err(error) => Err(refusal(error)),
        }
    }

    /// Merges `patch` into `sandbox` as it was read.
    pub(crate) async fn patch(&self, sandbox: &Sandbox, mut patch: Value) -> Result<Written, Refusal> {
        patch["metadata"]["resourceVersion"] = json!(sandbox.metadata.resource_version);
        patch["metadata"]["uid"] = json!(sandbox.metadata.uid);
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let name = sandbox.metadata.name.as_deref().unwrap_or_default();
        let patch = Patch::Merge(patch);
        written(retried(|| self.sandboxes.patch(name, &params, &patch)).await)
    }

    /// Deletes `sandbox`; false if it is gone, or another one has its name.
    pub(crate) async fn delete(&self, sandbox: &Sandbox) -> Result<bool, Refusal> {
        let preconditions = Preconditions {
            uid: sandbox.metadata.uid.clone(),
            resource_version: None,
        };
        let params = DeleteParams {
            preconditions: Some(preconditions),
            ..DeleteParams::background()
        };
        let name = sandbox.metadata.name.as_deref().unwrap_or_default();
        match retried(|| self.sandboxes.delete(name, &params)).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(false),
            Err(error) => Err(refusal(error)),
        }
    }

    /// The template that `name` means.
    pub(crate) async fn template(&self, name: &str) -> Result<SandboxTemplate, Refusal> {
        if template::is_object_name(name) {
            let exact = retried(|| self.templates.get_opt(name)).await.map_err(refusal)?;
            if let Some(exact) = exact {
                return Ok(exact);
            }
        }
        let params = ListParams::default();
        let existing = retried(|| self.templates.list(&params)).await.map_err(refusal)?.items;
        template::resolve_alias(name, &existing)
            .cloned()
            .ok_or_else(|| unknown_template(name, &existing))
    }
}

fn unknown_template(name: &str, existing: &[SandboxTemplate]) -> Refusal {
    let mut names: Vec<_> = existing
        .iter()
        .filter_map(|template| template.metadata.name.as_deref())
        .collect();
    names.sort_unstable();
    names.truncate(10);
    let hint = if names.is_empty() {
        "no SandboxTemplate exists: create one with kubectl".to_owned()
    } else {
        format!("there are: {}", names.join(", "))
    };
    Refusal::TemplateNotFound {
        name: name.chars().take(80).collect(),
        hint,
    }
}

fn written(result: Result<Sandbox, kube::Error>) -> Result<Written, Refusal> {
    match result {
        Ok(sandbox) => Ok(Written::Done(Box::new(sandbox))),
        // Not found: deleted between the read and the write.
        Err(kube::Error::Api(status)) if status.code == 409 || status.is_not_found() => Ok(Written::Stale),
        Err(error) => Err(refusal(error)),
    }
}

/// Calls until it works, fails for good, or has failed [`ATTEMPTS`] times.
async fn retried<T, F>(call: impl FnMut() -> F) -> Result<T, kube::Error>
where
    F: Future<Output = Result<T, kube::Error>>,
{
    retried_if(is_passing, call).await
}

async fn retried_if<T, F>(passing: impl Fn(&kube::Error) -> bool, mut call: impl FnMut() -> F) -> Result<T, kube::Error>
where
    F: Future<Output = Result<T, kube::Error>>,
{
    let mut pause = FIRST_PAUSE;
    for _ in 1..ATTEMPTS {
        match call().await {
            Err(error) if passing(&error) => {
                tracing::debug!(%error, "call of the Kubernetes API failed, trying again");
            }
            result => return result,
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    call().await
}

/// Whether the same call may work a moment later.
fn is_passing(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => matches!(status.code, 429 | 500 | 502 | 503 | 504),
        kube::Error::HyperError(_) | kube::Error::Service(_) => true,
        _ => false,
    }
}

fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409 && !status.is_already_exists())
}

fn refusal(error: kube::Error) -> Refusal {
    let kube::Error::Api(status) = error else {
        return if is_passing(&error) {
            Refusal::Unavailable(error.to_string())
        } else {
            Refusal::Misconfigured(error.to_string())
        };
    };
    match status.code {
        403 if status.message.contains("exceeded quota") => Refusal::QuotaExceeded(status.message),
        400 | 413 | 422 => Refusal::Rejected(status.message),
        // Of a creation; other writes are decided on again.
        409 | 429 | 500..=599 => Refusal::Unavailable(status.message),
        _ => Refusal::Misconfigured(status.message),
    }
}
