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
