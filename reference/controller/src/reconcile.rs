//! One pass: read, decide, write; again and again until nothing is left to do.
//!
//! Every step makes at most one write. The status comes first and the effect that it announces
//! second, so every moment at which the controller may die is one from which it can go on.

mod chores;
mod read;

use std::mem::take;
use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use kube::runtime::controller::Action;
use serde_json::{Map, Value};
use tokio::time::Instant;
use torpor_api::{CheckpointRecord, CheckpointState, Sandbox, SandboxStatus};
use tracing::Instrument;

use crate::api::{SandboxApi, Stored};
use crate::checkpoints::Checkpoints;
use crate::companions::{Chore, chore};
use crate::controller::Context;
use crate::decide::{Effect, Report};
use crate::front::Fronted;
use crate::look::{SOON, again, rest};
use crate::notice::notices;
use crate::observe::{AgentView, Reading, is_ours};
use crate::status::Obstacle;
use crate::traces::fail;
use crate::{AgentAddress, AgentError, ReconcileError};

/// More than any path through the state machine has.
const MOST_STEPS: usize = 48;
/// How long a pause waits until what it outlives is removed. Stores go on with that.
const REMOVAL_LIMIT: Duration = Duration::from_secs(10);

/// What became of an effect.
enum Outcome {
    /// It was done; read again.
    Done,
    /// The agent is at it; only it knows when it is done.
    UnderWay,
    /// It was done or refused by the agent, and what it said counts for the next reading.
    Told(Told),
    /// It was refused and is tried again later.
    Refused(Obstacle),
    /// It could not be done, and nothing waits for it.
    PutOff {
        /// The chore.
        chore: &'static str,
    },
}

/// What the agent made of the last order in a pass, where its state does not tell.
#[derive(Default)]
enum Told {
    #[default]
    Nothing,
    /// It will not freeze; the pause has failed.
    FreezeRefused(String),
    /// It has let the workload run on, and no freeze is still to come.
    Thawed,
}

/// What a step does once the status is as it should be.
enum Deed {
    Chore(Chore),
    Effect(Effect),
}

/// Brings one sandbox to rest, or as far as it gets without waiting.
///
/// # Errors
/// [`ReconcileError`] when a read or write failed. Nothing is half done: every write stands by itself.
pub(crate) async fn reconcile<K: Fronted>(
    object: Arc<K>,
    context: Arc<Context>,
    checkpoints: &Checkpoints,
) -> Result<Action, ReconcileError> {
    let namespace = object
        .namespace()
        .ok_or(ReconcileError::Incomplete { field: "namespace" })?;
    let pass = Pass {
        api: SandboxApi::new(&context.client, K::FRONT, &namespace, &object.name_any()),
        context: &context,
        checkpoints,
    };
    let key = K::FRONT.key(&namespace, &object.name_any());
    let action = pass.run(&key, object.meta().uid.as_deref().unwrap_or_default()).await?;
    context.errors.succeeded(&key);
    Ok(action)
}

struct Pass<'a> {
    api: SandboxApi,
    context: &'a Context,
    /// What is known of the Checkpoints of all sandboxes of this kind.
    checkpoints: &'a Checkpoints,
}

