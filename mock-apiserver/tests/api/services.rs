//! Services and their addresses.

use crate::support::*;
use serde_json::json;

const SERVICES: &str = "/api/v1/namespaces/default/services";

#[tokio::test]
async fn the_address_of_a_service_cannot_be_changed() {
    let client = server().client();
    let service = json!({"metadata": {"name": "a"}, "spec": {"ports": [{"port": 80}]}});
    let (_, made) = post(&client, SERVICES, &service).await;
    let address = &made["spec"]["clusterIP"];
    assert!(address.is_string());
    for change in [
        json!({"clusterIP": "10.96.9.9"}),
        json!({"clusterIP": "None"}),
        json!({"clusterIP": "10.96.9.9", "clusterIPs": ["10.96.9.9"]}),
    ] {
        let (code, refused) = merge(&client, &format!("{SERVICES}/a"), &json!({"spec": change})).await;
        assert_eq!((code, &refused["reason"]), (422, &json!("Invalid")), "{change}");
        assert_eq!(refused["details"]["causes"][0]["field"], "spec.clusterIPs[0]");
    }
    let (_, kept) = put(&client, &format!("{SERVICES}/a"), &service).await;
    assert_eq!(&kept["spec"]["clusterIP"], address);
}

#[tokio::test]
async fn an_external_name_takes_the_address_away_and_its_end_gives_one() {
    let client = server().client();
    post(
        &client,
        SERVICES,
        &json!({"metadata": {"name": "a"}, "spec": {"ports": [{"port": 80}]}}),
    )
    .await;
    let external = json!({"spec": {"type": "ExternalName", "externalName": "example.org"}});
    let (code, named) = merge(&client, &format!("{SERVICES}/a"), &external).await;
    assert_eq!((code, named["spec"].get("clusterIP")), (200, None));
    let internal = json!({"spec": {"type": "ClusterIP", "externalName": null}});
    let (code, addressed) = merge(&client, &format!("{SERVICES}/a"), &internal).await;
    assert_eq!(code, 200);
    assert_eq!(addressed["spec"]["clusterIPs"], json!([addressed["spec"]["clusterIP"]]));
    assert!(addressed["spec"]["clusterIP"].is_string());
}

fn exposed(name: &str, port: &serde_json::Value) -> serde_json::Value {
    json!({"metadata": {"name": name}, "spec": {"type": "NodePort", "ports": [port]}})
}

#[tokio::test]
async fn ports_of_nodes_and_addresses_are_of_one_service_each() {
    let client = server().client();
    let port = |number: u64| json!({"port": 80, "nodePort": number});
    let (code, made) = post(&client, SERVICES, &exposed("a", &port(30080))).await;
    assert_eq!(code, 201, "{made}");
    let address = made["spec"]["clusterIP"].as_str().unwrap();
    let taken =
        format!("Invalid value: [{address:?}]: failed to allocate IP {address}: provided IP is already allocated");
    for (object, field, message) in [
        (
            exposed("b", &port(30080)),
            "spec.ports[0].nodePort",
            "Invalid value: 30080: provided port is already allocated",
        ),
        (
            exposed("b", &port(80)),
            "spec.ports[0].nodePort",
            "Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-32767",
        ),
        (
            json!({"metadata": {"name": "b"}, "spec": {"clusterIP": address, "ports": [{"port": 80}]}}),
            "spec.clusterIPs",
            &taken,
        ),
        (
            json!({"metadata": {"name": "b"}, "spec": {"ports": [port(30081)]}}),
            "spec.ports[0].nodePort",
            "Forbidden: may not be used when `type` is 'ClusterIP'",
        ),
    ] {
        let (code, body) = post(&client, SERVICES, &object).await;
        let cause = &body["details"]["causes"][0];
        assert_eq!(
            (code, &cause["field"], &cause["message"]),
            (422, &json!(field), &json!(message)),
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_service_may_have_its_own_port_again_and_headless_ones_have_no_address_to_share() {
    let client = server().client();
    let port = json!({"port": 80, "nodePort": 30080});
    post(&client, SERVICES, &exposed("a", &port)).await;
    let change = json!({"spec": {"ports": [port]}});
    let (code, again) = merge(&client, &format!("{SERVICES}/a"), &change).await;
    assert_eq!(code, 200, "{again}");
    let (_, other) = post(&client, SERVICES, &exposed("b", &json!({"port": 80}))).await;
    assert_eq!(other["spec"]["ports"][0]["nodePort"], 30000);
    let (code, body) = merge(&client, &format!("{SERVICES}/b"), &change).await;
    assert_eq!(code, 422, "{body}");
    for name in ["c", "d"] {
        let headless = json!({"metadata": {"name": name}, "spec": {"clusterIP": "None"}});
        assert_eq!(post(&client, SERVICES, &headless).await.0, 201);
    }
}

#[tokio::test]
async fn a_service_that_nodes_do_not_show_any_more_gives_their_ports_back() {
    let client = server().client();
    post(
        &client,
        SERVICES,
        &exposed("a", &json!({"port": 80, "nodePort": 30080})),
    )
    .await;
    let inside = json!({"spec": {"type": "ClusterIP"}});
    let (code, changed) = merge(&client, &format!("{SERVICES}/a"), &inside).await;
    assert_eq!((code, changed["spec"]["ports"][0].get("nodePort")), (200, None));
    let (code, _) = post(
        &client,
        SERVICES,
        &exposed("b", &json!({"port": 80, "nodePort": 30080})),
    )
    .await;
    assert_eq!(code, 201);
}
