//! The namespace of a case that has one for itself.

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams};

use super::cluster::accept;
use super::{Cluster, Fault};

impl Cluster {
    fn namespaces(&self) -> Api<Namespace> {
        Api::all(self.client().clone())
    }

    /// Deletes the namespace with everything in it.
    pub(crate) async fn delete_namespace(&self) -> Result<(), Fault> {
        let path = format!("namespaces/{}", self.namespace);
        let (api, params) = (self.namespaces(), DeleteParams::default());
        let answer = self.ask("DELETE", &path, api.delete(&self.namespace, &params)).await?;
        accept(answer, &format!("DELETE {path}")).map(drop)
    }

    /// Whether the namespace is there, and be it on its way out.
    pub(crate) async fn has_namespace(&self) -> Result<bool, Fault> {
        let path = format!("namespaces/{}", self.namespace);
        match self.ask("GET", &path, self.namespaces().get(&self.namespace)).await? {
            Err((404, _)) => Ok(false),
            answer => accept(answer, &format!("GET {path}")).map(|_| true),
        }
    }
}
