//! What a run shows while it goes on: bars on a terminal, lines elsewhere.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use torpor_harness::{CaseReport, Outcome, RunEvent, render_line};

use crate::say;

/// How long nothing may be heard of a run in a log.
const SILENCE: Duration = Duration::from_secs(30);

/// The display of one run.
pub struct Progress {
    shape: Shape,
    running: Arc<Mutex<Running>>,
}

/// The cases under way, with when they began.
#[derive(Default)]
struct Running {
    since: BTreeMap<String, Instant>,
    last_heard: Option<Instant>,
}

enum Shape {
    /// Lines above, and below a bar for the run and a line for each case under way.
    Bars(Bars),
    /// A line for each case that ended, and now and then one for those that last.
    Lines,
    /// A line for each case that did not pass.
    Quiet,
}

struct Bars {
    all: MultiProgress,
    whole: ProgressBar,
    cases: Vec<(String, ProgressBar)>,
    not_passed: usize,
}

impl Progress {
    /// Bars where people look at a terminal; lines in CI and in files.
    #[must_use]
    pub fn new(quiet: bool) -> Self {
        let terminal = std::io::stderr().is_terminal() && std::env::var_os("CI").is_none();
        let shape = match (quiet, terminal) {
            (true, _) => Shape::Quiet,
            (false, true) => Shape::Bars(Bars::new()),
            (false, false) => Shape::Lines,
        };
        Self {
            shape,
            running: Arc::default(),
        }
    }

    /// Shows what happened.
    pub fn note(&mut self, event: &RunEvent) {
        self.running().note(event);
        match &mut self.shape {
            Shape::Bars(bars) => bars.note(event),
            Shape::Lines => {
                if let Some(line) = render_line(event) {
                    say::line(line);
                }
            }
            Shape::Quiet => {
                if let (RunEvent::CaseEnded { case }, Some(line)) = (event, render_line(event))
                    && is_news(case)
                {
                    say::line(line);
                }
            }
        }
    }

    /// Says from time to time which cases last, where nothing else shows it. Ends when dropped.
    #[must_use]
    pub fn heartbeat(&self) -> Option<tokio_util::task::AbortOnDropHandle<()>> {
        if !matches!(self.shape, Shape::Lines) {
            return None;
        }
        let running = Arc::clone(&self.running);
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(SILENCE / 6);
            loop {
                ticks.tick().await;
                let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(line) = running.silent_for(SILENCE, Instant::now()) {
                    say::line(line);
                }
            }
        });
        Some(tokio_util::task::AbortOnDropHandle::new(task))
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether somebody who wants to hear little wants to hear of it.
fn is_news(case: &CaseReport) -> bool {
    match case.result {
        Outcome::Fail | Outcome::Error | Outcome::Untestable => !case.is_provisional(),
        Outcome::Pass | Outcome::NotClaimed | Outcome::Untested | Outcome::Skipped | Outcome::ExpectedFailure => false,
    }
}

impl Running {
    fn note(&mut self, event: &RunEvent) {
        let now = Instant::now();
        match event {
            RunEvent::CaseStarted { id, .. } => {
                self.since.insert(id.clone(), now);
            }
            RunEvent::CaseEnded { case } => {
                self.since.remove(&case.id);
            }
            RunEvent::Started { .. } | RunEvent::Ended { .. } => {}
        }
        self.last_heard = Some(now);
    }

    /// The cases that last, when nothing was heard for that long.
    fn silent_for(&mut self, silence: Duration, now: Instant) -> Option<String> {
        let heard = self.last_heard?;
        if self.since.is_empty() || now.duration_since(heard) < silence {
            return None;
        }
        self.last_heard = Some(now);
        let last = |(id, since): (&String, &Instant)| format!("{id} for {} s", now.duration_since(*since).as_secs());
        let cases: Vec<String> = self.since.iter().map(last).collect();
        Some(format!("still running: {}", cases.join(", ")))
    }
}

impl Bars {
    fn new() -> Self {
        let all = MultiProgress::new();
        let whole = all.add(ProgressBar::new(0));
        whole.set_style(style("{bar:30.green/dim} {pos}/{len} cases in {elapsed}{msg}"));
        whole.enable_steady_tick(Duration::from_millis(200));
        Self {
            all,
            whole,
            cases: Vec::new(),
            not_passed: 0,
        }
    }

    fn note(&mut self, event: &RunEvent) {
        match event {
            RunEvent::Started { cases, .. } => self.whole.set_length(*cases as u64),
            RunEvent::CaseStarted { id, .. } => {
                let case = self.all.insert_before(&self.whole, ProgressBar::new_spinner());
                case.set_style(style("{spinner} {elapsed:>4} {msg}"));
                case.set_message(id.clone());
                case.enable_steady_tick(Duration::from_millis(100));
                self.cases.push((id.clone(), case));
            }
            RunEvent::CaseEnded { case } => {
                if let Some(place) = self.cases.iter().position(|(id, _)| *id == case.id) {
                    self.cases.swap_remove(place).1.finish_and_clear();
                }
                self.whole.inc(1);
                self.not_passed += usize::from(is_news(case));
                if self.not_passed > 0 {
                    self.whole.set_message(format!(", {} did not pass", self.not_passed));
                }
            }
            RunEvent::Ended { .. } => self.whole.finish_and_clear(),
        }
        if let Some(line) = render_line(event) {
            self.all.suspend(|| say::line(line));
        }
    }
}

/// The style of a template; a plain bar where the template makes no sense.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_silence_the_cases_that_last_are_named_once() {
        let mut running = Running::default();
        running.note(&RunEvent::CaseStarted {
            id: "slow".to_owned(),
            title: String::new(),
        });
        let start = running.last_heard.expect("something was heard");
        assert_eq!(running.silent_for(SILENCE, start + SILENCE / 2), None);
        let line = running.silent_for(SILENCE, start + SILENCE).expect("a line");
        assert_eq!(line, "still running: slow for 30 s");
        assert_eq!(running.silent_for(SILENCE, start + SILENCE * 3 / 2), None);
    }

    #[test]
    fn every_style_of_the_bars_makes_sense() {
        let bars = Bars::new();
        assert_eq!(bars.whole.length(), Some(0));
        for template in [
            "{bar:30.green/dim} {pos}/{len} cases in {elapsed}{msg}",
            "{spinner} {elapsed:>4} {msg}",
        ] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
