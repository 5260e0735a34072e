//! Steps and conditions about Pods and nodes themselves.

use serde_json::Value;

use super::clean_up::HeldKind;
use super::conditions::{Finding, holds};
use super::world::World;
use crate::probe::{Fault, Room};
use crate::profile::{Dialect, PodIdentityDialect, Pointer};
use crate::scenario::{DeletePod, FindNode, NamedPod, PatchPod, PodIdentity, Scheduled, Terminating, Truth};

impl World {
    pub(super) async fn find_node(&self, step: &FindNode) -> Result<(), Fault> {
        let cluster = self.cluster()?;
        let (nodes, pods) = (cluster.nodes().await?, cluster.pods_everywhere().await?);
        let tolerations = tolerations(&cluster.dialect);
        let most = Room::of(&nodes, &pods, tolerations)
            .into_iter()
            .max_by_key(|room| room.free_millis);
        let none = "find a node: each is cordoned, or has a taint that the `manifest` of the profile does not tolerate";
        let most = most.ok_or_else(|| Fault::Untestable(none.to_owned()))?;
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
        self.holds(HeldKind::Pod, &name, &step.merge);
        self.cluster()?.patch_pod(&name, &step.merge).await
    }

    pub(super) async fn delete_pod(&self, step: &DeletePod) -> Result<(), Fault> {
        let name = self.pod_of(&step.sandbox)?;
        self.cluster()?.delete_pod(&name).await
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

    pub(super) async fn terminating(&self, wanted: &Terminating) -> Finding {
        let name = self.pod_of(&wanted.sandbox)?;
        let pod = self.cluster()?.pod(&name).await?;
        let is_dying = |pod: &Value| !pod["metadata"]["deletionTimestamp"].is_null();
        let (found, shown) = match &pod {
            None => (Truth::DoesNotHold, "does not exist"),
            Some(pod) if is_dying(pod) => (Truth::Holds, "is being deleted"),
            Some(_) => (Truth::DoesNotHold, "is not being deleted"),
        };
        Ok(holds(found == wanted.is, || format!("the Pod {name} {shown}")))
    }

    pub(super) async fn pod_identity(&self, wanted: &PodIdentity) -> Finding {
        let places = &self.dialect()?.status.pod_identity;
        if places.is_empty() {
            let unsaid = "the profile does not say where the status names its Pod (`status.pod-identity`)";
            return Err(Fault::Harness(unsaid.to_owned()));
        }
        let resource = match self.resource(&wanted.sandbox).await? {
            Ok(resource) => resource,
            Err(why) => return Ok(Err(why)),
        };
        let found = match wanted.is {
            NamedPod::None => names_no_pod(places, &resource),
            NamedPod::Live => {
                let pods = self.cluster()?.live_pods(&self.sandbox(&wanted.sandbox)?.name).await?;
                match pods.as_slice() {
                    [pod] => names_this_pod(places, &resource, pod),
                    several => Err(format!("{} live Pods", several.len())),
                }
            }
        };
        Ok(found.map_err(|why| format!("the status of `{}`: {why}", wanted.sandbox)))
    }
}

/// What the Pods of sandboxes tolerate by the profile.
fn tolerations(dialect: &Dialect) -> &[Value] {
    let template = dialect
        .pod_template
        .as_ref()
        .and_then(|place| place.of(&dialect.manifest));
    let listed = template.and_then(|template| template.pointer("/spec/tolerations"));
    listed.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// What stands at a place; nothing where it is empty.
fn named<'a>(place: &Pointer, resource: &'a Value) -> Option<&'a Value> {
    let empty = |value: &Value| value.as_str() == Some("") || value.as_array().is_some_and(Vec::is_empty);
    place.of(resource).filter(|value| !empty(value))
}

fn names_no_pod(places: &PodIdentityDialect, resource: &Value) -> Result<(), String> {
    let mut named = places
        .places()
        .filter_map(|place| Some((place, named(place, resource)?)));
    named.next().map_or(Ok(()), |(place, value)| {
        Err(format!("{} still names a Pod: {value}", place.as_str()))
    })
}

fn names_this_pod(places: &PodIdentityDialect, resource: &Value, pod: &Value) -> Result<(), String> {
    let at = |pointer: &str| pod.pointer(pointer).cloned().unwrap_or_default();
    let addresses = at("/status/podIPs");
    let addresses = addresses.as_array().into_iter().flatten();
    let mut ips: Vec<Value> = addresses.map(|address| address["ip"].clone()).collect();
    ips.push(at("/status/podIP"));
    let facts = [
        (&places.name, vec![at("/metadata/name")]),
        (&places.uid, vec![at("/metadata/uid")]),
        (&places.ip, ips),
        (&places.node, vec![at("/spec/nodeName")]),
    ];
    let mut any = false;
    for (place, right) in facts
        .iter()
        .flat_map(|(places, right)| places.iter().map(move |place| (place, right)))
    {
        let Some(value) = named(place, resource) else { continue };
        any = true;
        let said = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        if let Some(wrong) = said.iter().find(|said| !right.contains(said)) {
            let right = right.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
            return Err(format!("{} is {wrong}, and its Pod has {right}", place.as_str()));
        }
    }
    holds(any, || "names no Pod, and one runs".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn places() -> PodIdentityDialect {
        let pointer = |text: &str| Pointer::try_from(text.to_owned()).unwrap();
        PodIdentityDialect {
            uid: vec![pointer("/status/uid")],
            ip: vec![pointer("/status/ip"), pointer("/status/ips")],
            ..PodIdentityDialect::default()
        }
    }

    #[test]
    fn an_empty_place_names_no_pod_and_any_other_does() {
        for empty in [json!({}), json!({"status": {"uid": null, "ip": "", "ips": []}})] {
            assert_eq!(names_no_pod(&places(), &empty), Ok(()));
        }
        let stale = json!({"status": {"ips": ["10.0.0.1"]}});
        assert!(names_no_pod(&places(), &stale).unwrap_err().contains("/status/ips"));
    }

    #[test]
    fn every_place_that_is_not_empty_names_this_very_pod() {
        let pod = json!({
            "metadata": {"uid": "u-2"}, "status": {"podIP": "10.0.0.2", "podIPs": [{"ip": "10.0.0.2"}, {"ip": "fd00::2"}]},
        });
        let says = |status: Value| names_this_pod(&places(), &json!({"status": status}), &pod);
        assert_eq!(says(json!({"uid": "u-2", "ips": ["10.0.0.2", "fd00::2"]})), Ok(()));
        assert!(
            says(json!({"uid": "u-2", "ip": "10.0.0.1"}))
                .unwrap_err()
                .contains("10.0.0.1")
        );
        assert!(
            says(json!({"uid": "u-1", "ip": "10.0.0.2"}))
                .unwrap_err()
                .contains("u-1")
        );
        assert!(says(json!({})).is_err(), "nothing is said");
    }
}
