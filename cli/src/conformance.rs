//! `torpor conformance`: runs the suite and shows what it says.

pub mod address;
pub mod args;
pub mod placing;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use mock_node::Capacity;
use torpor_harness::{
    ExpectedFailures, Filter, Form, Profile, Report, RunOptions, Skip, Suite, Target, Verdict, remove_reports,
    run as run_suite,
};

#[cfg(feature = "containers")]
use crate::contained;
#[cfg(not(feature = "containers"))]
use crate::contained_not as contained;
use crate::elsewhere;
use crate::engine::{AheadArgs, EngineKind, ExecutionArgs};
use crate::exit::Exit;
use crate::fault::Fault;
use crate::laboratory::{Controls, EmbeddedLaboratory};
use crate::plane::{ControlPlane, PlaneConfig, Ports, Reconciler};
use crate::progress::Progress;
use crate::say;
use crate::signal::stop_in_order;
use crate::stand_ins::StandIns;
use crate::target;
use crate::webhook_services::WebhookServices;
use args::{ConformanceArgs, ConformanceCommand, TargetKind};

/// What the embedded node can hold: small enough that a full node is soon reached.
pub const EMBEDDED_NODE: Capacity = Capacity {
    cpu_millis: 16_000,
    memory_bytes: 16 << 30,
    pods: 200,
};

/// How long code may keep an embedded sandbox from being stopped. The suite waits until a pause is called
/// off, and has seen no more after ten seconds than after two.
const EMBEDDED_FREEZE_LIMIT: Duration = Duration::from_secs(2);

/// What is said when a run is told to end.
const fn stopping(target: TargetKind) -> &'static str {
    match target {
        TargetKind::Embedded | TargetKind::Kubeconfig | TargetKind::E2b => {
            "stopping: what the cases made is deleted; Ctrl-C again ends at once and leaves it"
        }
        TargetKind::Kind | TargetKind::Container => {
            "stopping: the containers of the run are removed; Ctrl-C again ends at once and leaves them to `torpor conformance reap`"
        }
    }
}

/// Runs the suite against a target and reports.
///
/// # Errors
/// The target cannot be reached or the report cannot be written.
pub async fn run(mut args: ConformanceArgs) -> anyhow::Result<Exit> {
    if let Some(ConformanceCommand::Reap) = args.command {
        return contained::reap().await;
    }
    let suite = match Suite::load(args.scenarios.as_deref()) {
        Ok(suite) => suite,
        Err(errors) => {
            eprintln!("torpor: read the scenarios:\n{errors}");
            return Ok(Exit::Usage);
        }
    };
    let Prepared {
        options,
        profile,
        fault,
    } = match prepare(&args, &suite) {
        Ok(prepared) => prepared,
        Err(error) => return Ok(Exit::usage(&error)),
    };
    stop_in_order(options.stop.clone(), stopping(args.target)).context("listen for Ctrl-C")?;
    let report = Box::pin(run_on(&mut args, profile, fault, &suite, &options)).await?;
    tell(&report, &args)?;
    Ok(match report.verdict() {
        Verdict::Conformant | Verdict::AsExpected => Exit::Success,
        Verdict::NotConformant => Exit::NotConformant,
        Verdict::HarnessError => Exit::Error,
        Verdict::Usage => Exit::Usage,
    })
}

/// What a run takes, once it is known that the options make sense.
struct Prepared {
    options: RunOptions,
    profile: Profile,
    fault: Option<&'static Fault>,
}

/// Reads and checks everything that can be before anything is started.
fn prepare(args: &ConformanceArgs, suite: &Suite) -> anyhow::Result<Prepared> {
    placing::check(args.target, &args.named)?;
    let options = options(args, suite)?;
    if suite.select(&options.filter).is_empty() {
        return Err(nothing_selected(args));
    }
    let profile = target::profile(args)?;
    target::capabilities(args, &profile)?;
    let fault = fault(args)?;
    if matches!(args.target, TargetKind::Kubeconfig | TargetKind::E2b) {
        target::addresses(args, &profile)?;
    }
    // Nobody wants to learn after the run that its report has no place.
    if let Some(folder) = &args.reporting.report {
        let place = || format!("--report {}: make the directory", folder.display());
        std::fs::create_dir_all(folder).with_context(place)?;
        remove_reports(folder).context("clear away the report of an earlier run")?;
    }
    Ok(Prepared {
        options,
        profile,
        fault,
    })
}

