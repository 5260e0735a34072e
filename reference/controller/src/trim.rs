//! What is left of an object that a watch keeps: what a first look (`look`) reads, and no more.
//!
//! A controller over a hundred thousand sandboxes holds all of them, and most of an object is what its Pod is made
//! from and who wrote which field. Whatever acts on an object reads it anew, so what was cut off here is missed by nobody.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, PodSpec, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;
use torpor_api::{Sandbox, agent_sandbox};

/// Where `kubectl apply` keeps a copy of the whole object.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// An object that a watch keeps.
pub(crate) trait Trim {
    /// Cuts off what no first look reads.
    fn trim(&mut self);
}

impl Trim for Sandbox {
    fn trim(&mut self) {
        metadata(&mut self.metadata);
        self.spec.template = None;
    }
}

impl Trim for agent_sandbox::Sandbox {
    fn trim(&mut self) {
        metadata(&mut self.metadata);
        self.spec.pod_template = Value::Null;
    }
}

impl Trim for Pod {
    fn trim(&mut self) {
        metadata(&mut self.metadata);
        self.spec = self.spec.take().map(|spec| PodSpec {
            node_name: spec.node_name,
            ..PodSpec::default()
        });
    }
}

impl Trim for PersistentVolumeClaim {
    fn trim(&mut self) {
        metadata(&mut self.metadata);
        (self.spec, self.status) = (None, None);
    }
}

impl Trim for Service {
    fn trim(&mut self) {
        metadata(&mut self.metadata);
        (self.spec, self.status) = (None, None);
    }
}

fn metadata(metadata: &mut ObjectMeta) {
    metadata.managed_fields = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.remove(LAST_APPLIED);
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;
    use serde::de::DeserializeOwned;
    use serde_json::json;

    use super::*;

    /// What is left of the spec and the status, and of annotations that people and `kubectl apply` made.
    fn left<K: Trim + DeserializeOwned + Serialize>(spec: &Value, status: &Value) -> Value {
        let object = json!({
            "metadata": {
                "name": "one", "annotations": {LAST_APPLIED: "{}", "team": "a"},
                "managedFields": [{"manager": "kubectl", "operation": "Update"}],
            },
            "spec": spec, "status": status,
        });
        let mut object: K = serde_json::from_value(object).expect("an object");
        object.trim();
        let object = serde_json::to_value(object).expect("JSON");
        assert_eq!(object["metadata"], json!({"name": "one", "annotations": {"team": "a"}}));
        json!([object["spec"], object["status"]])
    }

    #[test]
    fn of_what_is_kept_nothing_is_left_but_what_a_look_reads() {
        let (template, phase) = (
            json!({"spec": {"containers": [{"name": "a"}]}}),
            json!({"phase": "Running"}),
        );
        assert_eq!(
            left::<Sandbox>(&json!({"paused": true, "template": template}), &phase),
            json!([{"paused": true}, phase])
        );
        let second = left::<agent_sandbox::Sandbox>(&json!({"podTemplate": template}), &Value::Null);
        assert_eq!(second[0]["podTemplate"], Value::Null);
        assert_eq!(
            left::<Pod>(&json!({"nodeName": "node-1", "containers": [{"name": "a"}]}), &phase),
            json!([{"nodeName": "node-1", "containers": []}, phase])
        );
        let nothing = json!([null, null]);
        let spec = json!({"volumeName": "v"});
        assert_eq!(
            left::<PersistentVolumeClaim>(&spec, &json!({"phase": "Bound"})),
            nothing
        );
        assert_eq!(
            left::<Service>(&json!({"clusterIP": "None"}), &json!({"loadBalancer": {}})),
            nothing
        );
    }
}
