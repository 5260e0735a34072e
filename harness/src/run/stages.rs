//! Conditions on the phase of a sandbox and on what it says of it.

use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;

use super::conditions::{Finding, holds};
use super::steps::POLL;
use super::world::World;
use crate::profile::{Dialect, Explanation, Reading};
use crate::scenario::{Explained, PhaseIs, PhaseName};

impl World {
    /// A phase counts once the status speaks of the newest generation.
    pub(super) async fn phase(&self, wanted: &PhaseIs, patience: Duration) -> Finding {
        let dialect = self.dialect()?;
        let deadline = self.pulse.deadline(patience);
        let mut changes = self.journal.changes();
        let (resource, reading) = loop {
            changes.mark_unchanged();
            let resource = match self.resource(&wanted.sandbox).await? {
                Ok(resource) => resource,
                Err(why) => return Ok(Err(why)),
            };
            let reading = dialect.read(&resource);
            if reading.is_current() || deadline.is_over() {
                break (resource, reading);
            }
            let _ = timeout(POLL, changes.changed()).await;
        };
        let right = reading.phase.is_some_and(|phase| wanted.is.contains(&phase)) && reading.is_current();
        Ok(holds(right, || {
            other_phase(wanted, &reading, dialect.explanation(&resource))
        }))
    }

    pub(super) async fn explained(&self, wanted: &Explained) -> Finding {
        let resource = match self.resource(&wanted.sandbox).await? {
            Ok(resource) => resource,
            Err(why) => return Ok(Err(why)),
        };
        Ok(says_why(self.dialect()?, &resource, wanted))
    }
}

/// Which phase it is in instead, and what it says of that.
fn other_phase(wanted: &PhaseIs, reading: &Reading, why: Option<&str>) -> String {
    let words: Vec<_> = wanted.is.iter().map(|phase| phase.as_str()).collect();
    format!(
        "phase of `{}` is {} (generation {} of {}) instead of {}{}",
        wanted.sandbox,
        phase_of(reading),
        shown(reading.observed),
        shown(reading.generation),
        words.join(" or "),
        why.map(|why| format!(": {why}")).unwrap_or_default()
    )
}

fn phase_of(reading: &Reading) -> &'static str {
    reading.phase.map_or("none that the profile knows", PhaseName::as_str)
}

fn says_why(dialect: &Dialect, resource: &Value, wanted: &Explained) -> Result<(), String> {
    let said: Vec<&str> = dialect.explanations(resource).collect();
    let sought = wanted.contains.as_deref().unwrap_or_default();
    holds(said.iter().any(|text| text.contains(sought)), || {
        let places: Vec<String> = dialect.status.explanations.iter().map(Explanation::to_string).collect();
        let found = match said.as_slice() {
            [] => "nothing".to_owned(),
            texts => format!("nothing of {sought:?} but {texts:?}"),
        };
        format!(
            "`{}`, whose phase is {}, says {found} in {}",
            wanted.sandbox,
            phase_of(&dialect.read(resource)),
            places.join(" or ")
        )
    })
}

fn shown(generation: Option<i64>) -> String {
    generation.map_or_else(|| "not said".to_owned(), |generation| generation.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::profile::Profile;

    #[test]
    fn a_phase_that_is_another_is_told_with_what_the_sandbox_says_of_it() {
        let wanted = PhaseIs {
            sandbox: "a".to_owned(),
            is: vec![PhaseName::Running, PhaseName::Resuming],
        };
        let reading = Reading {
            phase: Some(PhaseName::Paused),
            observed: Some(3),
            generation: None,
        };
        let start = "phase of `a` is Paused (generation 3 of not said) instead of Running or Resuming";
        assert_eq!(other_phase(&wanted, &reading, None), start);
        assert_eq!(
            other_phase(&wanted, &reading, Some("restore of checkpoint 1 failed")),
            format!("{start}: restore of checkpoint 1 failed")
        );
    }

    #[test]
    fn what_is_not_explained_is_told_with_the_places_that_were_looked_at() {
        let mut dialect = Profile::built_in("kruise").unwrap().kubernetes.unwrap();
        dialect
            .status
            .explanations
            .push(Explanation::Condition("Ready".to_owned()));
        let wanted = |contains: Option<&str>| Explained {
            sandbox: "a".to_owned(),
            contains: contains.map(str::to_owned),
        };
        let silent = json!({"status": {"phase": "Pending", "message": ""}});
        assert_eq!(
            says_why(&dialect, &silent, &wanted(None)).unwrap_err(),
            "`a`, whose phase is Pending, says nothing in /status/message or the message of condition Ready"
        );
        let condition = json!({"type": "Ready", "status": "False", "message": "no template box-1"});
        let spoken = json!({"status": {"phase": "Pending", "message": "wait", "conditions": [condition]}});
        for contains in [None, Some("box-1"), Some("wait")] {
            assert_eq!(says_why(&dialect, &spoken, &wanted(contains)), Ok(()), "{contains:?}");
        }
        assert_eq!(
            says_why(&dialect, &spoken, &wanted(Some("box-2"))).unwrap_err(),
            "`a`, whose phase is Pending, says nothing of \"box-2\" but [\"wait\", \"no template box-1\"] in \
             /status/message or the message of condition Ready"
        );
    }
}
