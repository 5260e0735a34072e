//! The custom resource, its Pods and its Events, as kubectl would see them.

use std::sync::Arc;
use std::time::Instant;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResourceList;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, LogParams, Patch, PatchParams,
    PostParams,
};
use serde_json::Value;

use super::{EventSeen, Fault};
use crate::history::{Journal, Occurrence, Owner, Watched};
use crate::profile::{Dialect, SubresourcePatch};
use crate::pulse::Patience;
use crate::scenario::Propagation;
use crate::target::KubernetesTarget;

/// Whose writes these are, where the API server keeps that.
const MANAGER: &str = "torpor-conformance";

/// Ends the path of a deletion in the foreground, as it is noted.
pub(crate) const IN_THE_FOREGROUND: &str = "?propagationPolicy=Foreground";

/// How many characters the value of a label may have.
const LONGEST_LABEL: usize = 63;

fn posting() -> PostParams {
    PostParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PostParams::default()
    }
}

pub(super) fn patching() -> PatchParams {
    PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    }
}

/// A namespace of a Kubernetes API.
#[derive(Clone)]
pub(crate) struct Cluster {
    client: kube::Client,
    pub(crate) namespace: String,
    /// How its sandboxes are asked and read.
    pub(crate) dialect: Arc<Dialect>,
    resource: ApiResource,
    journal: Journal,
    patience: Patience,
}

impl Cluster {
    pub(crate) fn new(target: &KubernetesTarget, dialect: &Dialect, journal: Journal, patience: Patience) -> Self {
        let (client, namespace) = (target.client.clone(), target.namespace.clone());
        Self {
            client,
            namespace,
            resource: dialect.api_resource(),
            dialect: Arc::new(dialect.clone()),
            journal,
            patience,
        }
    }

    /// The client of the whole API.
    pub(crate) fn client(&self) -> &kube::Client {
        &self.client
    }

    /// What oracles judge, as it is watched.
    pub(crate) fn watched(target: &KubernetesTarget, dialect: &Dialect) -> Vec<(Watched, Api<DynamicObject>)> {
        let pods = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Pod"));
        let kinds = [(Watched::Sandbox, dialect.api_resource()), (Watched::Pod, pods)];
        let api = |resource| Api::namespaced_with(target.client.clone(), &target.namespace, &resource);
        kinds.map(|(object, resource)| (object, api(resource))).into()
    }

