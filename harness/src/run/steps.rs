//! Carries out steps.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures::future::join_all;
use serde_json::json;
use tokio::time::Instant;

use super::clean_up::HeldKind;
use super::describe::described;
use super::world::World;
use crate::history::Occurrence;
use crate::probe::Fault;
use crate::scenario::{Condition, CreateObject, DeleteObject, Observe, Patch, Repeat, Span, Step, Variables, Wait};

/// The outcome of steps, to come. Steps contain steps.
type Outcome<'a> = Pin<Box<dyn Future<Output = Result<(), StepFault>> + Send + 'a>>;

/// A fault and the step it came from.
#[derive(Clone, Debug)]
pub(super) struct StepFault {
    pub(super) path: String,
    pub(super) fault: Fault,
}

/// Carries out steps in order, up to the first fault.
pub(super) fn all<'a>(world: &'a World, steps: &'a [Step], path: String, scope: Variables) -> Outcome<'a> {
    Box::pin(async move {
        for (index, step) in steps.iter().enumerate() {
            one(world, step, format!("{path}{}", index + 1), &scope).await?;
        }
        Ok(())
    })
}

async fn one(world: &World, step: &Step, path: String, scope: &Variables) -> Result<(), StepFault> {
    let text = describe(world, step, scope);
    world.journal.note(Occurrence::StepStarted {
        path: path.clone(),
        text,
    });
    let outcome = match step {
        _ if world.goes_on().is_err() => world.goes_on().map_err(|fault| StepFault {
            path: path.clone(),
            fault,
        }),
        Step::Repeat(repeat) => again(world, repeat, &path, scope).await,
        Step::Race(race) => {
            let branches = race.branches.iter().enumerate();
            let started =
                branches.map(|(index, steps)| all(world, steps, format!("{path}.{}.", index + 1), scope.clone()));
            join_all(started).await.into_iter().collect()
        }
        leaf => match world.filled(leaf, scope) {
            Ok(leaf) => carry_out(world, &leaf).await,
            Err(fault) => Err(fault),
        }
        .map_err(|fault| StepFault {
            path: path.clone(),
            fault,
        }),
    };
    let fault = outcome.as_ref().err().map(|fault| fault.fault.message().to_owned());
    world.journal.note(Occurrence::StepEnded { path, fault });
    outcome
}

async fn again(world: &World, repeat: &Repeat, path: &str, scope: &Variables) -> Result<(), StepFault> {
    for round in 1..=repeat.times {
        let mut scope = scope.clone();
        scope.insert("i".to_owned(), round.to_string());
        all(world, &repeat.steps, format!("{path}[{round}]."), scope).await?;
    }
    Ok(())
}

/// The step in one line.
fn describe(world: &World, step: &Step, scope: &Variables) -> String {
    match step {
        Step::Repeat(repeat) => format!("repeat {} times", repeat.times),
        Step::Race(race) => format!("race {} branches", race.branches.len()),
        leaf => {
            let filled = world.filled(leaf, scope).unwrap_or_else(|_| leaf.clone());
            described(&filled)
        }
    }
}

