//! Whether conditions hold now, and values to keep for later.

use jiff::Timestamp;
use serde_json::Value;

use super::inside::plain;
use super::world::World;
use crate::probe::{Fault, last_number};
use crate::scenario::{
    Compare, Comparison, Condition, ConditionKind, ConditionTruth, Field, Mark, MarkOf, PhaseIs, Pods, Remember,
    Source, Truth, Unchanged,
};

/// What a look found: nothing wrong, or why the condition does not hold.
pub(super) type Finding = Result<Result<(), String>, Fault>;

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
            Condition::Scheduled(scheduled) => self.scheduled(scheduled).await,
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

pub(super) fn holds(right: bool, why: impl FnOnce() -> String) -> Result<(), String> {
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
