//! A Pod's log as the API serves it: the lines that were asked for, as bytes.

use futures::StreamExt;
use mock_apiserver::LogOptions;
use torpor_agent::{LogLine, LogReader};

use crate::handle::LogStream;

/// The lines of a log that `options` ask for; with `follow`, also each later one.
#[must_use]
pub fn stream(log: &LogReader, options: &LogOptions) -> LogStream {
    let lines = log.lines();
    let skip = first_wanted(&lines, options);
    let timestamps = options.timestamps;
    let render = move |line: LogLine| render(&line, timestamps);
    if options.follow {
        return Box::pin(log.follow(skip as u64).map(render));
    }
    let text: Vec<u8> = lines.into_iter().skip(skip).flat_map(render).collect();
    let limit = options
        .limit_bytes
        .map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let limit = limit.min(text.len());
    let kept = bytes::Bytes::from(text).slice(..limit);
    Box::pin(futures::stream::once(std::future::ready(kept)))
}

fn first_wanted(lines: &[LogLine], options: &LogOptions) -> usize {
    let tail = options.tail_lines.map_or(0, |tail| {
        lines.len().saturating_sub(usize::try_from(tail).unwrap_or(usize::MAX))
    });
    let since = options
        .since
        .map_or(0, |since| lines.iter().take_while(|line| line.time < since).count());
    tail.max(since)
}

fn render(line: &LogLine, timestamps: bool) -> bytes::Bytes {
    let text = if timestamps {
        format!("{} {}\n", line.time, line.text)
    } else {
        format!("{}\n", line.text)
    };
    text.into()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn lines() -> Vec<LogLine> {
        let at = |second| Timestamp::from_second(second).expect("a time");
        (1..=4)
            .map(|second| LogLine {
                time: at(second),
                text: format!("line {second}"),
            })
            .collect()
    }

    #[test]
    fn the_stricter_of_tail_and_age_decides() {
        let wanted = |tail_lines, since: Option<i64>| {
            first_wanted(
                &lines(),
                &LogOptions {
                    tail_lines,
                    since: since.map(|second| Timestamp::from_second(second).expect("a time")),
                    ..LogOptions::default()
                },
            )
        };
        assert_eq!(wanted(None, None), 0);
        assert_eq!(wanted(Some(1), None), 3);
        assert_eq!(wanted(Some(9), Some(3)), 2);
        assert_eq!(wanted(Some(1), Some(3)), 3);
    }

    #[test]
    fn a_time_is_put_before_a_line_on_request() {
        assert_eq!(render(&lines()[0], true), "1970-01-01T00:00:01Z line 1\n");
        assert_eq!(render(&lines()[0], false), "line 1\n");
    }
}
