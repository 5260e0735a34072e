//! Python's `time`, which the interpreter lacks: a host object with functions that are answered here.
//!
//! [`imports`](super::imports) turns an import into a look-up of [`MODULE`] or of a function by its marked name.
//! `sleep` is also there as a plain name. Left out: calendar structures, and every function not in [`FUNCTIONS`].

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use monty::{ReplFunctionCall, ReplNameLookup};
use monty_types::{
    DictPairs, ExcType, ExtFunctionResult, MontyClassInstance, MontyClassType, MontyException, MontyObject, MontyUuid,
    NameLookupResult,
};

/// The name that stands for the module in a rewritten import.
pub(crate) const MODULE: &str = "_torpor_time_";
/// Functions, as the module's attributes; with [`MODULE`] before them they are names of their own.
pub(crate) const FUNCTIONS: [&str; 8] = [
    SLEEP,
    "time",
    "time_ns",
    "monotonic",
    "monotonic_ns",
    "perf_counter",
    "perf_counter_ns",
    "strftime",
];
const SLEEP: &str = "sleep";
/// Identity of the module object: any fixed one, since checkpoints hold it.
const IDENTITY: &str = "6f2d6c1e-3f0b-4c55-9c0a-7d1b1f0a5e21";

/// What a name means that the code itself did not define.
pub(crate) fn look_up(lookup: &ReplNameLookup) -> NameLookupResult {
    let name = lookup.name.as_str();
    if lookup.object_id().is_some() {
        return if FUNCTIONS.contains(&name) {
            function(name).into()
        } else {
            NameLookupResult::Undefined
        };
    }
    match name.strip_prefix(MODULE) {
        Some("") => module().map_or(NameLookupResult::Undefined, NameLookupResult::from),
        Some(imported) if FUNCTIONS.contains(&imported) => function(imported).into(),
        Some(imported) => {
            let message = format!("cannot import name '{imported}' from 'time' (unknown location)");
            NameLookupResult::Error(MontyException::new(ExcType::ImportError, Some(message)))
        }
        None if name == SLEEP => function(SLEEP).into(),
        None => NameLookupResult::Undefined,
    }
}

fn function(name: &str) -> MontyObject {
    MontyObject::Function {
        name: name.to_owned(),
        docstring: None,
    }
}

fn module() -> Option<MontyObject> {
    let id = MontyUuid::parse(IDENTITY)?;
    let class_type = MontyClassType {
        name: "time".to_owned(),
        id,
        host_defined: true,
        is_dataclass: false,
        attrs: DictPairs::from(Vec::new()),
    };
    Some(MontyObject::ClassInstance(Box::new(MontyClassInstance {
        class_type,
        instance_id: id,
        attrs: DictPairs::from(Vec::new()),
    })))
}

/// What the interpreter is to do about a call.
pub(crate) enum Answer {
    /// Go on with this.
    Now(ExtFunctionResult),
    /// Wait first.
    After(Duration),
}

/// Answers a call at `now`, when the sandbox has run for `uptime`.
pub(crate) fn call(call: &ReplFunctionCall, now: Timestamp, uptime: Duration) -> Answer {
    let name = call.function_name.as_str();
    let result = match name {
        SLEEP => match sleep_length(call) {
            Ok(pause) => return Answer::After(pause),
            Err(error) => Err(error),
        },
        "strftime" => format(call, now),
        "time" => no_arguments(call).map(|()| seconds(now.as_nanosecond())),
        "time_ns" => no_arguments(call).map(|()| nanoseconds(now.as_nanosecond())),
        "monotonic" | "perf_counter" => no_arguments(call).map(|()| seconds(signed(uptime))),
        "monotonic_ns" | "perf_counter_ns" => no_arguments(call).map(|()| nanoseconds(signed(uptime))),
        // The interpreter calls a method of the module without looking it up first.
        unknown if call.object_id.is_some() => {
            let message = format!("module 'time' has no attribute '{unknown}'");
            Err(refused(ExcType::AttributeError, message))
        }
        unknown => return Answer::Now(ExtFunctionResult::NotFound(unknown.to_owned())),
    };
    Answer::Now(match result {
        Ok(value) => value.into(),
        Err(error) => error.into(),
    })
}

fn signed(uptime: Duration) -> i128 {
    i128::try_from(uptime.as_nanos()).unwrap_or(i128::MAX)
}

fn nanoseconds(count: i128) -> MontyObject {
    MontyObject::Int(i64::try_from(count).unwrap_or(i64::MAX))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "seconds are a float in Python, with this precision"
)]
fn seconds(nanoseconds: i128) -> MontyObject {
    MontyObject::Float(nanoseconds as f64 / 1e9)
}

fn refused(kind: ExcType, message: impl Into<String>) -> MontyException {
    MontyException::new(kind, Some(message.into()))
}

fn no_arguments(call: &ReplFunctionCall) -> Result<(), MontyException> {
    if call.args.is_empty() && call.kwargs.is_empty() {
        return Ok(());
    }
    let (name, given) = (&call.function_name, call.args.len() + call.kwargs.len());
    let message = format!("time.{name}() takes no arguments ({given} given)");
    Err(refused(ExcType::TypeError, message))
}

/// The sandbox's local time is UTC.
fn format(call: &ReplFunctionCall, now: Timestamp) -> Result<MontyObject, MontyException> {
    let ([MontyObject::String(format)], []) = (call.args.as_slice(), call.kwargs.as_slice()) else {
        let message = "strftime() takes one string in this sandbox: the format of the present time";
        return Err(refused(ExcType::TypeError, message));
    };
    let formatted = strtime::format(format, &now.to_zoned(TimeZone::UTC));
    formatted
        .map(MontyObject::String)
        .map_err(|error| refused(ExcType::ValueError, format!("Invalid format string: {error}")))
}

fn sleep_length(call: &ReplFunctionCall) -> Result<Duration, MontyException> {
    let ([length], []) = (call.args.as_slice(), call.kwargs.as_slice()) else {
        let given = call.args.len() + call.kwargs.len();
        let message = format!("sleep() takes exactly one argument ({given} given)");
        return Err(refused(ExcType::TypeError, message));
    };
    #[expect(clippy::cast_precision_loss, reason = "a sleep of 2^53 seconds is long enough")]
    let seconds = match length {
        MontyObject::Float(seconds) => *seconds,
        MontyObject::Int(seconds) => *seconds as f64,
        MontyObject::Bool(second) => f64::from(u8::from(*second)),
        other => {
            let message = format!("'{}' object cannot be interpreted as an integer", other.type_name());
            return Err(refused(ExcType::TypeError, message));
        }
    };
    if seconds.is_nan() || seconds < 0.0 {
        return Err(refused(ExcType::ValueError, "sleep length must be non-negative"));
    }
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| refused(ExcType::OverflowError, "timestamp too large to convert to a duration"))
}
