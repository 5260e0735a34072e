//! Whether conditions hold now, and values to keep for later.

use jiff::Timestamp;
use serde_json::Value;

use super::inside::plain;
use super::world::{Sandbox, World};
use crate::history::now;
use crate::probe::{Answer, Body, Fault, Sample, bytes_of, fetch_metrics, last_number, unbroken_count};
use crate::scenario::{
    Compare, Comparison, Condition, ConditionKind, ConditionTruth, EndsIn, Event, Field, Listed, Logs, Mark, MarkOf,
    Method, Metric, PhaseIs, PodSeries, Pods, Remember, SdkState, SdkStateIs, Series, Source, Storage, StorageAmount,
    Truth, Unchanged,
};

/// What a look found: nothing wrong, or why the condition does not hold.
type Finding = Result<Result<(), String>, Fault>;

/// Fields of an object at a moment.
#[derive(Clone, Debug)]
pub(super) struct Marked {
    mark: Mark,
    values: Vec<Value>,
}

impl World {
    /// Why the first condition that does not hold does not.
    pub(super) async fn first_unmet(&self, conditions: &[Condition]) -> Result<Option<String>, Fault> {
        for condition in conditions {
            if let Err(why) = self.look(condition).await? {
                return Ok(Some(why));
            }
        }
        Ok(None)
    }

    async fn look(&self, condition: &Condition) -> Finding {
        match condition {
            Condition::Phase(phase) => self.phase(phase).await,
            Condition::Condition(truth) => self.condition(truth).await,
            Condition::Field(field) => self.field(field).await,
            Condition::Pods(pods) => self.count_pods(pods).await,
            Condition::Gone(gone) => self.gone(&gone.sandbox).await,
            Condition::SdkState(state) => self.sdk_state(state).await,
            Condition::Listed(listed) => self.listed(listed).await,
            Condition::Metric(metric) => {
                let value = self.pod_metric(metric).await?;
                let shown = value.map_or_else(|| "absent".to_owned(), |value| value.to_string());
                Ok(holds(value.is_some_and(|value| value > 0.0) == metric.positive, || {
                    format!("the {:?} series of `{}` is {shown}", metric.of, metric.sandbox)
                }))
            }
            Condition::Series(series) => self.series(series).await,
            Condition::Storage(storage) => self.storage(storage).await,
            Condition::Unchanged(unchanged) => self.unchanged(unchanged).await,
            Condition::Event(event) => self.event(event).await,
            Condition::Logs(logs) => self.logs(logs).await,
            Condition::Compare(compare) => Ok(stands(compare)),
            Condition::EndsIn(ends) => self.ends_in(ends).await,
        }
    }

    /// The custom resource, or why it cannot be judged.
    async fn resource(&self, alias: &str) -> Result<Result<Value, String>, Fault> {
        let sandbox = self.sandbox(alias)?;
        let resource = self.cluster()?.sandbox(sandbox.id()).await?;
        Ok(resource.ok_or_else(|| format!("the custom resource {} does not exist", sandbox.id())))
    }

    /// A phase counts once the status speaks of the newest generation: an older one answers
    /// a request that has since been withdrawn.
    async fn phase(&self, wanted: &PhaseIs) -> Finding {
        let profile = &self.target.profile;
        let resource = match self.resource(&wanted.sandbox).await? {
            Ok(resource) => resource,
            Err(why) => return Ok(Err(why)),
        };
        let phase = resource
            .pointer(&profile.status.phase)
            .and_then(Value::as_str)
            .unwrap_or_default();
        let observed = resource
            .pointer(&profile.status.observed_generation)
            .and_then(Value::as_i64);
        let generation = resource.pointer("/metadata/generation").and_then(Value::as_i64);
        let words: Vec<_> = wanted.is.iter().map(|name| profile.phase(*name)).collect();
        Ok(holds(
            words.contains(&phase) && observed.is_none_or(|seen| Some(seen) >= generation),
            || {
                let note = resource
                    .pointer("/status/message")
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                format!(
                    "phase of `{}` is {phase:?} (generation {observed:?} of {generation:?}) instead of {} {note}",
                    wanted.sandbox,
                    words.join(" or ")
                )
            },
        ))
    }

