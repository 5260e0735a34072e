//! Takes back the finalizers that a case has set.

use kube::api::{Api, DynamicObject, Patch};
use serde_json::{Value, json};

use super::cluster::{accept, patching};
use super::{Cluster, Fault};

/// How often finalizers are looked at again that somebody has changed meanwhile.
const TRIES: usize = 8;

impl Cluster {
    /// Takes finalizers away from an object and leaves those of others, whatever they do to it meanwhile.
    pub(crate) async fn release(&self, api: &Api<DynamicObject>, name: &str, ours: &[String]) -> Result<(), Fault> {
        for _ in 0..TRIES {
            let found = match self.ask("GET", name, api.get(name)).await? {
                Ok(found) => found,
                Err((404, _)) => return Ok(()),
                refused @ Err(_) => return accept(refused, &format!("GET {name}")).map(drop),
            };
            let all = found.metadata.finalizers.unwrap_or_default();
            let Some(patch) = without(&all, ours, found.metadata.resource_version.as_deref()) else {
                return Ok(());
            };
            let (params, patch) = (patching(), Patch::Merge(&patch));
            match self.ask("PATCH", name, api.patch(name, &params, &patch)).await? {
                Ok(_) | Err((404, _)) => return Ok(()),
                Err((409, _)) => {}
                refused @ Err(_) => return accept(refused, &format!("PATCH {name}")).map(drop),
            }
        }
        Err(Fault::Claim(format!("the finalizers of {name} change all the time")))
    }
}

/// The patch that leaves those of others, as they were in the version that was read: a list is replaced whole. Nothing where
/// none is ours.
fn without(all: &[String], ours: &[String], version: Option<&str>) -> Option<Value> {
    let others: Vec<_> = all.iter().filter(|finalizer| !ours.contains(finalizer)).collect();
    (others.len() < all.len()).then(|| json!({"metadata": {"resourceVersion": version, "finalizers": others}}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_finalizers_of_others_stay_as_they_were_read() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let ours = list(&["example.com/hold"]);
        let patch = without(&list(&["a.io/theirs", "example.com/hold"]), &ours, Some("7"));
        let left = json!({"metadata": {"resourceVersion": "7", "finalizers": ["a.io/theirs"]}});
        assert_eq!(patch, Some(left));
        assert_eq!(without(&list(&["a.io/theirs"]), &ours, None), None);
    }
}