/// Why there is nothing to run.
fn nothing_selected(args: &ConformanceArgs) -> anyhow::Error {
    let asked = [("--filter", args.filter.join(", ")), ("--label", args.label.join(", "))];
    let asked = asked.iter().filter(|(_, words)| !words.is_empty());
    let asked: Vec<String> = asked.map(|(option, words)| format!("{option} {words}")).collect();
    anyhow!(
        "no scenario matches {}; `torpor catalogue --cases` lists them",
        asked.join(" and ")
    )
}

/// What is to be wrong with the embedded control plane.
fn fault(args: &ConformanceArgs) -> anyhow::Result<Option<&'static Fault>> {
    let Some(name) = args.fault.as_deref() else {
        return Ok(None);
    };
    if args.target != TargetKind::Embedded {
        bail!("--fault makes the embedded control plane faulty: leave out --target or --fault");
    }
    Fault::named(name)
        .map(Some)
        .map_err(|unknown| anyhow!("--fault: {unknown}"))
}

/// How to run, by the command line.
fn options(args: &ConformanceArgs, suite: &Suite) -> anyhow::Result<RunOptions> {
    let known = suite.labels();
    if let Some(unknown) = args.label.iter().find(|label| !known.contains(label.as_str())) {
        let known: Vec<&str> = known.into_iter().collect();
        bail!("--label {unknown}: no scenario has it; there are {}", known.join(", "));
    }
    Ok(RunOptions {
        jobs: args
            .jobs
            .map_or_else(|| usual_jobs(args.target, args.engine), NonZeroUsize::get),
        filter: Filter {
            any_of: args.filter.clone(),
            labels: args.label.clone(),
        },
        repeat: args.repeat.get(),
        keep_going: !args.fail_fast,
        try_unclaimed: args.try_unclaimed,
        skips: skips(args, suite)?,
        expected: args
            .expected_failures
            .as_deref()
            .map(expected_failures)
            .transpose()?
            .unwrap_or_default(),
        facts: facts(args),
        ..RunOptions::default()
    })
}

/// Cases wait more than they compute, except where they start containers; how many sandboxes a cluster can hold, nobody
/// has said.
const fn usual_jobs(target: TargetKind, engine: EngineKind) -> usize {
    match (target, engine) {
        (TargetKind::Embedded, EngineKind::Monty) => 48,
        (TargetKind::Embedded, EngineKind::Criu)
        | (TargetKind::Kubeconfig | TargetKind::E2b | TargetKind::Kind | TargetKind::Container, _) => 4,
    }
}

/// What is left out, each with its reason.
fn skips(args: &ConformanceArgs, suite: &Suite) -> anyhow::Result<Vec<Skip>> {
    let reasons = &args.skip_reason;
    if reasons.len() != 1 && reasons.len() != args.skip.len() {
        bail!(
            "{} times --skip and {} times --skip-reason: give one reason for all or one for each",
            args.skip.len(),
            reasons.len()
        );
    }
    if let Some(unknown) = args.skip.iter().find(|id| !suite.knows(id)) {
        bail!("--skip {unknown}: no such case, scenario or requirement; `torpor catalogue` lists the requirements");
    }
    let reason = |index: usize| reasons.get(index).or(reasons.first()).cloned().unwrap_or_default();
    let skips = args.skip.iter().enumerate();
    Ok(skips
        .map(|(index, id)| Skip {
            id: id.clone(),
            reason: reason(index),
        })
        .collect())
}

fn expected_failures(path: &Path) -> anyhow::Result<ExpectedFailures> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("read the expected failures of {}", path.display()))?;
    ExpectedFailures::parse(&path.display().to_string(), &text).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        anyhow!("read the expected failures:\n{}", lines.join("\n"))
    })
}

