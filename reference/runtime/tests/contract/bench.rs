//! Drives one engine for one claim.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::Failed;
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_util::sync::CancellationToken;
use torpor_runtime::{
    Engine, ExecutionEvent, ExecutionSink, Facet, Fresh, Intake, PayloadReader, Place, Sandbox, chain,
};

use crate::LIMIT;

/// Whether a claim holds.
pub(crate) type Verdict = Result<(), Failed>;

/// A sentence about every engine that keeps certain facets.
#[derive(Clone, Copy)]
pub(crate) struct Claim {
    pub(crate) name: &'static str,
    pub(crate) facets: &'static [Facet],
    /// Whether it needs two sandboxes in one place.
    pub(crate) needs_several: bool,
    pub(crate) check: fn(Bench) -> Pin<Box<dyn Future<Output = Verdict>>>,
}

/// Makes a [`Claim`] of an async function of the same name.
macro_rules! claim {
    ($check:path, $name:literal, [$($facet:ident),*], several: $several:literal) => {
        $crate::bench::Claim {
            name: $name,
            facets: &[$(torpor_runtime::Facet::$facet),*],
            needs_several: $several,
            check: |bench| Box::pin($check(bench)),
        }
    };
}
pub(crate) use claim;

/// All of them.
pub(crate) fn all_claims() -> Vec<Claim> {
    [crate::claims::CLAIMS, crate::processes::CLAIMS, crate::image::CLAIMS].concat()
}

/// An engine, and patience.
pub(crate) struct Bench {
    engine: Arc<dyn Engine>,
    pub(crate) limit: Duration,
    intake: Option<Intake>,
}

/// A sandbox under test, with what its program prints. Stopped when the claim ends well.
pub(crate) struct Subject {
    pub(crate) sandbox: Arc<dyn Sandbox>,
    pub(crate) output: UnboundedReceiver<ExecutionEvent>,
    limit: Duration,
    _directory: TempDir,
}

pub(crate) fn sink() -> (ExecutionSink, UnboundedReceiver<ExecutionEvent>) {
    let (events, receiver) = unbounded_channel();
    let interrupt = CancellationToken::new();
    (ExecutionSink { events, interrupt }, receiver)
}

/// Fails the claim with what was seen instead.
pub(crate) fn hold(holds: bool, claim: &str, seen: impl fmt::Debug) -> Verdict {
    if holds {
        Ok(())
    } else {
        Err(format!("not so: {claim}; seen: {seen:?}").into())
    }
}

