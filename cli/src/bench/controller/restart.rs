//! A controller that is started over many paused sandboxes: how long until it knows that none needs anything.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use torpor_api::{Checkpoint, Sandbox, label};

use super::bed::{Bed, SANDBOXES, patch_of, sandbox};
use super::meters::Meters;
use crate::bench::load::{self, Call};
use crate::bench::progress;
use crate::bench::report::{Measurement, Report, Target};
use crate::bench::server::Server;

/// The collection of their Checkpoints.
const CHECKPOINTS: &str = "/apis/agents.kruise.io/v1alpha1/namespaces/default/checkpoints";
/// Connections that make the sandboxes.
const CONNECTIONS: usize = 8;
/// How long the controller may take at most.
const PATIENCE: Duration = Duration::from_mins(5);
/// Time for a controller that knows all sandboxes to touch one after all.
const AFTERWARDS: Duration = Duration::from_secs(2);
/// How often the meters are read.
const GLANCE: Duration = Duration::from_millis(20);

/// Starts a controller over `count` paused sandboxes, each with a checkpoint on record and its Checkpoint.
#[expect(clippy::cast_precision_loss, reason = "counts of sandboxes are far below 2^52")]
pub async fn measure(report: &mut Report, count: usize) -> anyhow::Result<()> {
    progress(&format!("a restart over {count} paused sandboxes"));
    let mut bed = Bed::start().await?;
    populate(&mut bed, count).await?;
    let before = revision(&bed).await?;

    let begin = Instant::now();
    bed.start_controller().await?;
    let known = timeout(PATIENCE, until_known(&bed, count)).await;
    known.with_context(|| format!("wait until the controller knows {count} sandboxes"))??;
    let took = begin.elapsed();
    sleep(AFTERWARDS).await;
    let meters = bed.quiet().await?;
    let single = meters.all_requests() - meters.requests(&["list", "watch"], |_| true);
    let memory = bed.controller.as_ref().and_then(Server::resident_mib);
    let memory = memory.context("read the memory of the controller in /proc")?;
    ensure!(
        meters.in_phase("Paused") >= count as f64,
        "of {count} paused sandboxes {} are still paused",
        meters.in_phase("Paused")
    );
    let written = revision(&bed).await? - before;
    report.measurements.extend([
        Measurement::new(
            format!("restart over {count} paused, until at rest"),
            "s",
            took.as_secs_f64(),
        )
        .target(Target::AtMost(15.0)),
        Measurement::new("requests of it but lists and watches", "requests", single).target(Target::AtMost(0.0)),
        Measurement::new("writes to the API server since it began", "writes", written).target(Target::AtMost(0.0)),
        Measurement::new(format!("memory of the controller of {count} paused"), "MiB", memory),
    ]);
    bed.stop().await
}

/// Pauses one sandbox and makes the others in its image, while no controller runs.
async fn populate(bed: &mut Bed, count: usize) -> anyhow::Result<()> {
    bed.populate(1).await?;
    bed.turn(1, true).await?;
    bed.quiet().await?;
    bed.stop_controller().await?;
    let first: Api<Sandbox> = Api::default_namespaced(bed.client.clone());
    let first = first.get("s0").await.context("read the first sandbox")?;
    let finalizers = json!(first.metadata.finalizers);
    let status = serde_json::to_value(&first.status)?;
    let generation = first.metadata.generation.unwrap_or(1);
    let authority = bed.server.authority.clone();
    let create = move |index| {
        Call::new(
            http::Method::POST,
            SANDBOXES,
            "application/json",
            image(index + 1, &finalizers),
        )
    };
    load::run(&authority, CONNECTIONS, count - 1, create).await?;
    // A change of the spec for each generation that the status says it has seen.
    for nth in 1..generation {
        let pause = move |index: usize| patch_of(index + 1, &json!({"spec": {"paused": (generation - nth) % 2 == 1}}));
        load::run(&authority, CONNECTIONS, count - 1, pause).await?;
    }
    let record = move |index: usize| {
        let uri = format!("{SANDBOXES}/s{}/status", index + 1);
        let patch = json!({"status": status}).to_string();
        Call::new(http::Method::PATCH, uri, "application/merge-patch+json", patch)
    };
    load::run(&authority, CONNECTIONS, count - 1, record).await?;
    describe(bed, &authority).await
}

/// Makes for every other sandbox the Checkpoint that the first one has.
async fn describe(bed: &Bed, authority: &str) -> anyhow::Result<()> {
    let checkpoints: Api<Checkpoint> = Api::default_namespaced(bed.client.clone());
    let made = checkpoints
        .list(&ListParams::default())
        .await
        .context("list the Checkpoints")?;
    let first = made
        .items
        .into_iter()
        .next()
        .context("find the Checkpoint of the first sandbox")?;
    let first = serde_json::to_value(&first)?;
    let sandboxes: Api<Sandbox> = Api::default_namespaced(bed.client.clone());
    let others = sandboxes
        .list_metadata(&ListParams::default())
        .await
        .context("list the sandboxes")?;
    let others: Vec<_> = others
        .items
        .into_iter()
        .filter(|other| other.name_any() != "s0")
        .collect();
    let count = others.len();
    let create = move |index: usize| {
        let (name, uid) = (others[index].name_any(), others[index].uid().unwrap_or_default());
        let mut owner = first["metadata"]["ownerReferences"][0].clone();
        (owner["name"], owner["uid"]) = (json!(name), json!(uid));
        let mut image = first.clone();
        image["metadata"] = json!({
            "name": format!("{name}-1"), "labels": {label::SANDBOX_NAME: name}, "ownerReferences": [owner],
        });
        (image["spec"]["sandboxName"], image["spec"]["podName"]) = (json!(name), json!(name));
        image["status"]["checkpointId"] = json!(format!("{uid}/1"));
        Call::new(http::Method::POST, CHECKPOINTS, "application/json", image.to_string())
    };
    load::run(authority, CONNECTIONS, count, create).await?;
    Ok(())
}

fn image(index: usize, finalizers: &Value) -> String {
    let mut image = sandbox(index);
    image["metadata"]["finalizers"] = finalizers.clone();
    image.to_string()
}

async fn until_known(bed: &Bed, count: usize) -> anyhow::Result<()> {
    let mut connection = bed.meters().await?;
    loop {
        let meters = Meters::read(&mut connection).await?;
        #[expect(clippy::cast_precision_loss, reason = "counts of sandboxes are far below 2^52")]
        if meters.in_phase("Paused") >= count as f64 && meters.queue() < 1.0 {
            return Ok(());
        }
        sleep(GLANCE).await;
    }
}

/// The number of the last write to the API server.
async fn revision(bed: &Bed) -> anyhow::Result<f64> {
    let sandboxes: Api<Sandbox> = Api::all(bed.client.clone());
    let page = sandboxes.list_metadata(&ListParams::default().limit(1)).await?;
    let revision = page.metadata.resource_version.unwrap_or_default();
    revision
        .parse()
        .with_context(|| format!("read the resource version {revision:?} as a number"))
}
