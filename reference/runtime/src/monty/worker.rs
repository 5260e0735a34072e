//! The thread of a sandbox: takes one message after the other, and runs what can run in between.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::process::{Message, Origin};
use super::sandbox::{MontyError, MontySandbox};
use crate::clock::Clock;
use crate::engine::{ExecutionSink, SandboxError};

pub(super) fn make(
    root: &Path,
    origin: Origin,
    program_sink: ExecutionSink,
    clock: Clock,
) -> Result<MontySandbox, MontyError> {
    match origin {
        Origin::Fresh { env, program } => {
            let mut sandbox = MontySandbox::fresh(root, env, clock)?;
            if let Some(code) = program {
                sandbox.start_program(code, program_sink);
            }
            Ok(sandbox)
        }
        Origin::Checkpoint(payload) => MontySandbox::restore(root, &payload, &program_sink, clock),
    }
}

pub(super) struct Worker {
    pub(super) sandbox: MontySandbox,
    pub(super) told: Told,
}

/// What everybody may know without asking.
pub(super) struct Told {
    pub(super) cpu_nanos: Arc<AtomicU64>,
    pub(super) is_frozen: Arc<AtomicBool>,
    /// Bytes of the last dump, or of the checkpoint that it comes from; none is 0.
    pub(super) dumped_bytes: Arc<AtomicU64>,
}

impl Worker {
    /// Until it is stopped, or nobody is left to ask.
    pub(super) fn run(mut self, inbox: &Receiver<Message>) {
        loop {
            self.sandbox.poll();
            self.read_meter();
            let message = match self.sandbox.wake_in() {
                None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(pause) => self.wait(inbox, pause),
            };
            match message {
                Ok(Message::Stop(reply)) => {
                    drop(self);
                    let _ = reply.send(());
                    return;
                }
                Err(RecvTimeoutError::Disconnected) => return,
                Ok(message) => self.handle(message),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Waits for a message, but not longer than `pause`.
    fn wait(&self, inbox: &Receiver<Message>, pause: Duration) -> Result<Message, RecvTimeoutError> {
        let clock = self.sandbox.clock();
        let waited = inbox.recv_timeout(clock.real(pause));
        if matches!(waited, Err(RecvTimeoutError::Timeout)) {
            clock.pass(pause);
        }
        waited
    }

    fn handle(&mut self, message: Message) {
        // Whoever asked may have gone; only a freeze has to know.
        match message {
            Message::Execute {
                context,
                code,
                env,
                sink,
                reply,
            } => {
                drop(reply.send(self.sandbox.execute(context.as_deref(), code, env, sink)));
            }
            Message::CreateContext { cwd, reply } => drop(reply.send(self.sandbox.create_context(cwd.as_deref()))),
            Message::RestartContext { id, reply } => drop(reply.send(self.sandbox.restart_context(&id))),
            Message::RemoveContext { id, reply } => drop(reply.send(self.sandbox.remove_context(&id))),
            Message::Env(reply) => drop(reply.send(self.sandbox.env().clone())),
            Message::StateBytes(reply) => drop(reply.send(self.sandbox.state_bytes())),
            Message::Freeze(reply) => {
                let was_frozen = self.sandbox.is_frozen();
                self.freeze();
                if reply.send(()).is_err() && !was_frozen {
                    self.thaw();
                }
            }
            Message::Thaw(reply) => {
                self.thaw();
                let _ = reply.send(());
            }
            Message::Dump(writer) if self.sandbox.is_frozen() => {
                if let Some(bytes) = self.sandbox.dump(writer) {
                    self.told.dumped_bytes.store(bytes, Ordering::Relaxed);
                }
            }
            Message::Dump(writer) => writer.fail(SandboxError::NotFrozen),
            // Answered by the loop.
            Message::Stop(_) => {}
        }
    }

    fn freeze(&mut self) {
        self.sandbox.freeze();
        self.told.is_frozen.store(true, Ordering::Release);
    }

    fn thaw(&mut self) {
        self.told.is_frozen.store(false, Ordering::Release);
        self.sandbox.thaw();
    }

    fn read_meter(&self) {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        let nanos = u64::try_from(time.tv_nsec).unwrap_or_default();
        self.told.cpu_nanos.store(
            seconds.saturating_mul(1_000_000_000).saturating_add(nanos),
            Ordering::Relaxed,
        );
    }
}
