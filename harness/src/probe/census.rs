//! Everything of a namespace that a sandbox may have left.

use kube::api::{ApiResource, GroupVersionKind, ListParams};
use serde_json::Value;

use super::{Cluster, Fault};

/// Kinds of the core group that an implementation may make for a sandbox.
const CORE: [&str; 5] = ["Pod", "PersistentVolumeClaim", "Secret", "ConfigMap", "Service"];

impl Cluster {
    /// Every object of the core kinds and of the dialect's own group. Kinds that the suite may not list are left out:
    /// what it is not shown, it does not judge.
    pub(crate) async fn census(&self) -> Result<Vec<Value>, Fault> {
        let mut found = Vec::new();
        for kind in CORE {
            let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", kind));
            found.extend(self.of_kind(&resource).await?);
        }
        for resource in self.own_kinds().await? {
            found.extend(self.of_kind(&resource).await?);
        }
        Ok(found)
    }

    async fn of_kind(&self, resource: &ApiResource) -> Result<Vec<Value>, Fault> {
        let api = self.all_of(resource);
        let listed = self
            .ask("GET", &resource.plural, api.list(&ListParams::default()))
            .await?;
        let items = match listed {
            Ok(list) => list.items,
            Err((403..=405, _)) => return Ok(Vec::new()),
            Err((code, message)) => {
                return Err(Fault::Claim(format!(
                    "list {} answered {code}: {message}",
                    resource.plural
                )));
            }
        };
        let named = items.iter().map(|item| {
            let mut object = serde_json::to_value(item).map_err(|error| Fault::harness("read an object", error))?;
            // Items of a list do not say their kind.
            object["kind"] = resource.kind.clone().into();
            Ok(object)
        });
        named.collect()
    }

    /// The kinds of the dialect's group that can be listed in a namespace.
    async fn own_kinds(&self) -> Result<Vec<ApiResource>, Fault> {
        let version = self.dialect.api_resource().api_version;
        let answer = self
            .ask("GET", &format!("apis/{version}"), self.kinds_of(&version))
            .await?;
        let kinds = answer.map(|list| list.resources).unwrap_or_default();
        let listable = kinds
            .into_iter()
            .filter(|kind| kind.namespaced && !kind.name.contains('/') && kind.verbs.iter().any(|verb| verb == "list"));
        let (group, own_version) = version.split_once('/').unwrap_or(("", &version));
        Ok(listable
            .map(|kind| {
                let own = GroupVersionKind::gvk(group, own_version, &kind.kind);
                ApiResource::from_gvk_with_plural(&own, &kind.name)
            })
            .collect())
    }
}
