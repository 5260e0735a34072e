//! Protobuf request bodies, as Go clients send built-in kinds.

use crate::support::*;
use serde_json::json;

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// A length-delimited field.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2, u8::try_from(content.len()).unwrap()];
    bytes.extend(content);
    bytes
}

fn envelope(api_version: &str, kind: &str, message: &[u8]) -> Vec<u8> {
    let type_meta = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
    [b"k8s\0".to_vec(), field(1, &type_meta), field(2, message)].concat()
}

#[tokio::test]
async fn a_protobuf_pod_is_what_its_json_would_be() {
    let client = server().client();
    let labels = field(11, &[field(1, b"app"), field(2, b"x")].concat());
    let metadata = [field(1, b"p"), labels, field(8, &[])].concat();
    let port = [field(1, b"http"), vec![2 << 3, 0], vec![3 << 3, 80]].concat();
    let quantity = field(1, &[field(1, b"cpu"), field(2, &field(1, b"100m"))].concat());
    let container = [field(1, b"a"), field(2, b"img"), field(6, &port), field(8, &quantity)].concat();
    let volume = [field(1, b"v"), field(2, &field(2, &[]))].concat();
    let spec = [field(1, &volume), field(2, &container), vec![4 << 3, 7]].concat();
    let body = envelope(
        "v1",
        "Pod",
        &[field(1, &metadata), field(2, &spec), field(3, &[])].concat(),
    );
    let (code, made) = send(&client, "POST", PODS, PROTOBUF, &body).await;
    assert_eq!(code, 201, "{made}");
    assert_eq!(made["metadata"]["labels"], json!({"app": "x"}));
    let container = &made["spec"]["containers"][0];
    assert_eq!(
        container["ports"],
        json!([{"name": "http", "containerPort": 80, "protocol": "TCP"}])
    );
    assert_eq!(container["resources"]["limits"], json!({"cpu": "100m"}));
    assert_eq!(made["spec"]["volumes"], json!([{"name": "v", "emptyDir": {}}]));
    assert_eq!(made["spec"]["terminationGracePeriodSeconds"], 7);
}

#[tokio::test]
async fn secret_bytes_arrive_as_base64() {
    let client = server().client();
    let data = field(2, &[field(1, b"k"), field(2, b"\xff\x00")].concat());
    let body = envelope("v1", "Secret", &[field(1, &field(1, b"s")), data].concat());
    let (_, made) = send(&client, "POST", "/api/v1/namespaces/default/secrets", PROTOBUF, &body).await;
    assert_eq!((&made["data"]["k"], &made["type"]), (&json!("/wA="), &json!("Opaque")));
}

#[tokio::test]
async fn a_broken_message_is_a_bad_request_and_a_custom_resource_an_unknown_format() {
    let client = server().client();
    let cut = &envelope("v1", "ConfigMap", &field(1, &field(1, b"name")))[..25];
    assert_eq!(send(&client, "POST", MAPS, PROTOBUF, cut).await.0, 400);
    assert_eq!(send(&client, "POST", MAPS, PROTOBUF, b"nonsense").await.0, 400);
    post(&client, CRDS, &widget_crd()).await;
    let body = envelope("example.com/v1", "Widget", &[]);
    assert_eq!(send(&client, "POST", WIDGETS, PROTOBUF, &body).await.0, 415);
}

#[tokio::test]
async fn delete_options_may_be_protobuf_too() {
    let client = server().client();
    post(&client, MAPS, &config_map("a")).await;
    let options = envelope("v1", "DeleteOptions", &field(4, b"Background"));
    assert_eq!(
        send(&client, "DELETE", &format!("{MAPS}/a"), PROTOBUF, &options)
            .await
            .0,
        200
    );
}
