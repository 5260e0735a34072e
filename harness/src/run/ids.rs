//! Sandboxes that E2B made, and which custom resources they are: the profile says how an id tells.

use serde_json::Value;

use super::world::World;
use crate::probe::{Address, Answer, Fault};
use crate::profile::SandboxIds;
use crate::scenario::{Front, Http, Method, Plane};

impl World {
    /// Keeps a sandbox that an answer says was made, whether or not it should have been; tells whether it says so.
    pub(super) fn keep_made(&self, alias: &str, answer: &Answer) -> bool {
        let address = made(answer.status, &answer.json());
        address.map(|address| self.register_by_id(alias, address)).is_some()
    }

    /// Keeps a sandbox that a request of a scenario has made, so that it is deleted at the end of the case. It is called by
    /// its id.
    pub(super) async fn keep_made_by(&self, step: &Http, answer: &Answer) {
        if !asks_for_a_sandbox(step) {
            return;
        }
        let id = answer.json()["sandboxID"].as_str().unwrap_or_default().to_owned();
        if self.keep_made(&id, answer) && self.has_cluster() {
            // That it has no custom resource is nothing that this request promises.
            let _ = self.find_resource(&id).await;
        }
    }

    /// Keeps a sandbox that E2B made, with as much of its custom resource as the id alone tells.
    fn register_by_id(&self, alias: &str, address: Address) {
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

/// Whether a request makes a sandbox where it is accepted.
fn asks_for_a_sandbox(step: &Http) -> bool {
    let path = step.path.split('?').next().unwrap_or_default().trim_end_matches('/');
    matches!((step.plane, step.method), (Plane::Control, Method::Post)) && path.ends_with("/sandboxes")
}

/// Who and where the sandbox is that an answer says was made, with as much of it as is there.
fn made(status: u16, answer: &Value) -> Option<Address> {
    let text = |field: &str| answer[field].as_str().unwrap_or_default().to_owned();
    let address = Address {
        id: text("sandboxID"),
        domain: text("domain"),
        envd_token: text("envdAccessToken"),
        traffic_token: text("trafficAccessToken"),
    };
    ((200..300).contains(&status) && !address.id.is_empty()).then_some(address)
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(text: &str) -> Http {
        serde_json::from_value(serde_json::from_str(text).unwrap()).unwrap()
    }

    #[test]
    fn a_sandbox_is_made_by_a_post_to_their_list_and_by_nothing_else() {
        for path in ["/sandboxes", "/v2/sandboxes", "/sandboxes/?x=1"] {
            let text = format!(r#"{{"method": "POST", "path": "{path}", "status": [201]}}"#);
            assert!(asks_for_a_sandbox(&request(&text)), "{path}");
        }
        for (method, path, plane) in [
            ("GET", "/sandboxes", "control"),
            ("POST", "/sandboxes/i1/connect", "control"),
            ("POST", "/sandboxes", "envd"),
        ] {
            let text = format!(r#"{{"method": "{method}", "path": "{path}", "plane": "{plane}", "status": [201]}}"#);
            assert!(!asks_for_a_sandbox(&request(&text)), "{text}");
        }
    }

    #[test]
    fn an_answer_that_refuses_or_names_no_sandbox_has_made_none() {
        assert_eq!(
            made(200, &json!({"sandboxID": "i1"})).map(|made| made.id),
            Some("i1".to_owned())
        );
        for (status, answer) in [(400, json!({"sandboxID": "i1"})), (201, json!({})), (201, json!([]))] {
            assert!(made(status, &answer).is_none(), "{status} {answer}");
        }
    }
}
