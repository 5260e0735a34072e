//! The two timers of a sandbox as E2B's one timeout: which is set, to when, and how it may move.
//!
//! The controller acts on them; this module only computes. Timers are whole seconds, because that is
//! what the Kubernetes API stores; a part of a second is rounded up, so that no timer is early.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};
use torpor_api::{Sandbox, SandboxSpec, annotation};

use crate::{
    lifecycle::{Lifecycle, OnTimeout},
    state::{SandboxState, state},
};

/// `spec.pauseTime` and `spec.shutdownTime`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Timers {
    pub(crate) pause: Option<Timestamp>,
    pub(crate) shutdown: Option<Timestamp>,
}

impl Timers {
    /// No timer: for a paused sandbox, which nothing may kill or wake.
    pub(crate) const NONE: Self = Self {
        pause: None,
        shutdown: None,
    };

    /// The one timer that ends a run at `end`.
    pub(crate) const fn ending(end: Timestamp, action: OnTimeout) -> Self {
        match action {
            OnTimeout::Pause => Self {
                pause: Some(end),
                shutdown: None,
            },
            OnTimeout::Kill => Self {
                pause: None,
                shutdown: Some(end),
            },
        }
    }

    /// What stands in for the timer of a run that is to begin before `end`. It pauses whatever the run is
    /// to end in: what does not come up is paused again, with the checkpoint that it was to come from.
    pub(crate) const fn on_the_way_up(end: Timestamp) -> Self {
        Self::ending(end, OnTimeout::Pause)
    }

    /// What to set on the way up for somebody who waits until `until`: a stand-in that would call the run off before
    /// that is put off to `end`. Nothing if none would. A shutdown is nobody's stand-in and stays.
    pub(crate) fn kept_up(self, until: Timestamp, end: Timestamp) -> Option<Self> {
        let called_off = self.shutdown.is_none() && self.pause.is_some_and(|pause| pause <= until);
        called_off.then_some(Self::on_the_way_up(end))
    }

    /// The timers that are set.
    pub(crate) fn of(spec: &SandboxSpec) -> Self {
        let read = |time: &Option<Time>| time.as_ref().map(|time| time.0);
        Self {
            pause: read(&spec.pause_time),
            shutdown: read(&spec.shutdown_time),
        }
    }

    /// When the run ends: at the earlier of the two.
    pub(crate) fn end(self) -> Option<Timestamp> {
        match (self.pause, self.shutdown) {
            (Some(pause), Some(shutdown)) => Some(pause.min(shutdown)),
            (end, None) | (None, end) => end,
        }
    }

    /// These timers, or ones that end at `end` if that is later. Never shortens a run.
    pub(crate) fn extended_to(self, end: Timestamp, action: OnTimeout) -> Self {
        let end = self.end().map_or(end, |current| current.max(end));
        let wanted = Self::ending(end, action);
        if self.end() == Some(end) { self } else { wanted }
    }

    /// These timers, if any, but none that ends the run before `earliest`.
    pub(crate) fn put_off_to(self, earliest: Timestamp, action: OnTimeout) -> Self {
        if self == Self::NONE {
            self
        } else {
            self.extended_to(earliest, action)
        }
    }

    /// What to set once a run has begun that is to end at `end`; nothing if that is set already, to
    /// the second. Timers that are no longer the ones `armed` before it were moved by somebody: they
    /// are only ever extended. One that pauses, on the way up, gives way to one that deletes.
    fn settled(self, armed: Self, end: Timestamp, action: OnTimeout) -> Option<Self> {
        let stands_in = action == OnTimeout::Kill && self.pause.is_some() && self.shutdown.is_none();
        let wanted = if self == armed {
            Self::ending(end, action)
        } else if stands_in {
            Self::ending(self.end().map_or(end, |current| current.max(end)), action)
        } else {
            self.extended_to(end, action)
        };
        let off_by = self
            .end()
            .zip(wanted.end())
            .map(|(is, should)| is.duration_since(should).abs());
        let close = off_by.is_some_and(|off_by| off_by <= SignedDuration::from_secs(1));
        (stands_in || !close).then_some(wanted)
    }

    /// A merge patch that sets these timers as a stand-in, and notes that they are one.
    pub(crate) fn patch_on_the_way_up(self) -> Value {
        let note = self.pause.map(|pause| pause.as_second().to_string());
        json!({ "metadata": { "annotations": { annotation::E2B_STAND_IN: note } }, "spec": self.patch() })
    }

    /// A merge patch that sets these timers as what somebody wants: whatever stood in for them until now is forgotten.
    /// A note that was left could come to fit a timer of the same time that somebody sets later.
    pub(crate) fn patch_for_good(self) -> Value {
        json!({ "metadata": { "annotations": { annotation::E2B_STAND_IN: null } }, "spec": self.patch() })
    }

    /// The fields of a merge patch of `spec`; an absent timer is removed.
    pub(crate) fn patch(self) -> Value {
        json!({ "pauseTime": self.pause.map(Time), "shutdownTime": self.shutdown.map(Time) })
    }
}

