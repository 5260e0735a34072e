//! A case as a drawing: time from left to right, a lane each for steps, requests, probes and
//! every object that was watched.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::event::{kind_of, place};
use crate::history::{Change, Entry, Occurrence};
use crate::report::CaseReport;

/// Width of the drawing, and of the names of the lanes at its left, in its own units.
const WIDTH: f64 = 1000.0;
const NAMES: f64 = 160.0;
/// Height of a lane.
const LANE: f64 = 22.0;

/// From when to when something was so, in seconds since the first entry.
struct Span {
    from: f64,
    to: f64,
    class: &'static str,
    text: String,
    /// Where the page says more.
    link: Option<String>,
}

struct Lane {
    name: String,
    spans: Vec<Span>,
}

/// Seconds between the first entry and this one.
pub(super) fn seconds(entries: &[Entry], entry: &Entry) -> f64 {
    let start = entries.first().map_or(entry.at, |first| first.at);
    entry.at.duration_since(start).as_secs_f64().max(0.0)
}

pub(super) fn drawing(case: &CaseReport) -> Markup {
    let entries = &case.history.entries;
    let end = entries.last().map_or(0.0, |last| seconds(entries, last)).max(0.001);
    let lanes: Vec<Lane> = steps(entries, end)
        .into_iter()
        .chain([requests(entries)])
        .chain(objects(case, end))
        .chain([commands(entries), probes(entries)])
        .filter(|lane| !lane.spans.is_empty())
        .collect();
    let violations = violations(case);
    let height = lane_top(lanes.len()) + 20.0;
    let x = |at: f64| NAMES + (WIDTH - NAMES - 10.0) * at / end;
    html! {
        div.lanes {
            svg viewBox={ "0 0 " (WIDTH) " " (height) } role="img" aria-label="what happened, over time" {
                @for tick in ticks(end) {
                    line.tick x1=(at(x(tick))) x2=(at(x(tick))) y1="0" y2=(at(height - 16.0)) {}
                    text.time x=(at(x(tick))) y=(at(height - 4.0)) { (tick_name(tick)) }
                }
                @for (index, lane) in lanes.iter().enumerate() { (draw(lane, lane_top(index), &x)) }
                @for (when, text, link) in &violations {
                    a href={ "#" (link) } {
                        line.violation x1=(at(x(*when))) x2=(at(x(*when))) y1="0" y2=(at(height - 16.0)) { title { (text) } }
                    }
                }
            }
        }
    }
}

fn lane_top(index: usize) -> f64 {
    4.0 + LANE * f64::from(u32::try_from(index).unwrap_or(u32::MAX))
}

fn at(place: f64) -> String {
    format!("{place:.1}")
}

fn draw(lane: &Lane, top: f64, x: &impl Fn(f64) -> f64) -> Markup {
    html! {
        text.lane x=(at(NAMES - 8.0)) y=(at(top + 14.0)) { (lane.name) }
        @for span in &lane.spans {
            @let (left, width) = (x(span.from), (x(span.to) - x(span.from)).max(1.6));
            @let bar = html! {
                rect class=(span.class) x=(at(left)) y=(at(top + 2.0)) width=(at(width)) height=(at(LANE - 5.0)) rx="2" {
                    title { (span.text) }
                }
                // About six units a letter: a name that does not fit is not written.
                @if !span.class.starts_with("request") && width > 6.5 * f64::from(u32::try_from(span.text.chars().count()).unwrap_or(u32::MAX)) + 6.0 {
                    text.on x=(at(left + 4.0)) y=(at(top + 14.0)) { (span.text) }
                }
            };
            @if let Some(link) = &span.link { a href={ "#" (link) } { (bar) } } @else { (bar) }
        }
    }
}

/// Round times, five to ten of them.
fn ticks(end: f64) -> Vec<f64> {
    let mut step = 0.001;
    for factor in [2.0, 2.5, 2.0].into_iter().cycle().take(30) {
        if end / step <= 10.0 {
            break;
        }
        step *= factor;
    }
    let mut ticks = vec![0.0];
    while let Some(last) = ticks.last().copied()
        && last + step <= end
    {
        ticks.push(last + step);
    }
    ticks
}

