//! Carries one execution forward until it ends or sleeps, answering what the interpreter asks on the way.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use monty::{MontyRepl, ReplFunctionCall, ReplProgress, ReplStartError};
use monty_types::{ExcType, ExtFunctionResult, MontyException, MontyObject, NameLookupResult, PrintWriter};

use super::host::{ExecutionSink, Host, SinkWriter};

/// The one function that the engine adds to Python: `sleep(seconds)`.
const SLEEP: &str = "sleep";

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
    pub(crate) now: Timestamp,
}

type Progress = Result<ReplProgress, Box<ReplStartError>>;

/// Runs `code` from its beginning.
pub(crate) fn begin(repl: MontyRepl, code: &str, within: &mut Surroundings<'_>) -> Step {
    let mut writer = SinkWriter::new(within.sink);
    let progress = repl.feed_start(code, Vec::new(), PrintWriter::Callback(&mut writer));
    advance(progress, within, &mut writer)
}

/// Lets a sleeper go on; a `progress` that does not sleep is abandoned with an error.
pub(crate) fn wake(progress: ReplProgress, within: &mut Surroundings<'_>) -> Step {
    let mut writer = SinkWriter::new(within.sink);
    let progress = match progress {
        ReplProgress::FunctionCall(call) => match within.sink.check_interrupt() {
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
            Ok(ReplProgress::FunctionCall(call)) if call.function_name == SLEEP && call.object_id.is_none() => {
                match seconds(&call) {
                    Ok(pause) => Step::Sleeping {
                        progress: Box::new(ReplProgress::FunctionCall(call)),
                        pause,
                    },
                    Err(error) => {
                        progress = call.resume(ExtFunctionResult::Error(error), PrintWriter::Callback(writer));
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
    let interrupt = within.sink.check_interrupt().err();
    match asks {
        ReplProgress::FunctionCall(call) => {
            let name = call.function_name.clone();
            call.resume(ExtFunctionResult::NotFound(name), PrintWriter::Callback(writer))
        }
        ReplProgress::OsCall(call) => match interrupt {
            Some(interrupt) => call.abort(interrupt, PrintWriter::Callback(writer)),
            None => {
                let result = within.host.answer(call.function_call.clone(), within.env, within.now);
                call.resume(result, PrintWriter::Callback(writer))
            }
        },
        ReplProgress::NameLookup(lookup) => {
            let known = lookup.name == SLEEP && lookup.object_id().is_none();
            let result = if known {
                let docstring = Some("Sleeps for a number of seconds.".to_owned());
                NameLookupResult::Value(MontyObject::Function {
                    name: SLEEP.to_owned(),
                    docstring,
                })
            } else {
                NameLookupResult::Undefined
            };
            lookup.resume(result, PrintWriter::Callback(writer))
        }
        ReplProgress::ResolveFutures(futures) => {
            let error = MontyException::runtime_error("awaiting host functions is not supported by this sandbox");
            futures.abort(error, PrintWriter::Callback(writer))
        }
        complete @ ReplProgress::Complete { .. } => Ok(complete),
    }
}

/// The argument of `sleep`.
fn seconds(call: &ReplFunctionCall) -> Result<Duration, MontyException> {
    let refuse = |kind, message: &str| Err(MontyException::new(kind, Some(message.to_owned())));
    let seconds = match call.args.as_slice() {
        [MontyObject::Float(seconds)] => *seconds,
        #[expect(clippy::cast_precision_loss, reason = "a sleep of 2^53 seconds is long enough")]
        [MontyObject::Int(seconds)] => *seconds as f64,
        _ => return refuse(ExcType::TypeError, "sleep() takes one number of seconds"),
    };
    match Duration::try_from_secs_f64(seconds) {
        Ok(pause) => Ok(pause),
        Err(_) => refuse(ExcType::ValueError, "sleep length must be non-negative"),
    }
}
