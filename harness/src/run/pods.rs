//! Steps and conditions about Pods and nodes themselves.

use serde_json::{Value, json};

use super::conditions::{Finding, holds};
use super::world::World;
use crate::probe::{Fault, Room};
use crate::scenario::{DeletePod, FindNode, PatchPod, Scheduled, Truth};

impl World {
    pub(super) async fn find_node(&self, step: &FindNode) -> Result<(), Fault> {
        let cluster = self.cluster()?;
        let (nodes, pods) = (cluster.nodes().await?, cluster.pods_everywhere().await?);
        let most = Room::of(&nodes, &pods).into_iter().max_by_key(|room| room.free_millis);
        let most = most.ok_or_else(|| Fault::Untestable("find a node: none takes Pods".to_owned()))?;
        let share = most.free_millis * u64::from(step.percent) / 100;
        if share == 0 {
            return Err(Fault::Untestable(format!(
                "find a node: {} has no free CPU",
                most.hostname
            )));
        }
        self.save("node", most.hostname);
        self.save("share", format!("{share}m"));
        Ok(())
    }

    pub(super) async fn patch_pod(&self, step: &PatchPod) -> Result<(), Fault> {
        let name = self.pod_of(&step.sandbox)?;
        if step.merge.pointer("/metadata/finalizers").is_some() {
            self.state().held_pods.push(name.clone());
        }
        self.cluster()?.patch_pod(&name, &step.merge).await
    }

    pub(super) async fn delete_pod(&self, step: &DeletePod) -> Result<(), Fault> {
        let name = self.pod_of(&step.sandbox)?;
        self.cluster()?.delete_pod(&name).await
    }

    /// Takes the finalizers from Pods that steps gave some; one that is gone needs no more.
    pub(super) async fn release_pods(&self) {
        let held = std::mem::take(&mut self.state().held_pods);
        for name in held {
            if let Ok(cluster) = self.cluster() {
                let _ = cluster
                    .patch_pod(&name, &json!({"metadata": {"finalizers": null}}))
                    .await;
            }
        }
    }

    pub(super) async fn scheduled(&self, wanted: &Scheduled) -> Finding {
        let name = self.pod_of(&wanted.sandbox)?;
        let Some(pod) = self.cluster()?.pod(&name).await? else {
            return Ok(Err(format!("the Pod {name} does not exist")));
        };
        let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
        let found = conditions
            .into_iter()
            .flatten()
            .find(|condition| condition["type"] == "PodScheduled");
        let word = match wanted.is {
            Truth::Holds => "True",
            Truth::DoesNotHold => "False",
        };
        Ok(holds(found.is_some_and(|found| found["status"] == word), || {
            let shown = found.map_or_else(|| "absent".to_owned(), ToString::to_string);
            format!("condition PodScheduled of the Pod {name} is {shown}")
        }))
    }
}
