//! The container log: what the sandbox's program printed, line by line, with the time.
//!
//! Bounded: the oldest lines go when it grows beyond [`LOG_BYTES`].

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::Stream;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// Bytes that are kept.
pub(crate) const LOG_BYTES: usize = 8 << 20;

/// One line, without its line break.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When it was printed.
    pub time: Timestamp,
    /// What was printed.
    pub text: String,
}

impl LogLine {
    /// What it takes of a log: an empty line takes something, too.
    fn bytes(&self) -> usize {
        self.text.len() + size_of::<Self>()
    }
}

/// The log of one container.
#[derive(Clone, Debug)]
pub struct ContainerLog {
    kept: Arc<Mutex<Kept>>,
    written: Arc<watch::Sender<u64>>,
}

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<LogLine>,
    bytes: usize,
    /// Lines that went before the first one kept.
    dropped: u64,
}

/// Reads a container's log.
#[derive(Clone, Debug)]
pub struct LogReader {
    log: ContainerLog,
}

impl Default for ContainerLog {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl ContainerLog {
    /// A log that begins with the lines of an earlier run.
    #[must_use]
    pub fn new(earlier: Vec<LogLine>) -> Self {
        let log = Self {
            kept: Arc::default(),
            written: Arc::new(watch::Sender::new(0)),
        };
        for line in earlier {
            log.append(line);
        }
        log
    }

    /// Adds a line; the oldest ones go if there are too many.
    pub fn append(&self, line: LogLine) {
        let mut kept = self.kept();
        kept.bytes += line.bytes();
        kept.lines.push_back(line);
        while kept.bytes > LOG_BYTES {
            let Some(oldest) = kept.lines.pop_front() else { break };
            kept.bytes -= oldest.bytes();
            kept.dropped += 1;
        }
        let total = kept.dropped + kept.lines.len() as u64;
        drop(kept);
        self.written.send_replace(total);
    }

    pub(crate) fn lines(&self) -> Vec<LogLine> {
        self.kept().lines.iter().cloned().collect()
    }

    /// Reads it, now and later.
    #[must_use]
    pub fn reader(&self) -> LogReader {
        LogReader { log: self.clone() }
    }

    /// The first kept line whose number is at least `from`, and the number after it.
    fn line_at(&self, from: u64) -> Option<(LogLine, u64)> {
        let kept = self.kept();
        let number = from.max(kept.dropped);
        let index = usize::try_from(number - kept.dropped).ok()?;
        kept.lines.get(index).map(|line| (line.clone(), number + 1))
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Nothing that holds the lock can panic half-way through a change.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogReader {
    /// Every line so far.
    #[must_use]
    pub fn lines(&self) -> Vec<LogLine> {
        self.log.lines()
    }

    /// Every line after the first `skip`, and then each new one until the agent ends.
    pub fn follow(&self, skip: u64) -> impl Stream<Item = LogLine> + Send + use<> {
        let kept = ContainerLog {
            kept: Arc::clone(&self.log.kept),
            written: Arc::new(watch::Sender::new(0)),
        };
        let changes = self.log.written.subscribe();
        futures::stream::unfold((kept, changes, skip), |(kept, mut changes, next)| async move {
            loop {
                changes.borrow_and_update();
                if let Some((line, after)) = kept.line_at(next) {
                    return Some((line, (kept, changes, after)));
                }
                changes.changed().await.ok()?;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;

    fn line(text: &str) -> LogLine {
        LogLine {
            time: Timestamp::UNIX_EPOCH,
            text: text.to_owned(),
        }
    }

    #[tokio::test]
    async fn a_follower_sees_earlier_and_later_lines_once_and_ends_with_the_log() {
        let log = ContainerLog::new(vec![line("1"), line("2")]);
        let mut follower = Box::pin(log.reader().follow(1));
        assert_eq!(follower.next().await, Some(line("2")));
        log.append(line("3"));
        assert_eq!(follower.next().await, Some(line("3")));
        drop(log);
        assert_eq!(follower.next().await, None);
    }

    #[test]
    fn the_oldest_lines_go_when_the_log_is_full() {
        let log = ContainerLog::new(Vec::new());
        let half = "x".repeat(LOG_BYTES / 2 - size_of::<LogLine>());
        for text in ["first", &half, &half] {
            log.append(line(text));
        }
        let kept = log.reader().lines();
        assert_eq!(kept.len(), 2);
        assert!(kept.iter().all(|line| line.text == half));
    }

    #[test]
    fn empty_lines_fill_the_log_too() {
        let log = ContainerLog::new(Vec::new());
        for _ in 0..LOG_BYTES / size_of::<LogLine>() + 10 {
            log.append(line(""));
        }
        assert_eq!(log.reader().lines().len(), LOG_BYTES / size_of::<LogLine>());
    }
}
