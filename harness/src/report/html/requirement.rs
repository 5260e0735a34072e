//! Requirement by requirement, in the groups of the contract.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::{anchor, badge};
use crate::catalogue::Catalogue;
use crate::report::{Outcome, Report, RequirementReport};

pub(super) fn section(report: &Report) -> Markup {
    let titles: BTreeMap<String, String> = Catalogue::load().map_or_else(
        |_| BTreeMap::new(),
        |catalogue| {
            catalogue
                .groups
                .into_iter()
                .map(|group| (group.id, group.title))
                .collect()
        },
    );
    let mut groups: Vec<(&str, Vec<&RequirementReport>)> = Vec::new();
    for requirement in &report.requirements {
        let group = requirement.id.split('-').next().unwrap_or_default();
        match groups.last_mut().filter(|(last, _)| *last == group) {
            Some((_, members)) => members.push(requirement),
            None => groups.push((group, vec![requirement])),
        }
    }
    html! {
        section #requirements {
            h2 { "Requirements" }
            p.filter hidden="" {
                input type="search" placeholder="filter by id or word" aria-label="filter";
                label { input type="checkbox"; " only what did not pass" }
            }
            @for (group, members) in &groups { (group_of(group, titles.get(*group).map_or("", String::as_str), members, report.partial)) }
        }
    }
}

fn group_of(group: &str, title: &str, members: &[&RequirementReport], partial: bool) -> Markup {
    let counted = |wanted: &[Outcome]| members.iter().filter(|member| wanted.contains(&member.result)).count();
    let kept = counted(&[Outcome::Pass]);
    let silent = counted(&[Outcome::NotClaimed, Outcome::Untested]);
    html! {
        div.group {
            h3 {
                span.id { (group) } " " (title)
                span.tally { (kept) " of " (members.len() - silent) " kept" }
            }
            @for requirement in members { (row(requirement, partial)) }
        }
    }
}

fn row(requirement: &RequirementReport, partial: bool) -> Markup {
    let left_out = partial && matches!(requirement.result, Outcome::Untested);
    let open = matches!(requirement.result, Outcome::Fail | Outcome::Error);
    html! {
        details.requirement #(anchor(&requirement.id)) data-result=(requirement.result.as_str()) open[open] {
            summary {
                span.id { (requirement.id) }
                span.text { (coded(&requirement.text)) @if requirement.level.as_str() != "core" { " " span.level { (requirement.level.as_str()) } } }
                @if left_out { span.badge.untested { "not selected" } } @else { (badge(requirement.result)) }
            }
            @if let Some(why) = &requirement.untestable { p { "No case can show it: " (why) } }
            @if requirement.cases.is_empty() { p { "No case of this run speaks of it." } }
            ul.cases {
                @for case in &requirement.cases {
                    li { (badge(case.result)) " " a href={ "#" (anchor(&case.id)) } { (case.id) } }
                }
            }
        }
    }
}

/// Text with what stands between backticks as code.
fn coded(text: &str) -> Markup {
    html! {
        @for (nth, part) in text.split('`').enumerate() {
            @if nth % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_between_backticks_is_code() {
        let page = coded("`kubectl get <x>` shows `phase`.").into_string();
        assert_eq!(page, "<code>kubectl get &lt;x&gt;</code> shows <code>phase</code>.");
    }
}