fn tick_name(tick: f64) -> String {
    let text = format!("{tick:.3}");
    let short = text.trim_end_matches('0').trim_end_matches('.');
    format!("{short} s")
}

/// Steps, in as many lanes as there are at the same time at most.
fn steps(entries: &[Entry], end: f64) -> Vec<Lane> {
    let mut lanes: Vec<Lane> = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let Occurrence::StepStarted { path, text } = &entry.what else {
            continue;
        };
        let ended = entries.iter().skip(index).find_map(|later| match &later.what {
            Occurrence::StepEnded { path: ended, fault } if ended == path => Some((seconds(entries, later), fault)),
            Occurrence::StepEnded { .. }
            | Occurrence::StepStarted { .. }
            | Occurrence::Request { .. }
            | Occurrence::Change(_)
            | Occurrence::Command { .. }
            | Occurrence::Probe { .. }
            | Occurrence::WatchLost { .. } => None,
        });
        let (to, failed) = ended.map_or((end, true), |(to, fault)| (to, fault.is_some()));
        let word = text.split_whitespace().next().unwrap_or_default();
        let span = Span {
            from: seconds(entries, entry),
            to,
            class: if failed { "step failed" } else { "step" },
            text: format!("{path} {word}"),
            link: None,
        };
        let free = lanes
            .iter_mut()
            .find(|lane| lane.spans.last().is_some_and(|last| last.to <= span.from));
        match free {
            Some(lane) => lane.spans.push(span),
            None => lanes.push(Lane {
                name: if lanes.is_empty() {
                    "steps".to_owned()
                } else {
                    String::new()
                },
                spans: vec![span],
            }),
        }
    }
    lanes
}

fn requests(entries: &[Entry]) -> Lane {
    let span = |entry: &Entry| match &entry.what {
        Occurrence::Request {
            method,
            path,
            status,
            millis,
        } => {
            let to = seconds(entries, entry);
            Some(Span {
                from: (to - f64::from(u32::try_from(*millis).unwrap_or(u32::MAX)) / 1000.0).max(0.0),
                to,
                class: match (method.as_str(), status) {
                    (_, 500..) => "request failed",
                    ("GET", _) => "request read",
                    (_, _) => "request",
                },
                text: format!("{method} {path} → {status}"),
                link: None,
            })
        }
        Occurrence::StepStarted { .. }
        | Occurrence::StepEnded { .. }
        | Occurrence::Change(_)
        | Occurrence::Command { .. }
        | Occurrence::Probe { .. }
        | Occurrence::WatchLost { .. } => None,
    };
    Lane {
        name: "requests".to_owned(),
        spans: entries.iter().filter_map(span).collect(),
    }
}

fn commands(entries: &[Entry]) -> Lane {
    let span = |entry: &Entry| match &entry.what {
        Occurrence::Command {
            number, command, lost, ..
        } => Some(Span {
            from: seconds(entries, entry),
            to: seconds(entries, entry),
            class: if lost.is_some() { "request failed" } else { "probe" },
            text: format!("{number} {command}"),
            link: None,
        }),
        Occurrence::StepStarted { .. }
        | Occurrence::StepEnded { .. }
        | Occurrence::Change(_)
        | Occurrence::Probe { .. }
        | Occurrence::Request { .. }
        | Occurrence::WatchLost { .. } => None,
    };
    Lane {
        name: "commands".to_owned(),
        spans: entries.iter().filter_map(span).collect(),
    }
}

