//! For every effect and every setting: the controller dies before or after any of its deeds on the way, or is overtaken by
//! another at it, as by a new leader while its last write is on the wire. The outcome is always the same.

use std::iter::successors;
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Method, Request};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use torpor_api::{AgentState, Phase, annotation};

use super::companions::with_volumes;
use super::world::{AgentMood, World};
use super::{seconds_from_now, spec};
use crate::controller::{Context, Controller};
use crate::decide::Effect;
use crate::front::Front;
use crate::{AgentAddress, AgentError, CheckpointCustodian, RemovalError, SandboxAgents};

/// What becomes of a controller at one of its deeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    DiesBefore,
    DiesAfter,
    /// Another controller does all there is to do; then the deed is done, late.
    Overtaken,
}

/// The sandbox that all this happens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Setting {
    /// A Pod and nothing beside it.
    Bare,
    /// With a volume claim and a Service.
    Accompanied,
    /// Of the second front, with a volume claim and a Service.
    SecondFront,
}

impl Setting {
    fn world(self) -> World {
        match self {
            Self::Bare => World::new(spec()),
            Self::Accompanied => {
                let mut spec = accompanied();
                spec["template"] = self::spec()["template"].take();
                World::new(spec)
            }
            Self::SecondFront => {
                let mut spec = accompanied();
                spec["podTemplate"] = self::spec()["template"].take();
                World::asked_for(Front::AgentSandbox, spec)
            }
        }
    }

    /// What is beside the Pod from the first start on.
    fn beside(self) -> &'static [&'static str] {
        match self {
            Self::Bare => &[],
            Self::Accompanied | Self::SecondFront => &["persistentvolumeclaims/data-one", "services/one"],
        }
    }

    /// The change of the spec that asks for a pause or a resume.
    fn ask(self, paused: bool) -> Value {
        match (self, paused) {
            (Self::Bare | Self::Accompanied, paused) => json!({"paused": paused}),
            (Self::SecondFront, true) => json!({"operatingMode": "Suspended"}),
            (Self::SecondFront, false) => json!({"operatingMode": "Running"}),
        }
    }
}

/// What both fronts call the same: a volume claim and a Service.
fn accompanied() -> Value {
    let mut claims = with_volumes()["volumeClaimTemplates"].take();
    claims.as_array_mut().expect("claims").truncate(1);
    json!({"volumeClaimTemplates": claims, "service": true})
}

/// What a user does.
#[derive(Clone, Copy, Debug)]
enum Act {
    Pause,
    /// While the checkpoint is written and written.
    PauseForLong,
    Resume,
    Delete,
    PauseTimeComes,
    ShutdownTimeComes,
}

/// What is left in the end.
#[derive(Debug, PartialEq, Eq)]
struct End {
    /// `None` when the sandbox is gone.
    phase: Option<Phase>,
    /// Without the thousands, which count how often it was let run on.
    context: Option<u64>,
    record: Option<u64>,
    checkpoints: Vec<u64>,
    pod: bool,
    /// The objects beside the Pod. Nobody collects garbage here.
    beside: Vec<String>,
}

/// Every effect. One that is new has to be told what follows it, what leads to it and how it shows.
fn effects() -> impl Iterator<Item = Effect> {
    successors(Some(Effect::AddFinalizer), |effect| match effect {
        Effect::AddFinalizer => Some(Effect::StartFresh),
        Effect::StartFresh => Some(Effect::StartFromCheckpoint),
        Effect::StartFromCheckpoint => Some(Effect::Freeze),
        Effect::Freeze => Some(Effect::Checkpoint),
        Effect::Checkpoint => Some(Effect::Thaw),
        Effect::Thaw => Some(Effect::DeletePod),
        Effect::DeletePod => Some(Effect::Release),
        Effect::Release => Some(Effect::SetPaused),
        Effect::SetPaused => Some(Effect::DeleteSandbox),
        Effect::DeleteSandbox => None,
    })
}

/// What a user does to a new sandbox until the effect is carried out, and the deed that shows it; `None` where nothing leads to it.
fn story(setting: Setting, effect: Effect) -> Option<(&'static [Act], &'static str)> {
    Some(match effect {
        Effect::AddFinalizer => (&[], "add the finalizer"),
        Effect::StartFresh => (&[], "create the Pod"),
        Effect::StartFromCheckpoint => (&[Act::Pause, Act::Resume], "create the Pod from a checkpoint"),
        Effect::Freeze => (&[Act::Pause], "freeze"),
        Effect::Checkpoint => (&[Act::Pause, Act::Resume, Act::Pause], "checkpoint"),
        Effect::Thaw => (&[Act::PauseForLong, Act::Resume], "thaw"),
        Effect::DeletePod => (&[Act::Pause], "delete the Pod"),
        Effect::Release => (&[Act::Pause, Act::Delete], "remove the checkpoints"),
        // That API has no time for a pause.
        Effect::SetPaused if setting == Setting::SecondFront => return None,
        Effect::SetPaused => (&[Act::PauseTimeComes, Act::Resume], "set paused"),
        Effect::DeleteSandbox => (&[Act::Pause, Act::ShutdownTimeComes], "delete the sandbox"),
    })
}

