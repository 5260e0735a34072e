//! Random histories: what users do in random order with a few sandboxes, judged by a small model of what they were
//! told, and shrunk to what matters when something does not hold.
//!
//! ```text
//!  seed ─▶ deeds ─▶ [model] script ─▶ scenario file ─▶ run as any other case ─▶ holds
//!            ▲                                                               └▶ does not: fewer deeds, again
//! ```
//! Fewer deeds count only if they fail as often as those that were found, so that a race which happens to be lost once is
//! not what is left.
//! What is run is the scenario file itself, so that the file of a finding replays it. Leaves out where the target comes from.

mod deed;
mod model;
mod script;
mod shrink;
mod yaml;

use std::sync::Arc;

use futures::StreamExt as _;
use proptest::strategy::{Strategy as _, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::catalogue::Catalogue;
use crate::error::ScenarioErrors;
use crate::report::{CaseReport, Outcome};
use crate::run::run_one;
use crate::scenario::{Front, Scenario};
use crate::suite::Case;
use crate::target::Target;

use shrink::Shrink;

pub use deed::{Act, Deed};
pub use script::scenario;
pub use shrink::Replays;

/// How much is tried.
#[derive(Clone, Copy, Debug)]
pub struct SimOptions {
    /// Where the random numbers begin; the same seed gives the same sequences.
    pub seed: u64,
    /// Sequences.
    pub runs: u32,
    /// Deeds of the longest sequence.
    pub steps: usize,
    /// Sandboxes of each sequence.
    pub sandboxes: u8,
    /// Sequences that run at once.
    pub jobs: usize,
    /// Shorter sequences that are tried after a failure.
    pub shrink: u32,
    /// How often a sequence that failed is run again, to see whether it fails each time.
    pub replays: u32,
}

/// What happens, as it happens.
#[derive(Debug)]
pub enum SimEvent<'a> {
    /// A sequence was run.
    Ran {
        /// Which, from 0.
        run: u32,
        /// Its deeds.
        deeds: usize,
        /// What came of it.
        report: &'a CaseReport,
    },
    /// A sequence that failed was run again.
    Replayed {
        /// Which, from 0.
        run: u32,
        /// How often it failed, the first time with it.
        replays: Replays,
    },
    /// A shorter sequence was tried after a failure.
    Shrunk {
        /// Tries so far.
        tries: u32,
        /// Its deeds.
        deeds: usize,
        /// Whether it fails as often.
        fails: bool,
    },
}

/// A sequence after which something did not hold.
#[derive(Debug)]
pub struct Finding {
    /// Which run it was, from 0.
    pub run: u32,
    /// Deeds of the sequence as it was found.
    pub found: usize,
    /// The deeds that are left of it.
    pub deeds: Vec<Deed>,
    /// The scenario file that replays them.
    pub scenario: String,
    /// How often it fails.
    pub replays: Replays,
    /// What did not hold.
    pub report: CaseReport,
}

/// How a simulation ended.
#[derive(Debug)]
pub enum SimOutcome {
    /// Everything held.
    Held,
    /// Something did not.
    Found(Box<Finding>),
    /// The target lacks something, or the suite could not find out.
    Undecided(Box<CaseReport>),
}

