//! An engine around an engine, with a mistake in what it brings back.

mod past;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{BuildHasher as _, DefaultHasher};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::mpsc::unbounded_channel;
use torpor_runtime::{
    Answer, CommandRefused, ContextInfo, Engine, EngineVersion, ExecutionEvent, ExecutionSink, Facet, Fresh,
    Interpreter, Payload, PayloadReader, Place, Processes, Sandbox, Usage,
};

use past::Found;
pub(super) use past::Past;

/// Which payload is restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Restored {
    /// The one that was asked for.
    Asked,
    /// The first that was ever written of the sandbox.
    First,
    /// The one that was written last, whoever's it is.
    LastOfAnybody,
    /// None, where the sandbox has a program of its own: that starts again.
    ProgramAnew,
    /// The one before the last that differs, if nothing was done between the pause and the resume before it.
    EarlierIfIdle,
    /// The one before, if code was under way at the pause.
    EarlierIfBusy,
}

/// What is done to a sandbox that was restored.
pub(super) type Spoil = fn(Arc<dyn Sandbox>, Past) -> BoxFuture<'static, ()>;

/// The mistaken engine.
pub(super) struct Mistaken {
    inner: Arc<dyn Engine>,
    payload: Restored,
    spoil: Option<Spoil>,
    at_thaw: Option<CalledOff>,
    restorer: Option<Arc<dyn Engine>>,
    mark: Arc<AtomicBool>,
    written: Arc<Mutex<Written>>,
}

/// What is done to a sandbox whose pause is called off.
#[derive(Clone, Copy)]
pub(super) struct CalledOff {
    /// How much longer a checkpoint takes, so that the call comes in time.
    pub(super) delay: Duration,
    /// What is done when it runs on.
    pub(super) spoil: Spoil,
}

/// What was written so far.
#[derive(Default)]
struct Written {
    /// Whose a payload is, by its hash.
    pasts: HashMap<u64, Past>,
    last: Option<Bytes>,
}

impl Mistaken {
    pub(super) fn new(inner: Arc<dyn Engine>, payload: Restored, spoil: Option<Spoil>) -> Self {
        Self {
            inner,
            payload,
            spoil,
            at_thaw: None,
            restorer: None,
            mark: Arc::default(),
            written: Arc::default(),
        }
    }

    /// Marks the checkpoint that follows when `mark` is set.
    pub(super) fn marking(self, mark: Arc<AtomicBool>) -> Self {
        Self { mark, ..self }
    }

    /// Does that to a sandbox whose pause is called off.
    pub(super) fn calling_off(self, at_thaw: CalledOff) -> Self {
        Self {
            at_thaw: Some(at_thaw),
            ..self
        }
    }

    /// Restores by another engine than it starts by.
    pub(super) fn restoring_by(self, restorer: Arc<dyn Engine>) -> Self {
        Self {
            restorer: Some(restorer),
            ..self
        }
    }

    fn around(&self, inner: Arc<dyn Sandbox>, past: Past) -> Arc<dyn Sandbox> {
        Arc::new(Observed {
            inner,
            past: Mutex::new(past),
            at_thaw: self.at_thaw,
            under_way: Arc::default(),
            mark: Arc::clone(&self.mark),
            written: Arc::clone(&self.written),
        })
    }
}

impl fmt::Debug for Mistaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mistaken")
            .field("inner", &self.inner)
            .field("payload", &self.payload)
            .finish_non_exhaustive()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn hash(payload: &[u8]) -> u64 {
    std::hash::BuildHasherDefault::<DefaultHasher>::default().hash_one(payload)
}

impl Engine for Mistaken {
    fn version(&self) -> EngineVersion {
        self.inner.version()
    }

    fn facets(&self) -> &'static [Facet] {
        self.inner.facets()
    }

    fn accepts(&self, command: &[String]) -> Result<(), CommandRefused> {
        self.inner.accepts(command)
    }

    fn start(&self, place: Place, fresh: Fresh) -> Answer<'_, Arc<dyn Sandbox>> {
        async move {
            let past = Past::of(fresh.clone());
            let started = self.inner.start(place, fresh).await?;
            Ok(self.around(started, past))
        }
        .boxed()
    }

    fn restore(&self, place: Place, payload: PayloadReader) -> Answer<'_, Arc<dyn Sandbox>> {
        async move {
            let engine = self.restorer.as_ref().unwrap_or(&self.inner);
            // One that cannot be read is refused by the engine itself.
            let Ok(payload) = payload.read().await else {
                return engine.restore(place, payload).await;
            };
            let (past, last) = {
                let written = locked(&self.written);
                (
                    written.pasts.get(&hash(&payload)).cloned().unwrap_or_default(),
                    written.last.clone(),
                )
            };
            let restored = match self.payload {
                Restored::ProgramAnew if !past.fresh.command.is_empty() => {
                    self.inner.start(place, past.fresh.clone()).await?
                }
                Restored::Asked | Restored::ProgramAnew => engine.restore(place, payload.into()).await?,
                Restored::First => {
                    engine
                        .restore(place, past.first.clone().unwrap_or(payload).into())
                        .await?
                }
                Restored::EarlierIfIdle => {
                    let chosen = past.earlier(2).filter(|_| past.found == Found::Idle).unwrap_or(payload);
                    engine.restore(place, chosen.into()).await?
                }
                Restored::EarlierIfBusy => {
                    let chosen = past.earlier(1).filter(|_| past.found == Found::Busy).unwrap_or(payload);
                    engine.restore(place, chosen.into()).await?
                }
                Restored::LastOfAnybody => engine.restore(place, last.unwrap_or(payload).into()).await?,
            };
            if let Some(spoil) = self.spoil {
                spoil(Arc::clone(&restored), past.clone()).await;
            }
            Ok(self.around(restored, past.restored()))
        }
        .boxed()
    }
}

