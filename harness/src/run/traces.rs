//! Conditions on what a sandbox leaves elsewhere: metrics, bytes, Events and logs.

use super::conditions::{Finding, holds};
use super::world::World;
use crate::probe::{Fault, PodSeriesName, bytes_of, damage, fetch_metrics, pod_usage, repair, unbroken_count};
use crate::scenario::{DamageStorage, Event, Logs, Metric, PodSeries, Series, Storage, StorageAmount};
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

    pub(super) async fn series(&self, wanted: &Series) -> Finding {
        let samples = fetch_metrics(&self.http, &self.target.controller_metrics).await?;
        let matching = samples.iter().filter(|sample| {
            let name = sample.name.to_lowercase();
            wanted.words.iter().all(|word| name.contains(word.as_str()))
        });
        let largest = matching.map(|sample| sample.value).reduce(f64::max);
        Ok(holds(largest.is_some_and(|value| value >= wanted.at_least), || {
            let words = wanted.words.join(" and ");
            format!(
                "the largest series with {words} in its name is {largest:?}, not {} or more",
                wanted.at_least
            )
        }))
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
        let about = wanted.about.to_lowercase();
        let spoken = events.iter().find(|event| event.to_lowercase().contains(&about));
        Ok(holds(spoken.is_some() == wanted.present, || {
            let (sandbox, about) = (&wanted.sandbox, &wanted.about);
            match spoken {
                Some(event) => format!("an Event of `{sandbox}` speaks of {about:?} already: {event}"),
                None => format!(
                    "no Event of `{sandbox}` speaks of {about:?}; there are: {}",
                    events.join("; ")
                ),
            }
        }))
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
