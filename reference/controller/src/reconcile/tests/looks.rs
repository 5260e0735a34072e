//! First looks at sandboxes at rest: they find nothing to do, and what is cut off from kept objects makes no difference.

use k8s_openapi::NamespaceResourceScope;
use kube::Resource;
use kube::runtime::controller::Action;
use kube::runtime::reflector::{Store, store};
use kube::runtime::watcher::Event;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use torpor_api::{Sandbox, agent_sandbox};

use super::companions::with_volumes;
use super::spec;
use super::world::World;
use crate::front::{Front, Fronted};
use crate::look::{Seen, at_rest};
use crate::trim::Trim;

/// Whether objects are kept as they are or as watches keep them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    Whole,
    Trimmed,
}

impl Kept {
    fn object<K: Trim + DeserializeOwned>(self, mut object: Value) -> K {
        // As an API server gives them out.
        object["metadata"]["namespace"] = json!("default");
        object["metadata"]["managedFields"] = json!([{"manager": "kubectl", "operation": "Update"}]);
        let mut object: K = serde_json::from_value(object).expect("an object");
        match self {
            Self::Whole => {}
            Self::Trimmed => object.trim(),
        }
        object
    }

    fn store<K>(self, objects: impl IntoIterator<Item = Value>) -> Store<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Trim + Clone + DeserializeOwned + 'static,
    {
        let (reader, mut writer) = store();
        writer.apply_watcher_event(&Event::Init);
        for object in objects {
            writer.apply_watcher_event(&Event::InitApply(self.object(object)));
        }
        writer.apply_watcher_event(&Event::InitDone);
        reader
    }

    fn seen(self, world: &World) -> Seen {
        let state = world.state();
        let of_kind = |kind: &str| {
            let others = state.others.iter().filter(|(key, _)| key.starts_with(kind));
            others.map(|(_, object)| object.clone()).collect::<Vec<_>>()
        };
        let (pod, claims, services) = (
            state.pod.clone(),
            of_kind("persistentvolumeclaims/"),
            of_kind("services/"),
        );
        drop(state);
        Seen {
            pods: self.store(pod),
            services: self.store(services),
            claims: self.store(claims),
            checkpoints: world.checkpoints(),
        }
    }
}

async fn looks<K: Fronted>(world: &World, pause: Value) {
    let mut controller = world.controller(None);
    for patch in [json!({}), pause] {
        world.patch_spec(patch);
        world.settle(&mut controller).await;
        let sandbox = world.state().sandbox.clone().expect("the sandbox exists");
        for kept in [Kept::Whole, Kept::Trimmed] {
            let looked = at_rest(&kept.object::<K>(sandbox.clone()), &kept.seen(world), &controller);
            assert_eq!(looked, Some(Action::await_change()), "{kept:?}: {sandbox:#}");
        }
    }
}

#[tokio::test]
async fn a_look_at_what_watches_keep_of_a_sandbox_at_rest_finds_nothing_to_do() {
    let mut spec = with_volumes();
    spec["service"] = json!(true);
    looks::<Sandbox>(&World::new(spec), json!({"paused": true})).await;
}

#[tokio::test]
async fn a_look_at_what_watches_keep_of_a_second_front_at_rest_finds_nothing_to_do() {
    let mut second = with_volumes();
    second["podTemplate"] = spec()["template"].take();
    second.as_object_mut().expect("fields").remove("template");
    second["service"] = json!(true);
    let world = World::asked_for(Front::AgentSandbox, second);
    looks::<agent_sandbox::Sandbox>(&world, json!({"operatingMode": "Suspended"})).await;
}

#[tokio::test]
async fn a_checkpoint_that_nothing_describes_is_found_by_a_look() {
    let world = World::new(spec());
    let mut controller = world.controller(None);
    world.settle(&mut controller).await;
    world.patch_spec(json!({"paused": true}));
    world.settle(&mut controller).await;
    world.state().others.clear();
    let sandbox = world.state().sandbox.clone().expect("the sandbox exists");
    let sandbox: Sandbox = Kept::Trimmed.object(sandbox);
    assert_eq!(at_rest(&sandbox, &Kept::Trimmed.seen(&world), &controller), None);
}

#[tokio::test]
async fn a_sandbox_is_not_at_rest_after_a_pass_that_broke_off_or_a_write_that_was_refused() {
    let world = World::new(spec());
    let mut controller = world.controller(None);
    world.settle(&mut controller).await;
    let sandbox: Sandbox = Kept::Trimmed.object(world.state().sandbox.clone().expect("the sandbox exists"));
    let look = || at_rest(&sandbox, &Kept::Trimmed.seen(&world), &controller);
    for (failures, of) in [(&controller.errors, "default/one"), (&controller.obstacles, "uid-1")] {
        assert_eq!(look(), Some(Action::await_change()));
        failures.failed(of);
        assert_eq!(look(), None, "{of}");
        failures.succeeded(of);
    }
}

#[tokio::test]
async fn a_sandbox_whose_agent_has_to_be_asked_is_not_at_rest() {
    let world = World::new(spec());
    let mut controller = world.controller(None);
    world.settle(&mut controller).await;
    world.state().pod.as_mut().expect("a Pod")["status"]["conditions"] = json!([]);
    world.settle(&mut controller).await;
    let sandbox: Sandbox = Kept::Trimmed.object(world.state().sandbox.clone().expect("the sandbox exists"));
    assert_eq!(at_rest(&sandbox, &Kept::Trimmed.seen(&world), &controller), None);
}