/// A sandbox whose checkpoints and executions are taken note of.
struct Observed {
    inner: Arc<dyn Sandbox>,
    past: Mutex<Past>,
    at_thaw: Option<CalledOff>,
    /// Executions that have not ended.
    under_way: Arc<AtomicUsize>,
    mark: Arc<AtomicBool>,
    written: Arc<Mutex<Written>>,
}

impl fmt::Debug for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observed")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl Sandbox for Observed {
    fn root(&self) -> &Path {
        self.inner.root()
    }

    fn fixed_folders(&self) -> &'static [&'static str] {
        self.inner.fixed_folders()
    }

    fn freeze(&self, limit: Duration) -> Answer<'_, ()> {
        self.inner.freeze(limit)
    }

    fn checkpoint(&self) -> Answer<'_, Payload> {
        async move {
            if let Some(called_off) = self.at_thaw {
                tokio::time::sleep(called_off.delay).await;
            }
            let payload = self.inner.checkpoint().await?.into_bytes()?;
            let past = {
                let mut past = locked(&self.past);
                past.marked = self.mark.swap(false, Ordering::SeqCst);
                let mut files = BTreeMap::new();
                super::by_engine::each_file(self.root(), &mut |path, file| {
                    if let Ok(content) = std::fs::read(file) {
                        files.insert(path, content);
                    }
                });
                let busy = self.under_way.load(Ordering::SeqCst) > 0;
                past.checkpointed(&payload, files, busy);
                past.clone()
            };
            let mut written = locked(&self.written);
            written.pasts.insert(hash(&payload), past);
            written.last = Some(payload.clone());
            Ok(payload.into())
        }
        .boxed()
    }

    fn thaw(&self) -> Answer<'_, ()> {
        async move {
            self.inner.thaw().await?;
            if let Some(called_off) = self.at_thaw {
                let past = locked(&self.past).clone();
                (called_off.spoil)(Arc::clone(&self.inner), past).await;
            }
            Ok(())
        }
        .boxed()
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        self.inner.stop()
    }

    fn usage(&self) -> Answer<'_, Usage> {
        self.inner.usage()
    }

    fn env(&self) -> Answer<'_, BTreeMap<String, String>> {
        self.inner.env()
    }

    fn interpreter(&self) -> &dyn Interpreter {
        self
    }

    fn processes(&self) -> Option<&dyn Processes> {
        self.inner.processes()
    }
}

impl Interpreter for Observed {
    fn execute(
        &self,
        context: Option<String>,
        code: String,
        env: BTreeMap<String, String>,
        sink: ExecutionSink,
    ) -> Answer<'_, ()> {
        {
            let mut past = locked(&self.past);
            past.last_call = Some((context.clone(), code.clone()));
            past.worked = true;
        }
        let sink = counted(sink, Arc::clone(&self.under_way));
        self.inner.interpreter().execute(context, code, env, sink)
    }

    fn contexts(&self) -> Answer<'_, Vec<ContextInfo>> {
        self.inner.interpreter().contexts()
    }

    fn create_context(&self, cwd: Option<String>) -> Answer<'_, ContextInfo> {
        self.inner.interpreter().create_context(cwd)
    }

    fn restart_context(&self, id: String) -> Answer<'_, ()> {
        self.inner.interpreter().restart_context(id)
    }

    fn remove_context(&self, id: String) -> Answer<'_, ()> {
        self.inner.interpreter().remove_context(id)
    }
}

/// The same sink, whose execution counts as under way until it has ended.
fn counted(sink: ExecutionSink, under_way: Arc<AtomicUsize>) -> ExecutionSink {
    let (events, mut heard) = unbounded_channel();
    under_way.fetch_add(1, Ordering::SeqCst);
    tokio::spawn(async move {
        let mut ended = false;
        while let Some(event) = heard.recv().await {
            if !ended && matches!(event, ExecutionEvent::Ended { .. }) {
                ended = true;
                under_way.fetch_sub(1, Ordering::SeqCst);
            }
            // Whoever listened may have gone.
            let _ = sink.events.send(event);
        }
        if !ended {
            under_way.fetch_sub(1, Ordering::SeqCst);
        }
    });
    ExecutionSink {
        events,
        interrupt: sink.interrupt,
    }
}