/// The way of a controller to the world, up to its fate.
#[derive(Clone)]
struct Doomed {
    world: World,
    life: Arc<Mutex<Life>>,
}

#[derive(Default)]
struct Life {
    deeds: Vec<&'static str>,
    fate: Option<(usize, Fate)>,
    dead: bool,
}

impl Doomed {
    fn controller(&self) -> Arc<Context> {
        let (doomed, client) = (self.clone(), self.world.client());
        let service = tower::service_fn(move |request| {
            let (doomed, client) = (doomed.clone(), client.clone());
            async move { doomed.send(&client, request).await }
        });
        let node = Arc::new(self.clone());
        let client = Client::new(service, "default");
        Controller::new(client, self.world.config(None), node.clone(), node).context
    }

    async fn send(&self, client: &Client, request: Request<Body>) -> Result<http::Response<Body>, tower::BoxError> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        let path = parts.uri.path().to_owned();
        let deed = api_deed(&parts.method, &path, &serde_json::from_slice(&body).unwrap_or_default());
        let request = Request::from_parts(parts, Body::from(body.to_vec()));
        let answer = client.send(request);
        let answer = match deed {
            Some(deed) => self.deed(deed, answer).await,
            None if self.life().dead => None,
            None => Some(answer.await),
        };
        answer.ok_or("the controller is dead")?.map_err(Into::into)
    }

    /// Does it, unless the controller is dead before it has the answer.
    async fn deed<T>(&self, name: &'static str, act: impl Future<Output = T>) -> Option<T> {
        let fate = {
            let mut life = self.life();
            if life.dead {
                return None;
            }
            let index = life.deeds.len();
            life.deeds.push(name);
            let fate = life.fate.filter(|(at, _)| *at == index).map(|(_, fate)| fate);
            life.dead = fate == Some(Fate::DiesBefore);
            fate
        };
        match fate {
            None => Some(act.await),
            Some(Fate::DiesBefore) => None,
            Some(Fate::DiesAfter) => {
                act.await;
                self.life().dead = true;
                None
            }
            Some(Fate::Overtaken) => {
                let mut other = self.world.controller(None);
                Box::pin(self.world.settle(&mut other)).await;
                Some(act.await)
            }
        }
    }

    fn life(&self) -> std::sync::MutexGuard<'_, Life> {
        self.life.lock().expect("no test panics while it holds the life")
    }

    fn order<'a>(
        &'a self,
        name: &'static str,
        act: impl Future<Output = Result<AgentState, AgentError>> + Send + 'a,
    ) -> BoxFuture<'a, Result<AgentState, AgentError>> {
        let dead = || AgentError::Unreachable {
            message: "the controller is dead".to_owned(),
        };
        async move { self.deed(name, act).await.ok_or_else(dead)? }.boxed()
    }

    fn removal<'a>(
        &'a self,
        name: &'static str,
        act: impl Future<Output = Result<(), RemovalError>> + Send + 'a,
    ) -> BoxFuture<'a, Result<(), RemovalError>> {
        let dead = || RemovalError {
            message: "the controller is dead".to_owned(),
        };
        async move { self.deed(name, act).await.ok_or_else(dead)? }.boxed()
    }
}

/// What a request changes; `None` when it reads.
fn api_deed(method: &Method, path: &str, body: &Value) -> Option<&'static str> {
    let restores = !body["metadata"]["annotations"][annotation::RESTORE_GENERATION].is_null();
    let finalizers = body["metadata"]["finalizers"].as_array();
    if *method == Method::GET {
        None
    } else if path.contains("/events") {
        Some("tell")
    } else if path.ends_with("/pods") && restores {
        Some("create the Pod from a checkpoint")
    } else if path.ends_with("/pods") {
        Some("create the Pod")
    } else if path.contains("/pods/") {
        Some("delete the Pod")
    } else if !path.contains("/sandboxes/") {
        Some("write beside the Pod")
    } else if path.ends_with("/status") {
        Some("write the status")
    } else if *method == Method::DELETE {
        Some("delete the sandbox")
    } else if let Some(finalizers) = finalizers {
        Some(if finalizers.is_empty() {
            "remove the finalizer"
        } else {
            "add the finalizer"
        })
    } else {
        Some("set paused")
    }
}

impl SandboxAgents for Doomed {
    fn state<'a>(&'a self, agent: &'a AgentAddress) -> BoxFuture<'a, Result<AgentState, AgentError>> {
        SandboxAgents::state(&self.world, agent)
    }

