//! How a report came about: options, target, machine, digests.

use maud::{Markup, html};

use super::duration;
use crate::report::Report;

pub(super) fn section(report: &Report) -> Markup {
    let from = &report.provenance;
    let options = &from.options;
    let machine = &from.environment.suite;
    html! {
        section #facts {
            h2 { "How this was run" }
            dl {
                (fact("Started", &from.started_at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()))
                (fact("Took", &duration(report.seconds)))
                (fact("Cases", &format!("{} of {}", report.cases.len() + report.provisional.len(), from.suite_cases)))
                (fact("Filter", &or_none(&options.filter.join(", "))))
                (fact("Side by side", &options.jobs.to_string()))
                (fact("Rounds of each case", &options.repeat.to_string()))
                (fact("Labels", &or_none(&options.labels.join(", "))))
                (fact("Time for one change", &duration(from.declared.patience_seconds)))
                (fact("Limits longer than the contract's", &or_none(&options.limits.departures().join(", "))))
                (fact("Left out", &or_none(&options.skips.iter().map(|(id, why)| format!("{id} ({why})")).collect::<Vec<_>>().join("; "))))
                (fact("The target claims", &or_none(&report.claims.iter().map(|claim| claim.as_str()).collect::<Vec<_>>().join(", "))))
                @if let Some(namespace) = &from.declared.namespace { (fact("Namespace", namespace)) }
                @if let Some(place) = &from.declared.e2b { (fact("E2B API", place)) }
                @for (name, value) in &from.declared.facts { (fact(name, value)) }
                @if let Some(cluster) = &from.environment.cluster {
                    (fact("Cluster", &format!("{} on {}", cluster.version, cluster.platform)))
                    @for node in cluster.nodes.iter().flatten() {
                        (fact("Nodes", &format!("{} × {} {} kubelet {} kernel {}", node.count, node.architecture,
                            node.container_runtime, node.kubelet, or_none(&node.kernel))))
                    }
                }
                (fact("The suite ran on", &format!("{} {}, kernel {}, {} processors", machine.os, machine.architecture,
                    machine.kernel.as_deref().unwrap_or("unknown"), machine.processors)))
                (fact("CRIU there", machine.criu.as_deref().unwrap_or("none")))
                (fact("Digest of the suite", &from.suite_digest))
                (fact("Digest of the profile", &from.profile_digest))
                (fact("Digest of this report", &report.integrity))
            }
            p.quiet { "The digests show that something was changed by accident or carelessly. They are no signatures." }
        }
    }
}

fn fact(name: &str, value: &str) -> Markup {
    html! { dt { (name) } dd { (value) } }
}

fn or_none(text: &str) -> String {
    if text.is_empty() {
        "none".to_owned()
    } else {
        text.to_owned()
    }
}
