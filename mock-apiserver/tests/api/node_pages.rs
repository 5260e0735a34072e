//! Pages of nodes, passed on by `…/nodes/{name}/proxy/…`.

use std::sync::Arc;

use futures::future::BoxFuture;
use mock_apiserver::{MockApiServer, NodePageRefused, NodePages, User};
use serde_json::json;

use crate::support::*;

const NODES: &str = "/api/v1/nodes";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

/// Serves `metrics/cadvisor` of every node.
struct Kubelets;

impl NodePages for Kubelets {
    fn page(&self, node: &str, path: &str) -> BoxFuture<'static, Result<String, NodePageRefused>> {
        let page = match path {
            "metrics/cadvisor" => Ok(format!("up{{node=\"{node}\"}} 1\n")),
            _ => Err(NodePageRefused::NoSuchPage),
        };
        Box::pin(async { page })
    }
}

#[tokio::test]
async fn a_page_of_a_node_is_passed_on_as_text() {
    let client = MockApiServer::builder().node_pages(Arc::new(Kubelets)).build().client();
    post(&client, NODES, &json!({"metadata": {"name": "a"}})).await;
    let (code, page) = get(&client, &format!("{NODES}/a/proxy/metrics/cadvisor")).await;
    assert_eq!((code, page), (200, json!("up{node=\"a\"} 1\n")));
    assert_eq!(get(&client, &format!("{NODES}/a/proxy/metrics")).await.0, 404);
    let (code, status) = get(&client, &format!("{NODES}/b/proxy/metrics/cadvisor")).await;
    assert_eq!((code, &status["reason"]), (404, &json!("NotFound")));
}

#[tokio::test]
async fn without_a_source_of_pages_the_server_says_so() {
    let client = server().client();
    post(&client, NODES, &json!({"metadata": {"name": "a"}})).await;
    let (code, status) = get(&client, &format!("{NODES}/a/proxy/metrics/cadvisor")).await;
    assert_eq!(code, 501, "{status}");
}

#[tokio::test]
async fn a_page_of_a_node_takes_the_right_to_its_proxy() {
    let server = MockApiServer::builder().rbac().node_pages(Arc::new(Kubelets)).build();
    let (admin, client) = (server.client(), server.client_as_user(User::new("u")));
    post(&admin, NODES, &json!({"metadata": {"name": "a"}})).await;
    let path = format!("{NODES}/a/proxy/metrics/cadvisor");
    assert_eq!(get(&client, &path).await.0, 403);
    let rules = json!([{"apiGroups": [""], "resources": ["nodes/proxy"], "verbs": ["get"]}]);
    let role = json!({"metadata": {"name": "r"}, "rules": rules});
    post(&admin, &format!("{RBAC}/clusterroles"), &role).await;
    let binding = json!({
        "metadata": {"name": "r"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "r"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "u"}],
    });
    post(&admin, &format!("{RBAC}/clusterrolebindings"), &binding).await;
    assert_eq!(get(&client, &path).await.0, 200);
}
