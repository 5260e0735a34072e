//! Everything that was done and seen in a case, line by line.

use std::collections::{BTreeMap, HashMap};

use maud::{Markup, html};
use serde_json::Value;

use super::anchor;
use super::change::{between, writers};
use crate::history::{Change, Entry, Occurrence, Watched};
use crate::report::CaseReport;

/// A line: an entry of the record, or several that say the same.
struct Line<'a> {
    /// Seconds since the first entry.
    at: f64,
    entry: &'a Entry,
    /// How often it was so before anything else happened.
    times: usize,
}

pub(super) fn table(case: &CaseReport) -> Markup {
    let mut known: HashMap<&str, &Value> = HashMap::new();
    html! {
        table.events {
            @for line in lines(&case.history.entries) { (row(case, &line, &mut known)) }
        }
    }
}

/// Reads that were repeated while nothing else happened are one line.
fn lines(entries: &[Entry]) -> Vec<Line<'_>> {
    let mut lines: Vec<Line<'_>> = Vec::new();
    let mut reads: BTreeMap<String, usize> = BTreeMap::new();
    for entry in entries {
        let at = super::lane::seconds(entries, entry);
        match read_of(entry) {
            Some(read) => {
                if let Some(line) = reads.get(&read).and_then(|place| lines.get_mut(*place)) {
                    line.times += 1;
                    continue;
                }
                reads.insert(read, lines.len());
            }
            None => reads.clear(),
        }
        lines.push(Line { at, entry, times: 1 });
    }
    lines
}

/// What a read asked and was answered; nothing for all that does or changes something.
fn read_of(entry: &Entry) -> Option<String> {
    match &entry.what {
        Occurrence::Request {
            method, path, status, ..
        } if method == "GET" => Some(format!("{path} {status}")),
        Occurrence::Probe { what, value } => Some(format!("{what} = {value}")),
        Occurrence::Request { .. }
        | Occurrence::StepStarted { .. }
        | Occurrence::StepEnded { .. }
        | Occurrence::Change(_)
        | Occurrence::Command { .. }
        | Occurrence::WatchLost { .. } => None,
    }
}

fn row<'a>(case: &CaseReport, line: &Line<'a>, known: &mut HashMap<&'a str, &'a Value>) -> Markup {
    let (class, kind, text) = match &line.entry.what {
        Occurrence::StepStarted { path, text } => ("step", "step", html! { b { (path) } " " (text) }),
        Occurrence::StepEnded {
            path,
            fault: Some(fault),
        } => (
            "fault",
            "step",
            html! { b { (path) " did not do what it should: " } (fault) },
        ),
        Occurrence::StepEnded { path, fault: None } => ("done", "step", html! { (path) " done" }),
        Occurrence::Request {
            method,
            path,
            status,
            millis,
        } => (
            request_class(method, *status),
            "request",
            html! { b { (method) } " " (path) " → " (status) " in " (millis) " ms" },
        ),
        Occurrence::Command {
            number,
            command,
            value,
            lost,
            ..
        } => (
            if lost.is_some() { "fault" } else { "probe" },
            "command",
            html! { b { (number) } " " (command) (super::log::became(value.as_deref(), lost.as_deref())) },
        ),
        Occurrence::Probe { what, value } => ("probe", "probe", html! { (what) " = " code { (value) } }),
        Occurrence::WatchLost { message } => ("fault", "watch", html! { (message) }),
        Occurrence::Change(change) => {
            let before = known.insert(change.text("/metadata/uid"), &change.state);
            (
                change_class(case, change),
                kind_of(change.object),
                changed(case, line.entry, change, before),
            )
        }
    };
    html! {
        tr class=(class) id=[place(case, line.entry)] {
            td.number { (format!("{:.3}", line.at)) }
            td.kind { (kind) }
            td { (text) @if line.times > 1 { span.quiet { " · " (line.times) " times" } } }
        }
    }
}

fn request_class(method: &str, status: u16) -> &'static str {
    match (method, status) {
        (_, 500..) => "request fault",
        ("GET", _) => "request read",
        (_, _) => "request",
    }
}

fn change_class(case: &CaseReport, change: &Change) -> &'static str {
    if case.violations.iter().any(|found| found.revision == change.revision()) {
        "change violated"
    } else {
        "change"
    }
}

pub(super) fn kind_of(object: Watched) -> &'static str {
    match object {
        Watched::Sandbox => "sandbox",
        Watched::Pod => "pod",
    }
}

/// Where the change of a revision stands, for links to it.
pub(super) fn place(case: &CaseReport, entry: &Entry) -> Option<String> {
    match &entry.what {
        Occurrence::Change(change) => Some(format!("{}-r{}", anchor(&case.id), change.revision())),
        Occurrence::StepStarted { .. }
        | Occurrence::StepEnded { .. }
        | Occurrence::Request { .. }
        | Occurrence::Command { .. }
        | Occurrence::Probe { .. }
        | Occurrence::WatchLost { .. } => None,
    }
}

