//! One pass: read, decide, write; again and again until nothing is left to do.
//!
//! Every step makes at most one write. The status comes first and the effect that it announces
//! second, so every moment at which the controller may die is one from which it can go on.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::runtime::controller::Action;
use tokio::time::Instant;
use torpor_api::{CheckpointState, Sandbox, SandboxStatus};

use crate::api::SandboxApi;
use crate::controller::Context;
use crate::decide::{Decision, Effect, Goal, History, Report, Workload};
use crate::look::SOON;
use crate::notice::notices;
use crate::observe::{AgentView, Reading, is_ours};
use crate::pod::{TemplateError, build};
use crate::status::Obstacle;
use crate::{AgentError, ReconcileError};

/// More than any path through the state machine has.
const MOST_STEPS: usize = 24;

/// What became of an effect.
enum Outcome {
    /// It was done; read again.
    Done,
    /// The agent is at it; only it knows when it is done.
    UnderWay,
    /// The agent will not freeze; the pause has failed.
    FreezeRefused(String),
    /// It was refused and is tried again later.
    Refused(Obstacle),
}

/// Brings one sandbox to rest, or as far as it gets without waiting.
///
/// # Errors
/// [`ReconcileError`] when a read or write failed. Nothing is half done: every write stands by itself.
pub(crate) async fn reconcile(sandbox: Arc<Sandbox>, context: Arc<Context>) -> Result<Action, ReconcileError> {
    let namespace = sandbox
        .namespace()
        .ok_or(ReconcileError::Incomplete { field: "namespace" })?;
    let name = sandbox.name_any();
    let pass = Pass {
        api: SandboxApi::new(&context.client, &namespace, &name),
        context: &context,
    };
    let action = pass.run(&format!("{namespace}/{name}")).await?;
    context.errors.succeeded(&format!("{namespace}/{name}"));
    Ok(action)
}

struct Pass<'a> {
    api: SandboxApi,
    context: &'a Context,
}

