//! Reads and writes of one sandbox and its Pod at the API server, each with the preconditions
//! that keep a stale decision from doing harm.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client};
use serde_json::{Map, Value, json};
use torpor_api::{Checkpoint, Sandbox, SandboxStatus, SandboxTemplate, agent_sandbox, finalizer};

use crate::ReconcileError;
use crate::front::{Front, Fronted};
use crate::observe::Reading;

/// Seconds that a Pod with nothing to lose gets to end by itself.
const GRACE_SECONDS: u32 = 5;

/// The sandboxes of a front.
enum Sandboxes {
    Kruise(Api<Sandbox>),
    AgentSandbox(Api<agent_sandbox::Sandbox>),
}

impl Sandboxes {
    async fn get(&self, name: &str) -> Result<Option<Stored>, kube::Error> {
        Ok(match self {
            Self::Kruise(api) => api.get_opt(name).await?.map(Stored::of),
            Self::AgentSandbox(api) => api.get_opt(name).await?.map(Stored::of),
        })
    }

    async fn patch(&self, name: &str, patch: &Value) -> Result<(), kube::Error> {
        let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
        match self {
            Self::Kruise(api) => api.patch(name, &params, &patch).await.map(drop),
            Self::AgentSandbox(api) => api.patch(name, &params, &patch).await.map(drop),
        }
    }

    /// Answers with the sandbox as it was taken.
    async fn patch_status(&self, name: &str, patch: &Value) -> Result<Stored, kube::Error> {
        let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
        Ok(match self {
            Self::Kruise(api) => Stored::of(api.patch_status(name, &params, &patch).await?),
            Self::AgentSandbox(api) => Stored::of(api.patch_status(name, &params, &patch).await?),
        })
    }

    async fn delete(&self, name: &str, params: &DeleteParams) -> Result<(), kube::Error> {
        match self {
            Self::Kruise(api) => api.delete(name, params).await.map(drop),
            Self::AgentSandbox(api) => api.delete(name, params).await.map(drop),
        }
    }
}

/// A sandbox as it is stored.
pub(crate) struct Stored {
    /// How it is asked for.
    pub(crate) front: Front,
    /// As every front is read.
    pub(crate) sandbox: Sandbox,
    /// Its status in the words of its front.
    pub(crate) published: Map<String, Value>,
}

impl Stored {
    pub(crate) fn of<K: Fronted>(object: K) -> Self {
        let published = object.published();
        Self {
            front: K::FRONT,
            sandbox: object.into_sandbox(),
            published,
        }
    }
}

/// One sandbox at the API server.
pub(crate) struct SandboxApi {
    namespace: String,
    name: String,
    front: Front,
    sandboxes: Sandboxes,
    checkpoints: Api<Checkpoint>,
    pods: Api<Pod>,
    claims: Api<PersistentVolumeClaim>,
    services: Api<Service>,
    templates: Api<SandboxTemplate>,
}

