//! A namespace that comes and goes with a run.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

use crate::profile::Dialect;

/// The label of everything that a run makes for itself; its value is the run.
pub const RUN_LABEL: &str = "torpor.dev/run";

/// How long to rest between two looks.
const POLL: Duration = Duration::from_millis(100);

/// A namespace of a run.
#[derive(Clone)]
pub struct OwnNamespace {
    client: Client,
    name: String,
}

impl std::fmt::Debug for OwnNamespace {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("OwnNamespace")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl OwnNamespace {
    /// Makes one with a name that no other run has.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn create(client: &Client) -> kube::Result<Self> {
        let name = format!("torpor-{:08x}", rand::random::<u32>());
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let labels = [
            (
                "app.kubernetes.io/managed-by".to_owned(),
                "torpor-conformance".to_owned(),
            ),
            (RUN_LABEL.to_owned(), name.clone()),
        ];
        let mut namespace = Namespace::default();
        namespace.metadata.name = Some(name.clone());
        namespace.metadata.labels = Some(labels.into());
        namespaces.create(&PostParams::default(), &namespace).await?;
        Ok(Self {
            client: client.clone(),
            name,
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Deletes the sandboxes, waits until they and their Pods are gone, and deletes the
    /// namespace; gives what is still there when `patience` is over.
    ///
    /// Finalizers go along with the namespace's own objects: nobody else has any business here.
    pub async fn leave(self, dialect: &Dialect, patience: Duration) -> Vec<String> {
        let deadline = Instant::now() + patience;
        let sandboxes: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &self.name, &dialect.api_resource());
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.name);
        for sandbox in sandboxes.list(&ListParams::default()).await.into_iter().flatten() {
            let name = sandbox.name_any();
            let _ = sandboxes.delete(&name, &DeleteParams::default()).await;
        }
        let mut remaining = Vec::new();
        let mut looks = tokio::time::interval(POLL);
        loop {
            looks.tick().await;
            // What hangs on finalizers of the suite's own cases waits for nobody.
            release(&sandboxes).await;
            release(&pods).await;
            let found = names_of(&sandboxes, &dialect.kind).await;
            remaining.clear();
            remaining.extend(found);
            remaining.extend(names_of(&pods, "Pod").await);
            if remaining.is_empty() || Instant::now() >= deadline {
                break;
            }
        }
        remaining.extend(self.delete(deadline).await);
        remaining
    }

    async fn delete(&self, deadline: Instant) -> Option<String> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let described = |why: &str| Some(format!("namespace {}: {why}", self.name));
        match namespaces.delete(&self.name, &DeleteParams::default()).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => return None,
            Err(error) => return described(&error.to_string()),
        }
        let mut looks = tokio::time::interval(POLL);
        loop {
            looks.tick().await;
            match namespaces.get_opt(&self.name).await {
                Ok(None) => return None,
                Ok(Some(namespace)) if Instant::now() >= deadline => {
                    let conditions = namespace
                        .status
                        .and_then(|status| status.conditions)
                        .unwrap_or_default();
                    let said: Vec<_> = conditions
                        .into_iter()
                        .filter(|condition| condition.status == "True")
                        .filter_map(|condition| condition.message)
                        .collect();
                    return described(&format!("still terminating {}", said.join("; ")));
                }
                Err(error) if Instant::now() >= deadline => return described(&error.to_string()),
                Ok(Some(_)) | Err(_) => {}
            }
        }
    }
}

/// Takes the finalizers that cases set from what is being deleted.
async fn release<K>(api: &Api<K>)
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    for object in api.list(&ListParams::default()).await.into_iter().flatten() {
        let finalizers = object.finalizers();
        let others: Vec<_> = finalizers
            .iter()
            .filter(|name| !name.starts_with("example.com/"))
            .collect();
        if others.len() < finalizers.len() {
            let patch = json!({"metadata": {"finalizers": others}});
            let _ = api
                .patch(&object.name_any(), &PatchParams::default(), &Patch::Merge(patch))
                .await;
        }
    }
}

async fn names_of<K>(api: &Api<K>, kind: &str) -> Vec<String>
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    match api.list(&ListParams::default()).await {
        Ok(list) => list
            .into_iter()
            .map(|object| format!("{kind} {}", object.name_any()))
            .collect(),
        Err(error) => vec![format!("{kind}s that cannot be listed: {error}")],
    }
}