async fn carry_out(world: &World, step: &Step) -> Result<(), Fault> {
    match step {
        Step::Create(create) => world.create(create).await,
        Step::Pause(pause) => world.pause(pause).await,
        Step::Resume(resume) => world.resume(resume).await,
        Step::Delete(delete) => world.delete(delete).await,
        Step::Connect(connect) => world.connect(connect).await,
        Step::SetTimeout(timeout) => world.set_timeout(timeout).await,
        Step::ProbeWrite(write) => world.probe_write(write).await,
        Step::ProbeRead(read) => world.probe_read(read).await,
        Step::Ask(ask) => world.ask(ask).await,
        Step::PatchTemplate(patch) => world.patch_template(patch).await,
        Step::SetTimer(timer) => world.set_timer(timer).await,
        Step::Patch(patch) => world.patch(patch).await,
        Step::DeleteNamespace(_) => world.delete_namespace().await,
        Step::CreateObject(create) => world.create_object(create).await,
        Step::DeleteObject(delete) => world.delete_object(delete).await,
        Step::FindNode(find) => world.find_node(find).await,
        Step::PatchPod(patch) => world.patch_pod(patch).await,
        Step::DeletePod(delete) => world.delete_pod(delete).await,
        Step::DamageStorage(step) => world.damage_storage(step).await,
        Step::RepairStorage(_) => world.repair_storage().await,
        Step::CrashController(crash) => world.crash_controller(crash).await,
        Step::ElectLeader(_) => world.elect_leader().await,
        Step::CutLeaderOff(cut) => world.cut_leader_off(cut).await,
        Step::Reconnect(_) => world.reconnect().await,
        Step::ApiFault(fault) => world.api_fault(fault).await,
        Step::RefuseRemovals(_) => world.refuse_removals().await,
        Step::EndFaults(_) => world.end_faults().await,
        Step::Run(run) => world.run_code(run).await,
        Step::HangUp(_) => world.hang_up(),
        Step::HungUp(hung_up) => world.hung_up(hung_up).await,
        Step::Command(command) => world.command(command).await,
        Step::Work(work) => world.work(work).await,
        Step::Recall(recall) => world.recall(recall).await,
        Step::WriteFile(write) => world.write_file(write).await,
        Step::ReadFile(read) => world.read_file(read).await,
        Step::ListFiles(list) => world.list_files(list).await,
        Step::StatFile(stat) => world.stat_file(stat).await,
        Step::DeleteFile(delete) => world.delete_file(delete).await,
        Step::Http(http) => world.any_request(http).await,
        Step::Remember(remember) => world.remember(remember).await,
        Step::Mark(mark) => world.mark(mark).await,
        Step::MarkSeries(mark) => world.mark_series(mark).await,
        Step::Wait(wait) => world.wait(wait).await,
        Step::Expect(conditions) => world.expect(conditions).await,
        Step::Observe(observe) => world.observe(observe).await,
        Step::Repeat(_) | Step::Race(_) => Err(Fault::Harness("a step with steps is no leaf".to_owned())),
    }
}

/// How long to rest between two looks at what no watch reports.
pub(super) const POLL: Duration = Duration::from_millis(200);

impl World {
    async fn patch(&self, step: &Patch) -> Result<(), Fault> {
        let sandbox = self.sandbox(&step.sandbox)?;
        self.holds(HeldKind::Sandbox, &sandbox.name, &step.merge);
        let answer = self.cluster()?.try_patch_sandbox(&sandbox.name, &step.merge).await?;
        super::lifecycle::accepted(answer.map_err(Into::into), &step.status)
    }

    async fn delete_namespace(&self) -> Result<(), Fault> {
        let cluster = self.cluster()?;
        cluster.delete_namespace().await?;
        let deadline = self.pulse.deadline(self.target.limits().delete.duration());
        let mut changes = self.journal.changes();
        while cluster.has_namespace().await? {
            self.goes_on()?;
            if deadline.is_over() {
                let what = |within: &str| format!("the namespace {} is not gone {within}", cluster.namespace);
                return Err(deadline.late().fault(what));
            }
            changes.mark_unchanged();
            let _ = tokio::time::timeout(POLL, changes.changed()).await;
        }
        Ok(())
    }

    async fn create_object(&self, step: &CreateObject) -> Result<(), Fault> {
        let cluster = self.cluster()?;
        let mut manifest = step.manifest.clone();
        manifest["metadata"]["namespace"] = json!(cluster.namespace);
        let made = cluster.create_object(manifest).await?;
        self.state().objects.push(made);
        Ok(())
    }

