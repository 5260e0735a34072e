//! What Pods use, from wherever the target shows it: a page, a Prometheus server or the nodes themselves.
//!
//! All three give samples under the names of the kubelet's cAdvisor (or of the profile). Which of them
//! are a sandbox's, the caller decides.

use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Node;
use kube::Client;
use kube::api::{Api, ListParams};
use serde::Deserialize;
use url::Url;

use super::prometheus::{Sample, fetch, parse};
use super::{Body, Fault, Http, HttpRequest};
use crate::target::UsageSource;

/// How many nodes are asked at the same time.
const NODES_AT_ONCE: usize = 8;

/// A series of one Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodSeriesName {
    /// The metric.
    pub(crate) name: String,
    /// What its labels must say: namespace and Pod.
    pub(crate) labels: [(String, String); 2],
}

impl PodSeriesName {
    fn is_of(&self, sample: &Sample) -> bool {
        sample.name == self.name
            && self
                .labels
                .iter()
                .all(|(label, value)| sample.labels.get(label) == Some(value))
    }

    /// As an instant query.
    fn query(&self) -> String {
        let quoted = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"");
        let labels = self
            .labels
            .each_ref()
            .map(|(label, value)| format!("{label}=\"{}\"", quoted(value)));
        format!("{}{{{}}}", self.name, labels.join(","))
    }
}

/// The largest sample of a series; none where there is no such series. Beside those of the containers
/// a kubelet has one of the whole Pod, which is the largest.
pub(crate) async fn pod_usage(
    source: &UsageSource,
    http: &Http,
    cluster: &Client,
    series: &PodSeriesName,
) -> Result<Option<f64>, Fault> {
    let samples = match source {
        UsageSource::Page(page) => fetch(http, std::slice::from_ref(page)).await?,
        UsageSource::Prometheus(server) => ask(http, server, series).await?,
        UsageSource::Nodes => nodes(cluster).await.map_err(Fault::Harness)?,
    };
    let values = samples.iter().filter(|sample| series.is_of(sample));
    Ok(values.map(|sample| sample.value).reduce(f64::max))
}

/// Whether every node shows through the API server what its containers use, and to this client.
///
/// # Errors
/// What was attempted and why it failed.
pub async fn nodes_show_usage(cluster: &Client) -> Result<(), String> {
    nodes(cluster).await.map(drop)
}

async fn nodes(cluster: &Client) -> Result<Vec<Sample>, String> {
    let listed = Api::<Node>::all(cluster.clone()).list(&ListParams::default()).await;
    let names = listed.map_err(|error| format!("list nodes: {error}"))?.items;
    let names = names.into_iter().filter_map(|node| node.metadata.name);
    let pages = stream::iter(names)
        .map(|name| node_page(cluster, name))
        .buffer_unordered(NODES_AT_ONCE);
    pages.try_concat().await
}

async fn node_page(cluster: &Client, node: String) -> Result<Vec<Sample>, String> {
    let path = format!("/api/v1/nodes/{node}/proxy/metrics/cadvisor");
    let request = http::Request::get(&path).body(Vec::new());
    let request = request.map_err(|error| format!("GET {path}: {error}"))?;
    let page = cluster.request_text(request).await;
    let page = page.map_err(|error| format!("GET {path}: {error}"))?;
    parse(&page).map_err(|fault| format!("GET {path}: {fault}"))
}

/// An answer of `GET /api/v1/query`.
#[derive(Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
enum Answered {
    Success { data: Vector },
    Error { error: String },
}

#[derive(Deserialize)]
struct Vector {
    result: Vec<Point>,
}

#[derive(Deserialize)]
struct Point {
    metric: BTreeMap<String, String>,
    /// Seconds, and the number as text.
    value: (f64, String),
}

async fn ask(http: &Http, server: &Url, series: &PodSeriesName) -> Result<Vec<Sample>, Fault> {
    let what = format!("ask Prometheus at {server}");
    let mut url = server.clone();
    url.set_path(&format!("{}/api/v1/query", server.path().trim_end_matches('/')));
    url.query_pairs_mut().append_pair("query", &series.query());
    let request = HttpRequest {
        method: "GET",
        url: url.to_string(),
        headers: Vec::new(),
        body: Body::None,
    };
    let answer = http.send(request).await.map_err(|error| Fault::harness(&what, error))?;
    let status = answer.status;
    let text = answer.text().await.map_err(|error| Fault::harness(&what, error))?;
    read_vector(&text).map_err(|why| Fault::Harness(format!("{what}: it answered {status}: {why}")))
}

