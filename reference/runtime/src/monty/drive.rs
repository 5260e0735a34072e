//! Carries one execution forward until it ends or sleeps, answering what the interpreter asks on the way.

use std::collections::BTreeMap;
use std::time::Duration;

use monty::{MontyRepl, ReplProgress, ReplStartError};
use monty_types::{ExtFunctionResult, MontyException, MontyObject, PrintWriter};
use tokio_util::sync::CancellationToken;

use super::host::{Host, SinkWriter, check_interrupt};
use super::time_module::{self, Answer};
use crate::engine::ExecutionSink;

/// Where an execution stands.
pub(crate) enum Step {
    /// It has ended.
    Ended { repl: Box<MontyRepl>, outcome: Outcome },
    /// It sleeps, and can be dumped like this.
    Sleeping {
        progress: Box<ReplProgress>,
        pause: Duration,
    },
}

/// How an execution ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    Value(MontyObject),
    Raised(MontyException),
}

/// What an execution runs in.
pub(crate) struct Surroundings<'a> {
    pub(crate) host: &'a mut Host,
    /// Variables of this execution alone.
    pub(crate) env: &'a BTreeMap<String, String>,
    pub(crate) sink: &'a ExecutionSink,
    /// Cancelled when it is to end whoever listens.
    pub(crate) ending: &'a CancellationToken,
}

type Progress = Result<ReplProgress, Box<ReplStartError>>;

/// Runs `code` from its beginning.
pub(crate) fn begin(repl: MontyRepl, code: &str, within: &mut Surroundings<'_>) -> Step {
    let mut writer = SinkWriter::new(within.sink, within.ending.clone());
    let progress = repl.feed_start(code, Vec::new(), PrintWriter::Callback(&mut writer));
    advance(progress, within, &mut writer)
}

/// Lets a sleeper go on; a `progress` that does not sleep is abandoned with an error.
pub(crate) fn wake(progress: ReplProgress, within: &mut Surroundings<'_>) -> Step {
    let mut writer = SinkWriter::new(within.sink, within.ending.clone());
    let progress = match progress {
        ReplProgress::FunctionCall(call) => match check_interrupt(within.sink, within.ending) {
            Ok(()) => call.resume(
                ExtFunctionResult::Return(MontyObject::None),
                PrintWriter::Callback(&mut writer),
            ),
            Err(interrupt) => call.abort(interrupt, PrintWriter::Callback(&mut writer)),
        },
        other => Ok(other),
    };
    advance(progress, within, &mut writer)
}

fn advance(mut progress: Progress, within: &mut Surroundings<'_>, writer: &mut SinkWriter<'_>) -> Step {
    loop {
        let step = match progress {
            Err(failed) => {
                let ReplStartError { repl, error } = *failed;
                Step::Ended {
                    repl: Box::new(repl),
                    outcome: Outcome::Raised(error),
                }
            }
            Ok(ReplProgress::Complete { repl, value }) => Step::Ended {
                repl: Box::new(repl),
                outcome: Outcome::Value(value),
            },
            Ok(ReplProgress::FunctionCall(call)) => {
                match time_module::call(&call, within.host.clock.now(), within.host.uptime()) {
                    Answer::After(pause) => Step::Sleeping {
                        progress: Box::new(ReplProgress::FunctionCall(call)),
                        pause,
                    },
                    Answer::Now(result) => {
                        progress = call.resume(result, PrintWriter::Callback(writer));
                        continue;
                    }
                }
            }
            Ok(asks) => {
                progress = answer(asks, within, writer);
                continue;
            }
        };
        writer.flush();
        return step;
    }
}

fn answer(asks: ReplProgress, within: &mut Surroundings<'_>, writer: &mut SinkWriter<'_>) -> Progress {
    let interrupt = check_interrupt(within.sink, within.ending).err();
    match asks {
        ReplProgress::OsCall(call) => {
            if let Some(interrupt) = interrupt {
                call.abort(interrupt, PrintWriter::Callback(writer))
            } else {
                let result = within.host.answer(call.function_call.clone(), within.env);
                call.resume(result, PrintWriter::Callback(writer))
            }
        }
        ReplProgress::NameLookup(lookup) => {
            let result = time_module::look_up(&lookup);
            lookup.resume(result, PrintWriter::Callback(writer))
        }
        ReplProgress::ResolveFutures(futures) => {
            let error = MontyException::runtime_error("awaiting host functions is not supported by this sandbox");
            futures.abort(error, PrintWriter::Callback(writer))
        }
        settled @ (ReplProgress::FunctionCall(_) | ReplProgress::Complete { .. }) => Ok(settled),
    }
}