/// Runs random sequences against a target until one fails, and shrinks that.
///
/// # Errors
/// A sequence is no scenario that can be read; a test of this crate rules it out.
pub async fn simulate(
    catalogue: &Catalogue,
    target: &Arc<Target>,
    options: &SimOptions,
    mut on_event: impl FnMut(SimEvent<'_>),
) -> Result<SimOutcome, ScenarioErrors> {
    let mut trials = Vec::new();
    for run in 0..options.runs {
        let Some(deeds) = sequence(options, run) else { continue };
        trials.push(async move {
            (
                run,
                attempt(catalogue, target, options.seed, run, &deeds).await,
                deeds.len(),
            )
        });
    }
    let mut running = futures::stream::iter(trials).buffer_unordered(options.jobs.max(1));
    while let Some((run, report, deeds)) = running.next().await {
        let report = report?;
        on_event(SimEvent::Ran {
            run,
            deeds,
            report: &report,
        });
        match report.result {
            Outcome::Pass => {}
            Outcome::Fail => {
                // The others must not disturb what is shrunk.
                drop(running);
                return found(catalogue, target, options, run, report, &mut on_event).await;
            }
            _ => return Ok(SimOutcome::Undecided(Box::new(report))),
        }
    }
    Ok(SimOutcome::Held)
}

async fn found(
    catalogue: &Catalogue,
    target: &Arc<Target>,
    options: &SimOptions,
    run: u32,
    report: CaseReport,
    on_event: &mut impl FnMut(SimEvent<'_>),
) -> Result<SimOutcome, ScenarioErrors> {
    let Some(deeds) = sequence(options, run) else {
        return Ok(SimOutcome::Undecided(Box::new(report)));
    };
    let mut replays = Replays { failed: 1, tried: 1 };
    for _ in 0..options.replays {
        let again = attempt(catalogue, target, options.seed, run, &deeds).await?;
        replays.add(again.result == Outcome::Fail);
    }
    on_event(SimEvent::Replayed { run, replays });
    let mut finding = Finding {
        run,
        found: deeds.len(),
        scenario: text_of(options.seed, run, &deeds),
        deeds: deeds.clone(),
        replays,
        report,
    };
    let (mut shrink, mut tries) = (Shrink::new(deeds), 0);
    while let Some(deeds) = shrink.candidate() {
        // What was left out changed nothing, or there was nothing to do it to.
        let same = scenario("", "", &deeds) == scenario("", "", &finding.deeds);
        if same {
            (finding.scenario, finding.deeds) = (text_of(options.seed, run, &deeds), deeds);
            shrink.judged(true);
            continue;
        }
        if tries == options.shrink {
            break;
        }
        tries += 1;
        let failure = fails_as_often(catalogue, target, options.seed, &finding, &deeds).await?;
        on_event(SimEvent::Shrunk {
            tries,
            deeds: deeds.len(),
            fails: failure.is_some(),
        });
        shrink.judged(failure.is_some());
        if let Some(report) = failure {
            finding.scenario = text_of(options.seed, run, &deeds);
            (finding.deeds, finding.report) = (deeds, report);
        }
    }
    Ok(SimOutcome::Found(Box::new(finding)))
}

/// What a shorter sequence fails with, if it fails as often as what was found.
async fn fails_as_often(
    catalogue: &Catalogue,
    target: &Arc<Target>,
    seed: u64,
    found: &Finding,
    deeds: &[Deed],
) -> Result<Option<CaseReport>, ScenarioErrors> {
    let (mut replays, mut failure) = (Replays::default(), None);
    loop {
        if let Some(fails) = replays.as_often_as(found.replays) {
            return Ok(failure.filter(|_| fails));
        }
        let report = attempt(catalogue, target, seed, found.run, deeds).await?;
        let failed = report.result == Outcome::Fail;
        replays.add(failed);
        if failed {
            failure = Some(report);
        }
    }
}

/// The sequence of a run: the same for the same seed and run.
fn sequence(options: &SimOptions, run: u32) -> Option<Vec<Deed>> {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&options.seed.to_le_bytes());
    seed[8..12].copy_from_slice(&run.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    // Nothing is ever rejected: no part of the strategy filters.
    let tree = deed::deeds(options.sandboxes, options.steps).new_tree(&mut runner);
    Some(tree.ok()?.current())
}

fn text_of(seed: u64, run: u32, deeds: &[Deed]) -> String {
    let title = format!(
        "What users did in {} random deeds leaves everything in place (seed {seed}, run {run})",
        deeds.len()
    );
    scenario(&format!("sim-{seed}-{run}"), &title, deeds)
}

async fn attempt(
    catalogue: &Catalogue,
    target: &Arc<Target>,
    seed: u64,
    run: u32,
    deeds: &[Deed],
) -> Result<CaseReport, ScenarioErrors> {
    let text = text_of(seed, run, deeds);
    let id = format!("sim-{seed}-{run}");
    let scenario = Scenario::parse(&format!("{id}.yaml"), &text, catalogue).map_err(ScenarioErrors)?;
    let case = Case {
        id,
        scenario: Arc::new(scenario.hurried(target.limits().change.duration())),
        front: Front::E2b,
    };
    Ok(run_one(&case, target).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: SimOptions = SimOptions {
        seed: 7,
        runs: 1,
        steps: 20,
        sandboxes: 3,
        jobs: 1,
        shrink: 1,
        replays: 1,
    };

    #[test]
    fn a_seed_and_a_run_give_the_same_sequence_and_others_another() {
        let deeds = |options: &SimOptions, run| sequence(options, run).expect("a sequence");
        assert_eq!(deeds(&OPTIONS, 3), deeds(&OPTIONS, 3));
        assert_ne!(deeds(&OPTIONS, 3), deeds(&OPTIONS, 4));
        assert_ne!(deeds(&OPTIONS, 3), deeds(&SimOptions { seed: 8, ..OPTIONS }, 3));
    }
}
