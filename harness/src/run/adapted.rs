//! Steps and values that come by the adapter of a target.

use std::sync::Arc;

use super::lifecycle::Refusal;
use super::world::World;
use crate::adapter::{Adapter, AdapterCall, AdapterError, Slot, Subject, Usage};
use crate::history::Occurrence;
use crate::probe::Fault;
use crate::profile::Trigger;
use crate::scenario::{ProbeRead, ProbeWrite, WishName};

impl From<AdapterError> for Fault {
    fn from(error: AdapterError) -> Self {
        match error {
            refused @ AdapterError::Refused { .. } => Self::Claim(refused.to_string()),
            broken @ (AdapterError::Broken { .. } | AdapterError::Missing(_)) => {
                Self::Harness(format!("the adapter's {broken}"))
            }
        }
    }
}

impl World {
    pub(super) fn adapter(&self) -> Result<&Arc<dyn Adapter>, Fault> {
        let missing = || Fault::Harness("the step needs an adapter; add `probe` to `needs`".to_owned());
        self.target.adapter.as_ref().ok_or_else(missing)
    }

    pub(super) fn subject(&self, alias: &str) -> Result<Subject, Fault> {
        let sandbox = self.sandbox(alias)?;
        Ok(Subject {
            namespace: self.cluster()?.namespace.clone(),
            name: sandbox.name.clone(),
            uid: sandbox.uid.clone(),
            pod: self.pod_of(alias)?,
        })
    }

    pub(super) async fn probe_write(&self, step: &ProbeWrite) -> Result<(), Fault> {
        let slot = Slot {
            facet: step.facet,
            key: step.key.clone(),
        };
        let subject = self.subject(&step.sandbox)?;
        Ok(self.adapter()?.probe_write(&subject, &slot, &step.value).await?)
    }

    pub(super) async fn probe_read(&self, step: &ProbeRead) -> Result<(), Fault> {
        let slot = Slot {
            facet: step.facet,
            key: step.key.clone(),
        };
        let subject = self.subject(&step.sandbox)?;
        let found = self.adapter()?.probe_read(&subject, &slot).await?;
        self.journal.note(Occurrence::Probe {
            what: format!("read {:?} `{}` of {}", step.facet, step.key, subject.name),
            value: found.clone().unwrap_or_else(|| "nothing".to_owned()),
        });
        if found == step.value {
            return Ok(());
        }
        let shown = |value: &Option<String>| {
            value
                .as_ref()
                .map_or("nothing".to_owned(), |value| format!("{value:?}"))
        };
        Err(Fault::Claim(format!(
            "{:?} `{}` of `{}` is {} instead of {}",
            step.facet,
            step.key,
            step.sandbox,
            shown(&found),
            shown(&step.value)
        )))
    }

    /// What a sandbox uses, where the adapter tells it and nothing else does.
    pub(super) async fn usage(&self, alias: &str) -> Result<Option<Usage>, Fault> {
        match &self.target.adapter {
            Some(adapter) if self.target.pod_metrics.is_none() && adapter.calls().contains(&AdapterCall::Usage) => {
                Ok(Some(adapter.usage(&self.subject(alias)?).await?))
            }
            Some(_) | None => Ok(None),
        }
    }

    /// Asks for a pause or a resume as the profile says; the inner error is a refusal.
    pub(super) async fn wish_for(&self, alias: &str, wish: WishName) -> Result<Result<(), Refusal>, Fault> {
        let dialect = self.dialect()?;
        let trigger = match wish {
            WishName::Paused => &dialect.pause,
            WishName::Running => &dialect.resume,
        };
        let (cluster, name) = (self.cluster()?, self.sandbox(alias)?.name);
        let answer = match (trigger, wish) {
            (Trigger::Merge(patch), _) => cluster.try_patch_sandbox(&name, patch).await?,
            (Trigger::MergeSubresource(patch), _) => cluster.try_patch_subresource(&name, patch).await?,
            (Trigger::Create(manifest), _) => {
                let made = cluster.create_trigger(&name, manifest).await?;
                // It is the suite's, like any other object that a step makes.
                made.map(|object| self.state().objects.push(object))
            }
            (Trigger::Hook, WishName::Paused) => {
                return by_hook(self.adapter()?.pause(&self.subject(alias)?).await);
            }
            (Trigger::Hook, WishName::Running) => {
                return by_hook(self.adapter()?.resume(&self.subject(alias)?).await);
            }
        };
        Ok(answer.map_err(Refusal::from))
    }
}

/// What a hook answered; only one that does not work is a fault.
fn by_hook(answer: Result<(), AdapterError>) -> Result<Result<(), Refusal>, Fault> {
    match answer {
        Ok(()) => Ok(Ok(())),
        Err(refused @ AdapterError::Refused { .. }) => Ok(Err(Refusal::Hook(refused.to_string()))),
        Err(broken @ (AdapterError::Broken { .. } | AdapterError::Missing(_))) => Err(broken.into()),
    }
}
