//! `torpor bench apiserver`: the mock API server by itself and beside Kubernetes' own.
//!
//! Both are processes of their own on this machine and get the same requests from the same client in the same run, one after
//! the other. The real one is that of custom resources with its etcd, which acknowledges writes before they are on disk.

mod crowd;
mod objects;
mod served;
mod watched;

use std::path::Path;

use super::progress;
use super::report::{Better, Measurement, Report, Target};
use super::server::Server;
use crate::bench::args::ApiserverBenchArgs;
use served::Served;

/// How many times faster than a real server a mock should be.
const TIMES: Target = Target::TimesBaseline(10.0);
/// How often the mock is started. A real server is started once.
const STARTS: usize = 10;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
struct Size {
    connections: usize,
    /// Requests of each kind to the mock; a real server gets a tenth.
    requests: usize,
    watchers: usize,
    watched_writes: usize,
    /// Objects for the measurement of memory.
    crowd: usize,
    in_process: usize,
}

impl Size {
    fn new(options: &ApiserverBenchArgs, quick: bool) -> Self {
        let part = if quick { 10 } else { 1 };
        Self {
            connections: options.connections,
            requests: 20_000 / part,
            watchers: 100,
            watched_writes: 500 / part,
            crowd: options.objects.unwrap_or(100_000 / part),
            in_process: 100_000 / part,
        }
    }

    fn of_real(self) -> Self {
        Self {
            requests: self.requests / 10,
            watched_writes: self.watched_writes / 5,
            ..self
        }
    }
}

/// Measures everything.
///
/// # Errors
/// A server cannot be started or refuses a request.
pub async fn run(options: &ApiserverBenchArgs, quick: bool) -> anyhow::Result<Report> {
    let size = Size::new(options, quick);
    let mut report = Report::of_this_build();
    let mock = measure_mock(size).await?;
    let real = if options.baseline.exists() {
        Some(measure_real(&options.baseline, size.of_real()).await?)
    } else {
        report.notes.push(format!(
            "skipped: the comparison with a real server: there is no {}; fixtures/clients/install builds it where Go is installed",
            options.baseline.display()
        ));
        None
    };
    compare(&mut report, &mock, real.as_ref());
    progress(&format!("the memory of {} sandboxes", size.crowd));
    crowd::measure(&mut report, size.connections, size.crowd).await?;
    progress("creates in process, on one thread");
    let rate = crowd::creates_in_process(size.in_process).await?;
    let in_process = Measurement::new("create in process, one core", "1/s", rate);
    report.measurements.push(in_process.target(Target::AtLeast(20_000.0)));
    Ok(report)
}

async fn measure_mock(size: Size) -> anyhow::Result<Served> {
    progress("the start of the mock API server");
    let mut starts = Vec::with_capacity(STARTS);
    for _ in 0..STARTS {
        let server = Server::mock().await?;
        starts.push(server.started_in);
        server.stop(false).await?;
    }
    let server = Server::mock().await?;
    let figures = served::measure(&server.authority, "the mock API server", starts, size).await?;
    server.stop(false).await?;
    Ok(figures)
}

async fn measure_real(program: &Path, size: Size) -> anyhow::Result<Served> {
    progress("the start of a real API server");
    let server = Server::real(program).await?;
    let figures = served::measure(&server.authority, "a real API server", vec![server.started_in], size).await?;
    server.stop(true).await?;
    Ok(figures)
}

/// Adds what was measured over HTTP, the mock beside the real one.
fn compare(report: &mut Report, mock: &Served, real: Option<&Served>) {
    let start = |served: &Served| served.starts.percentile_ms(50);
    report.measurements.push(
        Measurement::new("start to first answer", "ms", start(mock))
            .latency(&mock.starts)
            .beside(real.map(start), Better::Smaller)
            .target(Target::AtMost(50.0)),
    );
    for (index, (metric, outcome)) in mock.operations.iter().enumerate() {
        let baseline = real.and_then(|real| real.operations.get(index));
        report.measurements.push(
            Measurement::new(*metric, "1/s", outcome.per_second)
                .latency(&outcome.samples)
                .beside(baseline.map(|(_, outcome)| outcome.per_second), Better::Larger)
                .target(TIMES),
        );
    }
    let latest = |served: &Served| served.watched.percentile_ms(99);
    report.measurements.push(
        Measurement::new("write to watch, p99 of 100 watches", "ms", latest(mock))
            .latency(&mock.watched)
            .beside(real.map(latest), Better::Smaller)
            .target(Target::AtMost(5.0)),
    );
}