    async fn delete_object(&self, step: &DeleteObject) -> Result<(), Fault> {
        let named =
            |(kind, name): &&(kube::api::GroupVersionKind, String)| kind.kind == step.kind && *name == step.name;
        let object = self.state().objects.iter().find(named).cloned();
        let missing = || Fault::Harness(format!("no step created {} `{}`", step.kind, step.name));
        let (kind, name) = object.ok_or_else(missing)?;
        self.cluster()?.delete_object(&kind, &name).await
    }

    async fn wait(&self, step: &Wait) -> Result<(), Fault> {
        let within = self.target.limits().of_wait(step.within);
        match step.stable {
            None => self.wait_until(&step.until, within).await,
            Some(stable) => self.wait_until_stable(&step.until, within, stable.duration()).await,
        }
    }

    async fn expect(&self, conditions: &[Condition]) -> Result<(), Fault> {
        self.first_unmet(conditions, self.target.limits().change.duration())
            .await?
            .map_or(Ok(()), |why| Err(Fault::Claim(why)))
    }

    /// Waits until all conditions hold at once; looks again whenever a watch reports news.
    pub(super) async fn wait_until(&self, conditions: &[Condition], within: Duration) -> Result<(), Fault> {
        let mut changes = self.journal.changes();
        let deadline = self.pulse.deadline(within);
        loop {
            self.goes_on()?;
            changes.mark_unchanged();
            let Some(why) = self.first_unmet(conditions, Duration::ZERO).await? else {
                return Ok(());
            };
            if deadline.is_over() {
                return Err(deadline.late().fault(|within| format!("not {within}: {why}")));
            }
            let _ = tokio::time::timeout(POLL, changes.changed()).await;
        }
    }

    /// Waits until all conditions have held for `stable` at every look, of which there is one with all news and one
    /// every [`POLL`]; they may begin to hold as late as `within` says.
    async fn wait_until_stable(
        &self,
        conditions: &[Condition],
        within: Duration,
        stable: Duration,
    ) -> Result<(), Fault> {
        let mut changes = self.journal.changes();
        let deadline = self.pulse.deadline(within);
        let (mut held_since, mut breaks) = (None, 0_u32);
        loop {
            self.goes_on()?;
            changes.mark_unchanged();
            let why = self.first_unmet(conditions, Duration::ZERO).await?;
            // What begins to hold too late is not waited for.
            let begins = why.is_none() && held_since.is_none();
            if (begins || why.is_some()) && deadline.is_over() {
                breaks += u32::from(held_since.is_some());
                let why = why.unwrap_or_else(|| "it held again only after that".to_owned());
                return Err(deadline.late().fault(|within| unstable(within, stable, breaks, &why)));
            }
            if why.is_some() {
                breaks += u32::from(held_since.take().is_some());
            } else if held_since.get_or_insert_with(Instant::now).elapsed() >= stable {
                return Ok(());
            }
            let _ = tokio::time::timeout(POLL, changes.changed()).await;
        }
    }

    async fn observe(&self, step: &Observe) -> Result<(), Fault> {
        let mut changes = self.journal.changes();
        let deadline = Instant::now() + step.during.duration();
        loop {
            self.goes_on()?;
            changes.mark_unchanged();
            if let Some(why) = self
                .first_unmet(&step.holds, self.target.limits().change.duration())
                .await?
            {
                return Err(Fault::Claim(format!("did not hold for {}: {why}", step.during)));
            }
            if Instant::now() >= deadline {
                return Ok(());
            }
            let _ = tokio::time::timeout(POLL, changes.changed()).await;
        }
    }
}

/// Why a state is not taken for reached that had to be stable.
fn unstable(within: &str, stable: Duration, breaks: u32, why: &str) -> String {
    let stable = Span::from(stable);
    match breaks {
        0 => format!("not {within}: {why}"),
        1 => format!("not for {stable} on end {within}: it came and went once: {why}"),
        times => format!("not for {stable} on end {within}: it came and went {times} times: {why}"),
    }
}
