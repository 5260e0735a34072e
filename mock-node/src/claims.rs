//! Volume claims are bound as soon as they are seen, as by a provisioner that never refuses.
//!
//! Left out: volumes behind the claims, classes, and mounting. The files of a sandbox are those of
//! its agent, so a checkpoint holds them; a Pod does not wait for its claims.

use std::collections::BTreeMap;

use futures::StreamExt;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use crate::again::Again;

/// Binds claims for as long as it is polled.
pub(crate) async fn bind(client: Client) {
    let claims = Api::<PersistentVolumeClaim>::all(client.clone());
    let seen = watcher(claims, watcher::Config::default())
        .default_backoff()
        .applied_objects();
    let mut seen = std::pin::pin!(seen);
    // As they were last seen, of those that the API did not let be bound.
    let (mut unbound, mut again) = (BTreeMap::new(), Again::default());
    loop {
        let claims = tokio::select! {
            claim = seen.next() => match claim {
                Some(Ok(claim)) => vec![claim],
                Some(Err(error)) => {
                    tracing::warn!(%error, "watch of volume claims interrupted");
                    continue;
                }
                None => return,
            },
            () = again.due() => std::mem::take(&mut unbound).into_values().collect(),
        };
        for claim in claims {
            let key = (claim.namespace(), claim.name_any());
            if bind_one(&client, &claim).await {
                unbound.remove(&key);
            } else {
                unbound.insert(key, claim);
            }
        }
        again.tried(unbound.is_empty());
    }
}

/// Whether there is nothing more to write of it.
async fn bind_one(client: &Client, claim: &PersistentVolumeClaim) -> bool {
    let Some(status) = bound(claim) else { return true };
    let (namespace, name) = (claim.namespace().unwrap_or_default(), claim.name_any());
    let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &namespace);
    let patch = Patch::Merge(json!({ "metadata": { "uid": claim.metadata.uid }, "status": status }));
    match api.patch_status(&name, &PatchParams::default(), &patch).await {
        Ok(_) => true,
        Err(error) => {
            tracing::debug!(%error, namespace, claim = name, "bind a volume claim");
            // Gone, or another by now, which is seen as well.
            matches!(error, kube::Error::Api(status) if status.is_not_found() || status.is_conflict())
        }
    }
}

/// The status of the claim once it is bound, with all that it asks for; `None` if there is nothing to do.
fn bound(claim: &PersistentVolumeClaim) -> Option<Value> {
    let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
    if phase == Some("Bound") || claim.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let spec = claim.spec.as_ref()?;
    let capacity = spec.resources.as_ref().and_then(|resources| resources.requests.clone());
    Some(json!({ "phase": "Bound", "accessModes": spec.access_modes, "capacity": capacity }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(status: &Value) -> PersistentVolumeClaim {
        let claim = json!({ "metadata": { "name": "data" }, "status": status, "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } },
        }});
        serde_json::from_value(claim).expect("a claim")
    }

    #[test]
    fn a_claim_is_bound_once_with_what_it_asks_for() {
        let status = bound(&claim(&Value::Null)).expect("a status");
        assert_eq!(status["capacity"], json!({ "storage": "1Gi" }));
        assert_eq!(status["accessModes"], json!(["ReadWriteOnce"]));
        assert_eq!(bound(&claim(&status)), None);
    }

    #[test]
    fn a_claim_that_is_going_is_left_alone() {
        let mut going = claim(&Value::Null);
        going.metadata.deletion_timestamp = serde_json::from_value(json!("2027-01-01T00:00:00Z")).ok();
        assert!(going.metadata.deletion_timestamp.is_some());
        assert_eq!(bound(&going), None);
    }
}
