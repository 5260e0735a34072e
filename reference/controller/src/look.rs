//! What a pass and a first look have in common: from what is known of a sandbox to what is left to do.
//!
//! Reads and writes nothing. A first look knows what the watches have brought, a pass what it has just read.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service};
use kube::ResourceExt;
use kube::runtime::controller::Action;
use kube::runtime::reflector::{ObjectRef, Store};
use torpor_api::{Sandbox, SandboxStatus};

use crate::api::Stored;
use crate::checkpoints::Checkpoints;
use crate::companions::{Companion, Companions, checkpoints_matter, chore, claim_name, claims_matter, service_matters};
use crate::controller::Context;
use crate::decide::{Decision, Goal, Wake, decide};
use crate::front::Fronted;
use crate::observe::{AgentView, Reading};
use crate::status::{Obstacle, compose};
use crate::timers::timers;

/// When only the agent knows of the change that is waited for.
pub(crate) const SOON: Duration = Duration::from_secs(1);
/// When somebody else's object is in the way.
const LATER: Duration = Duration::from_secs(10);

/// What the watches have brought of the objects of sandboxes.
pub(crate) struct Seen {
    pub(crate) pods: Store<Pod>,
    pub(crate) services: Store<Service>,
    pub(crate) claims: Store<PersistentVolumeClaim>,
    pub(crate) checkpoints: Checkpoints,
}

impl Seen {
    fn companions(&self, reading: &Reading) -> Companions {
        let sandbox = &reading.sandbox;
        let mut seen = Companions::default();
        let namespace = sandbox.namespace().unwrap_or_default();
        if claims_matter(reading) {
            for template in &sandbox.spec.volume_claim_templates {
                let name = claim_name(sandbox, template);
                let claim = self.claims.get(&ObjectRef::new(&name).within(&namespace));
                seen.claims.push((name, Companion::of_claim(claim.as_deref(), sandbox)));
            }
        }
        if service_matters(reading) {
            let service = self
                .services
                .get(&ObjectRef::new(&sandbox.name_any()).within(&namespace));
            seen.saw_service(service.as_deref(), sandbox);
        }
        if checkpoints_matter(reading) {
            seen.checkpoints = self.checkpoints.of(reading.uid());
        }
        seen
    }
}

/// Whether nothing is left to do for a sandbox, by what the watches have brought of it and its objects; then
/// says when to look again. A sandbox is not at rest where something else has to be read, as its agent; nor if its last
/// pass broke off or was refused a write.
pub(crate) fn at_rest<K: Fronted>(object: &K, seen: &Seen, context: &Context) -> Option<Action> {
    let (namespace, name) = (object.namespace()?, object.name_any());
    let key = K::FRONT.key(&namespace, &name);
    let pod = seen.pods.get(&ObjectRef::new(&name).within(&namespace));
    let mut reading = context.reading(Stored::of(object.clone()), pod.as_deref().cloned());
    let broke_off = context.errors.is_failing(&key) || context.obstacles.is_failing(reading.uid());
    if broke_off || reading.agent_to_ask().is_some() {
        return None;
    }
    reading.companions = seen.companions(&reading);
    let decision = context.decide(&reading);
    let status = context.report(&reading, decision, None);
    let to_do = decision.effect.is_some() || chore(&reading, &[]).is_some();
    if to_do || reading.front.publish(&reading, &status) != reading.published {
        return None;
    }
    context.metrics.observe_phase(&key, reading.status().phase);
    Some(rest(&reading, decision))
}

impl Context {
    /// What a pass begins with: nobody was asked yet.
    pub(crate) fn reading(&self, stored: Stored, pod: Option<Pod>) -> Reading {
        let now = self.now();
        Reading {
            front: stored.front,
            sandbox: stored.sandbox,
            published: stored.published,
            pod,
            agent: AgentView::NotAsked,
            companions: Companions::default(),
            template_error: None,
            freeze_refusal: None,
            thawed: false,
            now,
            pause_deadline: self.config.deadlines.pause,
            restore_retry: self.config.deadlines.restore_retry,
        }
    }

    pub(crate) fn decide(&self, reading: &Reading) -> Decision {
        let observed = self.defect.observed(reading.observed(), &reading.sandbox, reading.now);
        let decision = self.defect.decision(decide(observed));
        tracing::debug!(?observed, ?decision, "decided");
        decision
    }