/// Runs the suite on the target that the options name.
async fn run_on(
    args: &mut ConformanceArgs,
    profile: Profile,
    fault: Option<&'static Fault>,
    suite: &Suite,
    options: &RunOptions,
) -> anyhow::Result<Report> {
    match args.target {
        TargetKind::Embedded => {
            let subject = Subject {
                engine: args.engine,
                fault,
            };
            let (plane, _data_dir) = start_embedded(subject, None).await?;
            let mut target = target::embedded_by(&plane, profile).await?;
            rename(&mut target, args);
            match &args.capabilities {
                Some(_) => target.capabilities = target::capabilities(args, &target.profile)?,
                None => target.capabilities.extend(args.capability.iter().copied()),
            }
            target.laboratory = Some(Arc::new(EmbeddedLaboratory::new(target.profile.clone(), subject)));
            let report = run_with_progress(suite, &Arc::new(target), options, args.reporting.quiet).await;
            plane.stop().await;
            Ok(report)
        }
        TargetKind::Kubeconfig | TargetKind::E2b => {
            let mut target = target::elsewhere(args, profile).await?;
            rename(&mut target, args);
            elsewhere::run(args, target, suite, options).await
        }
        TargetKind::Kind => Box::pin(contained::on_kind(args, profile, suite, options)).await,
        TargetKind::Container => Box::pin(contained::on_control_plane(args, profile, suite, options)).await,
    }
}

/// What reports call the target, where its owner says so.
pub fn rename(target: &mut Target, args: &ConformanceArgs) {
    if let Some(name) = &args.reporting.name {
        target.name.clone_from(name);
    }
}

/// What goes into the report of a target besides: what its owner says, and what is known of our own.
fn facts(args: &ConformanceArgs) -> BTreeMap<String, String> {
    let own = (args.target == TargetKind::Embedded).then(|| {
        let shown = match args.engine {
            EngineKind::Monty => {
                let engine = torpor_runtime::engine_version();
                format!("{}, dumps of version {}", engine.name, engine.version)
            }
            EngineKind::Criu => "criu, in Docker containers".to_owned(),
        };
        ("engine".to_owned(), shown)
    });
    let said = args.reporting.fact.iter();
    own.into_iter()
        .chain(said.map(|fact| (fact.name.clone(), fact.value.clone())))
        .collect()
}

/// What is judged where the control plane is started for the run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Subject {
    /// What runs its sandboxes.
    pub engine: EngineKind,
    /// What is wrong with it, if anything is.
    pub fault: Option<&'static Fault>,
}

impl Subject {
    /// The embedded engine, with that mistake.
    pub fn with(fault: Option<&'static Fault>) -> Self {
        Self {
            fault,
            ..Self::default()
        }
    }
}

/// A control plane of its own for a run, in a directory that goes with it.
///
/// # Errors
/// It cannot start.
pub async fn start_embedded(
    subject: Subject,
    faults: Option<Controls>,
) -> anyhow::Result<(ControlPlane, tempfile::TempDir)> {
    let data_dir = tempfile::tempdir().context("make a directory for the control plane")?;
    let config = PlaneConfig {
        store: None,
        stand_ins: StandIns::default(),
        webhooks: WebhookServices::default(),
        data_dir: data_dir.path().to_owned(),
        ports: Ports::ANY,
        capacity: EMBEDDED_NODE,
        controller: Reconciler::Reference,
        engine: subject.engine,
        isolate: false,
        execution: ExecutionArgs::default(),
        ahead: AheadArgs::default(),
        freeze_limit: EMBEDDED_FREEZE_LIMIT,
        faults,
        log_options: Vec::new(),
        hooks: subject.fault.map(Fault::hooks).unwrap_or_default(),
    };
    // On the heap: its future is large.
    Ok((Box::pin(ControlPlane::start(config)).await?, data_dir))
}

/// Runs, and shows how it goes.
pub async fn run_with_progress(suite: &Suite, target: &Arc<Target>, options: &RunOptions, quiet: bool) -> Report {
    let mut progress = Progress::new(quiet);
    let _heartbeat = progress.heartbeat();
    run_suite(suite, target, options, |event| progress.note(event)).await
}

/// Writes the files of a run and prints what came of it: the files first, for nobody may take what is printed.
fn tell(report: &Report, args: &ConformanceArgs) -> anyhow::Result<()> {
    let written = args.reporting.report.as_ref().map(|folder| {
        let yaml = args.reporting.report_yaml.then_some(Form::Yaml);
        let forms: Vec<Form> = Form::USUAL.into_iter().chain(yaml).collect();
        report
            .write_as(folder, &forms)
            .map(|()| folder.join(Form::Html.file_name()))
    });
    let text = report.render(Form::Text)?;
    if args.reporting.quiet {
        // The verdict; which requirements were broken the cases have said.
        say::line(text.split("\n\n").last().unwrap_or(&text).trim_end());
    } else {
        say::line(format_args!("\n{}", text.trim_end()));
    }
    if let Some(page) = written.transpose().context("write the report")? {
        say::line(format_args!("report: {}", page.display()));
    }
    Ok(())
}