fn read_vector(text: &str) -> Result<Vec<Sample>, String> {
    let points = match serde_json::from_str(text) {
        Ok(Answered::Success { data }) => data.result,
        Ok(Answered::Error { error }) => return Err(error),
        Err(error) => {
            return Err(format!(
                "no answer to a query ({error}): is it the address of a Prometheus server?"
            ));
        }
    };
    let sample = |mut point: Point| {
        let value = point
            .value
            .1
            .parse()
            .map_err(|_| format!("{:?} is no number", point.value.1))?;
        Ok(Sample {
            name: point.metric.remove("__name__").unwrap_or_default(),
            labels: point.metric,
            value,
        })
    };
    points.into_iter().map(sample).collect()
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::extract::Query;
    use axum::routing::get;
    use serde_json::json;

    use super::*;

    const PAGE_OF_A: &str = "cpu{namespace=\"n\",pod=\"a\\\"b\",container=\"c\"} 1\n";
    const PAGE_OF_B: &str =
        "cpu{namespace=\"n\",pod=\"a\\\"b\",container=\"\"} 3\ncpu{namespace=\"n\",pod=\"other\"} 9\n";

    /// An API server with two nodes, of which the second answers as it is told.
    fn cluster(second: (u16, &'static str)) -> Client {
        let nodes = json!({"kind": "NodeList", "apiVersion": "v1", "metadata": {},
            "items": [{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}]});
        let status = http::StatusCode::from_u16(second.0).unwrap();
        let router = Router::new()
            .route("/api/v1/nodes", get(async move || nodes.to_string()))
            .route("/api/v1/nodes/a/proxy/metrics/cadvisor", get(PAGE_OF_A))
            .route("/api/v1/nodes/b/proxy/metrics/cadvisor", get((status, second.1)));
        Client::new(router, "default")
    }

    async fn use_at(source: &UsageSource, cluster: &Client) -> Result<Option<f64>, Fault> {
        let http = Http::new(
            "test".to_owned(),
            crate::probe::Way::Direct,
            &crate::Authorities::default(),
        )
        .unwrap();
        pod_usage(source, &http, cluster, &series()).await
    }

    #[tokio::test]
    async fn the_largest_sample_of_all_nodes_counts() {
        let used = use_at(&UsageSource::Nodes, &cluster((200, PAGE_OF_B))).await;
        assert_eq!(used, Ok(Some(3.0)));
        let used = use_at(&UsageSource::Nodes, &cluster((200, ""))).await;
        assert_eq!(used, Ok(Some(1.0)));
    }

    #[tokio::test]
    async fn a_node_that_does_not_answer_is_no_node_without_usage() {
        let dead = cluster((503, "error trying to reach service"));
        let fault = use_at(&UsageSource::Nodes, &dead).await.unwrap_err();
        assert!(
            matches!(&fault, Fault::Harness(why) if why.contains("nodes/b/proxy")),
            "{fault:?}"
        );
        assert!(nodes_show_usage(&dead).await.is_err());
        assert_eq!(nodes_show_usage(&cluster((200, ""))).await, Ok(()));
    }

    #[tokio::test]
    async fn a_prometheus_server_is_asked_below_its_path() {
        let answer = async |Query(asked): Query<BTreeMap<String, String>>| {
            assert_eq!(asked["query"], series().query());
            let labels = json!({"__name__": "cpu", "namespace": "n", "pod": "a\"b"});
            json!({"status": "success", "data": {"resultType": "vector",
                "result": [{"metric": labels, "value": [1.0, "7"]}]}})
            .to_string()
        };
        let router = Router::new().route("/below/api/v1/query", get(answer));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/below/", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let server = UsageSource::Prometheus(url.parse().unwrap());
        assert_eq!(use_at(&server, &cluster((200, ""))).await, Ok(Some(7.0)));
        let elsewhere = UsageSource::Prometheus(url.replace("below", "beside").parse().unwrap());
        let fault = use_at(&elsewhere, &cluster((200, ""))).await.unwrap_err();
        assert!(fault.message().contains("answered 404"), "{fault:?}");
    }

    fn series() -> PodSeriesName {
        PodSeriesName {
            name: "cpu".to_owned(),
            labels: [
                ("namespace".to_owned(), "n".to_owned()),
                ("pod".to_owned(), "a\"b".to_owned()),
            ],
        }
    }

    #[test]
    fn a_query_names_both_labels_and_quotes_what_is_in_them() {
        assert_eq!(series().query(), r#"cpu{namespace="n",pod="a\"b"}"#);
    }

    #[test]
    fn a_sample_is_of_a_series_only_with_its_name_and_both_labels() {
        let of = |name: &str, namespace: &str, pod: &str| {
            let labels = [("namespace", namespace), ("pod", pod)];
            series().is_of(&Sample {
                name: name.to_owned(),
                labels: labels.map(|(label, value)| (label.to_owned(), value.to_owned())).into(),
                value: 1.0,
            })
        };
        assert!(of("cpu", "n", "a\"b"));
        assert!(!of("memory", "n", "a\"b"));
        assert!(!of("cpu", "m", "a\"b"));
        assert!(!of("cpu", "n", "a"));
    }

    #[test]
    fn what_prometheus_answers_is_read_and_what_it_refuses_is_told() {
        let found = read_vector(
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"cpu","pod":"p"},"value":[1.5,"2.25"]}]}}"#,
        );
        let sample = &found.unwrap()[0];
        assert_eq!((sample.name.as_str(), sample.labels["pod"].as_str()), ("cpu", "p"));
        assert!((sample.value - 2.25).abs() < f64::EPSILON);
        let none = read_vector(r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#);
        assert!(none.unwrap().is_empty());
        let refused = read_vector(r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#);
        assert_eq!(refused.unwrap_err(), "parse error");
        assert!(read_vector("<html>").unwrap_err().contains("Prometheus server?"));
    }
}
