//! Many objects: what they weigh, how long they take to list, and how fast they are made without HTTP.

use std::time::{Duration, Instant};

use anyhow::{anyhow, ensure};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use mock_apiserver::MockApiServer;
use rustix::time::{ClockId, clock_gettime};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::objects::{self, SANDBOXES};
use super::served;
use crate::bench::figures::per_second;
use crate::bench::load::{self, Call, Connection};
use crate::bench::report::{Measurement, Report, Target};
use crate::bench::server::Server;

/// Objects of a page, as kubectl asks for them.
const PAGE: usize = 500;

/// A page of a list, as far as it matters here.
#[derive(Deserialize)]
struct Page {
    metadata: PageMetadata,
    items: Vec<IgnoredAny>,
}

#[derive(Deserialize)]
struct PageMetadata {
    #[serde(rename = "continue", default)]
    next: String,
}

/// Fills a server with sandboxes, weighs it, and lists all of them page by page.
pub async fn measure(report: &mut Report, connections: usize, count: usize) -> anyhow::Result<()> {
    let server = Server::mock().await?;
    served::prepare(&server.authority).await?;
    let create = |index| objects::create(SANDBOXES, &format!("s{index}"));
    load::run(&server.authority, connections, count - 1, create).await?;
    match server.resident_mib() {
        Some(memory) => {
            let memory = Measurement::new(format!("memory of {count} sandboxes"), "MiB", memory);
            report.measurements.push(memory.target(Target::AtMost(1024.0)));
        }
        None => report
            .notes
            .push("skipped: the memory of the server: this system has no /proc".to_owned()),
    }
    let begin = Instant::now();
    let found = list_all(&server.authority).await?;
    let elapsed = begin.elapsed().as_secs_f64();
    ensure!(found == count, "{found} of {count} sandboxes were listed");
    let listed = Measurement::new(format!("list of {count} in pages of {PAGE}"), "s", elapsed);
    report.measurements.push(listed.target(Target::AtMost(2.0)));
    server.stop(false).await
}

async fn list_all(authority: &str) -> anyhow::Result<usize> {
    let mut connection = Connection::open(authority).await?;
    let (mut found, mut next) = (0, String::new());
    loop {
        let call = Call::get(format!("{SANDBOXES}?limit={PAGE}&continue={next}"));
        let page: Page = serde_json::from_slice(&connection.expect(&call).await?)?;
        found += page.items.len();
        next = page.metadata.next;
        if next.is_empty() {
            return Ok(found);
        }
    }
}

/// Creates sandboxes without HTTP on one thread; returns how many per second of processor time, which is what one core does.
pub async fn creates_in_process(count: usize) -> anyhow::Result<f64> {
    let measured = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        runtime.block_on(create_in_process(count))
    });
    // The thread has a runtime of its own; this one must not be blocked by it.
    tokio::task::spawn_blocking(|| measured.join())
        .await?
        .map_err(|_| anyhow!("creating sandboxes in process panicked"))?
}

async fn create_in_process(count: usize) -> anyhow::Result<f64> {
    let server = MockApiServer::builder().build();
    call(&server, objects::definition()?).await?;
    let calls: Vec<Call> = (0..count)
        .map(|index| objects::create(SANDBOXES, &format!("s{index}")))
        .collect();
    let begin = processor_time();
    for create in calls {
        call(&server, create).await?;
    }
    Ok(per_second(count, processor_time().saturating_sub(begin)))
}

/// What the processor has spent on this thread.
fn processor_time() -> Duration {
    let spent = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        spent.tv_sec.unsigned_abs(),
        u32::try_from(spent.tv_nsec).unwrap_or_default(),
    )
}

async fn call(server: &MockApiServer, call: Call) -> anyhow::Result<()> {
    let request = Request::builder()
        .method(call.method)
        .uri(call.uri)
        .header("user-agent", "torpor-bench/1")
        .header("content-type", call.content_type)
        .body(Full::<Bytes>::new(call.body))?;
    let code = server.call(request).await?.status();
    ensure!(code.is_success(), "the server in process answers {code}");
    Ok(())
}