impl Pass<'_> {
    async fn run(&self, key: &str) -> Result<Action, ReconcileError> {
        let (mut freeze_refusal, mut obstacle) = (None, None);
        for _ in 0..MOST_STEPS {
            let Some(reading) = self.read(freeze_refusal.take()).await? else {
                self.context.forget(key);
                return Ok(Action::await_change());
            };
            self.context.metrics.observe_phase(key, reading.status().phase);
            let decision = self.context.decide(&reading);
            let before = reading.status();
            let after = self.context.report(&reading, decision, obstacle.as_ref());
            if after != before {
                self.write_status(&reading, &after).await?;
                self.settle(&reading, decision, &before, &after).await;
                if obstacle.is_none() {
                    continue;
                }
            }
            if obstacle.is_some() {
                return Ok(Action::requeue(
                    self.context.obstacles.failed(reading.uid(), reading.now),
                ));
            }
            let Some(effect) = decision.effect else {
                return Ok(self.context.rest(&reading, decision));
            };
            let began = Instant::now();
            let applied = self.apply(&reading, effect).await;
            let done = matches!(applied, Ok(Outcome::Done | Outcome::UnderWay));
            self.context.metrics.effect(effect, done, began);
            match applied? {
                Outcome::Done => self.context.obstacles.succeeded(reading.uid()),
                Outcome::UnderWay => return Ok(Action::requeue(SOON)),
                Outcome::FreezeRefused(reason) => freeze_refusal = Some(reason),
                Outcome::Refused(reason) => obstacle = Some(reason),
            }
        }
        Err(ReconcileError::Restless { steps: MOST_STEPS })
    }

    /// Reads everything that the decision depends on. `None`: the sandbox is gone.
    async fn read(&self, freeze_refusal: Option<String>) -> Result<Option<Reading>, ReconcileError> {
        let Some(sandbox) = self.api.sandbox().await? else {
            return Ok(None);
        };
        let pod = self.api.pod().await?;
        let mut reading = self.context.reading(sandbox, pod);
        reading.freeze_refusal = freeze_refusal;
        if let Some(pod_ip) = reading.agent_to_ask() {
            reading.agent = match self.context.agents.state(&pod_ip).await {
                Ok(state) => AgentView::State(state),
                Err(error) => AgentView::Silent(error.to_string()),
            };
        }
        let observed = reading.observed();
        if observed.goal == Goal::Running && observed.workload == Workload::Absent && observed.history != History::Live
        {
            reading.template_error = self
                .pod_to_start(&reading.sandbox, None)
                .await?
                .err()
                .map(|error| error.to_string());
        }
        Ok(Some(reading))
    }

    async fn write_status(&self, reading: &Reading, after: &SandboxStatus) -> Result<(), ReconcileError> {
        self.api.write_status(&reading.sandbox, after).await
    }

    /// Tells people and meters of a step that is complete, and cleans up behind it.
    async fn settle(&self, reading: &Reading, decision: Decision, before: &SandboxStatus, after: &SandboxStatus) {
        let (sandbox, uid) = (&reading.sandbox, reading.uid());
        self.context.metrics.transition(uid, before, after, reading.now);
        for notice in notices(before, after) {
            notice.log();
            self.context.announce(sandbox, &notice).await;
        }
        match decision.report {
            Report::RestoreFailed => drop(self.context.restores.failed(uid, reading.now)),
            Report::Running { .. } => self.context.restores.succeeded(uid),
            Report::Paused => self.drop_outlived(reading, after).await,
            Report::AsIs
            | Report::Starting
            | Report::Pausing
            | Report::Sealed
            | Report::Stopping
            | Report::Resuming
            | Report::PauseFailed
            | Report::TemplateInvalid
            | Report::PodForeign
            | Report::Failed(_)
            | Report::Terminating => {}
        }
    }

    /// Only once a newer one is on record is an older checkpoint of no use.
    async fn drop_outlived(&self, reading: &Reading, after: &SandboxStatus) {
        let Some(record) = &after.checkpoint else { return };
        if let Err(error) = self
            .context
            .custodian
            .remove_older_than(reading.uid(), record.generation)
            .await
        {
            tracing::warn!(
                %error,
                "outlived checkpoints are left until the next pause or the deletion"
            );
        }
    }

    async fn apply(&self, reading: &Reading, effect: Effect) -> Result<Outcome, ReconcileError> {
        let sandbox = &reading.sandbox;
        match effect {
            Effect::AddFinalizer => self.api.add_finalizer(sandbox).await?,
            Effect::StartFresh => return self.start(sandbox, None).await,
            Effect::StartFromCheckpoint => {
                let record = sandbox.status.as_ref().and_then(|status| status.checkpoint.as_ref());
                return self.start(sandbox, record.map(|record| record.generation)).await;
            }
            Effect::Freeze => return self.freeze(reading).await,
            Effect::Checkpoint => return self.checkpoint(reading).await,
            Effect::Thaw => {
                let thawed = self.context.agents.thaw(&pod_ip(reading)).await;
                thawed.map_err(|source| ReconcileError::Agent {
                    attempt: "let the workload run on",
                    source,
                })?;
            }
            Effect::DeletePod => {
                if let Some(pod) = reading.pod.as_ref().filter(|pod| is_ours(pod, sandbox)) {
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
        match self.context.agents.freeze(&pod_ip(reading)).await {
            Ok(_) => Ok(Outcome::Done),
            Err(AgentError::Refused { message }) => Ok(Outcome::FreezeRefused(message)),
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
        match self.context.agents.checkpoint(&pod_ip(reading), generation).await {
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

    async fn start(&self, sandbox: &Sandbox, restore: Option<u64>) -> Result<Outcome, ReconcileError> {
        // A template that went bad since it was read is reported by the next reading.
        let Ok(pod) = self.pod_to_start(sandbox, restore).await? else {
            return Ok(Outcome::Done);
        };
        match self.api.create_pod(&pod).await {
            Ok(()) => Ok(Outcome::Done),
            Err(kube::Error::Api(status)) if is_refusal(&status) => {
                Ok(Outcome::Refused(Obstacle::CreateRefused(status.message.clone())))
            }
            Err(source) => Err(ReconcileError::Api {
                attempt: "create the Pod",
                source,
            }),
        }
    }

    async fn pod_to_start(
        &self,
        sandbox: &Sandbox,
        restore: Option<u64>,
    ) -> Result<Result<Pod, TemplateError>, ReconcileError> {
        let template = match (&sandbox.spec.template, &sandbox.spec.template_ref) {
            (Some(template), None) => template.clone(),
            (None, Some(reference)) => {
                let Some(template) = self.api.template(&reference.name).await? else {
                    let namespace = self.api.namespace().to_owned();
                    return Ok(Err(TemplateError::NotFound {
                        name: reference.name.clone(),
                        namespace,
                    }));
                };
                template.spec.template
            }
            (Some(_), Some(_)) | (None, None) => return Ok(Err(TemplateError::Ambiguous)),
        };
        Ok(build(sandbox, &template, restore, &self.context.config.store_url))
    }

    async fn release(&self, reading: &Reading) -> Result<Outcome, ReconcileError> {
        if let Err(error) = self.context.custodian.remove_all(reading.uid()).await {
            return Ok(Outcome::Refused(Obstacle::RemovalFailed(error.to_string())));
        }
        self.api.remove_finalizer(&reading.sandbox).await?;
        self.context.restores.succeeded(reading.uid());
        Ok(Outcome::Done)
    }
}

/// Whether the API server will not take the Pod as it is, or not now. A name that is taken shows in the next reading.
fn is_refusal(status: &kube::core::Status) -> bool {
    (400..500).contains(&status.code) && !matches!(status.code, 408 | 409 | 429)
}

fn pod_ip(reading: &Reading) -> String {
    let status = reading.pod.as_ref().and_then(|pod| pod.status.as_ref());
    status.and_then(|status| status.pod_ip.clone()).unwrap_or_default()
}

/// The delay after a pass that broke off.
pub(crate) fn after_error(now: Timestamp, key: &str, error: &ReconcileError, context: &Context) -> Action {
    if error.is_outdated() {
        return Action::requeue(Duration::from_millis(50));
    }
    Action::requeue(context.errors.failed(key, now))
}

#[cfg(test)]
mod tests;
