//! What a scenario itself claims of its history.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use super::{View, Violation, name};
use crate::history::{Moment, Owner, Watched};
use crate::scenario::{ComesTrue, HistoryProperty, Never, PhaseName, Phases, PodsMade, Truth};

/// Everything that is not as claimed: `names` says what each sandbox of the scenario is called in the cluster. One that
/// was never made has no history.
pub(super) fn properties_hold(
    moments: &[Moment<'_>],
    view: &View<'_>,
    properties: &[HistoryProperty],
    names: &BTreeMap<String, String>,
    requirement: &str,
) -> Vec<Violation> {
    let found = properties.iter().filter_map(|property| {
        let sandbox = names.get(property.sandbox())?;
        let (revision, message) = match property {
            HistoryProperty::Never(never) => first_so(moments, view, sandbox, never),
            HistoryProperty::Phases(phases) => out_of_order(moments, view, sandbox, phases),
            HistoryProperty::PodsMade(pods) => too_many_pods(moments, view, sandbox, pods),
            HistoryProperty::ComesTrue(comes) => true_too_often(moments, view, sandbox, comes),
        }?;
        Some(Violation {
            requirement: Cow::Owned(requirement.to_owned()),
            revision,
            message,
        })
    });
    found.collect()
}

/// A sandbox at a moment, with its UID.
fn states<'m>(
    moments: &'m [Moment<'m>],
    sandbox: &'m str,
) -> impl Iterator<Item = (&'m Moment<'m>, &'m str, &'m Value)> {
    moments.iter().flat_map(move |moment| {
        let those = moment.sandboxes.iter().filter(move |(_, state)| name(state) == sandbox);
        those.map(move |(uid, state)| (moment, *uid, *state))
    })
}

fn first_so(moments: &[Moment<'_>], view: &View<'_>, sandbox: &str, never: &Never) -> Option<(u64, String)> {
    let is_so = |moment: &Moment<'_>, uid: &str, state: &Value| {
        let reading = view.dialect.read(state);
        let phase = never.phase.is_empty() || reading.phase.is_some_and(|phase| never.phase.contains(&phase));
        let condition = never.condition.is_none_or(|said| {
            let named = view.dialect.status.named(said.kind);
            named.is_some_and(|named| view.says(state, named) == (said.is == Truth::Holds))
        });
        let pods = never
            .pods
            .is_none_or(|count| moment.live_pods(uid, view.kind()).len() >= count);
        phase && condition && pods
    };
    let (moment, ..) = states(moments, sandbox).find(|(moment, uid, state)| is_so(moment, uid, state))?;
    let mut what = Vec::new();
    if !never.phase.is_empty() {
        let words: Vec<_> = never.phase.iter().map(|phase| phase.as_str()).collect();
        what.push(format!("reports {}", words.join(" or ")));
    }
    if let Some(said) = never.condition {
        let stands = if said.is == Truth::Holds {
            "holds"
        } else {
            "does not hold"
        };
        let named = view
            .dialect
            .status
            .named(said.kind)
            .map_or("", |named| &named.condition);
        what.push(format!("says that {named} {stands}"));
    }
    if let Some(count) = never.pods {
        what.push(format!("has {count} or more live Pods"));
    }
    Some((
        moment.change.revision(),
        format!("{sandbox} {} at a moment, which it never may here", what.join(" and ")),
    ))
}

fn out_of_order(moments: &[Moment<'_>], view: &View<'_>, sandbox: &str, wanted: &Phases) -> Option<(u64, String)> {
    let reported = states(moments, sandbox).filter_map(|(_, _, state)| view.dialect.read(state).phase);
    let mut seen: Vec<PhaseName> = reported.collect();
    seen.dedup();
    let mut rest = seen.iter();
    let missing = wanted.in_order.iter().find(|phase| !rest.any(|seen| seen == *phase))?;
    let words = |phases: &[PhaseName]| phases.iter().map(|phase| phase.as_str()).collect::<Vec<_>>().join(", ");
    Some((
        moments.last().map_or(0, |moment| moment.change.revision()),
        format!(
            "{sandbox} reported {} where {} were to come in this order: {} is missing",
            words(&seen),
            words(&wanted.in_order),
            missing.as_str()
        ),
    ))
}

fn too_many_pods(moments: &[Moment<'_>], view: &View<'_>, sandbox: &str, wanted: &PodsMade) -> Option<(u64, String)> {
    let mut made: Vec<&str> = Vec::new();
    for moment in moments.iter().filter(|moment| moment.change.object == Watched::Pod) {
        let pod = &moment.change.state;
        let uid = moment.change.text("/metadata/uid");
        if Owner::of(pod, view.kind()).is_some_and(|owner| owner.name == sandbox) && !made.contains(&uid) {
            made.push(uid);
            if made.len() > wanted.at_most {
                let (count, at_most) = (made.len(), wanted.at_most);
                return Some((
                    moment.change.revision(),
                    format!("{sandbox} had {count} Pods in turn, and may have {at_most} here"),
                ));
            }
        }
    }
    None
}

fn true_too_often(moments: &[Moment<'_>], view: &View<'_>, sandbox: &str, wanted: &ComesTrue) -> Option<(u64, String)> {
    let named = view.dialect.status.named(wanted.kind)?;
    let (mut held, mut times) = (false, 0);
    for (moment, _, state) in states(moments, sandbox) {
        let holds = view.says(state, named);
        times += usize::from(holds && !held);
        held = holds;
        if times > wanted.at_most {
            let (condition, at_most) = (&named.condition, wanted.at_most);
            return Some((
                moment.change.revision(),
                format!(
                    "{condition} of {sandbox} came to hold {times} times, and may come to {at_most} times here: it flapped"
                ),
            ));
        }
    }
    None
}