    fn freeze<'a>(&'a self, agent: &'a AgentAddress) -> BoxFuture<'a, Result<AgentState, AgentError>> {
        self.order("freeze", async { self.world.freeze(agent).await })
    }

    fn thaw<'a>(&'a self, agent: &'a AgentAddress) -> BoxFuture<'a, Result<AgentState, AgentError>> {
        self.order("thaw", async { self.world.thaw(agent).await })
    }

    fn checkpoint<'a>(
        &'a self,
        agent: &'a AgentAddress,
        generation: u64,
    ) -> BoxFuture<'a, Result<AgentState, AgentError>> {
        self.order(
            "checkpoint",
            async move { self.world.checkpoint(agent, generation).await },
        )
    }
}

impl CheckpointCustodian for Doomed {
    fn remove_all<'a>(&'a self, uid: &'a str) -> BoxFuture<'a, Result<(), RemovalError>> {
        self.removal("remove the checkpoints", async { self.world.remove_all(uid).await })
    }

    fn remove_older_than<'a>(&'a self, uid: &'a str, generation: u64) -> BoxFuture<'a, Result<(), RemovalError>> {
        self.removal("remove older checkpoints", async move {
            self.world.remove_older_than(uid, generation).await
        })
    }
}

/// Lives through a story; what the controller did until its fate, and what is left.
async fn live(setting: Setting, acts: &[Act], fate: Option<(usize, Fate)>) -> (Vec<&'static str>, End) {
    let world = setting.world();
    let life = Life {
        fate,
        ..Life::default()
    };
    let doomed = Doomed {
        world: world.clone(),
        life: Arc::new(Mutex::new(life)),
    };
    let mut controller = doomed.controller();
    world.settle(&mut controller).await;
    world.write_context(7);
    for act in acts {
        perform(&world, setting, *act);
        world.settle(&mut controller).await;
    }
    let deeds = doomed.life().deeds.clone();
    (deeds, end(&world))
}

fn perform(world: &World, setting: Setting, act: Act) {
    match act {
        Act::Pause => world.patch_spec(setting.ask(true)),
        Act::PauseForLong => {
            world.state().mood = AgentMood::SealsForever;
            world.patch_spec(setting.ask(true));
        }
        Act::Resume => world.patch_spec(setting.ask(false)),
        Act::Delete => world.delete_sandbox(),
        Act::PauseTimeComes => comes(world, "pauseTime"),
        Act::ShutdownTimeComes => comes(world, "shutdownTime"),
    }
}

fn comes(world: &World, timer: &str) {
    let at = seconds_from_now(world, 60);
    world.patch_spec(json!({timer: at.to_string(), "shutdownPolicy": "Delete"}));
    world.state().now = at;
}

fn end(world: &World) -> End {
    let exists = world.state().sandbox.is_some();
    let status = exists.then(|| world.sandbox().status.unwrap_or_default());
    let context = world.context().map(|context| context % 1000);
    let state = world.state();
    End {
        phase: status.as_ref().and_then(|status| status.phase),
        context,
        record: status.and_then(|status| Some(status.checkpoint?.generation)),
        checkpoints: state.store.keys().copied().collect(),
        pod: state.pod.is_some(),
        beside: state.others.keys().cloned().collect(),
    }
}

/// Tries every fate at every deed on the way to every effect.
async fn endure(setting: Setting) {
    for effect in effects() {
        let Some((acts, shown_by)) = story(setting, effect) else {
            continue;
        };
        let (deeds, undisturbed) = live(setting, acts, None).await;
        assert!(deeds.contains(&shown_by), "the story of {effect:?} leads to {deeds:?}");
        let expected = setting.beside();
        assert!(
            expected
                .iter()
                .all(|object| undisturbed.beside.contains(&(*object).to_owned())),
            "{setting:?}, {effect:?}: {undisturbed:?} has not all of {expected:?}"
        );
        for (at, deed) in deeds.iter().enumerate() {
            for fate in [Fate::DiesBefore, Fate::DiesAfter, Fate::Overtaken] {
                let (_, end) = live(setting, acts, Some((at, fate))).await;
                assert_eq!(
                    end, undisturbed,
                    "{setting:?}, {effect:?}: the controller {fate:?} number {at}, {deed}"
                );
            }
        }
    }
}

#[tokio::test]
async fn the_outcome_is_the_same_wherever_a_controller_dies_or_is_overtaken() {
    Box::pin(endure(Setting::Bare)).await;
}

#[tokio::test]
async fn the_outcome_is_the_same_with_a_volume_and_a_service_wherever_a_controller_dies_or_is_overtaken() {
    Box::pin(endure(Setting::Accompanied)).await;
}

#[tokio::test]
async fn the_outcome_is_the_same_for_the_second_front_with_a_volume_and_a_service_wherever_it_dies_or_is_overtaken() {
    Box::pin(endure(Setting::SecondFront)).await;
}