/// The timers of `sandbox` if they only stand in for that of a run that was asked for: nobody wants the run to end then.
pub(crate) fn stand_in(sandbox: &Sandbox) -> Option<Timers> {
    let timers = Timers::of(&sandbox.spec);
    let note = sandbox.metadata.annotations.as_ref()?.get(annotation::E2B_STAND_IN)?;
    let noted = timers.pause.is_some_and(|pause| pause.as_second().to_string() == *note);
    (noted && timers.shutdown.is_none()).then_some(timers)
}

/// What to set on `serving`, whose run has begun and is to end at `end`; nothing if that is set already. What stands in
/// for its timer gives way to it also where the times are the same. `armed` stood in for it without a note.
pub(crate) fn settled(serving: &Sandbox, armed: Timers, end: Timestamp, action: OnTimeout) -> Option<Timers> {
    match stand_in(serving) {
        Some(_) => Some(Timers::ending(end, action)),
        None => Timers::of(&serving.spec).settled(armed, end, action),
    }
}

/// Whether the run of `sandbox` was lost and it is paused again, with the timer that was to delete it at the end of that
/// run: it would take the checkpoint along.
pub(crate) fn outlives_its_run(sandbox: &Sandbox) -> bool {
    let lost = matches!(state(sandbox), SandboxState::ResumeFailed { .. });
    lost && Lifecycle::of(sandbox).on_timeout == OnTimeout::Kill && Timers::of(&sandbox.spec).shutdown.is_some()
}

/// The end of a run that has `timeout` left at `now`: a whole second, not before `now + timeout`.
pub(crate) fn end_of_run(now: Timestamp, timeout: Duration) -> Timestamp {
    let timeout = SignedDuration::try_from(timeout).unwrap_or(SignedDuration::MAX);
    let end = now.saturating_add(timeout).unwrap_or(Timestamp::MAX);
    let partial = i64::from(end.subsec_nanosecond() > 0);
    Timestamp::from_second(end.as_second().saturating_add(partial)).unwrap_or(Timestamp::MAX)
}

