//! Conditions on what a sandbox leaves elsewhere: metrics, bytes, Events and logs.

use super::conditions::{Finding, holds};
use super::world::World;
use crate::probe::{EventSeen, Fault, PodSeriesName, bytes_of, damage, pod_usage, repair, unbroken_count};
use crate::profile::EventsDialect;
use crate::scenario::{DamageStorage, Event, Logs, Metric, PodSeries, Storage, StorageAmount};
use crate::target::StorageProbe;

impl World {
    pub(super) async fn pod_metric(&self, wanted: &Metric) -> Result<Option<f64>, Fault> {
        if let Some(usage) = self.usage(&wanted.sandbox).await? {
            return Ok(match wanted.of {
                PodSeries::Cpu => usage.cpu_seconds,
                PodSeries::Memory => usage.memory_bytes,
            });
        }
        let unknown = || Fault::Harness("the step needs `metrics`; add it to `needs`".to_owned());
        let source = self.target.pod_metrics.as_ref().ok_or_else(unknown)?;
        let (cluster, pod) = (self.cluster()?, self.pod_of(&wanted.sandbox)?);
        let metrics = &cluster.dialect.metrics;
        let series = PodSeriesName {
            name: match wanted.of {
                PodSeries::Cpu => metrics.cpu.clone(),
                PodSeries::Memory => metrics.memory.clone(),
            },
            labels: [
                (metrics.namespace_label.clone(), cluster.namespace.clone()),
                (metrics.pod_label.clone(), pod),
            ],
        };
        pod_usage(source, &self.http, cluster.client(), &series).await
    }

    pub(super) async fn storage(&self, wanted: &Storage) -> Finding {
        let sandbox = self.sandbox(&wanted.sandbox)?;
        let unknown = || Fault::Harness("the step needs `storage`; add it to `needs`".to_owned());
        let probe = self.target.storage.as_ref().ok_or_else(unknown)?;
        let bytes = bytes_of(probe, &self.cluster()?.namespace, &sandbox.name, &sandbox.uid).await?;
        let right = match wanted.is {
            StorageAmount::Zero => bytes == 0,
            StorageAmount::Positive => bytes > 0,
        };
        Ok(holds(right, || {
            format!("the store holds {bytes} bytes of `{}`", wanted.sandbox)
        }))
    }

    pub(super) async fn damage_storage(&self, step: &DamageStorage) -> Result<(), Fault> {
        let Some(StorageProbe::Directory(root)) = self.target.storage.clone() else {
            return Err(Fault::Harness(
                "the step needs `storage-write`; add it to `needs`".to_owned(),
            ));
        };
        let (uid, which, by) = (self.sandbox(&step.sandbox)?.uid, step.files, step.by);
        let what = format!("damage what {} holds", root.display());
        let done = tokio::task::spawn_blocking(move || damage(&root, &uid, which, by)).await;
        let originals = done
            .map_err(|error| Fault::harness(&what, error))?
            .map_err(|error| Fault::harness(&what, error))?;
        self.state().damaged.extend(originals);
        Ok(())
    }

    pub(super) async fn repair_storage(&self) -> Result<(), Fault> {
        let originals = std::mem::take(&mut self.state().damaged);
        let what = "put back what was damaged";
        let done = tokio::task::spawn_blocking(move || repair(&originals)).await;
        done.map_err(|error| Fault::harness(what, error))?
            .map_err(|error| Fault::harness(what, error))
    }

    pub(super) async fn event(&self, wanted: &Event) -> Finding {
        let events = self.cluster()?.events(&self.sandbox(&wanted.sandbox)?.name).await?;
        Ok(spoken_of(wanted, &self.dialect()?.events, &events))
    }

    pub(super) async fn log_of(&self, alias: &str) -> Result<String, Fault> {
        let pod = self.pod_of(alias)?;
        self.cluster()?.logs(&pod).await
    }

    pub(super) async fn logs(&self, wanted: &Logs) -> Finding {
        let log = self.log_of(&wanted.sandbox).await?;
        let above: u64 = wanted
            .above
            .parse()
            .map_err(|_| Fault::Harness(format!("`above: {}` is no whole number", wanted.above)))?;
        // A broken count never mends itself: no use to wait for it.
        let last = unbroken_count(&log, &wanted.counter).map_err(Fault::Claim)?;
        Ok(holds(last > above, || {
            format!("the log of `{}` counts to {last}, not above {above}", wanted.sandbox)
        }))
    }
}

/// Whether an Event speaks of what is looked for. Of the end of a step no warning does, whatever words it uses.
fn spoken_of(wanted: &Event, words: &EventsDialect, events: &[EventSeen]) -> Result<(), String> {
    let (sandbox, about) = (&wanted.sandbox, &wanted.about);
    let of_steps = words.of(about);
    let sought: Vec<String> = match of_steps {
        Some(words) => words.iter().map(|word| word.to_lowercase()).collect(),
        None => vec![about.to_lowercase()],
    };
    let speaks = |event: &&EventSeen| {
        let text = event.to_string().to_lowercase();
        (of_steps.is_none() || !event.is_warning()) && sought.iter().any(|word| text.contains(word))
    };
    let spoken = events.iter().find(speaks);
    holds(spoken.is_some() == wanted.present, || {
        if let Some(event) = spoken {
            return format!("an Event of `{sandbox}` speaks of {about:?} already: {event}");
        }
        let there: Vec<String> = events.iter().map(ToString::to_string).collect();
        let there = if there.is_empty() {
            "there are none".to_owned()
        } else {
            format!("there are: {}", there.join("; "))
        };
        let sought = sought.join(" or ");
        format!("no Event of `{sandbox}` has {sought} in its reason or message; {there}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, reason: &str, message: &str) -> EventSeen {
        EventSeen {
            kind: kind.to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
        }
    }

    fn judged(about: &str, words: &EventsDialect, events: &[EventSeen]) -> Result<(), String> {
        let wanted = Event {
            sandbox: "sandbox".to_owned(),
            about: about.to_owned(),
            present: true,
        };
        spoken_of(&wanted, words, events)
    }

    #[test]
    fn an_event_speaks_the_words_of_its_dialect() {
        let usual = EventsDialect::default();
        for reason in ["SandboxPaused", "Suspended", "Hibernated"] {
            assert_eq!(
                judged("paused", &usual, &[event("Normal", reason, "")]),
                Ok(()),
                "{reason}"
            );
        }
        let slept = [event("Normal", "Slept", "it sleeps")];
        let own = EventsDialect {
            paused: vec!["Slept".to_owned()],
            ..EventsDialect::default()
        };
        assert_eq!(judged("paused", &own, &slept), Ok(()));
        assert_eq!(
            judged("paused", &usual, &slept).unwrap_err(),
            "no Event of `sandbox` has paused or suspended or hibernated in its reason or message; there are: Slept: it sleeps"
        );
        assert!(judged("resumed", &own, &slept).unwrap_err().contains("has resumed in"));
    }

    #[test]
    fn a_warning_is_not_the_end_of_a_step_and_may_speak_of_anything_else() {
        let failed = [event("Warning", "PauseFailed", "it could not be paused")];
        assert!(judged("paused", &EventsDialect::default(), &failed).is_err());
        assert_eq!(judged("could not", &EventsDialect::default(), &failed), Ok(()));
    }

    #[test]
    fn that_there_are_no_events_is_said() {
        assert_eq!(
            judged("lost", &EventsDialect::default(), &[]).unwrap_err(),
            "no Event of `sandbox` has lost in its reason or message; there are none"
        );
    }
}
