//! Reads the times of a spec as an API server takes them: by their form, whatever moment they name.
//!
//! Its `date-time` has years up to 9999 in any zone, and zones of up to 99 hours; what can be represented ends a day
//! before that. Such a time must not be an error, as one that cannot be read makes a whole list of objects unreadable.
//! Nor must any text where a status has a time: who may write a status, or a definition of another party, may put one there.

use jiff::civil::{self, Date};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, Time};
use serde::de::{Deserialize, Deserializer, Error};
use serde_json::Value;

/// Reads a time that may be absent; one that cannot be represented counts as the nearest that can.
pub(crate) fn nearest<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Time>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    text.map(|text| moment(&text).map(Time).map_err(D::Error::custom))
        .transpose()
}

/// Reads a time of a status. A text that names none counts as long past, and never as absent: that a run began, or that
/// a restore failed, is still so.
pub(crate) fn reported<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(Time(moment_or_long_past(&text)))
}

/// Reads a time of a status that may be absent, as [`reported`].
pub(crate) fn reported_if_any<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Time>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    Ok(text.map(|text| Time(moment_or_long_past(&text))))
}

/// Reads a time of a status that may be absent and has microseconds, as [`reported`].
pub(crate) fn reported_to_the_micro<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<MicroTime>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    Ok(text.map(|text| MicroTime(moment_or_long_past(&text))))
}

/// Reads conditions, with times as [`reported`].
pub(crate) fn reported_conditions<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Condition>, D::Error> {
    let mut conditions: Vec<Value> = Vec::deserialize(deserializer)?;
    for since in conditions
        .iter_mut()
        .filter_map(|condition| condition.get_mut("lastTransitionTime"))
    {
        if let Some(text) = since.as_str() {
            *since = serde_json::to_value(Time(moment_or_long_past(text))).map_err(D::Error::custom)?;
        }
    }
    let read = conditions.into_iter().map(serde_json::from_value);
    read.collect::<Result<_, _>>().map_err(D::Error::custom)
}

fn moment_or_long_past(text: &str) -> Timestamp {
    moment(text).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn moment(text: &str) -> Result<Timestamp, jiff::Error> {
    text.parse().or_else(|error| by_form(text).ok_or(error))
}

/// The nearest moment to what is written in the form `date T time [fraction] zone`. In whole seconds, which is what
/// Kubernetes keeps.
fn by_form(text: &str) -> Option<Timestamp> {
    let date: Date = text.get(..10)?.parse().ok()?;
    text.get(10..11).filter(|between| between.eq_ignore_ascii_case("t"))?;
    let time: civil::Time = text.get(11..19)?.parse().ok()?;
    let since_epoch = date
        .to_datetime(time)
        .duration_since(civil::date(1970, 1, 1).at(0, 0, 0, 0));
    let since_epoch = since_epoch.checked_sub(ahead_of_utc(text.get(19..)?)?)?;
    let limit = if since_epoch.is_negative() {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    };
    Some(Timestamp::from_duration(since_epoch).unwrap_or(limit))
}

/// How far a zone is ahead of UTC; a fraction of a second may come before it.
fn ahead_of_utc(rest: &str) -> Option<SignedDuration> {
    let (fraction, zone) = match rest.strip_suffix(['z', 'Z']) {
        Some(fraction) => (fraction, "+00:00"),
        None => rest.split_at_checked(rest.len().checked_sub(6)?)?,
    };
    let mut digits = fraction.chars();
    let is_fraction = digits.next().is_none() || !digits.as_str().is_empty() && is_number(digits.as_str());
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    if !is_fraction || hours.len() != 2 || !is_number(hours) || !is_number(minutes) {
        return None;
    }
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    let ahead = SignedDuration::from_mins(hours * 60 + minutes);
    match zone.get(..1)? {
        "+" => Some(ahead),
        "-" => Some(-ahead),
        _ => None,
    }
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|digit| digit.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> String {
        moment(text).map_or_else(|_| "none".to_owned(), |moment| moment.to_string())
    }

    #[test]
    fn a_time_beyond_what_can_be_represented_is_the_last_that_can() {
        for text in [
            "9999-12-31T23:59:59Z",
            "9999-12-31t23:59:59.5z",
            "9999-12-30T22:00:01Z",
            "9999-12-30T00:00:00-99:99",
            "9999-12-31T23:59:59+23:59",
        ] {
            let last = Timestamp::MAX.to_string();
            assert_eq!(named(text), last, "{text}");
        }
        assert_eq!(named("9999-12-30T21:59:59Z"), "9999-12-30T21:59:59Z");
        assert_eq!(named("0000-01-01T00:00:00Z"), "0000-01-01T00:00:00Z");
    }

    #[test]
    fn a_zone_counts_though_there_is_no_such_zone() {
        assert_eq!(named("2027-01-10T00:00:00+99:99"), "2027-01-05T19:21:00Z");
        assert_eq!(named("2027-01-01T00:00:00-30:00"), "2027-01-02T06:00:00Z");
        assert_eq!(named("2027-01-01T00:00:00,5+01:00"), "2026-12-31T23:00:00.5Z");
        assert_eq!(named("2027-01-01T00:00:00:5-30:00"), "2027-01-02T06:00:00Z");
    }

    #[test]
    fn what_names_no_time_is_no_time() {
        for text in [
            "",
            "tomorrow",
            "9999-12-31",
            "9999-12-31T23:59:59",
            "9999-12-31T24:00:00Z",
            "9999-13-31T23:59:59Z",
            "9999-12-31T23:59:59.Z",
            "9999-12-31T23:59:59.xZ",
            "9999-12-31T23:59:59+1:000",
            "9999-12-31T23:59:59 99:99",
            "9999-12-31T23:59:59+é9:9",
        ] {
            assert_eq!(named(text), "none", "{text}");
        }
    }
}
