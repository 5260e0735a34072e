//! How long Events stay.

use crate::support::*;
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use mock_apiserver::{Builder, Clock, MockApiServer};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const EVENTS: &str = "/api/v1/namespaces/default/events";

/// A clock that goes when it is told to.
#[derive(Clone)]
struct Hand(Arc<Mutex<Timestamp>>);

impl Hand {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Timestamp::constant(1_800_000_000, 0))))
    }

    fn pass(&self, minutes: i64) {
        *self.0.lock().unwrap() += SignedDuration::from_mins(minutes);
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

fn builder(clock: &Hand) -> Builder {
    MockApiServer::builder().seed(1).clock(Arc::new(clock.clone()))
}

fn event(name: &str) -> Value {
    json!({
        "metadata": {"name": name}, "reason": "Because",
        "involvedObject": {"kind": "ConfigMap", "namespace": "default", "name": "a"},
    })
}

async fn names(client: &Client) -> Vec<String> {
    let (_, list) = get(client, EVENTS).await;
    let items = list["items"].as_array().unwrap().iter();
    items
        .map(|item| item["metadata"]["name"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn an_event_goes_an_hour_after_its_last_write_and_watches_see_it_go() {
    let clock = Hand::new();
    let server = builder(&clock).build();
    let client = server.client();
    post(&client, EVENTS, &event("old")).await;
    post(&client, EVENTS, &event("written-again")).await;
    let start = server.revision();
    clock.pass(59);
    merge(&client, &format!("{EVENTS}/written-again"), &json!({"count": 2})).await;
    assert_eq!(names(&client).await, ["old", "written-again"]);
    clock.pass(2);
    let series = "/apis/events.k8s.io/v1/namespaces/default/events";
    assert_eq!(post(&client, series, &json!({"metadata": {"name": "new"}, "eventTime": "2027-01-15T09:00:00.000000Z", "action": "A", "reason": "R", "reportingController": "c", "reportingInstance": "i", "type": "Normal"})).await.0, 201);
    assert_eq!(names(&client).await, ["new", "written-again"]);
    let watch = format!("{EVENTS}?watch=true&resourceVersion={start}&timeoutSeconds=-1");
    let (_, seen) = send(&client, "GET", &watch, "", &[]).await;
    let seen: Vec<Value> = seen
        .as_str()
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let told = |at: usize| (seen[at]["type"].clone(), seen[at]["object"]["metadata"]["name"].clone());
    assert_eq!(told(1), (json!("DELETED"), json!("old")));
    assert_eq!(told(2), (json!("ADDED"), json!("new")));
    clock.pass(61);
    assert_eq!(names(&client).await, [""; 0], "a read finds them gone as well");
}

/// A life of a server that keeps its state in a folder. Its runtime ends with it, and with that whatever still holds on to it.
fn life<T>(dir: &Path, clock: &Hand, live: impl AsyncFnOnce(Client) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (server, _) = builder(clock).open(dir).unwrap();
        live(server.client()).await
    })
}

#[test]
fn what_has_gone_is_gone_for_a_successor_and_what_stayed_is_as_old_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Hand::new();
    life(dir.path(), &clock, async |client| {
        post(&client, EVENTS, &event("old")).await;
        clock.pass(61);
        post(&client, EVENTS, &event("new")).await;
    });
    let found = || life(dir.path(), &clock, async |client| names(&client).await);
    assert_eq!(found(), ["new"]);
    clock.pass(50);
    assert_eq!(found(), ["new"]);
    clock.pass(11);
    assert_eq!(found(), [""; 0]);
}

#[tokio::test]
async fn events_stay_as_long_as_the_server_is_told() {
    for (ttl, left) in [
        (Duration::from_mins(10), 0),
        (Duration::from_mins(20), 1),
        (Duration::ZERO, 1),
    ] {
        let clock = Hand::new();
        let client = builder(&clock).event_ttl(ttl).build().client();
        post(&client, EVENTS, &event("a")).await;
        clock.pass(15);
        assert_eq!(names(&client).await.len(), left, "{ttl:?}");
    }
}