/// [`end_of_run`], but after `running_since`: a pause time that is not later than the start of the
/// run belongs to an earlier run and does nothing.
pub(crate) fn end_of_this_run(now: Timestamp, timeout: Duration, running_since: Option<Timestamp>) -> Timestamp {
    let earliest = running_since.and_then(|since| since.checked_add(SignedDuration::from_secs(1)).ok());
    let end = end_of_run(now, timeout);
    earliest.map_or(end, |earliest| end.max(earliest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_700_000_000, 0);

    fn at(seconds: i64) -> Timestamp {
        NOW + SignedDuration::from_secs(seconds)
    }

    #[test]
    fn a_part_of_a_second_is_rounded_up() {
        let now = NOW + SignedDuration::from_millis(1);
        assert_eq!(end_of_run(now, Duration::ZERO), at(1));
        assert_eq!(end_of_run(NOW, Duration::from_secs(5)), at(5));
    }

    #[test]
    fn a_timeout_of_zero_ends_the_run_that_began_this_second() {
        assert_eq!(end_of_this_run(NOW, Duration::ZERO, Some(NOW)), at(1));
        assert_eq!(end_of_this_run(NOW, Duration::ZERO, Some(at(-10))), NOW);
    }

    #[test]
    fn an_endless_timeout_is_the_end_of_time_and_no_panic() {
        assert!(end_of_run(NOW, Duration::MAX) > at(1_000_000_000));
    }

    #[test]
    fn an_extension_never_shortens_and_keeps_what_is_longer() {
        let current = Timers::ending(at(100), OnTimeout::Kill);
        assert_eq!(current.extended_to(at(50), OnTimeout::Kill), current);
        assert_eq!(
            current.extended_to(at(150), OnTimeout::Kill),
            Timers::ending(at(150), OnTimeout::Kill)
        );
    }

    #[test]
    fn the_stand_in_of_the_way_up_is_cut_but_a_longer_wish_of_another_is_not() {
        let armed = Timers::ending(at(60), OnTimeout::Pause);
        let exact = Timers::ending(at(5), OnTimeout::Pause);
        assert_eq!(armed.settled(armed, at(5), OnTimeout::Pause), Some(exact));
        assert_eq!(armed.settled(armed, at(61), OnTimeout::Pause), None);
        let longer = Timers::ending(at(300), OnTimeout::Pause);
        assert_eq!(longer.settled(armed, at(5), OnTimeout::Pause), None);
    }

    #[test]
    fn what_paused_on_the_way_up_deletes_once_it_serves_even_at_the_same_time() {
        let armed = Timers::on_the_way_up(at(60));
        let kill = |seconds| Some(Timers::ending(at(seconds), OnTimeout::Kill));
        assert_eq!(armed.settled(armed, at(60), OnTimeout::Kill), kill(60));
        assert_eq!(armed.settled(armed, at(5), OnTimeout::Kill), kill(5));
        let moved = Timers::on_the_way_up(at(300));
        assert_eq!(moved.settled(armed, at(5), OnTimeout::Kill), kill(300));
        assert_eq!(armed.settled(armed, at(60), OnTimeout::Pause), None);
    }

    #[test]
    fn a_way_up_that_somebody_waits_for_is_not_called_off_before_that() {
        let stands_in = Timers::on_the_way_up(at(60));
        let kept = Some(Timers::on_the_way_up(at(600)));
        assert_eq!(stands_in.kept_up(at(60), at(600)), kept);
        assert_eq!(stands_in.kept_up(at(59), at(600)), None, "it has enough left");
        assert_eq!(Timers::NONE.kept_up(at(60), at(600)), None);
        let shutdown = Timers::ending(at(10), OnTimeout::Kill);
        assert_eq!(shutdown.kept_up(at(60), at(600)), None);
    }

    #[test]
    fn a_stand_in_is_told_from_a_timer_that_somebody_has_set_by_its_note() {
        let stands_in = Timers::on_the_way_up(at(600));
        let mut object = stands_in.patch_on_the_way_up();
        (object["apiVersion"], object["kind"]) = (json!("agents.kruise.io/v1alpha1"), json!("Sandbox"));
        let read = |object: &Value| stand_in(&serde_json::from_value(object.clone()).unwrap());
        assert_eq!(read(&object), Some(stands_in));
        let mut moved = object.clone();
        moved["spec"] = Timers::on_the_way_up(at(601)).patch();
        assert_eq!(read(&moved), None);
        let mut deletes = object.clone();
        deletes["spec"] = Timers::ending(at(600), OnTimeout::Kill).patch();
        assert_eq!(read(&deletes), None);
        object["metadata"] = json!({});
        assert_eq!(read(&object), None);
    }

    #[test]
    fn a_noted_stand_in_gives_way_to_the_same_time_without_the_note() {
        let stands_in = Timers::on_the_way_up(at(600));
        let mut object = stands_in.patch_on_the_way_up();
        (object["apiVersion"], object["kind"]) = (json!("agents.kruise.io/v1alpha1"), json!("Sandbox"));
        let settled = |object: &Value| {
            let sandbox = serde_json::from_value(object.clone()).unwrap();
            settled(&sandbox, Timers::NONE, at(600), OnTimeout::Pause)
        };
        assert_eq!(settled(&object), Some(stands_in));
        object["metadata"] = json!({});
        assert_eq!(settled(&object), None, "somebody has set it");
        let patch = stands_in.patch_for_good();
        assert_eq!(
            patch["metadata"]["annotations"],
            json!({ annotation::E2B_STAND_IN: null })
        );
    }

    #[test]
    fn only_a_timer_that_is_there_is_put_off() {
        assert_eq!(Timers::NONE.put_off_to(at(60), OnTimeout::Kill), Timers::NONE);
        let (soon, late) = (
            Timers::ending(at(1), OnTimeout::Kill),
            Timers::ending(at(90), OnTimeout::Kill),
        );
        assert_eq!(
            soon.put_off_to(at(60), OnTimeout::Kill),
            Timers::ending(at(60), OnTimeout::Kill)
        );
        assert_eq!(late.put_off_to(at(60), OnTimeout::Kill), late);
    }

    #[test]
    fn a_run_without_an_end_gets_one() {
        assert_eq!(
            Timers::NONE.extended_to(at(9), OnTimeout::Pause),
            Timers::ending(at(9), OnTimeout::Pause)
        );
    }

    #[test]
    fn only_a_lost_run_is_outlived_and_only_where_its_timer_deletes() {
        let outlives = |phase: &str, on_timeout: &str, timer: &str| {
            let lifecycle = json!({ "onTimeout": on_timeout }).to_string();
            let failed = json!({ "type": "SandboxResumed", "status": "False", "reason": "RestoreFailed", "message": "",
                "observedGeneration": 1, "lastTransitionTime": "2024-01-01T00:00:00Z" });
            let object = json!({
                "apiVersion": "agents.kruise.io/v1alpha1", "kind": "Sandbox",
                "metadata": { "name": "iabc", "generation": 1, "annotations": { "torpor.dev/e2b-lifecycle": lifecycle } },
                "spec": { timer: "2024-01-01T00:00:00Z" },
                "status": { "phase": phase, "runningSince": "2024-01-01T00:00:00Z", "conditions": [failed] },
            });
            outlives_its_run(&serde_json::from_value(object).unwrap())
        };
        assert!(outlives("Paused", "kill", "shutdownTime"));
        assert!(!outlives("Running", "kill", "shutdownTime"), "it ends with its run");
        assert!(!outlives("Resuming", "kill", "shutdownTime"), "it may yet serve");
        assert!(!outlives("Paused", "kill", "pauseTime"));
        assert!(
            !outlives("Paused", "pause", "shutdownTime"),
            "nobody of the gateway set it"
        );
    }

    #[test]
    fn a_patch_removes_the_timer_that_is_not_set() {
        let patch = Timers::ending(at(0), OnTimeout::Pause).patch();
        assert_eq!(
            patch,
            json!({ "pauseTime": "2023-11-14T22:13:20Z", "shutdownTime": null })
        );
        assert_eq!(Timers::NONE.patch(), json!({ "pauseTime": null, "shutdownTime": null }));
    }
}
