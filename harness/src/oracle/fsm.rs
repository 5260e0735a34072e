//! Transitions are reported truthfully.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{BySteps, View, Violation, name};
use crate::history::{Moment, Owner, Watched};

/// FSM-04: a sandbox never has two live Pods.
pub(super) fn at_most_one_live_pod(moments: &[Moment<'_>], view: &View<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    for moment in moments
        .iter()
        .filter(|moment| moment.change.object == Watched::Pod && !moment.change.deleted)
    {
        for (uid, sandbox) in moment.sandboxes.iter().filter(|(_, sandbox)| view.concerns(sandbox)) {
            let pods: Vec<_> = moment.live_pods(uid, view.kind()).into_iter().map(name).collect();
            if pods.len() > 1 {
                found.push(Violation {
                    requirement: Cow::Borrowed("FSM-04"),
                    revision: moment.change.revision(),
                    message: format!("{} has {} live Pods: {}", name(sandbox), pods.len(), pods.join(", ")),
                });
            }
        }
    }
    found.dedup_by(|later, first| later.message == first.message);
    found
}

/// FSM-05: Ready is never true while the Pod is being deleted. If a step of the scenario deleted it, the first report
/// afterwards may have been on its way already; the second knows.
pub(super) fn ready_never_on_a_dying_pod(
    moments: &[Moment<'_>],
    by_steps: &BySteps<'_>,
    view: &View<'_>,
) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut reports: BTreeMap<&str, &Value> = BTreeMap::new();
    let mut excused: BTreeSet<&str> = BTreeSet::new();
    let ready = &view.dialect.status.ready;
    for moment in moments {
        for (uid, sandbox) in moment.sandboxes.iter().filter(|(_, sandbox)| view.concerns(sandbox)) {
            let status = &sandbox["status"];
            let reported = reports.insert(uid, status) != Some(status);
            let dying = |pod: &&Value| {
                pod.pointer("/metadata/deletionTimestamp")
                    .is_some_and(|time| !time.is_null())
            };
            let pods = moment.live_pods(uid, view.kind());
            let Some(pod) = pods.into_iter().find(dying) else {
                continue;
            };
            let foreseeable = !by_steps.end(name(pod), name(sandbox)) || (reported && !excused.insert(uid));
            if foreseeable && view.says(sandbox, ready) {
                found.push(Violation {
                    requirement: Cow::Borrowed("FSM-05"),
                    revision: moment.change.revision(),
                    message: format!(
                        "{} is {} while its Pod {} is being deleted",
                        name(sandbox),
                        ready.condition,
                        name(pod)
                    ),
                });
            }
        }
    }
    found.dedup_by(|later, first| later.message == first.message);
    found
}

/// FSM-01: the status and its conditions say which generation they speak of, never a later
/// one than there is, and a transition time moves exactly when a status flips.
pub(super) fn conditions_are_well_kept(moments: &[Moment<'_>], view: &View<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut before: BTreeMap<&str, &Value> = BTreeMap::new();
    for moment in moments
        .iter()
        .filter(|moment| moment.change.object == Watched::Sandbox && !moment.change.deleted)
    {
        let sandbox = &moment.change.state;
        if !view.concerns(sandbox) {
            continue;
        }
        let mut messages = generations(sandbox, view);
        if let Some(earlier) = before.insert(moment.change.text("/metadata/uid"), sandbox) {
            messages.extend(transitions(earlier, sandbox, view));
        }
        found.extend(messages.into_iter().map(|message| Violation {
            requirement: Cow::Borrowed("FSM-01"),
            revision: moment.change.revision(),
            message: format!("{}: {message}", name(sandbox)),
        }));
    }
    let mut seen = BTreeSet::new();
    found.retain(|violation| seen.insert(violation.message.clone()));
    found
}

fn generations(sandbox: &Value, view: &View<'_>) -> Vec<String> {
    let generation = sandbox
        .pointer("/metadata/generation")
        .and_then(Value::as_i64)
        .unwrap_or_default();
    let whole = view.dialect.status.observed_generation.as_ref();
    let conditions = view.conditions(sandbox);
    let spoken = conditions.iter().map(|condition| {
        let kind = condition["type"].as_str().unwrap_or_default();
        (format!("condition {kind}"), condition.get("observedGeneration"))
    });
    let has_status = sandbox.pointer("/status").and_then(Value::as_object);
    let has_status = has_status.is_some_and(|status| !status.is_empty());
    let status = whole.filter(|_| has_status);
    let status = status.map(|pointer| ("status".to_owned(), pointer.of(sandbox)));
    status
        .into_iter()
        .chain(spoken)
        .filter_map(|(what, observed)| match observed.and_then(Value::as_i64) {
            None => Some(format!("{what} has no observedGeneration")),
            Some(observed) if observed > generation => {
                Some(format!("{what} speaks of generation {observed} of {generation}"))
            }
            Some(_) => None,
        })
        .collect()
}

fn transitions(earlier: &Value, later: &Value, view: &View<'_>) -> Vec<String> {
    let mut messages = Vec::new();
    for condition in view.conditions(later) {
        let kind = condition["type"].as_str().unwrap_or_default();
        let Some(old) = view
            .conditions(earlier)
            .iter()
            .find(|old| old["type"] == condition["type"])
        else {
            continue;
        };
        let flipped = old["status"] != condition["status"];
        let moved = old["lastTransitionTime"] != condition["lastTransitionTime"];
        if moved && !flipped {
            messages.push(format!(
                "condition {kind} moved its lastTransitionTime and kept its status"
            ));
        }
    }
    messages
}

/// DEL-11: no Pod is made for a sandbox that is gone.
pub(super) fn no_pod_after_its_sandbox(moments: &[Moment<'_>], view: &View<'_>) -> Vec<Violation> {
    let mut gone: BTreeMap<&str, u64> = BTreeMap::new();
    let mut known: BTreeMap<&str, u64> = BTreeMap::new();
    let mut found = Vec::new();
    for moment in moments {
        let change = moment.change;
        let uid = change.text("/metadata/uid");
        match change.object {
            Watched::Sandbox if change.deleted && view.concerns(&change.state) => {
                gone.insert(uid, change.revision());
            }
            Watched::Sandbox => {}
            Watched::Pod => {
                let first_seen = known.insert(uid, change.revision()).is_none();
                let owner = Owner::of(&change.state, view.kind());
                if let Some(owner) = owner
                    && first_seen
                    && !change.deleted
                    && gone.contains_key(owner.uid)
                {
                    found.push(Violation {
                        requirement: Cow::Borrowed("DEL-11"),
                        revision: change.revision(),
                        message: format!("Pod {} was made after {} was gone", name(&change.state), owner.name),
                    });
                }
            }
        }
    }
    found
}