    async fn condition(&self, wanted: &ConditionTruth) -> Finding {
        let status = &self.target.profile.status;
        let kind = match wanted.kind {
            ConditionKind::Ready => &status.ready_condition,
            ConditionKind::Paused => &status.paused_condition,
            ConditionKind::Resumed => &status.resumed_condition,
        };
        let resource = match self.resource(&wanted.sandbox).await? {
            Ok(resource) => resource,
            Err(why) => return Ok(Err(why)),
        };
        let conditions = resource.pointer(&status.conditions).and_then(Value::as_array);
        let found = conditions
            .into_iter()
            .flatten()
            .find(|condition| condition["type"] == **kind);
        let is_true = found.is_some_and(|condition| condition["status"] == "True");
        Ok(holds(is_true == (wanted.is == Truth::Holds), || {
            let shown = found.map_or_else(|| "absent".to_owned(), ToString::to_string);
            format!("condition {kind} of `{}` is {shown}", wanted.sandbox)
        }))
    }

    async fn field(&self, wanted: &Field) -> Finding {
        let resource = match self.resource(&wanted.sandbox).await? {
            Ok(resource) => resource,
            Err(why) => return Ok(Err(why)),
        };
        let found = resource.pointer(&wanted.path).filter(|value| !value.is_null());
        let right = match (&wanted.is, found) {
            (Some(value), Some(found)) => (value == found) == wanted.present,
            (Some(_), None) => !wanted.present,
            (None, found) => found.is_some() == wanted.present,
        };
        Ok(holds(right, || {
            format!("{} of `{}` is {found:?}", wanted.path, wanted.sandbox)
        }))
    }

    async fn count_pods(&self, wanted: &Pods) -> Finding {
        let pods = self.cluster()?.live_pods(self.sandbox(&wanted.sandbox)?.id()).await?;
        Ok(holds(pods.len() == wanted.count, || {
            format!(
                "`{}` has {} live Pods instead of {}",
                wanted.sandbox,
                pods.len(),
                wanted.count
            )
        }))
    }

    pub(super) async fn gone(&self, alias: &str) -> Finding {
        let sandbox = self.sandbox(alias)?;
        if self.has_cluster() {
            let cluster = self.cluster()?;
            if let Some(resource) = cluster.sandbox(sandbox.id()).await? {
                let uid = resource
                    .pointer("/metadata/uid")
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                if sandbox.uid.is_empty() || uid == sandbox.uid {
                    return Ok(Err(format!("the custom resource {} still exists", sandbox.id())));
                }
            }
            let pods = cluster.live_pods(sandbox.id()).await?;
            if !pods.is_empty() {
                return Ok(Err(format!("{} live Pods of {} still exist", pods.len(), sandbox.id())));
            }
        }
        if self.has_e2b() && sandbox.front == crate::scenario::Front::E2b {
            let status = self.detail(&sandbox).await?.status;
            return Ok(holds(status == 404, || {
                format!("GET /sandboxes/{} answers {status}, not 404", sandbox.id())
            }));
        }
        Ok(Ok(()))
    }

    async fn detail(&self, sandbox: &Sandbox) -> Result<Answer, Fault> {
        self.e2b()?
            .api(Method::Get, &format!("/sandboxes/{}", sandbox.id()), Body::None)
            .await
    }

