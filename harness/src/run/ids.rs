//! Which custom resource a sandbox is that E2B made: the profile says how its id tells.

use super::world::World;
use crate::probe::{Address, Fault};
use crate::profile::SandboxIds;
use crate::scenario::Front;

impl World {
    /// Keeps a sandbox that E2B made, with as much of its custom resource as the id alone tells.
    pub(super) fn register_by_id(&self, alias: &str, address: Address) {
        let ids = self.target.profile.sandbox_ids();
        let namespace = self.cluster().map(|cluster| cluster.namespace.as_str());
        let name = ids.name_in(&address.id, namespace.unwrap_or_default());
        let name = name.map(str::to_owned);
        self.register(alias, Front::E2b, address, name);
    }

    /// Finds the custom resource of a sandbox that E2B made: by the form of its id, by the label that holds it, or by the id
    /// as it is.
    pub(super) async fn find_resource(&self, alias: &str) -> Result<(), Fault> {
        let (cluster, ids) = (self.cluster()?, self.target.profile.sandbox_ids());
        let id = self.sandbox(alias)?.id().to_owned();
        let name = ids.name_in(&id, &cluster.namespace);
        let mut found = match name {
            Some(name) => cluster.sandbox(name).await?,
            None => None,
        };
        if found.is_none()
            && let Some(label) = &ids.label
        {
            found = cluster.sandbox_labelled(label, &id).await?;
        }
        if found.is_none() && name != Some(id.as_str()) {
            found = cluster.sandbox(&id).await?;
        }
        let resource = found.ok_or_else(|| unfound(&ids, &id, &cluster.namespace))?;
        self.learn(alias, &resource);
        Ok(())
    }
}

/// That no custom resource was found. Where the id has not the form that the profile names, that says nothing of the target.
fn unfound(ids: &SandboxIds, id: &str, namespace: &str) -> Fault {
    let label = ids.label.as_ref();
    let labelled = label.map_or_else(String::new, |label| format!(", and no label `{label}` holds it"));
    match ids.name_in(id, namespace) {
        Some(name) => Fault::Claim(format!(
            "create answered {id}, but there is no custom resource {name} in namespace {namespace}{labelled}; if it means another one, \
             say so in the profile (`e2b.sandbox-id`)"
        )),
        None => Fault::Harness(format!(
            "find the custom resource of {id}: it is not of the form `{}` in namespace {namespace}{labelled}; say in the profile how ids are made \
             (`e2b.sandbox-id`), or name the namespace in which the E2B API makes its sandboxes (`--namespace`)",
            ids.form
        )),
    }
}