/// Waits until it is so.
pub(crate) async fn until(is_so: impl Fn() -> Result<bool, Failed>) -> Verdict {
    let waited = async {
        while !is_so()? {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    };
    tokio::time::timeout(LIMIT, waited).await?
}

impl Bench {
    pub(crate) fn new(engine: Arc<dyn Engine>, limit: Duration) -> Self {
        Self {
            engine,
            limit,
            intake: None,
        }
    }

    /// The same, with a store that takes what is written down while it is.
    pub(crate) fn with_intake(self, intake: Intake) -> Self {
        Self {
            intake: Some(intake),
            ..self
        }
    }

    fn place(&self) -> (Place, TempDir, UnboundedReceiver<ExecutionEvent>) {
        let directory = tempfile::tempdir().expect("a directory");
        let (output, receiver) = sink();
        let place = Place {
            directory: directory.path().to_owned(),
            output,
            intake: self.intake.clone(),
        };
        (place, directory, receiver)
    }

    pub(crate) async fn start(&self, program: Option<&str>) -> Result<Subject, Failed> {
        let command = program.map_or_else(Vec::new, |code| ["python3", "-c", code].map(str::to_owned).to_vec());
        self.start_command(command).await
    }

    pub(crate) async fn start_command(&self, command: Vec<String>) -> Result<Subject, Failed> {
        let env = BTreeMap::from([("GREETING".to_owned(), "hello".to_owned())]);
        let (place, directory, output) = self.place();
        let sandbox = self.engine.start(place, Fresh { env, command }).await?;
        Ok(self.subject(sandbox, directory, output))
    }

    pub(crate) async fn restore(&self, payload: impl Into<PayloadReader>) -> Result<Subject, Failed> {
        let (place, directory, output) = self.place();
        let restored = self.engine.restore(place, payload.into()).await;
        let sandbox = restored.map_err(|error| chain(&error))?;
        Ok(self.subject(sandbox, directory, output))
    }

    /// Writes the sandbox down, ends it, and removes `files` where an engine has them outside its directory.
    pub(crate) async fn pause(&self, subject: Subject, files: &[&str]) -> Result<Vec<u8>, Failed> {
        let payload = subject.checkpoint().await?;
        subject.sandbox.stop().await;
        for file in files {
            let path = subject.sandbox.root().join(file.trim_start_matches('/'));
            if path.exists() {
                std::fs::remove_file(path)?;
            }
        }
        Ok(payload)
    }

    fn subject(
        &self,
        sandbox: Arc<dyn Sandbox>,
        directory: TempDir,
        output: UnboundedReceiver<ExecutionEvent>,
    ) -> Subject {
        Subject {
            sandbox,
            output,
            limit: self.limit,
            _directory: directory,
        }
    }
}

impl Subject {
    pub(crate) async fn freeze(&self) -> Verdict {
        Ok(self.sandbox.freeze(self.limit).await?)
    }

    pub(crate) async fn checkpoint(&self) -> Result<Vec<u8>, Failed> {
        self.freeze().await?;
        self.written().await
    }

    /// The payload of the frozen sandbox, read whole.
    pub(crate) async fn written(&self) -> Result<Vec<u8>, Failed> {
        Ok(self.sandbox.checkpoint().await?.into_bytes()?.to_vec())
    }

    /// Runs code to its end.
    pub(crate) async fn run(&self, context: Option<&str>, code: &str) -> Result<Vec<ExecutionEvent>, Failed> {
        let (sink, events) = sink();
        let interpreter = self.sandbox.interpreter();
        let context = context.map(str::to_owned);
        interpreter
            .execute(context, code.to_owned(), BTreeMap::new(), sink)
            .await?;
        self.to_the_end(events).await
    }

    pub(crate) async fn to_the_end(
        &self,
        mut events: UnboundedReceiver<ExecutionEvent>,
    ) -> Result<Vec<ExecutionEvent>, Failed> {
        let mut seen = Vec::new();
        while let Some(event) = tokio::time::timeout(self.limit, events.recv()).await? {
            let ended = matches!(event, ExecutionEvent::Ended { .. });
            seen.push(event);
            if ended {
                return Ok(seen);
            }
        }
        Err(format!("the execution never ended: {seen:?}").into())
    }

    /// The value of an expression in the default context.
    pub(crate) async fn value(&self, code: &str) -> Result<String, Failed> {
        match self.run(None, code).await?.as_slice() {
            [ExecutionEvent::Result(value), ExecutionEvent::Ended { .. }] => Ok(value.clone()),
            other => Err(format!("{code} has no value: {other:?}").into()),
        }
    }

    /// The next line that the program prints.
    pub(crate) async fn line(&mut self) -> Result<String, Failed> {
        match tokio::time::timeout(self.limit, self.output.recv()).await? {
            Some(ExecutionEvent::Stdout(line)) => Ok(line.trim_end().to_owned()),
            other => Err(format!("the program printed no line: {other:?}").into()),
        }
    }

    /// Every line that has been printed.
    pub(crate) fn printed(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Ok(event) = self.output.try_recv() {
            if let ExecutionEvent::Stdout(line) = event {
                lines.push(line.trim_end().to_owned());
            }
        }
        lines
    }

    pub(crate) fn root(&self) -> &Path {
        self.sandbox.root()
    }

    pub(crate) async fn end(self) -> Verdict {
        self.sandbox.stop().await;
        Ok(())
    }
}