impl Pass<'_> {
    /// For the sandbox `key`, which had this UID when the pass was asked for.
    async fn run(&self, key: &str, uid: &str) -> Result<Action, ReconcileError> {
        let (mut told, mut obstacle, mut put_off, mut known) = (Told::Nothing, None, Vec::new(), None);
        for _ in 0..MOST_STEPS {
            let Some(reading) = self.read(take(&mut told), known.take()).await? else {
                self.context.forget(key, uid);
                return Ok(Action::await_change());
            };
            self.context.metrics.observe_phase(key, reading.status().phase);
            let decision = self.context.decide(&reading);
            let after = self.context.report(&reading, decision, obstacle.as_ref());
            let published = reading.front.publish(&reading, &after);
            if published != reading.published {
                known = Some(self.publish(&reading, decision.report, &published, &after).await?);
                if obstacle.is_none() {
                    continue;
                }
            }
            if obstacle.is_some() {
                return Ok(self.later(&reading));
            }
            let outcome = match deed(&reading, decision.effect, &put_off) {
                Some(Deed::Chore(chore)) => {
                    self.carry_out(reading.uid(), &chore)
                        .instrument(self.step(&reading, chore.name()))
                        .await?
                }
                Some(Deed::Effect(effect)) => self.measured(&reading, effect).await?,
                None if !put_off.is_empty() => return Ok(self.later(&reading)),
                None => {
                    self.context.obstacles.succeeded(reading.uid());
                    return Ok(rest(&reading, decision));
                }
            };
            match outcome {
                Outcome::Done => self.context.obstacles.succeeded(reading.uid()),
                Outcome::UnderWay => return Ok(Action::requeue(SOON)),
                Outcome::Told(word) => told = word,
                Outcome::Refused(reason) => obstacle = Some(reason),
                Outcome::PutOff { chore } => put_off.push(chore),
            }
        }
        Err(ReconcileError::Restless { steps: MOST_STEPS })
    }

    /// After a write that was refused.
    fn later(&self, reading: &Reading) -> Action {
        let delay = self.context.obstacles.failed(reading.uid());
        again(&reading.sandbox, reading.now, delay)
    }

    /// Writes the status, and tells of it. The answer is the sandbox as it is from then on, which need not be read again.
    async fn publish(
        &self,
        reading: &Reading,
        report: Report,
        published: &Map<String, Value>,
        after: &SandboxStatus,
    ) -> Result<Stored, ReconcileError> {
        let before = reading.status();
        // First, so that a controller that dies in between comes by again.
        if report == Report::Paused {
            self.drop_outlived(reading, after).await;
        }
        let written = self.api.write_status(reading, published, after);
        let written = written.instrument(self.step(reading, "write_status")).await?;
        self.settle(reading, &before, after).await;
        Ok(written)
    }

    async fn measured(&self, reading: &Reading, effect: Effect) -> Result<Outcome, ReconcileError> {
        let began = Instant::now();
        let step = self.step(reading, effect.name());
        let applied = self.apply(reading, effect).instrument(step.clone()).await;
        let done = matches!(
            applied,
            Ok(Outcome::Done | Outcome::UnderWay | Outcome::Told(Told::Thawed))
        );
        if !done {
            fail(&step, None);
        }
        self.context.metrics.effect(effect, done, began);
        applied
    }

    fn step(&self, reading: &Reading, name: &'static str) -> tracing::Span {
        self.context.traces.step(&reading.sandbox, name)
    }

    /// Tells people and meters of a step that is complete.
    async fn settle(&self, reading: &Reading, before: &SandboxStatus, after: &SandboxStatus) {
        self.context
            .metrics
            .transition(reading.uid(), before, after, reading.now);
        self.context.traces.follow(&reading.sandbox, before, after);
        for notice in notices(before, after) {
            notice.log();
            let reference = reading.front.reference(&reading.sandbox);
            self.context.announce(&reference, &notice).await;
        }
    }

    /// Only once a newer one is on record is an older checkpoint of no use. The pause does not fail for what stays, and does
    /// not wait long for a store that does not answer.
    async fn drop_outlived(&self, reading: &Reading, after: &SandboxStatus) {
        let Some(record) = &after.checkpoint else { return };
        let removal = self
            .context
            .custodian
            .remove_older_than(reading.uid(), record.generation);
        let left = match tokio::time::timeout(REMOVAL_LIMIT, removal).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("the store has not answered for {} s", REMOVAL_LIMIT.as_secs()),
        };
        tracing::warn!(
            error = left,
            "outlived checkpoints are left until the next pause or the deletion"
        );
    }

    async fn apply(&self, reading: &Reading, effect: Effect) -> Result<Outcome, ReconcileError> {
        let sandbox = &reading.sandbox;
        match effect {
            Effect::AddFinalizer => self.api.add_finalizer(sandbox).await?,
            Effect::StartFresh => return self.start(sandbox, None).await,
            Effect::StartFromCheckpoint => {
                self.context.custodian.wanted(reading.uid());
                let record = sandbox.status.as_ref().and_then(|status| status.checkpoint.as_ref());
                return self.start(sandbox, record).await;
            }
            Effect::Freeze => return self.freeze(reading).await,
            Effect::Checkpoint => return self.checkpoint(reading).await,
            Effect::Thaw => {
                let thawed = self.context.agents.thaw(&called(reading)).await;
                thawed.map_err(|source| ReconcileError::Agent {
                    attempt: "let the workload run on",
                    source,
                })?;
                return Ok(Outcome::Told(Told::Thawed));
            }
            Effect::DeletePod => {
                if let Some(pod) = reading.pod.as_ref().filter(|pod| is_ours(*pod, sandbox)) {
                    self.api.delete_pod(pod).await?;
                }
            }
            Effect::Release => return self.release(reading).await,
            Effect::SetPaused => self.api.set_paused(sandbox).await?,
            Effect::DeleteSandbox => self.api.delete_sandbox(sandbox).await?,
        }
        Ok(Outcome::Done)
    }

    async fn freeze(&self, reading: &Reading) -> Result<Outcome, ReconcileError> {
        match self.context.agents.freeze(&called(reading)).await {
            Ok(_) => Ok(Outcome::Done),
            Err(AgentError::Refused { message }) => Ok(Outcome::Told(Told::FreezeRefused(message))),
            Err(source @ AgentError::Unreachable { .. }) => Err(ReconcileError::Agent {
                attempt: "freeze the workload",
                source,
            }),
        }
    }

    async fn checkpoint(&self, reading: &Reading) -> Result<Outcome, ReconcileError> {
        let joined = match &reading.agent {
            AgentView::State(state) => match state.checkpoint {
                CheckpointState::Writing { generation } => Some(generation),
                CheckpointState::None | CheckpointState::Sealed { .. } | CheckpointState::Failed { .. } => None,
            },
            AgentView::NotAsked | AgentView::Silent(_) => None,
        };
        let generation = joined.or(reading.status().last_checkpoint_generation).unwrap_or(1);
        match self.context.agents.checkpoint(&called(reading), generation).await {
            Ok(state) => match state.checkpoint {
                CheckpointState::Sealed { .. } | CheckpointState::Failed { .. } => Ok(Outcome::Done),
                CheckpointState::None | CheckpointState::Writing { .. } => Ok(Outcome::UnderWay),
            },
            // It is not frozen any more: the next reading says so.
            Err(AgentError::Refused { .. }) => Ok(Outcome::UnderWay),
            Err(source @ AgentError::Unreachable { .. }) => Err(ReconcileError::Agent {
                attempt: "checkpoint the workload",
                source,
            }),
        }
    }

    async fn start(&self, sandbox: &Sandbox, restore: Option<&CheckpointRecord>) -> Result<Outcome, ReconcileError> {
        // A template that went bad since it was read is reported by the next reading.
        let Ok(pod) = self.pod_to_start(sandbox, restore).await? else {
            return Ok(Outcome::Done);
        };
        match self.api.create_pod(&pod).await {
            Ok(()) => Ok(Outcome::Done),
            Err(kube::Error::Api(status)) if is_refusal(&status) => Ok(Outcome::Refused(Obstacle::CreateRefused(
                format!("create the Pod: {}", status.message),
            ))),
            Err(source) => Err(ReconcileError::Api {
                attempt: "create the Pod",
                source,
            }),
        }
    }

    async fn release(&self, reading: &Reading) -> Result<Outcome, ReconcileError> {
        if let Err(error) = self.context.custodian.remove_all(reading.uid()).await {
            return Ok(Outcome::Refused(Obstacle::RemovalFailed(error.to_string())));
        }
        self.api.remove_finalizer(&reading.sandbox).await?;
        Ok(Outcome::Done)
    }
}

