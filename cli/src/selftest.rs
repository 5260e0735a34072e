//! `torpor selftest`: is the suite strong enough? Deliberately faulty controllers must each be caught
//! by scenarios of the requirements that they break, and the correct one by none of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::anyhow;
use futures::StreamExt as _;
use serde::Serialize;
use torpor_controller::Defect;
use torpor_harness::{CaseReport, Filter, Outcome, RunOptions, Suite, run as run_suite};

use crate::args::{Output, SelftestArgs};
use crate::conformance::start_embedded;
use crate::exit::Exit;
use crate::laboratory::EmbeddedLaboratory;
use crate::target;

/// Faulty control planes that run at the same time.
const FAULTS_AT_ONCE: usize = 4;

/// What came of one faulty controller.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Verdict {
    fault: &'static str,
    /// The requirements that it breaks.
    breaks: &'static [&'static str],
    /// The cases of those requirements.
    must_fail: Vec<String>,
    /// The cases that failed because of it.
    caught_by: Vec<String>,
    /// Cases that fail against the correct controller, too, and so prove nothing.
    wrongly_failed: Vec<String>,
    /// Whether each broken requirement was caught by a case of its own.
    ok: bool,
}

/// Runs the faults and prints what caught them.
///
/// # Errors
/// A control plane cannot start, or a fault is not known.
pub async fn run(args: SelftestArgs) -> anyhow::Result<Exit> {
    let suite = Suite::embedded().map_err(|errors| anyhow!("read the scenarios:\n{errors}"))?;
    let named: Result<Vec<Defect>, _> = args.fault.iter().map(|name| name.parse::<Defect>()).collect();
    let defects = match named {
        Ok(defects) if defects.is_empty() => Defect::ALL.to_vec(),
        Ok(defects) => defects,
        Err(error) => {
            eprintln!("torpor: {error}");
            return Ok(Exit::Usage);
        }
    };
    let broken: BTreeSet<&str> = defects.iter().flat_map(|defect| defect.breaks()).copied().collect();
    let baseline = failed(&run_cases(&suite, None, broken, args.jobs).await?);
    // Most of the time goes into waiting for what a fault keeps from coming.
    let mut trials = Vec::new();
    for defect in defects {
        trials.push(try_defect(&suite, defect, &baseline, args.jobs));
    }
    let mut verdicts = Vec::new();
    let mut running = futures::stream::iter(trials).buffered(FAULTS_AT_ONCE);
    while let Some(verdict) = running.next().await {
        let verdict = verdict?;
        if args.output == Output::Text {
            print(&verdict);
        }
        verdicts.push(verdict);
    }
    if args.output == Output::Json {
        println!("{}", serde_json::to_string_pretty(&verdicts)?);
    }
    Ok(if verdicts.iter().all(|verdict| verdict.ok) {
        Exit::Success
    } else {
        Exit::NotConformant
    })
}

async fn try_defect(
    suite: &Suite,
    defect: Defect,
    baseline: &BTreeSet<String>,
    jobs: usize,
) -> anyhow::Result<Verdict> {
    let reports = run_cases(suite, Some(defect), defect.breaks().iter().copied().collect(), jobs).await?;
    Ok(judge(defect, &reports, baseline))
}

/// Runs the cases of some requirements against a control plane of their own.
async fn run_cases(
    suite: &Suite,
    defect: Option<Defect>,
    requirements: BTreeSet<&str>,
    jobs: usize,
) -> anyhow::Result<Vec<CaseReport>> {
    let (plane, _data_dir) = start_embedded(defect, None).await?;
    let mut target = target::embedded(&plane).await?;
    target.laboratory = Some(Arc::new(EmbeddedLaboratory::new(target.profile.clone(), defect)));
    // A fault often shows as something that never comes; waiting long for it proves no more.
    target.patience = std::time::Duration::from_secs(8);
    let filter = Filter {
        any_of: requirements.into_iter().map(str::to_owned).collect(),
    };
    let options = RunOptions {
        jobs,
        filter,
        ..RunOptions::default()
    };
    let report = run_suite(suite, &Arc::new(target), &options, |_| {}).await;
    plane.stop().await;
    Ok(report.cases)
}

fn judge(defect: Defect, reports: &[CaseReport], baseline: &BTreeSet<String>) -> Verdict {
    let proves = |report: &CaseReport, id: &str| {
        let proven = report.requirements.iter().any(|requirement| requirement == id);
        proven || report.violations.iter().any(|violation| violation.requirement == id)
    };
    let fell = failed(reports);
    let caught = |report: &&CaseReport| fell.contains(&report.id) && !baseline.contains(&report.id);
    let caught_by: Vec<&CaseReport> = reports.iter().filter(caught).collect();
    let wrongly_failed: Vec<String> = baseline
        .iter()
        .filter(|id| reports.iter().any(|case| case.id == **id))
        .cloned()
        .collect();
    Verdict {
        fault: defect.name(),
        breaks: defect.breaks(),
        must_fail: reports.iter().map(|report| report.id.clone()).collect(),
        ok: wrongly_failed.is_empty()
            && defect
                .breaks()
                .iter()
                .all(|id| caught_by.iter().any(|report| proves(report, id))),
        caught_by: caught_by.iter().map(|report| report.id.clone()).collect(),
        wrongly_failed,
    }
}

fn failed(reports: &[CaseReport]) -> BTreeSet<String> {
    reports
        .iter()
        .filter(|report| report.result == Outcome::Fail)
        .map(|report| report.id.clone())
        .collect()
}

fn print(verdict: &Verdict) {
    println!(
        "{} {} breaks {}",
        if verdict.ok { "caught " } else { "MISSED " },
        verdict.fault,
        verdict.breaks.join(", ")
    );
    for case in &verdict.caught_by {
        println!("          by {case}");
    }
    for case in &verdict.wrongly_failed {
        println!("          fails against the correct controller, too: {case}");
    }
}
