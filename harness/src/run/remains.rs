//! The condition that nothing of a sandbox is left in the world.

use kube::api::GroupVersionKind;
use serde_json::Value;

use super::conditions::{Finding, holds};
use super::world::World;
use crate::probe::bytes_of;
use crate::remains::{Departed, remnants};

impl World {
    /// Compares the world with one that never had the sandbox: its objects, the bytes in the store, and its route.
    pub(super) async fn nothing_left(&self, alias: &str) -> Finding {
        let sandbox = self.sandbox(alias)?;
        let pod = self.pod_of(alias)?;
        let departed = Departed {
            name: &sandbox.name,
            pod: &pod,
            id: sandbox.id(),
            uid: &sandbox.uid,
        };
        let cluster = self.cluster()?;
        let mut census = cluster.census().await?;
        census.retain(|object| !self.has_made(object));
        let found = remnants(&census, departed);
        let mut left: Vec<String> = found.iter().map(ToString::to_string).collect();
        if let Some(probe) = &self.target.storage
            && !sandbox.uid.is_empty()
        {
            let bytes = bytes_of(probe, &cluster.namespace, &sandbox.name, &sandbox.uid).await?;
            left.extend((bytes > 0).then(|| format!("+ {bytes} bytes in the checkpoint store (0 before)")));
        }
        if self.has_e2b() && sandbox.front == crate::scenario::Front::E2b {
            let status = self.detail(&sandbox).await?.status;
            left.extend(
                (status != 404).then(|| format!("+ a route: GET /sandboxes/{} answers {status}", sandbox.id())),
            );
        }
        Ok(holds(left.is_empty(), || {
            format!(
                "of {} is left, compared with the world before it: {}",
                sandbox.name,
                left.join("; ")
            )
        }))
    }

    /// Whether an object is one that the suite made beside sandboxes: it goes at the end of the case, and what hangs on it goes along.
    fn has_made(&self, object: &Value) -> bool {
        let own = |(kind, name): &(GroupVersionKind, String)| {
            object["kind"] == *kind.kind && object["metadata"]["name"] == **name
        };
        self.state().objects.iter().any(own)
    }
}
