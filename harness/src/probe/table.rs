//! What the API server shows kubectl of a sandbox.

use kube::api::Resource as _;
use serde_json::Value;

use super::cluster::accept;
use super::{Cluster, Fault};

/// What kubectl asks for.
const AS_TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

impl Cluster {
    /// The custom resource as the `Table` of one line that `kubectl get` prints; nothing when it does not exist.
    pub(crate) async fn table(&self, name: &str) -> Result<Option<Value>, Fault> {
        let resource = self.dialect.api_resource();
        let collection = kube::api::DynamicObject::url_path(&resource, Some(&self.namespace));
        let request = http::Request::get(format!("{collection}/{name}")).header(http::header::ACCEPT, AS_TABLE);
        let request = request
            .body(Vec::new())
            .map_err(|error| Fault::harness("ask for a table", error))?;
        let path = format!("{}/{name} as a table", resource.plural);
        match self.ask("GET", &path, self.client().request::<Value>(request)).await? {
            Err((404, _)) => Ok(None),
            answer => accept(answer, &format!("GET {path}")).map(Some),
        }
    }
}