fn probes(entries: &[Entry]) -> Lane {
    let span = |entry: &Entry| match &entry.what {
        Occurrence::Probe { what, value } => Some(Span {
            from: seconds(entries, entry),
            to: seconds(entries, entry),
            class: "probe",
            text: format!("{what} = {value}"),
            link: None,
        }),
        Occurrence::StepStarted { .. }
        | Occurrence::StepEnded { .. }
        | Occurrence::Change(_)
        | Occurrence::Command { .. }
        | Occurrence::Request { .. }
        | Occurrence::WatchLost { .. } => None,
    };
    Lane {
        name: "probes".to_owned(),
        spans: entries.iter().filter_map(span).collect(),
    }
}

/// A lane for each object that a watch reported, from its first to its last state.
fn objects(case: &CaseReport, end: f64) -> Vec<Lane> {
    let entries = &case.history.entries;
    let mut lanes: Vec<Lane> = Vec::new();
    let mut lane_of: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in entries {
        let Occurrence::Change(change) = &entry.what else {
            continue;
        };
        let now = seconds(entries, entry);
        let lane = *lane_of.entry(change.text("/metadata/uid")).or_insert(lanes.len());
        if lane == lanes.len() {
            lanes.push(Lane {
                name: format!(
                    "{} {}",
                    kind_of(change.object),
                    short_name(change.text("/metadata/name"))
                ),
                spans: Vec::new(),
            });
        }
        let spans = &mut lanes[lane].spans;
        if let Some(open) = spans.last_mut() {
            open.to = now;
        }
        let (class, text) = state_of(change);
        let same = spans
            .last()
            .is_some_and(|last| last.text == text && last.class == class);
        if change.deleted {
            continue;
        }
        if same {
            if let Some(open) = spans.last_mut() {
                open.to = end;
            }
        } else {
            spans.push(Span {
                from: now,
                to: end,
                class,
                text,
                link: place(case, entry),
            });
        }
    }
    lanes
}

/// The end of a name is what tells two apart.
fn short_name(name: &str) -> String {
    let letters = name.chars().count();
    if letters <= 14 {
        name.to_owned()
    } else {
        format!("…{}", name.chars().skip(letters - 13).collect::<String>())
    }
}

fn state_of(change: &Change) -> (&'static str, String) {
    let phase = change.text("/status/phase");
    if !change.text("/metadata/deletionTimestamp").is_empty() {
        return ("state dying", "being deleted".to_owned());
    }
    let class = match phase {
        "Running" | "Ready" => "state running",
        "Paused" | "Suspended" => "state paused",
        "Failed" => "state failed",
        _ => "state",
    };
    (
        class,
        if phase.is_empty() {
            "there".to_owned()
        } else {
            phase.to_owned()
        },
    )
}

/// When requirements were violated, what was seen then, and where the page says more.
fn violations(case: &CaseReport) -> Vec<(f64, String, String)> {
    let entries = &case.history.entries;
    let seen = |entry: &Entry| match &entry.what {
        Occurrence::Change(change) => {
            let found = case
                .violations
                .iter()
                .find(|found| found.revision == change.revision())?;
            let text = format!("{}: {}", found.requirement, found.message);
            Some((seconds(entries, entry), text, place(case, entry)?))
        }
        Occurrence::StepStarted { .. }
        | Occurrence::StepEnded { .. }
        | Occurrence::Request { .. }
        | Occurrence::Command { .. }
        | Occurrence::Probe { .. }
        | Occurrence::WatchLost { .. } => None,
    };
    entries.iter().filter_map(seen).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few_whatever_the_length() {
        for end in [0.001, 0.03, 0.7, 3.3, 12.0, 59.0, 700.0] {
            let ticks = ticks(end);
            assert!((2..=11).contains(&ticks.len()), "{end}: {ticks:?}");
        }
        assert_eq!(ticks(3.3), [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0]);
        assert_eq!([0.0, 0.5, 20.0].map(tick_name), ["0 s", "0.5 s", "20 s"]);
    }

    #[test]
    fn long_names_keep_their_end() {
        assert_eq!(short_name("counter"), "counter");
        assert_eq!(short_name("interpreter-state-survives-0a1b2c"), "…rvives-0a1b2c");
    }
}
