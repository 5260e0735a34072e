//! `torpor sim`: random sequences of what users do, against a control plane of its own.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use torpor_harness::Catalogue;
use torpor_harness::sim::{Finding, Replays, SimEvent, SimOptions, SimOutcome, simulate};

use crate::args::SimArgs;
use crate::conformance::{Subject, start_embedded};
use crate::exit::Exit;
use crate::fault::Fault;
use crate::laboratory::EmbeddedLaboratory;
use crate::target;

/// Runs sequences, and prints the shortest scenario of the first that fails.
///
/// # Errors
/// The control plane cannot start, or the scenario cannot be written.
pub async fn run(args: SimArgs) -> anyhow::Result<Exit> {
    let fault = match args.fault.as_deref().map(Fault::named).transpose() {
        Ok(fault) => fault,
        Err(unknown) => return Ok(Exit::usage(&anyhow!("--fault: {unknown}"))),
    };
    let options = SimOptions {
        seed: args.seed.unwrap_or_else(|| u64::from(rand::random::<u32>())),
        runs: args.runs,
        steps: args.steps,
        sandboxes: args.sandboxes,
        jobs: if fault.is_some_and(|fault| fault.spreads) {
            1
        } else {
            args.jobs
        },
        shrink: args.shrink,
        replays: args.replays,
    };
    println!(
        "seed {}: {} sequences of up to {} deeds",
        options.seed, options.runs, options.steps
    );
    let (plane, _data_dir) = start_embedded(Subject::with(fault), None).await?;
    let mut target = target::embedded(&plane).await?;
    target.laboratory = Some(Arc::new(EmbeddedLaboratory::new(
        target.profile.clone(),
        Subject::with(fault),
    )));
    target = target.within(Duration::from_secs(args.patience));
    let outcome = simulate(&Catalogue::load()?, &Arc::new(target), &options, |event| show(&event)).await;
    plane.stop().await;
    match outcome.map_err(|errors| anyhow!("read a scenario made up:\n{errors}"))? {
        SimOutcome::Held => {
            println!("everything held");
            Ok(Exit::Success)
        }
        SimOutcome::Found(finding) => {
            tell(&finding, &args)?;
            Ok(Exit::NotConformant)
        }
        SimOutcome::Undecided(report) => Err(anyhow!(
            "run a sequence: {}: {}",
            report.result.as_str(),
            report.reason.as_deref().unwrap_or("no reason given")
        )),
    }
}

fn show(event: &SimEvent<'_>) {
    match event {
        SimEvent::Ran { run, deeds, report } => {
            println!(
                "{:<5} {:>6.2}s  run {run}: {deeds} deeds",
                report.result.as_str(),
                report.seconds
            );
        }
        SimEvent::Replayed { run, replays } => {
            println!("run {run} fails {}", how_often(*replays));
        }
        SimEvent::Shrunk { tries, deeds, fails } => {
            let outcome = if *fails { "fails, too" } else { "holds" };
            println!("shrink {tries}: {deeds} deeds: {outcome}");
        }
    }
}

/// A race is lost now and then, and whoever replays it must know.
fn how_often(replays: Replays) -> String {
    let Replays { failed, tried } = replays;
    if failed == tried {
        "each time".to_owned()
    } else {
        format!("in {failed} of {tried} tries; it races, so that one replay may hold")
    }
}

fn tell(finding: &Finding, args: &SimArgs) -> anyhow::Result<()> {
    let report = &finding.report;
    println!(
        "\nrun {} failed; {} of its {} deeds are left, which fail {}\n  step {}: {}",
        finding.run,
        finding.deeds.len(),
        finding.found,
        how_often(finding.replays),
        report.step.as_deref().unwrap_or("-"),
        report.reason.as_deref().unwrap_or("no reason given")
    );
    for violation in &report.violations {
        println!("  {}: {}", violation.requirement, violation.message);
    }
    println!("\n{}", finding.scenario);
    if let Some(folder) = &args.write {
        write(folder, finding, args)?;
    }
    Ok(())
}

fn write(folder: &Path, finding: &Finding, args: &SimArgs) -> anyhow::Result<()> {
    let path = folder.join(format!("{}.yaml", finding.report.id));
    std::fs::create_dir_all(folder).with_context(|| format!("make the directory {}", folder.display()))?;
    std::fs::write(&path, &finding.scenario).with_context(|| format!("write {}", path.display()))?;
    let fault = args
        .fault
        .as_ref()
        .map(|name| format!(" --fault {name}"))
        .unwrap_or_default();
    println!(
        "written to {}; replay it with\n  torpor conformance --scenarios {} --filter {}{fault}",
        path.display(),
        folder.display(),
        finding.report.id
    );
    Ok(())
}
