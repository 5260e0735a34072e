//! A program that ends at each step of a checkpoint or of a restore, killed from outside; and one that looks what is
//! there afterwards.
//!
//! ```text
//!  first life: start, x = 1, seal 1, x = 2, seal 2 ── halted at the step, kill -9
//!  second life: every listed checkpoint is whole; the newest is restored, and x is its number; seal 3
//! ```
//!
//! The CRIU engine has its lives in containers, which are killed whole.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use torpor_runtime::{CheckpointKey, CheckpointStore, Clock, CriuConfig, CriuEngine, Engine, MontyEngine, Step, Steps};

use crate::bench::{Bench, Subject, Verdict, hold};
use crate::{LIMIT, container, criu_config, run, unless};

/// The arguments that make this program a life.
const FIRST: &str = "first-life";
const SECOND: &str = "second-life";
/// How long a life may take.
const PATIENCE: Duration = Duration::from_mins(2);
/// Soon enough to come between a cell and the next pause, now and then.
const AHEAD_AFTER: Duration = Duration::from_millis(20);
/// What a halted program says.
const HALTED: &str = "halted";
/// More than is kept in an envelope, so that every step of a seal is made.
const HEAP: &str = "heap = [str(i * 7919 % 1000003) for i in range(600000)]";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Monty,
    Criu,
}

impl Kind {
    /// The steps that it makes: the embedded engine stops and lays out in memory.
    fn makes(self, step: Step) -> bool {
        match step {
            Step::StoredAhead
            | Step::Taken
            | Step::Stopped
            | Step::WrittenDown
            | Step::FilesLaidOut
            | Step::MemoryLaidOut
            | Step::Restored => self == Self::Criu,
            Step::Noted | Step::Packed | Step::Sealed | Step::NoteDropped | Step::Read | Step::Serving => true,
        }
    }

    fn engine(self, steps: Steps) -> Arc<dyn Engine> {
        match self {
            Self::Monty => Arc::new(MontyEngine::new(Clock::system()).with_steps(steps)),
            Self::Criu => Arc::new(CriuEngine::new(CriuConfig {
                steps,
                store_ahead_after: Some(AHEAD_AFTER),
                ..criu_config()
            })),
        }
    }
}

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = vec![Trial::test(
        "a_pack_lost_in_the_crash_is_noticed_by_the_second_life",
        killed_and_robbed,
    )];
    for (kind, unfit) in [(Kind::Monty, None), (Kind::Criu, torpor_runtime::docker_lacks())] {
        for step in Step::ALL.into_iter().filter(|step| kind.makes(*step)) {
            let name = format!("{kind:?}_killed_when_{step:?}_loses_no_checkpoint");
            let trial = Trial::test(name, move || killed_at(kind, step));
            let reason = unfit.as_ref().map(|reason| format!("skipped: {reason}"));
            trials.push(unless(reason.as_deref(), trial));
        }
    }
    trials
}

fn killed_at(kind: Kind, step: Step) -> Verdict {
    let directory = tempfile::tempdir()?;
    let store = directory.path().display().to_string();
    let mut first = Life::begin(kind, &store, &[FIRST, &format!("{step:?}")])?;
    first.wait_for_halt()?;
    first.kill()?;
    Life::begin(kind, &store, &[SECOND, ""])?.wait_for_success()
}

/// A crash that does lose something.
fn killed_and_robbed() -> Verdict {
    let directory = tempfile::tempdir()?;
    let store = directory.path().display().to_string();
    let mut first = Life::begin(Kind::Monty, &store, &[FIRST, &format!("{:?}", Step::Sealed)])?;
    first.wait_for_halt()?;
    first.kill()?;
    std::fs::remove_dir_all(directory.path().join("store/crash/packs"))?;
    match Life::begin(Kind::Monty, &store, &[SECOND, ""])?.wait_for_success() {
        Err(_) => Ok(()),
        Ok(()) => Err("the second life does not see that every pack is gone".into()),
    }
}

/// This program, run once more.
struct Life {
    child: Child,
    container: Option<String>,
}

impl Life {
    fn begin(kind: Kind, store: &str, arguments: &[&str; 2]) -> Result<Self, Failed> {
        let arguments = [arguments[0], &format!("{kind:?}"), store, arguments[1]];
        let program = std::env::current_exe()?;
        let (mut command, container) = match kind {
            Kind::Monty => (Command::new(program), None),
            Kind::Criu => {
                let name = format!("torpor-crash-{}", uuid_of(store));
                (container::command(&program, store, &name), Some(name))
            }
        };
        command.args(arguments).stdin(Stdio::null());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        Ok(Self { child, container })
    }