    async fn sdk_state(&self, wanted: &SdkStateIs) -> Finding {
        let answer = self.detail(&self.sandbox(&wanted.sandbox)?).await?;
        let state = answer.json()["state"].as_str().unwrap_or_default().to_owned();
        let right = match wanted.is {
            SdkState::Running => answer.status == 200 && state == "running",
            SdkState::Paused => answer.status == 200 && state == "paused",
            SdkState::NotFound => answer.status == 404,
        };
        Ok(holds(right, || {
            format!(
                "E2B answers {} with state {state:?} for `{}` instead of {:?}",
                answer.status, wanted.sandbox, wanted.is
            )
        }))
    }

    async fn listed(&self, wanted: &Listed) -> Finding {
        let entries = match self.all_pages(wanted).await? {
            Ok(entries) => entries,
            Err(why) => return Ok(Err(why)),
        };
        let place = |id: &str| entries.iter().position(|entry| entry["sandboxID"] == id);
        let mut places = Vec::new();
        for alias in &wanted.has {
            let Some(at) = place(self.sandbox(alias)?.id()) else {
                return Ok(Err(format!("{} does not list `{alias}`", wanted.path)));
            };
            for (pointer, expected) in &wanted.json {
                let found = entries[at].pointer(pointer).unwrap_or(&Value::Null);
                if found != expected {
                    return Ok(Err(format!(
                        "{} lists `{alias}` with {found} at {pointer}",
                        wanted.path
                    )));
                }
            }
            places.push(at);
        }
        for alias in &wanted.lacks {
            if place(self.sandbox(alias)?.id()).is_some() {
                return Ok(Err(format!("{} lists `{alias}`", wanted.path)));
            }
        }
        Ok(holds(!wanted.in_order || places.is_sorted(), || {
            format!(
                "{} lists {} in another order: places {places:?}",
                wanted.path,
                wanted.has.join(", ")
            )
        }))
    }