/// What is to be done next. What a timer asks for comes first: it waits for nothing that is to be made beside the Pod.
fn deed(reading: &Reading, effect: Option<Effect>, put_off: &[&str]) -> Option<Deed> {
    let timer = effect.filter(|effect| match effect {
        Effect::SetPaused | Effect::DeleteSandbox => true,
        Effect::AddFinalizer
        | Effect::StartFresh
        | Effect::StartFromCheckpoint
        | Effect::Freeze
        | Effect::Checkpoint
        | Effect::Thaw
        | Effect::DeletePod
        | Effect::Release => false,
    });
    let beside = || chore(reading, put_off).map(Deed::Chore);
    timer.map(Deed::Effect).or_else(beside).or(effect.map(Deed::Effect))
}

/// Whether the API server will not take the Pod as it is, or not now. A name that is taken shows in the next reading.
fn is_refusal(status: &kube::core::Status) -> bool {
    (400..500).contains(&status.code) && !matches!(status.code, 408 | 409 | 429)
}

/// Where the agent of the Pod that was read is called.
fn called(reading: &Reading) -> AgentAddress {
    reading
        .pod
        .as_ref()
        .and_then(|pod| reading.agent_of(pod))
        .unwrap_or_default()
}

/// When a pass that broke off is made again, by what was last known of the sandbox.
pub(crate) fn after_error<K: Fronted>(object: &K, key: &str, error: &ReconcileError, context: &Context) -> Action {
    if error.is_outdated() {
        return Action::requeue(Duration::from_millis(50));
    }
    let delay = context.errors.failed(key);
    again(&object.clone().into_sandbox(), context.now(), delay)
}

#[cfg(test)]
mod tests;
