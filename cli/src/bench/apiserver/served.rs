//! What one server does over HTTP.

use std::time::{Duration, Instant};

use anyhow::ensure;
use http::{Method, StatusCode};
use serde_json::json;

use super::objects::{self, SANDBOXES};
use super::{Size, watched};
use crate::bench::figures::Samples;
use crate::bench::load::{self, Call, Connection, Outcome};
use crate::bench::progress;

/// Objects of the list that is read again and again.
const LISTED: usize = 500;
/// A collection of its own for them.
const LIST: &str = "/apis/agents.kruise.io/v1alpha1/namespaces/listed/sandboxes";
/// How long a server may take to serve a new definition.
const PATIENCE: Duration = Duration::from_secs(30);

/// The figures of one server.
#[derive(Debug)]
pub struct Served {
    /// From start to first answer.
    pub starts: Samples,
    /// Requests by kind.
    pub operations: Vec<(&'static str, Outcome)>,
    /// From sending a write to its event.
    pub watched: Samples,
}

/// Measures a server that nobody else uses; it is filled with objects.
pub async fn measure(authority: &str, whose: &str, starts: Vec<Duration>, size: Size) -> anyhow::Result<Served> {
    prepare(authority).await?;
    let count = size.requests;
    let mut operations = Vec::new();
    let name = |index: usize| format!("s{index}");
    progress(&format!("creates, {whose}"));
    let create = move |index| objects::create(SANDBOXES, &name(index));
    operations.push(("create", load::run(authority, size.connections, count, create).await?));
    progress(&format!("gets, {whose}"));
    let get = move |index| Call::get(format!("{SANDBOXES}/{}", name(index)));
    operations.push(("get", load::run(authority, size.connections, count, get).await?));
    progress(&format!("merge patches, {whose}"));
    let patch = move |index| objects::patch(&name(index), index);
    operations.push((
        "merge patch",
        load::run(authority, size.connections, count, patch).await?,
    ));
    progress(&format!("server-side applies, {whose}"));
    let apply = move |index| objects::apply(&name(index), index);
    operations.push((
        "server-side apply",
        load::run(authority, size.connections, count, apply).await?,
    ));
    progress(&format!("lists of {LISTED}, {whose}"));
    load::run(authority, size.connections, LISTED, move |index| {
        objects::create(LIST, &name(index))
    })
    .await?;
    let lists = load::run(authority, size.connections, count / 10, |_| Call::get(LIST)).await?;
    operations.push(("list of 500", lists));
    progress(&format!("events of {} watches, {whose}", size.watchers));
    let watched = watched::measure(authority, size.watchers, size.watched_writes).await?;
    Ok(Served {
        starts: Samples::new(starts),
        operations,
        watched,
    })
}

/// Makes the custom resource known, and waits until it can be created.
pub async fn prepare(authority: &str) -> anyhow::Result<()> {
    let mut connection = Connection::open(authority).await?;
    connection.expect(&objects::definition()?).await?;
    // A server of custom resources alone has no namespaces, and needs none.
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "listed"}});
    let namespaces = Call::new(
        Method::POST,
        "/api/v1/namespaces",
        "application/json",
        namespace.to_string(),
    );
    connection.answer(&namespaces).await?;
    let first = objects::create(SANDBOXES, "first");
    let begin = Instant::now();
    let mut code = connection.answer(&first).await?.0;
    while code == StatusCode::NOT_FOUND && begin.elapsed() < PATIENCE {
        code = connection.answer(&first).await?.0;
    }
    ensure!(code.is_success(), "{authority} does not serve sandboxes: {code}");
    Ok(())
}