    /// Every entry of a list, page by page.
    async fn all_pages(&self, wanted: &Listed) -> Result<Result<Vec<Value>, String>, Fault> {
        let mut entries = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let mut path = wanted.path.clone();
            let limit = wanted.limit.map(|limit| ("limit", limit.to_string()));
            let token = next.take().map(|token| ("nextToken", token));
            for (key, value) in limit.into_iter().chain(token) {
                let joint = if path.contains('?') { '&' } else { '?' };
                let value = percent_encoding::utf8_percent_encode(&value, percent_encoding::NON_ALPHANUMERIC);
                path = format!("{path}{joint}{key}={value}");
            }
            let answer = self.e2b()?.api(Method::Get, &path, Body::None).await?;
            answer.must_be(&[200], &path)?;
            let Value::Array(page) = answer.json() else {
                return Ok(Err(format!("{path} answered no list")));
            };
            let size = u32::try_from(page.len()).unwrap_or(u32::MAX);
            if wanted.limit.is_some_and(|limit| size > limit) {
                return Ok(Err(format!("{path} answered {size} entries")));
            }
            let empty = page.is_empty();
            entries.extend(page);
            match answer.next_page {
                Some(token) if !empty => next = Some(token),
                Some(_) | None => return Ok(Ok(entries)),
            }
        }
    }

    async fn pod_metric(&self, wanted: &Metric) -> Result<Option<f64>, Fault> {
        let samples = fetch_metrics(&self.http, &self.target.pod_metrics).await?;
        let profile = &self.target.profile;
        let series = match wanted.of {
            PodSeries::Cpu => &profile.metrics.cpu,
            PodSeries::Memory => &profile.metrics.memory,
        };
        let namespace = &self.cluster()?.namespace;
        let pod = profile.pod_name(self.sandbox(&wanted.sandbox)?.id());
        let label =
            |sample: &Sample, key: &str, value: &str| sample.labels.get(key).is_some_and(|found| found == value);
        let values = samples.iter().filter(|sample| {
            sample.name == *series
                && label(sample, &profile.metrics.namespace_label, namespace)
                && label(sample, &profile.metrics.pod_label, &pod)
        });
        Ok(values.map(|sample| sample.value).reduce(f64::max))
    }

    async fn series(&self, wanted: &Series) -> Finding {
        let samples = fetch_metrics(&self.http, &self.target.controller_metrics).await?;
        let matching = samples
            .iter()
            .filter(|sample| sample.name.to_lowercase().contains(&wanted.name));
        let largest = matching.map(|sample| sample.value).reduce(f64::max);
        Ok(holds(largest.is_some_and(|value| value >= wanted.at_least), || {
            format!(
                "the largest series named like {:?} is {largest:?}, not {} or more",
                wanted.name, wanted.at_least
            )
        }))
    }

    async fn storage(&self, wanted: &Storage) -> Finding {
        let sandbox = self.sandbox(&wanted.sandbox)?;
        let unknown = || Fault::Harness("the step needs `storage`; add it to `needs`".to_owned());
        let probe = self.target.storage.as_ref().ok_or_else(unknown)?;
        let bytes = bytes_of(probe, &self.cluster()?.namespace, sandbox.id(), &sandbox.uid).await?;
        let right = match wanted.is {
            StorageAmount::Zero => bytes == 0,
            StorageAmount::Positive => bytes > 0,
        };
        Ok(holds(right, || {
            format!("the store holds {bytes} bytes of `{}`", wanted.sandbox)
        }))
    }

    async fn event(&self, wanted: &Event) -> Finding {
        let events = self.cluster()?.events(self.sandbox(&wanted.sandbox)?.id()).await?;
        let about = wanted.about.to_lowercase();
        Ok(holds(
            events.iter().any(|event| event.to_lowercase().contains(&about)),
            || {
                format!(
                    "no Event of `{}` speaks of {:?}; there are: {}",
                    wanted.sandbox,
                    wanted.about,
                    events.join("; ")
                )
            },
        ))
    }

    async fn log_of(&self, alias: &str) -> Result<String, Fault> {
        let pod = self.target.profile.pod_name(self.sandbox(alias)?.id());
        self.cluster()?.logs(&pod).await
    }

    async fn logs(&self, wanted: &Logs) -> Finding {
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

    async fn end_at(&self, alias: &str) -> Result<Timestamp, Fault> {
        let answer = self.detail(&self.sandbox(alias)?).await?;
        answer.must_be(&[200], "get")?;
        let json = answer.json();
        let end = json["endAt"].as_str().and_then(|text| text.parse().ok());
        end.ok_or_else(|| Fault::Claim(format!("`endAt` of `{alias}` is no time: {}", json["endAt"])))
    }

    async fn ends_in(&self, wanted: &EndsIn) -> Finding {
        let left = self.end_at(&wanted.sandbox).await?.duration_since(now()).as_secs_f64();
        let off = (left - wanted.after.duration().as_secs_f64()).abs();
        Ok(holds(off <= wanted.tolerance.duration().as_secs_f64(), || {
            format!(
                "the timeout of `{}` ends in {left:.1} s instead of {}",
                wanted.sandbox, wanted.after
            )
        }))
    }

    pub(super) async fn remember(&self, step: &Remember) -> Result<(), Fault> {
        let value = match &step.value {
            Source::Counter(counter) => last_number(&self.log_of(&counter.sandbox).await?, &counter.prefix).to_string(),
            Source::Metric(metric) => self
                .pod_metric(metric)
                .await?
                .map_or_else(|| "absent".to_owned(), |value| value.to_string()),
            Source::EndAt(end) => self.end_at(&end.sandbox).await?.to_string(),
            Source::Text(text) => text.clone(),
        };
        self.save(&step.name, value);
        Ok(())
    }

    pub(super) async fn mark(&self, step: &Mark) -> Result<(), Fault> {
        let values = self.marked_values(step).await?.map_err(Fault::Claim)?;
        self.state().marks.insert(
            step.name.clone(),
            Marked {
                mark: step.clone(),
                values,
            },
        );
        Ok(())
    }

    async fn marked_values(&self, mark: &Mark) -> Result<Result<Vec<Value>, String>, Fault> {
        let sandbox = self.sandbox(&mark.sandbox)?;
        let object = match mark.of {
            MarkOf::Resource => self.resource(&mark.sandbox).await?,
            MarkOf::Pod => {
                let pod = self.target.profile.pod_name(sandbox.id());
                self.cluster()?
                    .pod(&pod)
                    .await?
                    .ok_or_else(|| format!("the Pod {pod} does not exist"))
            }
            MarkOf::E2b => {
                let answer = self.detail(&sandbox).await?;
                if answer.status == 200 {
                    Ok(answer.json())
                } else {
                    Err(format!("get answered {}", answer.status))
                }
            }
        };
        let pick = |object: Value| {
            mark.fields
                .iter()
                .map(|field| object.pointer(field).cloned().unwrap_or_default())
                .collect()
        };
        Ok(object.map(pick))
    }

    async fn unchanged(&self, wanted: &Unchanged) -> Finding {
        let marked = self.state().marks.get(&wanted.since).cloned();
        let marked = marked.ok_or_else(|| Fault::Harness(format!("no mark `{}` was set", wanted.since)))?;
        let values = match self.marked_values(&marked.mark).await? {
            Ok(values) => values,
            Err(why) => return Ok(Err(why)),
        };
        let pairs = marked.mark.fields.iter().zip(marked.values.iter().zip(&values));
        let changed: Vec<_> = pairs
            .filter(|(_, (before, after))| before != after)
            .map(|(field, (before, after))| format!("{field} was {} and is {}", plain(before), plain(after)))
            .collect();
        Ok(if changed.is_empty() {
            Ok(())
        } else {
            Err(changed.join("; "))
        })
    }
}

