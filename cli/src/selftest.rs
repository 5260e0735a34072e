//! `torpor selftest`: is the suite strong enough? Each deliberately faulty implementation must be caught by the
//! cases that say so, cases that have nothing to do with it must still pass, and the reference must fail none.
//!
//! Decides which cases are run against which fault, and what their results prove. A fault that makes everything
//! fail is not caught: what fails always, tells nothing.

mod judge;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use futures::StreamExt as _;
use torpor_harness::{Case, CaseReport, Filter, Profile, Suite, Target, run_one, run_one_by_the_clock};

use crate::args::{Output, SelftestArgs};
use crate::conformance::{Subject, start_embedded};
use crate::exit::Exit;
use crate::fault::Fault;
use crate::laboratory::EmbeddedLaboratory;
use crate::target;
use judge::{Verdict, failed, judge, must_pass};

/// A fault often shows as something that never comes; waiting long for it proves no more.
const PATIENCE: Duration = Duration::from_secs(10);

/// The cases, by id.
type Cases = BTreeMap<String, Case>;

/// Runs the faults and prints what caught them.
///
/// # Errors
/// A control plane cannot start, or a fault is not known.
pub async fn run(args: SelftestArgs) -> anyhow::Result<Exit> {
    let suite = Suite::embedded().map_err(|errors| anyhow!("read the scenarios:\n{errors}"))?;
    let named: Result<Vec<_>, _> = args.fault.iter().map(|name| Fault::named(name)).collect();
    let faults: Vec<&'static Fault> = match named {
        Ok(faults) if faults.is_empty() => Fault::all().collect(),
        Ok(faults) => faults,
        Err(unknown) => return Ok(Exit::usage(&unknown.into())),
    };
    if args.list {
        list(&faults, args.output)?;
        return Ok(Exit::Success);
    }
    let cases: Cases = suite
        .select(&Filter::default())
        .into_iter()
        .map(|case| (case.id.clone(), case))
        .collect();
    let reference = try_reference(&faults, &cases, &args).await?;
    let verdicts = try_faults(&faults, &cases, &reference, &args).await?;
    match args.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&verdicts)?),
        Output::Text => summarize(&verdicts),
    }
    if args.fault.is_empty() {
        name_idle(&cases, &verdicts, args.output);
    }
    Ok(if verdicts.iter().all(|verdict| verdict.ok) {
        Exit::Success
    } else {
        Exit::NotConformant
    })
}

/// The cases that the reference fails, by the profile by which it is read.
type Reference = BTreeMap<&'static str, BTreeSet<String>>;

/// Runs every case that is run against a fault against the reference, too.
async fn try_reference(faults: &[&'static Fault], cases: &Cases, args: &SelftestArgs) -> anyhow::Result<Reference> {
    let mut needed: BTreeMap<&'static str, BTreeSet<&str>> = BTreeMap::new();
    for fault in faults {
        let selected = selection(fault, cases, args.all_cases);
        needed.entry(fault.profile).or_default().extend(selected);
    }
    let mut reference = Reference::new();
    for (profile, needed) in needed {
        let reports = try_cases(cases, &needed, Trial { profile, fault: None }, args.jobs).await?;
        reference.insert(profile, failed(&reports));
    }
    Ok(reference)
}

/// Tries several faults side by side: most of the time goes into waiting for what a fault keeps from coming.
async fn try_faults(
    faults: &[&'static Fault],
    cases: &Cases,
    reference: &Reference,
    args: &SelftestArgs,
) -> anyhow::Result<Vec<Verdict>> {
    let none = BTreeSet::new();
    // Not a closure of async blocks in `map`: the compiler cannot tell how long they borrow.
    let mut trials = Vec::new();
    for (place, fault) in faults.iter().enumerate() {
        let failed_anyway = reference.get(fault.profile).unwrap_or(&none);
        trials.push(async move {
            let selected = selection(fault, cases, args.all_cases).into_iter().collect();
            let jobs = if fault.spreads { 1 } else { args.jobs };
            let trial = Trial {
                profile: fault.profile,
                fault: Some(fault),
            };
            let reports = try_cases(cases, &selected, trial, jobs).await?;
            anyhow::Ok((place, judge(fault, cases, &reports, failed_anyway)))
        });
    }
    let mut verdicts = BTreeMap::new();
    let mut running = futures::stream::iter(trials).buffer_unordered(args.faults_at_once.max(1));
    while let Some(ended) = running.next().await {
        let (place, verdict) = ended?;
        if args.output == Output::Text {
            print(&verdict);
        }
        verdicts.insert(place, verdict);
    }
    Ok(verdicts.into_values().collect())
}

/// The cases to run against a fault.
fn selection<'a>(fault: &Fault, cases: &'a Cases, all: bool) -> Vec<&'a str> {
    if all {
        return cases.keys().map(String::as_str).collect();
    }
    let must_fail = fault.caught_by.iter().filter_map(|id| cases.get_key_value(*id));
    let mut selected: Vec<&str> = must_fail.map(|(id, _)| id.as_str()).collect();
    selected.extend(must_pass(fault, cases));
    selected
}

