//! One context: an interpreter session with its own variables, and the executions that wait for it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use monty::{MontyRepl, ReplProgress, SessionRef};
use monty_types::{CompileOptions, MontyObject, ResourceTracker};
use tokio_util::sync::CancellationToken;

use super::drive::{self, Outcome, Step, Surroundings};
use super::host::Host;
use super::imports::RewrittenLines;
use super::limits::{self, ExecutionLimits};
use super::memory::Measured;
use super::written::SCRIPT_NAME;
use crate::engine::{ExecutionEvent, ExecutionSink};

/// Code that was sent to a context.
pub(crate) struct Execution {
    pub(crate) code: String,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) sink: ExecutionSink,
    /// Whether it came while the sandbox was frozen: a checkpoint holds nothing later than the freeze.
    pub(crate) is_late: bool,
}

/// A context.
pub(crate) struct Context {
    pub(crate) cwd: String,
    pub(crate) executions: u64,
    pub(crate) rewritten: RewrittenLines,
    pub(crate) session: Session,
    pub(crate) waiting: VecDeque<Execution>,
    /// For how long each of its executions may compute.
    pub(crate) time_limit: Option<Duration>,
    /// Cancelled when what runs and waits in it is to end, because it is emptied or removed, or the sandbox ends.
    pub(crate) ending: CancellationToken,
}

/// Where its interpreter stands.
pub(crate) enum Session {
    /// It takes the next execution.
    Idle(Box<MontyRepl>),
    /// An execution sleeps.
    Sleeping(Sleeper),
    /// Moved out for the length of one call; never seen from outside.
    Running,
}

impl Session {
    /// What the interpreter writes down; `None` while an execution runs.
    pub(crate) fn to_dump(&self) -> Option<SessionRef<'_>> {
        match self {
            Self::Idle(repl) => Some(SessionRef::Idle(repl)),
            Self::Sleeping(sleeper) => Some(SessionRef::Suspended(&sleeper.progress)),
            Self::Running => None,
        }
    }
}

/// An execution in the middle of a `sleep`.
pub(crate) struct Sleeper {
    pub(crate) progress: Box<ReplProgress>,
    /// In the sandbox's own uptime.
    pub(crate) until: Duration,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) sink: ExecutionSink,
    /// Bytes of memory that it has added so far, where that is measured.
    pub(crate) added: usize,
}

impl Context {
    pub(crate) fn fresh(cwd: &str, limits: ExecutionLimits, ending: CancellationToken) -> Self {
        Self {
            cwd: cwd.to_owned(),
            executions: 0,
            rewritten: RewrittenLines::default(),
            session: Session::Idle(fresh_repl(limits)),
            waiting: VecDeque::new(),
            time_limit: limits.time,
            ending,
        }
    }

    /// At which uptime it wants to go on by itself.
    pub(crate) fn wake_at(&self) -> Option<Duration> {
        match &self.session {
            Session::Sleeping(sleeper) => Some(sleeper.until),
            Session::Idle(_) | Session::Running => None,
        }
    }

    /// Makes it ready for a freeze: an interrupt is known here and to nobody after a restore. What it met asleep ends now,
    /// and what it met before it began does not begin any more.
    pub(crate) fn settle(&mut self, host: &mut Host) {
        self.waiting
            .retain(|execution| !execution.sink.interrupt.is_cancelled());
        match std::mem::replace(&mut self.session, Session::Running) {
            Session::Sleeping(sleeper) if sleeper.sink.interrupt.is_cancelled() => self.wake(sleeper, host),
            resting @ (Session::Idle(_) | Session::Sleeping(_) | Session::Running) => self.session = resting,
        }
    }

    /// Carries it as far as it goes: wakes a sleeper that is due or interrupted, then runs what waits.
    pub(crate) fn poll(&mut self, host: &mut Host) {
        while !self.is_given_up(host) {
            match std::mem::replace(&mut self.session, Session::Running) {
                Session::Sleeping(sleeper)
                    if sleeper.until <= host.uptime() || sleeper.sink.interrupt.is_cancelled() =>
                {
                    self.wake(sleeper, host);
                }
                Session::Idle(repl) => {
                    let Some(execution) = self.waiting.pop_front() else {
                        self.session = Session::Idle(repl);
                        return;
                    };
                    self.begin(repl, execution, host);
                }
                resting @ (Session::Sleeping(_) | Session::Running) => {
                    self.session = resting;
                    return;
                }
            }
        }
    }

    /// Whether it alone is to be ended: nobody is told of what ends then, and nothing begins.
    fn is_given_up(&self, host: &Host) -> bool {
        self.ending.is_cancelled() && !host.ending.is_cancelled()
    }

    fn wake(&mut self, sleeper: Sleeper, host: &mut Host) {
        let Sleeper {
            progress,
            env,
            sink,
            added,
            ..
        } = sleeper;
        let gauge = host.gauge.clone();
        let measured = gauge.as_ref().map(|gauge| gauge.begin(added));
        let mut within = Surroundings {
            host,
            env: &env,
            sink: &sink,
            ending: &self.ending,
        };
        let step = drive::wake(*progress, &mut within);
        let added = measured.as_ref().map_or(0, Measured::added);
        self.take(step, env, sink, added, host);
    }

    fn begin(&mut self, mut repl: Box<MontyRepl>, execution: Execution, host: &mut Host) {
        let Execution { code, env, sink, .. } = execution;
        let gauge = host.gauge.clone();
        let measured = gauge.as_ref().map(|gauge| gauge.begin(0));
        let mut within = Surroundings {
            host,
            env: &env,
            sink: &sink,
            ending: &self.ending,
        };
        let code = self.rewritten.rewrite(&code);
        limits::begin(&mut repl, self.time_limit);
        let step = drive::begin(*repl, &code, &mut within);
        let added = measured.as_ref().map_or(0, Measured::added);
        self.take(step, env, sink, added, host);
    }

    fn take(&mut self, step: Step, env: BTreeMap<String, String>, sink: ExecutionSink, added: usize, host: &Host) {
        self.session = match step {
            Step::Ended { repl, outcome } => {
                self.executions += 1;
                if !self.is_given_up(host) {
                    report(outcome, self.executions, &self.rewritten, &sink);
                }
                Session::Idle(repl)
            }
            Step::Sleeping { progress, pause } => Session::Sleeping(Sleeper {
                progress,
                until: host.uptime().saturating_add(pause),
                env,
                sink,
                added,
            }),
        };
    }
}

fn fresh_repl(limits: ExecutionLimits) -> Box<MontyRepl> {
    Box::new(MontyRepl::new(
        SCRIPT_NAME,
        ResourceTracker::new(limits.of_a_session()),
        CompileOptions::default(),
    ))
}

fn report(outcome: Outcome, executions: u64, rewritten: &RewrittenLines, sink: &ExecutionSink) {
    match outcome {
        Outcome::Value(MontyObject::None) => {}
        Outcome::Value(value) => sink.send(ExecutionEvent::Result(value.py_repr())),
        Outcome::Raised(exception) => sink.send(ExecutionEvent::Error {
            name: exception.exc_type().to_string(),
            value: exception.message().unwrap_or_default().to_owned(),
            traceback: rewritten.restore(exception).to_string(),
        }),
    }
    sink.send(ExecutionEvent::Ended { executions });
}