fn holds(right: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if right { Ok(()) } else { Err(why()) }
}

fn stands(compare: &Compare) -> Result<(), String> {
    let (left, right) = (compare.left.as_str(), compare.right.as_str());
    let numbers = left.parse::<f64>().ok().zip(right.parse::<f64>().ok());
    let times = left.parse::<Timestamp>().ok().zip(right.parse::<Timestamp>().ok());
    let order = match (numbers, times) {
        (Some((left, right)), _) => left.partial_cmp(&right),
        (None, Some((left, right))) => Some(left.cmp(&right)),
        (None, None) => Some(left.cmp(right)),
    };
    let right_order = match compare.is {
        Comparison::Equal => order.is_some_and(std::cmp::Ordering::is_eq),
        Comparison::Different => order.is_some_and(std::cmp::Ordering::is_ne),
        Comparison::Above => order.is_some_and(std::cmp::Ordering::is_gt),
        Comparison::Below => order.is_some_and(std::cmp::Ordering::is_lt),
        Comparison::AtLeast => order.is_some_and(std::cmp::Ordering::is_ge),
    };
    holds(right_order, || format!("{left:?} is not {:?} {right:?}", compare.is))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(left: &str, is: Comparison, right: &str) -> bool {
        stands(&Compare {
            left: left.to_owned(),
            is,
            right: right.to_owned(),
        })
        .is_ok()
    }

    #[test]
    fn numbers_compare_as_numbers_times_as_times_and_the_rest_as_text() {
        assert!(compare("9", Comparison::Below, "10"));
        assert!(compare(
            "2026-01-01T00:00:00Z",
            Comparison::Equal,
            "2026-01-01T01:00:00+01:00"
        ));
        assert!(compare(
            "2026-01-01T00:00:01Z",
            Comparison::Above,
            "2026-01-01T00:00:00.5Z"
        ));
        assert!(compare("absent", Comparison::Equal, "absent"));
        assert!(!compare("absent", Comparison::Different, "absent"));
        assert!(!compare("1", Comparison::AtLeast, "2"));
    }
}
