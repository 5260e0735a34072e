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
