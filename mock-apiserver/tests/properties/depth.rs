//! Objects that nest deeply.

use crate::support::*;
use serde_json::{Value, json};

fn nested(levels: usize) -> Value {
    (0..levels).fold(json!("leaf"), |inner, _| json!({ "a": inner }))
}

/// A deep object would be stored, and could not be read again.
#[tokio::test]
async fn an_object_that_grows_too_deep_by_patches_is_refused_and_stays_as_it_was() {
    let server = server();
    let client = server.client();
    post(&client, CRDS, &widget_crd()).await;
    post(&client, WIDGETS, &widget("deep")).await;
    let status = format!("{WIDGETS}/deep/status");
    let (code, _) = merge(&client, &status, &json!({"status": nested(60)})).await;
    assert_eq!(code, 200);
    let before = server.revision();
    let patch = json!([{"op": "add", "path": format!("/status{}", "/a".repeat(50)), "value": nested(60)}]);
    let body = patch.to_string();
    let (code, refused) = send(
        &client,
        "PATCH",
        &status,
        "application/json-patch+json",
        body.as_bytes(),
    )
    .await;
    assert_eq!((code, &refused["kind"]), (400, &json!("Status")), "{refused}");
    assert_eq!(server.revision(), before);
    let (_, kept) = get(&client, &format!("{WIDGETS}/deep")).await;
    assert_eq!(kept["status"], nested(60));
}
