//! What is left undone when a stand-in is switched off, for another program to do.

use crate::support::*;
use kube::Client;
use mock_apiserver::{MockApiServer, StandIn};
use serde_json::json;

const NAMESPACE: &str = "/api/v1/namespaces/n";
const INSIDE: &str = "/api/v1/namespaces/n/configmaps";

fn without(stand_in: StandIn) -> Client {
    MockApiServer::builder().seed(1).without(stand_in).build().client()
}

async fn leaving_namespace(client: &Client) {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}});
    post(client, "/api/v1/namespaces", &namespace).await;
    post(client, INSIDE, &config_map("a")).await;
    let (_, leaving) = delete(client, NAMESPACE, &json!({})).await;
    assert_eq!(leaving["status"]["phase"], "Terminating");
}

#[tokio::test]
async fn without_the_namespace_controller_a_namespace_terminates_until_it_is_finalized() {
    let client = without(StandIn::NamespaceController);
    leaving_namespace(&client).await;
    assert_eq!(get(&client, &format!("{INSIDE}/a")).await.0, 200);
    let (_, mut namespace) = get(&client, NAMESPACE).await;
    assert_eq!(namespace["spec"]["finalizers"], json!(["kubernetes"]));
    assert_eq!(delete(&client, &format!("{INSIDE}/a"), &json!({})).await.0, 200);
    assert_eq!(get(&client, NAMESPACE).await.0, 200);

    namespace["spec"]["finalizers"] = json!([]);
    assert_eq!(put(&client, &format!("{NAMESPACE}/finalize"), &namespace).await.0, 200);
    assert_eq!(get(&client, NAMESPACE).await.0, 404);
}

#[tokio::test]
async fn a_finalizer_of_its_metadata_keeps_a_finalized_namespace() {
    let client = without(StandIn::NamespaceController);
    leaving_namespace(&client).await;
    let hold = json!({"metadata": {"finalizers": ["example.com/hold"]}});
    assert_eq!(
        merge(&client, NAMESPACE, &hold).await.0,
        422,
        "none is added at the end"
    );
    let client = without(StandIn::NamespaceController);
    let kept = json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n", "finalizers": ["example.com/hold"]},
    });
    post(&client, "/api/v1/namespaces", &kept).await;
    let (_, mut namespace) = delete(&client, NAMESPACE, &json!({})).await;
    namespace["spec"]["finalizers"] = json!([]);
    put(&client, &format!("{NAMESPACE}/finalize"), &namespace).await;
    assert_eq!(get(&client, NAMESPACE).await.0, 200);
    merge(&client, NAMESPACE, &json!({"metadata": {"finalizers": null}})).await;
    assert_eq!(get(&client, NAMESPACE).await.0, 404);
}

#[tokio::test]
async fn without_the_garbage_collector_dependents_and_its_finalizers_stay() {
    let client = without(StandIn::GarbageCollector);
    let (_, owner) = post(&client, MAPS, &config_map("owner")).await;
    let mut child = config_map("child");
    child["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"],
    }]);
    post(&client, MAPS, &child).await;
    let foreground = json!({"propagationPolicy": "Foreground"});
    let (_, waiting) = delete(&client, &format!("{MAPS}/owner"), &foreground).await;
    assert_eq!(waiting["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    let freed = json!({"metadata": {"finalizers": null}});
    assert_eq!(merge(&client, &format!("{MAPS}/owner"), &freed).await.0, 200);
    assert_eq!(get(&client, &format!("{MAPS}/owner")).await.0, 404);
    assert_eq!(get(&client, &format!("{MAPS}/child")).await.0, 200);
}

#[tokio::test]
async fn a_switched_off_stand_in_leaves_the_others_at_work() {
    let client = without(StandIn::GarbageCollector);
    leaving_namespace(&client).await;
    assert_eq!(get(&client, NAMESPACE).await.0, 404);
}
