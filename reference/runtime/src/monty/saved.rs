//! One context, written down and read again.

use bytes::Bytes;
use monty::{Dump, Session as DumpedSession};
use tokio_util::sync::CancellationToken;

use super::context::{Context, Execution, Session, Sleeper};
use super::image::{ContextImage, SleeperImage, WaitingImage};
use super::sandbox::MontyError;
use super::written::write_dump;
use crate::engine::{ContextId, ExecutionSink};
use crate::payload::PayloadWriter;

/// Writes the dump of a context, and gives what it is beside that.
pub(super) fn write_context(
    id: &ContextId,
    context: &Context,
    writer: &mut PayloadWriter,
) -> Result<ContextImage, MontyError> {
    let failed = |reason: String| MontyError::Dump {
        context: id.clone(),
        reason,
    };
    let session = context.session.to_dump();
    let session = session.ok_or_else(|| failed("an execution is under way".to_owned()))?;
    let dump_bytes = write_dump(session, writer).map_err(|error| failed(error.to_string()))?;
    let sleeping = match &context.session {
        Session::Sleeping(sleeper) => Some(SleeperImage {
            until: sleeper.until,
            env: sleeper.env.clone(),
            added: sleeper.added as u64,
        }),
        Session::Idle(_) | Session::Running => None,
    };
    let waiting = context.waiting.iter().filter(|execution| !execution.is_late);
    Ok(ContextImage {
        cwd: context.cwd.clone(),
        executions: context.executions,
        rewritten: context.rewritten.clone(),
        dump_bytes,
        dump: Bytes::new(),
        sleeping,
        waiting: waiting
            .map(|execution| WaitingImage {
                code: execution.code.clone(),
                env: execution.env.clone(),
            })
            .collect(),
    })
}

/// Reads a context again. What its executions do is told to `sink`: whoever began them is not there any more.
pub(super) fn load_context(
    id: ContextId,
    written: ContextImage,
    sink: &ExecutionSink,
    ending: CancellationToken,
) -> Result<Context, MontyError> {
    let loaded = Dump::load(&written.dump).map_err(|source| MontyError::Load { context: id, source })?;
    let session = match (loaded.state, written.sleeping) {
        (DumpedSession::Suspended(progress), Some(SleeperImage { until, env, added })) => Session::Sleeping(Sleeper {
            progress,
            until,
            env,
            sink: sink.clone(),
            added: usize::try_from(added).unwrap_or(usize::MAX),
        }),
        (DumpedSession::Idle(repl), None) => Session::Idle(repl),
        (DumpedSession::Idle(_) | DumpedSession::Suspended(_) | DumpedSession::Running(_), _) => {
            return Err(MontyError::Payload(postcard::Error::SerdeDeCustom.into()));
        }
    };
    let waiting = written.waiting.into_iter().map(|WaitingImage { code, env }| Execution {
        code,
        env,
        sink: sink.clone(),
        is_late: false,
    });
    Ok(Context {
        cwd: written.cwd,
        executions: written.executions,
        rewritten: written.rewritten,
        session,
        waiting: waiting.collect(),
        time_limit: None,
        ending,
    })
}