    pub(crate) fn sandboxes(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &self.resource)
    }

    pub(crate) fn pods(&self) -> Api<DynamicObject> {
        self.core("Pod")
    }

    fn core(&self, kind: &str) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", kind));
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }

    /// Sends one request and notes it. The inner error is what the API server refused.
    pub(super) async fn ask<T>(
        &self,
        method: &str,
        path: &str,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<Result<T, (u16, String)>, Fault> {
        let start = Instant::now();
        let answer = self.patience.begin().within(request).await;
        let answer = answer.map_err(|late| late.fault(|within| format!("{method} {path} had no answer {within}")))?;
        let outcome = match answer {
            Ok(value) => Ok(value),
            Err(kube::Error::Api(status)) => Err((status.code, status.message.clone())),
            Err(error) => return Err(Fault::harness(&format!("{method} {path}"), error)),
        };
        let status = outcome.as_ref().map_or_else(|(code, _)| *code, |_| 200);
        let millis = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.journal.note(Occurrence::Request {
            method: method.to_owned(),
            path: path.to_owned(),
            status,
            millis,
        });
        Ok(outcome)
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.resource.plural)
    }

    /// The custom resource, or nothing when it does not exist.
    pub(crate) async fn sandbox(&self, name: &str) -> Result<Option<Value>, Fault> {
        let path = self.path(name);
        match self.ask("GET", &path, self.sandboxes().get(name)).await? {
            Ok(object) => json(&object).map(Some),
            Err((404, _)) => Ok(None),
            Err((code, message)) => Err(Fault::Claim(format!("GET {path} answered {code}: {message}"))),
        }
    }

    /// The custom resource whose label has that value, or nothing when there is none.
    pub(crate) async fn sandbox_labelled(&self, label: &str, value: &str) -> Result<Option<Value>, Fault> {
        // No label has more, and the API server refuses to look for it.
        if value.len() > LONGEST_LABEL {
            return Ok(None);
        }
        let selector = format!("{label}={value}");
        let path = format!("{}?labelSelector={selector}", self.resource.plural);
        let (api, params) = (self.sandboxes(), ListParams::default().labels(&selector));
        let listed = accept(self.ask("GET", &path, api.list(&params)).await?, &format!("GET {path}"))?;
        listed.items.first().map(json).transpose()
    }

    pub(crate) async fn create_sandbox(&self, manifest: Value) -> Result<Value, Fault> {
        let object = object(manifest)?;
        let (api, params) = (self.sandboxes(), posting());
        let created = self
            .ask("POST", &self.resource.plural, api.create(&params, &object))
            .await?;
        accept(created, "create the custom resource").and_then(|object| json(&object))
    }

    pub(crate) async fn patch_sandbox(&self, name: &str, patch: &Value) -> Result<(), Fault> {
        accept(
            self.try_patch_sandbox(name, patch).await?,
            &format!("PATCH {}", self.path(name)),
        )
    }

    /// Patches the custom resource; the inner error is what the API server refused.
    pub(crate) async fn try_patch_sandbox(
        &self,
        name: &str,
        patch: &Value,
    ) -> Result<Result<(), (u16, String)>, Fault> {
        let (api, params) = (self.sandboxes(), patching());
        let answer = self
            .ask(
                "PATCH",
                &self.path(name),
                api.patch(name, &params, &Patch::Merge(patch)),
            )
            .await?;
        Ok(answer.map(drop))
    }

    /// Patches a subresource of the custom resource; the inner error is what the API server refused.
    pub(crate) async fn try_patch_subresource(
        &self,
        name: &str,
        patch: &SubresourcePatch,
    ) -> Result<Result<(), (u16, String)>, Fault> {
        let (api, params) = (self.sandboxes(), patching());
        let address = format!("{}/{}", self.path(name), patch.name);
        let merge = Patch::Merge(&patch.merge);
        let request = api.patch_subresource(&patch.name, name, &params, &merge);
        Ok(self.ask("PATCH", &address, request).await?.map(drop))
    }

    /// Creates the object that asks for something; gives its kind and name. The inner error is what the API server refused.
    pub(crate) async fn create_trigger(
        &self,
        name: &str,
        manifest: &Value,
    ) -> Result<Result<(GroupVersionKind, String), (u16, String)>, Fault> {
        let mut manifest = manifest.clone();
        let scope = [
            ("name".to_owned(), name.to_owned()),
            ("nth".to_owned(), format!("{:08x}", rand::random::<u32>())),
        ];
        crate::scenario::fill(&mut manifest, &scope.into(), crate::history::now()).map_err(Fault::Harness)?;
        manifest["metadata"]["namespace"] = self.namespace.clone().into();
        let object = object(manifest)?;
        let types = object.types.clone().unwrap_or_default();
        let kind = GroupVersionKind::try_from(&types).map_err(|error| Fault::harness("read the trigger", error))?;
        let (api, params) = (self.any(&kind), posting());
        let request = api.create(&params, &object);
        let created = self.ask("POST", &kind.kind.to_lowercase(), request).await?;
        Ok(created.map(|object| (kind, object.metadata.name.unwrap_or_default())))
    }

    /// Deletes the custom resource; gives the status code.
    pub(crate) async fn delete_sandbox(&self, name: &str, propagation: Option<Propagation>) -> Result<u16, Fault> {
        let params = match propagation {
            None => DeleteParams::default(),
            Some(Propagation::Background) => DeleteParams::background(),
            Some(Propagation::Foreground) => DeleteParams::foreground(),
        };
        let path = match propagation {
            Some(Propagation::Foreground) => format!("{}{IN_THE_FOREGROUND}", self.path(name)),
            Some(Propagation::Background) | None => self.path(name),
        };
        let api = self.sandboxes();
        let answer = self.ask("DELETE", &path, api.delete(name, &params)).await?;
        Ok(answer.map_or_else(|(code, _)| code, |_| 200))
    }

    /// The Pods that belong to the sandbox of that name and have not ended.
    pub(crate) async fn live_pods(&self, sandbox: &str) -> Result<Vec<Value>, Fault> {
        let answer = self
            .ask("GET", "pods", self.pods().list(&ListParams::default()))
            .await?;
        let mut pods = accept(answer, "list Pods")?
            .items
            .iter()
            .map(json)
            .collect::<Result<Vec<_>, _>>()?;
        pods.retain(|pod| {
            let ended = matches!(
                pod.pointer("/status/phase").and_then(Value::as_str),
                Some("Succeeded" | "Failed")
            );
            let owned = Owner::of(pod, &self.resource.kind).is_some_and(|owner| owner.name == sandbox);
            owned && !ended
        });
        Ok(pods)
    }

    pub(crate) async fn pod(&self, name: &str) -> Result<Option<Value>, Fault> {
        match self.ask("GET", &format!("pods/{name}"), self.pods().get(name)).await? {
            Ok(pod) => json(&pod).map(Some),
            Err((404, _)) => Ok(None),
            Err((code, message)) => Err(Fault::Claim(format!("GET pods/{name} answered {code}: {message}"))),
        }
    }

    pub(crate) async fn patch_pod(&self, name: &str, merge: &Value) -> Result<(), Fault> {
        let (api, params, path) = (self.pods(), patching(), format!("pods/{name}"));
        let answer = self
            .ask("PATCH", &path, api.patch(name, &params, &Patch::Merge(merge)))
            .await?;
        accept(answer, &format!("PATCH {path}")).map(drop)
    }

    /// Deletes a Pod with its own grace period.
    pub(crate) async fn delete_pod(&self, name: &str) -> Result<(), Fault> {
        let (api, path) = (self.pods(), format!("pods/{name}"));
        let answer = self
            .ask("DELETE", &path, api.delete(name, &DeleteParams::default()))
            .await?;
        accept(answer, &format!("DELETE {path}")).map(drop)
    }

    pub(crate) async fn nodes(&self) -> Result<Vec<Value>, Fault> {
        self.list_everywhere("Node").await
    }

    /// The Pods of all namespaces.
    pub(crate) async fn pods_everywhere(&self) -> Result<Vec<Value>, Fault> {
        self.list_everywhere("Pod").await
    }

    async fn list_everywhere(&self, kind: &str) -> Result<Vec<Value>, Fault> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", kind));
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        let answer = self
            .ask("GET", &resource.plural, api.list(&ListParams::default()))
            .await?;
        let listed = accept(answer, &format!("list {}", resource.plural))?;
        listed.items.iter().map(json).collect()
    }

    /// The log of a Pod so far; empty while it has none.
    pub(crate) async fn logs(&self, pod: &str) -> Result<String, Fault> {
        let (api, params) = (
            Api::<k8s_openapi::api::core::v1::Pod>::namespaced(self.client.clone(), &self.namespace),
            LogParams::default(),
        );
        match self
            .ask("GET", &format!("pods/{pod}/log"), api.logs(pod, &params))
            .await?
        {
            Ok(log) => Ok(log),
            Err((400 | 404, _)) => Ok(String::new()),
            Err((code, message)) => Err(Fault::Claim(format!("GET pods/{pod}/log answered {code}: {message}"))),
        }
    }

    /// Reasons and messages of the Events about the sandbox, oldest first.
    pub(crate) async fn events(&self, sandbox: &str) -> Result<Vec<EventSeen>, Fault> {
        let fields = format!(
            "involvedObject.kind={},involvedObject.name={sandbox}",
            self.resource.kind
        );
        let (api, params) = (self.core("Event"), ListParams::default().fields(&fields));
        let answer = self.ask("GET", "events", api.list(&params)).await?;
        let events = accept(answer, "list Events")?
            .items
            .iter()
            .map(json)
            .collect::<Result<Vec<_>, _>>()?;
        let text = |event: &Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
        let seen = |event: &Value| EventSeen {
            kind: text(event, "type"),
            reason: text(event, "reason"),
            message: text(event, "message"),
        };
        Ok(events.iter().map(seen).collect())
    }

    /// Creates any object of the namespace; gives its kind and name.
    pub(crate) async fn create_object(&self, manifest: Value) -> Result<(GroupVersionKind, String), Fault> {
        let object = object(manifest)?;
        let types = object.types.clone().unwrap_or_default();
        let kind = GroupVersionKind::try_from(&types).map_err(|error| Fault::harness("read the manifest", error))?;
        let (api, params) = (self.any(&kind), posting());
        let answer = self
            .ask("POST", &kind.kind.to_lowercase(), api.create(&params, &object))
            .await?;
        let created = accept(answer, &format!("create the {}", kind.kind))?;
        Ok((kind, created.metadata.name.unwrap_or_default()))
    }

    /// Deletes an object at once; that it is gone already is no fault.
    pub(crate) async fn delete_object(&self, kind: &GroupVersionKind, name: &str) -> Result<(), Fault> {
        let path = format!("{}/{name}", kind.kind.to_lowercase());
        let (api, params) = (self.any(kind), DeleteParams::default().grace_period(0));
        match self.ask("DELETE", &path, api.delete(name, &params)).await? {
            Ok(_) | Err((404, _)) => Ok(()),
            Err((code, message)) => Err(Fault::Claim(format!("DELETE {path} answered {code}: {message}"))),
        }
    }

    fn any(&self, kind: &GroupVersionKind) -> Api<DynamicObject> {
        self.all_of(&ApiResource::from_gvk(kind))
    }

    /// The objects of a kind in the namespace.
    pub(super) fn all_of(&self, resource: &ApiResource) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, resource)
    }

    /// The kinds of a version of an API group.
    pub(super) async fn kinds_of(&self, version: &str) -> Result<APIResourceList, kube::Error> {
        self.client.list_api_group_resources(version).await
    }
}

pub(super) fn accept<T>(answer: Result<T, (u16, String)>, what: &str) -> Result<T, Fault> {
    answer.map_err(|(code, message)| Fault::Claim(format!("{what} answered {code}: {message}")))
}

fn json(object: &DynamicObject) -> Result<Value, Fault> {
    serde_json::to_value(object).map_err(|error| Fault::harness("read an object", error))
}

fn object(manifest: Value) -> Result<DynamicObject, Fault> {
    serde_json::from_value(manifest).map_err(|error| Fault::harness("read the manifest", error))
}
