//! Whether conditions hold now, and values to keep for later.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::inside::plain;
use super::world::World;
use crate::probe::{Fault, last_number};
use crate::profile::Wish;
use crate::scenario::{
    Asked, Compare, Comparison, Condition, ConditionTruth, Field, Mark, MarkOf, Pods, Remember, Source, Truth,
    Unchanged, WishName,
};

/// What a look found: nothing wrong, or why the condition does not hold.
pub(super) type Finding = Result<Result<(), String>, Fault>;

/// Fields of an object at a moment.
#[derive(Clone, Debug)]
pub(super) struct Marked {
    mark: Mark,
    values: Vec<Value>,
}

impl Marked {
    /// The value of its one field.
    pub(super) fn only(&self) -> Option<&Value> {
        match self.values.as_slice() {
            [value] => Some(value),
            _ => None,
        }
    }
}

impl World {
    /// Why the first condition that does not hold does not. A status that does not speak of the newest generation yet says
    /// nothing, and is looked at again for up to `patience`.
    pub(super) async fn first_unmet(
        &self,
        conditions: &[Condition],
        patience: Duration,
    ) -> Result<Option<String>, Fault> {
        for condition in conditions {
            if let Err(why) = self.look(condition, patience).await? {
                return Ok(Some(why));
            }
        }
        Ok(None)
    }

    async fn look(&self, condition: &Condition, patience: Duration) -> Finding {
        match condition {
            Condition::Phase(phase) => self.phase(phase, patience).await,
            Condition::Condition(truth) => self.condition(truth).await,
            Condition::Asked(asked) => self.asked(asked).await,
            Condition::Explained(explained) => self.explained(explained).await,
            Condition::Field(field) => self.field(field).await,
            Condition::Pods(pods) => self.count_pods(pods).await,
            Condition::Scheduled(scheduled) => self.scheduled(scheduled).await,
            Condition::Terminating(terminating) => self.terminating(terminating).await,
            Condition::PodIdentity(identity) => self.pod_identity(identity).await,
            Condition::Gone(gone) => self.gone(&gone.sandbox).await,
            Condition::NothingLeft(left) => self.nothing_left(&left.sandbox).await,
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
            Condition::Crashes(crashes) => self.crashes(crashes).await,
            Condition::Handovers(handovers) => self.handovers(handovers).await,
            Condition::Columns(columns) => self.columns(columns),
        }
    }

    /// The custom resource, or why it cannot be judged.
    pub(super) async fn resource(&self, alias: &str) -> Result<Result<Value, String>, Fault> {
        let sandbox = self.sandbox(alias)?;
        let resource = self.cluster()?.sandbox(&sandbox.name).await?;
        Ok(resource.ok_or_else(|| format!("the custom resource {} does not exist", sandbox.name)))
    }

    async fn condition(&self, wanted: &ConditionTruth) -> Finding {
        let dialect = self.dialect()?;
        let named = dialect.status.named(wanted.kind);
        let unnamed = || Fault::Harness("the profile has no `context-lost` condition".to_owned());
        let named = named.ok_or_else(unnamed)?;
        let resource = match self.resource(&wanted.sandbox).await? {
            Ok(resource) => resource,
            Err(why) => return Ok(Err(why)),
        };
        let right = dialect.says(&resource, named) == (wanted.is == Truth::Holds);
        Ok(holds(right, || {
            let found = dialect.condition(&resource, &named.condition);
            let shown = found.map_or_else(|| "absent".to_owned(), ToString::to_string);
            format!("condition {} of `{}` is {shown}", named.condition, wanted.sandbox)
        }))
    }

    async fn asked(&self, wanted: &Asked) -> Finding {
        let dialect = self.dialect()?;
        let resource = match self.resource(&wanted.sandbox).await? {
            Ok(resource) => resource,
            Err(why) => return Ok(Err(why)),
        };
        let wish = dialect.wish(&resource);
        let unknown = || Fault::Harness("the profile does not say what `asks-for-pause`".to_owned());
        let right = match (wanted.is, wish.ok_or_else(unknown)?) {
            (WishName::Paused, Wish::Paused) | (WishName::Running, Wish::Running) => true,
            (WishName::Paused, Wish::Running) | (WishName::Running, Wish::Paused) => false,
        };
        Ok(holds(right, || format!("`{}` asks for {wish:?}", wanted.sandbox)))
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
        let pods = self.cluster()?.live_pods(&self.sandbox(&wanted.sandbox)?.name).await?;
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
            if let Some(resource) = cluster.sandbox(&sandbox.name).await? {
                let uid = resource
                    .pointer("/metadata/uid")
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                if sandbox.uid.is_empty() || uid == sandbox.uid {
                    return Ok(Err(format!("the custom resource {} still exists", sandbox.name)));
                }
            }
            let pods = cluster.live_pods(&sandbox.name).await?;
            if !pods.is_empty() {
                return Ok(Err(format!("{} live Pods of {} still exist", pods.len(), sandbox.name)));
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
            MarkOf::Columns => self.line_of(&mark.sandbox).await?,
            MarkOf::Pod => {
                let pod = self.pod_of(&mark.sandbox)?;
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