impl SandboxApi {
    pub(crate) fn new(client: &Client, front: Front, namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            front,
            sandboxes: match front {
                Front::Kruise => Sandboxes::Kruise(Api::namespaced(client.clone(), namespace)),
                Front::AgentSandbox => Sandboxes::AgentSandbox(Api::namespaced(client.clone(), namespace)),
            },
            checkpoints: Api::namespaced(client.clone(), namespace),
            pods: Api::namespaced(client.clone(), namespace),
            claims: Api::namespaced(client.clone(), namespace),
            services: Api::namespaced(client.clone(), namespace),
            templates: Api::namespaced(client.clone(), namespace),
        }
    }

    pub(crate) fn front(&self) -> Front {
        self.front
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    pub(crate) async fn sandbox(&self) -> Result<Option<Stored>, ReconcileError> {
        let stored = self.sandboxes.get(&self.name).await;
        stored.map_err(ReconcileError::api("read the sandbox"))
    }

    /// Answers with the Checkpoint as it was taken.
    pub(crate) async fn create_checkpoint(&self, checkpoint: &Checkpoint) -> Result<Checkpoint, kube::Error> {
        self.checkpoints.create(&PostParams::default(), checkpoint).await
    }

    /// Deletes the Checkpoint of this UID. If another one has its name, it is gone.
    pub(crate) async fn delete_checkpoint(&self, name: &str, uid: String) -> Result<(), kube::Error> {
        let deleted = self.checkpoints.delete(name, &preconditions(Some(uid), None)).await;
        match deleted {
            Err(kube::Error::Api(status)) if status.is_conflict() => Ok(()),
            other => gone_is_fine(other.map(drop)),
        }
    }

    pub(crate) async fn pod(&self) -> Result<Option<Pod>, ReconcileError> {
        self.pods
            .get_opt(&self.name)
            .await
            .map_err(ReconcileError::api("read the Pod"))
    }

    pub(crate) async fn template(&self, name: &str) -> Result<Option<SandboxTemplate>, ReconcileError> {
        self.templates
            .get_opt(name)
            .await
            .map_err(ReconcileError::api("read the template"))
    }

    pub(crate) async fn claim(&self, name: &str) -> Result<Option<PersistentVolumeClaim>, ReconcileError> {
        self.claims
            .get_opt(name)
            .await
            .map_err(ReconcileError::api("read a volume claim"))
    }

    pub(crate) async fn service(&self) -> Result<Option<Service>, ReconcileError> {
        self.services
            .get_opt(&self.name)
            .await
            .map_err(ReconcileError::api("read the Service"))
    }

    /// Writes the status, unless the sandbox has changed since it was read; answers with the sandbox as it is then. `after` is in the words of the front,
    /// and says what `meant` does.
    ///
    /// # Errors
    /// Also when the server took it and dropped the record of the checkpoint.
    pub(crate) async fn write_status(
        &self,
        before: &Reading,
        after: &Map<String, Value>,
        meant: &SandboxStatus,
    ) -> Result<Stored, ReconcileError> {
        let patch = json!({
            "metadata": {"resourceVersion": before.sandbox.metadata.resource_version},
            "status": replacement(&before.published, after),
        });
        let written = self.sandboxes.patch_status(&self.name, &patch).await;
        let written = written.map_err(ReconcileError::api("write the status"))?;
        let kept = written.sandbox.status.as_ref();
        let kept = kept.map(|status| (status.phase, status.checkpoint.as_ref()));
        if kept == Some((meant.phase, meant.checkpoint.as_ref())) {
            Ok(written)
        } else {
            Err(ReconcileError::StatusDropped {
                api_version: self.front.api_version(),
            })
        }
    }

    pub(crate) async fn set_paused(&self, sandbox: &Sandbox) -> Result<(), ReconcileError> {
        self.patch(sandbox, self.front.pause_patch(), "ask for the pause").await
    }

    /// The list is replaced as a whole, so the precondition keeps finalizers of others.
    pub(crate) async fn add_finalizer(&self, sandbox: &Sandbox) -> Result<(), ReconcileError> {
        let mut names = sandbox.metadata.finalizers.clone().unwrap_or_default();
        names.push(finalizer::SANDBOX.to_owned());
        self.patch(sandbox, json!({"metadata": {"finalizers": names}}), "add the finalizer")
            .await
    }

    pub(crate) async fn remove_finalizer(&self, sandbox: &Sandbox) -> Result<(), ReconcileError> {
        let mut names = sandbox.metadata.finalizers.clone().unwrap_or_default();
        names.retain(|name| name != finalizer::SANDBOX);
        self.patch(
            sandbox,
            json!({"metadata": {"finalizers": names}}),
            "remove the finalizer",
        )
        .await
    }

    pub(crate) async fn delete_sandbox(&self, sandbox: &Sandbox) -> Result<(), ReconcileError> {
        let only_this = preconditions(sandbox.metadata.uid.clone(), sandbox.metadata.resource_version.clone());
        let deleted = self.sandboxes.delete(&self.name, &only_this).await;
        gone_is_fine(deleted).map_err(ReconcileError::api("delete the sandbox"))
    }

    /// Deletes the very Pod that was read.
    pub(crate) async fn delete_pod(&self, pod: &Pod) -> Result<(), ReconcileError> {
        let only_this = preconditions(pod.metadata.uid.clone(), None).grace_period(GRACE_SECONDS);
        let deleted = self.pods.delete(&self.name, &only_this).await;
        gone_is_fine(deleted.map(drop)).map_err(ReconcileError::api("delete the Pod"))
    }

    /// Creates the Pod. The answer of the API server is kept apart: a Pod that it will not take is no fault of the pass.
    pub(crate) async fn create_pod(&self, pod: &Pod) -> Result<(), kube::Error> {
        self.pods.create(&PostParams::default(), pod).await.map(drop)
    }

    /// Creates a volume claim; like that of the Pod, the answer is kept apart.
    pub(crate) async fn create_claim(&self, claim: &PersistentVolumeClaim) -> Result<(), kube::Error> {
        self.claims.create(&PostParams::default(), claim).await.map(drop)
    }

    pub(crate) async fn create_service(&self, service: &Service) -> Result<(), kube::Error> {
        self.services.create(&PostParams::default(), service).await.map(drop)
    }

    /// Deletes the Service that was read, by its UID.
    pub(crate) async fn delete_service(&self, uid: Option<String>) -> Result<(), kube::Error> {
        let deleted = self.services.delete(&self.name, &preconditions(uid, None)).await;
        gone_is_fine(deleted.map(drop))
    }

    async fn patch(&self, sandbox: &Sandbox, mut patch: Value, attempt: &'static str) -> Result<(), ReconcileError> {
        patch["metadata"]["resourceVersion"] = json!(sandbox.metadata.resource_version);
        let written = self.sandboxes.patch(&self.name, &patch).await;
        written.map_err(ReconcileError::api(attempt))
    }
}

fn preconditions(uid: Option<String>, resource_version: Option<String>) -> DeleteParams {
    DeleteParams {
        preconditions: Some(Preconditions { uid, resource_version }),
        ..DeleteParams::default()
    }
}

fn gone_is_fine(result: Result<(), kube::Error>) -> Result<(), kube::Error> {
    match result {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        other => other,
    }
}

/// The merge patch from one status to another. Fields are replaced as a whole, and those that
/// are gone are named, as a merge would keep them otherwise.
fn replacement(before: &Map<String, Value>, after: &Map<String, Value>) -> Value {
    let gone = before
        .keys()
        .filter(|name| !after.contains_key(*name))
        .map(|name| (name.clone(), Value::Null));
    let changed = after.iter().filter(|(name, new)| before.get(*name) != Some(new));
    let changed = changed.map(|(name, new)| match (before.get(name), new) {
        (Some(Value::Object(old)), Value::Object(new)) => (name.clone(), replacement(old, new)),
        _ => (name.clone(), new.clone()),
    });
    Value::Object(gone.chain(changed).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_is_gone_is_cleared_and_an_equal_one_is_left_out() {
        let fields = |value: Value| value.as_object().cloned().unwrap_or_default();
        let before = fields(json!({"a": 1, "b": {"x": 1, "y": 2}, "c": [1], "d": 4}));
        let after = fields(json!({"a": 1, "b": {"x": 3}, "c": [2]}));
        assert_eq!(
            replacement(&before, &after),
            json!({"b": {"x": 3, "y": null}, "c": [2], "d": null})
        );
    }
}