    /// The status that says what was decided.
    pub(crate) fn report(&self, reading: &Reading, decision: Decision, obstacle: Option<&Obstacle>) -> SandboxStatus {
        let after = compose(reading, decision.report, obstacle);
        self.defect.status(&reading.status(), after, reading.now)
    }
}

/// Nothing is left to do now; says when to look again.
pub(crate) fn rest(reading: &Reading, decision: Decision) -> Action {
    let wait = match decision.wake {
        Wake::OnChange => None,
        // Without an agent to ask there is only the Pod to wait for, and that is watched.
        Wake::Soon if reading.goal() == Goal::Running && matches!(reading.agent, AgentView::NotAsked) => None,
        Wake::Soon => Some(SOON),
        Wake::Later => Some(LATER),
    };
    // Nobody else's Service is watched.
    let service = reading.service_trouble().map(|_| LATER);
    let next = next_timer(&reading.sandbox, reading.now);
    match [wait, service, next, reading.restore_wait()]
        .into_iter()
        .flatten()
        .min()
    {
        Some(wait) => Action::requeue(wait),
        None => Action::await_change(),
    }
}

/// What was tried has failed and is tried again after `delay`, or when a timer runs out before that: no timer waits for
/// a failure that has nothing to do with it.
pub(crate) fn again(sandbox: &Sandbox, now: Timestamp, delay: Duration) -> Action {
    Action::requeue(next_timer(sandbox, now).map_or(delay, |next| next.min(delay)))
}

/// Time until the next timer; none once the end of the sandbox has begun.
fn next_timer(sandbox: &Sandbox, now: Timestamp) -> Option<Duration> {
    let alive = sandbox.metadata.deletion_timestamp.is_none();
    timers(sandbox, now).next.filter(|_| alive)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::json;

    use super::*;
    use crate::decide::Report;
    use crate::example::{at, paused, reading, serving, status};

    fn after(reading: &Reading, wake: Wake) -> Action {
        let decision = Decision {
            report: Report::AsIs,
            effect: None,
            wake,
        };
        rest(reading, decision)
    }

    fn seconds(seconds: u64) -> Action {
        Action::requeue(Duration::from_secs(seconds))
    }

    #[test]
    fn what_only_an_agent_knows_is_asked_again_soon_and_what_a_watch_tells_is_waited_for() {
        let starting = reading(&json!({}));
        assert_eq!(
            after(&starting, Wake::Soon),
            Action::await_change(),
            "there is only the Pod to wait for"
        );
        let silent = Reading {
            agent: AgentView::Silent("connection refused".to_owned()),
            ..reading(&json!({}))
        };
        assert_eq!(after(&silent, Wake::Soon), seconds(1));
        let mut pausing = serving();
        pausing.sandbox.spec.paused = true;
        assert_eq!(after(&pausing, Wake::Soon), seconds(1), "a pause has a deadline");
        assert_eq!(after(&silent, Wake::Later), seconds(10));
        assert_eq!(after(&silent, Wake::OnChange), Action::await_change());
    }

    #[test]
    fn a_sandbox_is_looked_at_again_at_the_nearest_of_its_moments() {
        let mut timed = serving();
        timed.now = at(0);
        timed.sandbox.spec.shutdown_time = Some(Time(at(30)));
        assert_eq!(after(&timed, Wake::OnChange), seconds(30));
        assert_eq!(after(&timed, Wake::Later), seconds(10));
        timed.sandbox.metadata.deletion_timestamp = Some(Time(at(0)));
        assert_eq!(
            after(&timed, Wake::OnChange),
            Action::await_change(),
            "its end has begun"
        );
        let mut failed = paused();
        failed.now = at(0);
        status(&mut failed).restore = Some(torpor_api::FailedRestores {
            failures: 1,
            retry_time: Time(at(7)),
        });
        assert_eq!(after(&failed, Wake::Later), seconds(7));
    }

    #[test]
    fn a_failure_is_tried_again_after_its_delay_or_at_the_next_timer() {
        let mut timed = serving().sandbox;
        let delay = Duration::from_mins(1);
        assert_eq!(again(&timed, at(0), delay), Action::requeue(delay));
        timed.spec.shutdown_time = Some(Time(at(30)));
        assert_eq!(again(&timed, at(0), delay), seconds(30));
        assert_eq!(again(&timed, at(0), Duration::from_secs(2)), seconds(2));
        timed.metadata.deletion_timestamp = Some(Time(at(0)));
        assert_eq!(again(&timed, at(0), delay), Action::requeue(delay), "its end has begun");
    }
}
