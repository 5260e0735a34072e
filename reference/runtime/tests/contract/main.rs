//! One contract, every engine: each claim is made of each engine that can run here, and each deliberately
//! faulty engine has to be caught by the claim that it breaks.
//!
//! The CRIU engine takes the whole container that it runs in for its sandbox. Where Docker has the sandbox
//! image, this program runs itself once more in such a container.

#![expect(clippy::expect_used, reason = "a sandbox that cannot be set up fails its test")]

mod ahead;
mod bench;
mod claims;
mod container;
mod crash;
mod faulty;
mod image;
mod kernel;
mod lazily;
mod processes;
mod recall;
mod standing;
mod streamed;
mod virtual_time;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use libtest_mimic::{Arguments, Failed, Trial};
use torpor_runtime::{Clock, CriuConfig, CriuEngine, Engine, MontyEngine, SimEngine};

use bench::{Bench, Claim};
use faulty::{Fault, FaultyEngine};

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(30);
/// How long is waited for what a faulty engine never does.
const FAULTY_LIMIT: Duration = Duration::from_millis(300);
/// The same of real processes, which take longer to do anything.
const FAULTY_CRIU_LIMIT: Duration = Duration::from_secs(10);
/// How long a sleep takes where time is virtual.
const PACE: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    let command: Vec<String> = std::env::args().collect();
    if let [_, command, socket] = command.as_slice()
        && command == container::INIT
    {
        return match torpor_runtime::run_init(socket.as_ref()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    if let Some(lived) = crash::live(&command) {
        return lived;
    }
    let mut args = Arguments::from_args();
    let mut trials = of_engine("monty", &monty(), true, None);
    trials.extend(of_engine("sim", &paced(), true, None));
    trials.extend(virtual_time::trials());
    trials.extend(Fault::ALL.into_iter().map(caught));
    if container::is_first_process() {
        // One sandbox at a time has the container.
        args.test_threads = Some(1);
        let unfit = unfit_for_criu();
        trials = of_engine("criu", &criu(), false, unfit.as_deref());
        trials.extend(lazily::trials(unfit.as_deref()));
        trials.extend(kernel::trials(unfit.as_deref()));
        trials.extend(recall::trials(unfit.as_deref()));
        trials.extend(streamed::trials(unfit.as_deref()));
        trials.extend(standing::trials(unfit.as_deref()));
        trials.extend(ahead::trials(unfit.as_deref()));
        let caught = Fault::OF_PROCESSES.into_iter().map(caught_of_processes);
        trials.extend(caught.map(|trial| unless(unfit.as_deref(), trial)));
    } else {
        trials.extend(container::trials());
        trials.extend(crash::trials());
    }
    libtest_mimic::run(&args, trials).exit_code()
}

fn monty() -> Arc<dyn Engine> {
    Arc::new(MontyEngine::new(Clock::system()))
}

fn sim() -> Arc<dyn Engine> {
    Arc::new(SimEngine::new(Timestamp::UNIX_EPOCH))
}

/// Virtual time in which a freeze can come into the middle of a sleep.
fn paced() -> Arc<dyn Engine> {
    Arc::new(SimEngine::new(Timestamp::UNIX_EPOCH).with_pace(PACE))
}

fn criu() -> Arc<dyn Engine> {
    Arc::new(CriuEngine::new(criu_config()))
}

fn criu_config() -> CriuConfig {
    let program = std::env::current_exe().expect("the path of this program");
    CriuConfig::new(vec![program.into_os_string(), container::INIT.into()])
}

/// What CRIU says is missing.
fn unfit_for_criu() -> Option<String> {
    let probed = run(async { CriuEngine::new(CriuConfig::new(Vec::new())).probe().await });
    probed.err().map(|error| format!("skipped: {error}"))
}

fn of_engine(name: &str, engine: &Arc<dyn Engine>, several: bool, unfit: Option<&str>) -> Vec<Trial> {
    let applies = |claim: &&Claim| {
        let kept = claim.facets.iter().all(|facet| engine.facets().contains(facet));
        kept && (several || !claim.needs_several)
    };
    let trial = |claim: &Claim| {
        let (engine, check) = (Arc::clone(engine), claim.check);
        let trial = Trial::test(format!("{name}::{}", claim.name), move || {
            run(check(Bench::new(engine, LIMIT)))
        });
        unless(unfit, trial)
    };
    bench::all_claims().iter().filter(applies).map(trial).collect()
}

/// The trial; skipped with the reason if there is one.
fn unless(unfit: Option<&str>, trial: Trial) -> Trial {
    match unfit {
        Some(reason) => trial.with_kind(reason.to_owned()).with_ignored_flag(true),
        None => trial,
    }
}

fn caught(fault: Fault) -> Trial {
    Trial::test(format!("{fault:?}_is_caught_by::{}", fault.breaks()), move || {
        fails(monty(), fault, FAULTY_LIMIT)
    })
}

/// What a claim that failed left running is ended, since the next one has the same container.
fn caught_of_processes(fault: Fault) -> Trial {
    Trial::test(format!("{fault:?}_is_caught_by::{}", fault.breaks()), move || {
        let caught = fails(criu(), fault, FAULTY_CRIU_LIMIT);
        container::end_all_others()?;
        caught
    })
}

/// A faulty engine has to fail the claim that it breaks.
fn fails(sound: Arc<dyn Engine>, fault: Fault, limit: Duration) -> Result<(), Failed> {
    let (claims, broken) = (bench::all_claims(), fault.breaks());
    let claim = claims.iter().find(|claim| claim.name == broken);
    let check = claim.ok_or("no such claim")?.check;
    let engine: Arc<dyn Engine> = Arc::new(FaultyEngine::new(sound, fault));
    match run(check(Bench::new(engine, limit))) {
        Err(_) => Ok(()),
        Ok(()) => Err(Failed::from(format!("{fault:?} keeps the claim {broken}"))),
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    let result = runtime.block_on(future);
    // A faulty engine leaves threads behind that are not waited for.
    runtime.shutdown_background();
    result
}