    fn wait_for_halt(&mut self) -> Verdict {
        let stdout = self.child.stdout.take().ok_or("no standard output")?;
        let (line, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for said in BufReader::new(stdout).lines().map_while(Result::ok) {
                // Nobody listens after the first.
                let _ = line.send(said);
            }
        });
        match lines.recv_timeout(PATIENCE) {
            Ok(said) if said == HALTED => Ok(()),
            Ok(said) => Err(format!("it says {said:?} instead of coming to the step").into()),
            Err(_) => {
                self.kill()?;
                Err(format!("it does not come to the step: {}", self.complaint()).into())
            }
        }
    }

    fn kill(&mut self) -> Verdict {
        if let Some(name) = &self.container {
            Command::new("docker").args(["kill", name]).output()?;
        } else {
            self.child.kill()?;
        }
        self.child.wait()?;
        Ok(())
    }

    fn wait_for_success(mut self) -> Verdict {
        let status = self.child.wait()?;
        let complaint = self.complaint();
        hold(status.success(), "the second life finds all in order", complaint)
    }

    fn complaint(&mut self) -> String {
        let mut said = String::new();
        if let Some(stderr) = &mut self.child.stderr {
            // What cannot be read is not repeated.
            let _ = stderr.read_to_string(&mut said);
        }
        said
    }
}

/// The last part of a directory's name.
fn uuid_of(store: &str) -> String {
    let name = store.rsplit('/').next().unwrap_or_default();
    name.chars().filter(char::is_ascii_alphanumeric).collect()
}

/// Lives, if the arguments say so.
pub(crate) fn live(arguments: &[String]) -> Option<ExitCode> {
    let [_, life, kind, store, step] = arguments else {
        return None;
    };
    let kind = [Kind::Monty, Kind::Criu]
        .into_iter()
        .find(|known| format!("{known:?}") == *kind)?;
    let lived = match life.as_str() {
        FIRST => {
            let step = Step::ALL.into_iter().find(|known| format!("{known:?}") == *step)?;
            run(first_life(kind, store, step))
        }
        SECOND => run(second_life(kind, store)),
        _ => return None,
    };
    Some(match lived {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            eprintln!("{}", failed.message().unwrap_or_default());
            ExitCode::FAILURE
        }
    })
}

fn open(store: &str) -> Result<CheckpointStore, Failed> {
    Ok(CheckpointStore::open(&format!("file://{store}/store"))?)
}

fn key(generation: u64) -> CheckpointKey {
    CheckpointKey {
        sandbox_uid: "crash".to_owned(),
        generation,
    }
}

async fn first_life(kind: Kind, store: &str, step: Step) -> Verdict {
    let armed = Arc::new(AtomicBool::new(false));
    let listening = Arc::clone(&armed);
    let steps = Steps::told_to(move |done| {
        if done == step && listening.load(Ordering::SeqCst) {
            println!("{HALTED}");
            // The pipe is read by whoever kills this program now.
            let _ = std::io::stdout().flush();
            loop {
                std::thread::park();
            }
        }
    });
    let store = open(store)?.with_steps(steps.clone());
    let engine = kind.engine(steps);
    let bench = Bench::new(Arc::clone(&engine), LIMIT).with_intake(store.intake("crash"));
    let subject = bench.start(None).await?;
    subject.run(None, HEAP).await?;
    subject.run(None, "x = 1\nopen('/home/user/x', 'w').write('1')").await?;
    seal(&subject, engine.as_ref(), &store, 1).await?;
    if step >= Step::Read || step == Step::StoredAhead {
        subject.sandbox.stop().await;
        armed.store(true, Ordering::SeqCst);
        let reader = store.reader(&key(1), &engine.version()).await?;
        let subject = bench.restore(reader).await?;
        if step == Step::StoredAhead {
            // It is idle from now on.
            subject.sandbox.restored().await?;
            std::future::pending::<()>().await;
        }
    } else {
        subject.sandbox.thaw().await?;
        subject.run(None, "x = 2\nopen('/home/user/x', 'w').write('2')").await?;
        armed.store(true, Ordering::SeqCst);
        seal(&subject, engine.as_ref(), &store, 2).await?;
    }
    Err(format!("the step {step:?} was never made").into())
}

async fn second_life(kind: Kind, store: &str) -> Verdict {
    let store = open(store)?;
    let engine = kind.engine(Steps::default());
    let generations = store.list("crash").await?;
    for generation in &generations {
        store.verify(&key(*generation)).await?;
    }
    let newest = *generations.last().ok_or("every checkpoint is lost")?;
    let bench = Bench::new(Arc::clone(&engine), LIMIT).with_intake(store.intake("crash"));
    let reader = store.reader(&key(newest), &engine.version()).await?;
    let subject = bench.restore(reader).await?;
    let kept = subject.value("[x, open('/home/user/x').read(), len(heap)]").await?;
    let expected = format!("[{newest}, '{newest}', 600000]");
    hold(kept == expected, "the context is that of the checkpoint", kept)?;
    subject.sandbox.restored().await?;
    subject.run(None, "x = 3").await?;
    seal(&subject, engine.as_ref(), &store, 3).await?;
    store.remove_older_than("crash", 3).await?;
    let listed = store.list("crash").await?;
    hold(listed == [3], "the next pause outlives them all", listed)?;
    subject.end().await
}

async fn seal(subject: &Subject, engine: &dyn Engine, store: &CheckpointStore, generation: u64) -> Verdict {
    subject.freeze().await?;
    let payload = subject.sandbox.checkpoint().await?;
    store.seal(&key(generation), &engine.version(), payload).await?;
    Ok(())
}