/// What cases are run against.
#[derive(Clone, Copy)]
struct Trial {
    /// The profile by which the control plane is read.
    profile: &'static str,
    /// What is wrong with it; nothing for the reference.
    fault: Option<&'static Fault>,
}

/// Runs cases against a control plane of their own; with little patience those that are meant to fail. The others
/// wait for nothing that does not come, unless the machine is busy, and that must not count against the fault.
async fn try_cases(
    cases: &Cases,
    selected: &BTreeSet<&str>,
    Trial { profile, fault }: Trial,
    jobs: usize,
) -> anyhow::Result<Vec<CaseReport>> {
    let (plane, _data_dir) = start_embedded(Subject::with(fault), None).await?;
    let mut patient = target::embedded_by(&plane, Profile::built_in(profile)?).await?;
    patient.laboratory = Some(Arc::new(EmbeddedLaboratory::new(
        patient.profile.clone(),
        Subject::with(fault),
    )));
    let patient = Arc::new(patient);
    let impatient = Arc::new((*patient).clone().within(PATIENCE));
    let must_fail = fault.map_or(&[][..], |fault| fault.caught_by);
    let prepared = cases
        .iter()
        .filter(|(id, _)| selected.contains(id.as_str()))
        .map(|(id, case)| {
            if must_fail.contains(&id.as_str()) {
                Attempt::ToFail(shortened(case), Arc::clone(&impatient))
            } else {
                Attempt::ToPass(case.clone(), Arc::clone(&patient))
            }
        });
    let (alone, together): (Vec<_>, Vec<_>) = prepared.partition(|attempt| attempt.case().scenario.exclusive);
    let mut reports = side_by_side(together, jobs.max(1)).await;
    reports.extend(side_by_side(alone, 1).await);
    plane.stop().await;
    Ok(reports)
}

/// A case to run, and what it is meant to do.
enum Attempt {
    /// To fail.
    ToFail(Case, Arc<Target>),
    /// To pass.
    ToPass(Case, Arc<Target>),
}

impl Attempt {
    const fn case(&self) -> &Case {
        match self {
            Self::ToFail(case, _) | Self::ToPass(case, _) => case,
        }
    }

    async fn run(self) -> CaseReport {
        match self {
            Self::ToFail(case, target) => run_one_by_the_clock(&case, &target).await,
            Self::ToPass(case, target) => run_one(&case, &target).await,
        }
    }
}

async fn side_by_side(attempts: Vec<Attempt>, jobs: usize) -> Vec<CaseReport> {
    let running: Vec<_> = attempts.into_iter().map(Attempt::run).collect();
    futures::stream::iter(running).buffer_unordered(jobs).collect().await
}

/// The same case with less patience.
fn shortened(case: &Case) -> Case {
    Case {
        scenario: Arc::new(case.scenario.hurried(PATIENCE)),
        ..case.clone()
    }
}

fn print(verdict: &Verdict) {
    println!(
        "{} {:<36} breaks {}",
        if verdict.ok { "caught " } else { "MISSED " },
        verdict.fault,
        verdict.breaks.join(", ")
    );
    for case in &verdict.caught_by {
        println!("          by {case}");
    }
    for case in &verdict.missed {
        println!("          NOT BY {case}");
    }
    for case in &verdict.wrongly_failed {
        println!("          FAILS, TOO, AND MUST PASS: {case}");
    }
}

fn summarize(verdicts: &[Verdict]) {
    let caught = verdicts.iter().filter(|verdict| verdict.ok).count();
    println!("\n{caught} of {} faults caught", verdicts.len());
}

/// Names the cases that caught nothing. With JSON on the standard output, on the standard error.
fn name_idle(cases: &Cases, verdicts: &[Verdict], output: Output) {
    let busy: BTreeSet<&String> = verdicts.iter().flat_map(|verdict| &verdict.caught_by).collect();
    let idle: Vec<&str> = cases
        .keys()
        .filter(|id| !busy.contains(id))
        .map(String::as_str)
        .collect();
    if idle.is_empty() {
        return;
    }
    let text = format!("{} cases caught none of them:\n  {}", idle.len(), idle.join("\n  "));
    match output {
        Output::Text => println!("{text}"),
        Output::Json => eprintln!("torpor: {text}"),
    }
}

fn list(faults: &[&'static Fault], output: Output) -> anyhow::Result<()> {
    match output {
        Output::Json => {
            let shown = faults.iter().map(|fault| {
                serde_json::json!({
                    "fault": fault.name, "culprit": fault.culprit.as_str(), "does": fault.does, "breaks": fault.breaks,
                    "mustFail": fault.caught_by,
                })
            });
            println!("{}", serde_json::to_string_pretty(&shown.collect::<Vec<_>>())?);
        }
        Output::Text => {
            for fault in faults {
                println!(
                    "{:<36} {:<10} {} (breaks {})",
                    fault.name,
                    fault.culprit.as_str(),
                    fault.does,
                    fault.breaks.join(", ")
                );
            }
        }
    }
    Ok(())
}