fn changed(case: &CaseReport, entry: &Entry, change: &Change, before: Option<&Value>) -> Markup {
    let nothing = Value::Null;
    let by = writers(before.unwrap_or(&nothing), &change.state);
    html! {
        b { (change.text("/metadata/name")) }
        @match (before, change.deleted) {
            (_, true) => " is gone",
            (None, false) => " is there",
            (Some(_), false) => " changed",
        }
        " at revision " (change.revision())
        @if !by.is_empty() && !change.deleted { ", by " (by.join(" and ")) }
        @if is_dying(change) { ", " span.dying-note { "being deleted" } }
        @if begins_to_go(change, before) {
            ", " span.dying-note { "asked for by " (who_deleted(&case.history.entries, entry, change)) }
        }
        @match before {
            None => div.fields { (first_seen(change)) },
            Some(before) => (fields(before, &change.state)),
        }
    }
}

fn is_dying(change: &Change) -> bool {
    !change.text("/metadata/deletionTimestamp").is_empty() && !change.deleted
}

/// Whether nothing before it said that the object is to go.
fn begins_to_go(change: &Change, before: Option<&Value>) -> bool {
    let asked = |object: &Value| object.pointer("/metadata/deletionTimestamp").is_some();
    (change.deleted || is_dying(change)) && !before.is_some_and(asked)
}

/// No field of an object tells who deleted it. What the suite asked for is in the record; all else was somebody else.
fn who_deleted(entries: &[Entry], entry: &Entry, change: &Change) -> &'static str {
    let path = match change.object {
        Watched::Sandbox => "sandboxes",
        Watched::Pod => "pods",
    };
    let path = format!("{path}/{}", change.text("/metadata/name"));
    let asked = |known: &Entry| match &known.what {
        Occurrence::Request {
            method,
            path: asked,
            millis,
            ..
        } => {
            let sent = known.at - jiff::SignedDuration::from_millis(i64::try_from(*millis).unwrap_or(i64::MAX));
            method == "DELETE" && asked.trim_start_matches('/') == path && sent <= entry.at
        }
        Occurrence::StepStarted { .. }
        | Occurrence::StepEnded { .. }
        | Occurrence::Change(_)
        | Occurrence::Command { .. }
        | Occurrence::Probe { .. }
        | Occurrence::WatchLost { .. } => false,
    };
    if entries.iter().any(asked) {
        "the suite"
    } else {
        "the target, or somebody else: the suite did not"
    }
}

fn first_seen(change: &Change) -> String {
    let conditions = change.state.pointer("/status/conditions").and_then(Value::as_array);
    let text = |condition: &Value, field: &str| condition[field].as_str().unwrap_or_default().to_owned();
    let shown = conditions
        .into_iter()
        .flatten()
        .map(|condition| format!("{}={}", text(condition, "type"), text(condition, "status")));
    let phase = change.text("/status/phase");
    let phase = (!phase.is_empty()).then(|| format!("phase {phase}"));
    phase.into_iter().chain(shown).collect::<Vec<_>>().join(", ")
}

fn fields(before: &Value, after: &Value) -> Markup {
    let (changes, more) = between(before, after);
    html! {
        div.fields {
            @for change in changes {
                div {
                    span.path { (change.path) } " "
                    @if let Some(from) = &change.from { del { (from) } }
                    @if change.from.is_some() && change.to.is_some() { " → " }
                    @if let Some(to) = &change.to { ins { (to) } }
                }
            }
            @if more > 0 { div.quiet { "and " (more) " more" } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(what: Occurrence) -> Entry {
        Entry {
            at: jiff::Timestamp::UNIX_EPOCH,
            what,
        }
    }

    fn request(method: &str, path: &str) -> Entry {
        entry(Occurrence::Request {
            method: method.to_owned(),
            path: path.to_owned(),
            status: 200,
            millis: 1,
        })
    }

    #[test]
    fn a_deletion_is_the_suites_only_if_it_had_asked_by_then() {
        let at = |millis| jiff::Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_millis(millis);
        let change = Change {
            object: Watched::Pod,
            deleted: false,
            state: std::sync::Arc::new(serde_json::json!({"metadata": {"name": "a", "deletionTimestamp": "t"}})),
        };
        let gone = |millis| Entry {
            at: at(millis),
            what: Occurrence::Change(change.clone()),
        };
        let asked = Entry {
            at: at(30),
            ..request("DELETE", "pods/a")
        };
        let others = [
            request("DELETE", "sandboxes/a"),
            request("GET", "pods/a"),
            request("DELETE", "pods/ab"),
        ];
        assert!(begins_to_go(&change, None) && !begins_to_go(&change, Some(&change.state)));
        assert_eq!(
            who_deleted(std::slice::from_ref(&asked), &gone(40), &change),
            "the suite"
        );
        let before = who_deleted(&[asked], &gone(10), &change);
        assert!(before.starts_with("the target") && who_deleted(&others, &gone(10), &change) == before);
    }

    #[test]
    fn reads_repeated_while_nothing_happens_are_one_line_and_writes_never() {
        let entries = [
            request("GET", "a"),
            request("GET", "b"),
            request("GET", "a"),
            request("POST", "a"),
            request("POST", "a"),
            request("GET", "a"),
        ];
        let times: Vec<_> = lines(&entries).iter().map(|line| line.times).collect();
        assert_eq!(times, [2, 1, 1, 1, 1]);
    }
}
