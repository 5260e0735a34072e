//! Mistakes in what a sandbox leaves elsewhere: metrics and logs.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use mock_apiserver::{LogOptions, PodLogs, PodLogsRefused};
use mock_node::LogStream;

use super::by_engine::restored;
use super::engine::Restored;
use super::notes::Notes;
use super::{Around, Culprit, Fault, Hooks};

/// Changes a page of metrics.
pub type PageRule = Arc<dyn Fn(String) -> String + Send + Sync>;
/// Changes the logs of containers.
pub type LogRule = Around<dyn PodLogs>;

pub(super) const FAULTS: &[Fault] = &[
    Fault::new(
        "metrics-keep-the-last-sample",
        Culprit::Node,
        "goes on showing what a Pod used last when the Pod is gone",
        metrics_keep_the_last_sample,
    )
    .breaks(&["ZERO-02"], &["paused-uses-no-cpu-and-no-memory"]),
    Fault::new(
        "pauses-not-counted",
        Culprit::Controller,
        "has no metrics of pauses",
        || page(|text| lines(&text, |line| !line.contains("pause"))),
    )
    .breaks(&["OBS-02"], &["the-controller-counts-pauses-and-resumes"]),
    Fault::new(
        "pauses-counted-once-at-start",
        Culprit::Controller,
        "shows one pause from its start on, and counts none",
        || page(one_pause_for_ever),
    )
    .breaks(&["OBS-02"], &["the-controller-counts-pauses-and-resumes"])
    .spares(&["a-failed-resume-is-counted"]),
    Fault::new(
        "states-not-counted",
        Culprit::Controller,
        "shows every state as if no sandbox were in it",
        || page(|text| no_sandbox_in_any_state(&text)),
    )
    .breaks(&["OBS-02"], &["the-controller-counts-pauses-and-resumes"])
    .spares(&["a-failed-resume-is-counted"]),
    Fault::new(
        "failures-not-counted",
        Culprit::Controller,
        "counts no pause and no resume that fails",
        || page(|text| lines(&text, |line| !line.contains("result=\"failure\""))),
    )
    .breaks(&["OBS-02"], &["a-failed-resume-is-counted"])
    .spares(&["the-controller-counts-pauses-and-resumes"]),
    Fault::new(
        "log-lines-doubled",
        Culprit::Node,
        "serves the first lines of a log twice",
        || Hooks {
            logs: Some(Arc::new(|inner| Arc::new(Doubled(inner)))),
            ..Hooks::default()
        },
    )
    .breaks(&["CTX-08"], &["program-goes-on"])
    .touches(&["CTX-03"]),
    Fault::new(
        "program-starts-over-in-an-empty-log",
        Culprit::Engine,
        "starts the sandbox's own program again at every restore, and drops what it had printed before",
        || Hooks {
            logs: Some(Arc::new(|inner| Arc::new(SinceBirth(inner)))),
            ..restored(Restored::ProgramAnew, None)
        },
    )
    .breaks(&["CTX-03", "CTX-08"], &["program-goes-on"])
    .spares(&["interpreter-state-survives@e2b", "files-survive@e2b"]),
];

fn page(rule: impl Fn(String) -> String + Send + Sync + 'static) -> Hooks {
    Hooks {
        page: Some(Arc::new(rule)),
        ..Hooks::default()
    }
}

fn lines(text: &str, keep: impl Fn(&str) -> bool) -> String {
    text.split_inclusive('\n').filter(|line| keep(line)).collect()
}

fn one_pause_for_ever(text: String) -> String {
    let of_pauses = "torpor_sandbox_pause_duration_seconds";
    if !text.contains(of_pauses) {
        return text;
    }
    let mut page = lines(&text, |line| !line.starts_with(of_pauses));
    page.extend(["_count", "_sum"].map(|series| format!("{of_pauses}{series}{{result=\"success\"}} 1\n")));
    page
}

fn no_sandbox_in_any_state(text: &str) -> String {
    let emptied = |line: &str| match line.rsplit_once(' ') {
        Some((series, _)) if line.starts_with("torpor_sandboxes{") => format!("{series} 0\n"),
        Some(_) | None => line.to_owned(),
    };
    text.split_inclusive('\n').map(emptied).collect()
}

fn metrics_keep_the_last_sample() -> Hooks {
    let last = Notes::new();
    page(move |mut text| {
        let of_pods = |line: &&str| line.contains("pod=\"") && !line.starts_with('#');
        for line in text.lines().filter(of_pods) {
            let series = line.rsplit_once(' ').map_or(line, |(series, _)| series);
            last.put(series, line.to_owned());
        }
        for (series, line) in last.values().iter() {
            if !text.contains(series.as_str()) {
                text.push_str(line);
                text.push('\n');
            }
        }
        text
    })
}

/// Logs whose beginning comes twice.
struct Doubled(Arc<dyn PodLogs>);

impl PodLogs for Doubled {
    fn logs(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        options: LogOptions,
    ) -> BoxFuture<'static, Result<LogStream, PodLogsRefused>> {
        let log = self.0.logs(namespace, pod, container, options);
        async move {
            let log = log.await?;
            let twice = |(place, chunk): (usize, Bytes)| {
                let times = if place == 0 { 2 } else { 1 };
                futures::stream::iter(std::iter::repeat_n(chunk, times))
            };
            Ok(log.enumerate().flat_map(twice).boxed())
        }
        .boxed()
    }
}

/// Logs that begin where a program last said that it was born.
struct SinceBirth(Arc<dyn PodLogs>);

impl PodLogs for SinceBirth {
    fn logs(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        options: LogOptions,
    ) -> BoxFuture<'static, Result<LogStream, PodLogsRefused>> {
        let follows = options.follow;
        let log = self.0.logs(namespace, pod, container, options);
        async move {
            let log = log.await?;
            if follows {
                return Ok(log);
            }
            let whole = log.collect::<Vec<Bytes>>().await.concat();
            let kept = since_birth(&whole).to_vec();
            Ok(futures::stream::iter([Bytes::from(kept)]).boxed())
        }
        .boxed()
    }
}

fn since_birth(log: &[u8]) -> &[u8] {
    const WORD: &[u8] = b"born ";
    let born = log.windows(WORD.len()).rposition(|part| part == WORD);
    &log[born.unwrap_or_default()..]
}
