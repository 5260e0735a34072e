//! The types of built-in kinds: what is refused, what is left out, and what OpenAPI says of them.

use crate::support::*;
use serde_json::{Value, json};

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

fn deployment(name: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "a", "image": "img"}]}},
        },
    })
}

#[tokio::test]
async fn unknown_fields_of_built_in_kinds_are_left_out_with_a_warning_or_refused() {
    let client = server().client();
    let mut object = deployment("d");
    object["spec"]["replica"] = json!(2);
    object["spec"]["template"]["spec"]["containers"][0]["imagee"] = json!("x");
    let (code, body) = post(&client, &format!("{DEPLOYMENTS}?fieldValidation=Strict"), &object).await;
    assert_eq!(code, 400);
    assert_eq!(
        body["message"],
        "Deployment in version \"v1\" cannot be handled as a Deployment: strict decoding error: \
         unknown field \"spec.replica\", unknown field \"spec.template.spec.containers[0].imagee\""
    );
    let request = http::Request::post(DEPLOYMENTS)
        .header("content-type", "application/json")
        .body(kube::client::Body::from(object.to_string().into_bytes()))
        .unwrap();
    let response = client.send(request).await.unwrap();
    let warnings: Vec<_> = response.headers().get_all("warning").iter().collect();
    assert_eq!(
        warnings,
        [
            "299 - \"unknown field \\\"spec.replica\\\"\"",
            "299 - \"unknown field \\\"spec.template.spec.containers[0].imagee\\\"\"",
        ]
    );
    let (_, stored) = get(&client, &format!("{DEPLOYMENTS}/d")).await;
    assert_eq!(stored["spec"].get("replica"), None);
}

#[tokio::test]
async fn bytes_that_are_not_base64_are_refused_in_whatever_way_they_are_sent() {
    const SECRETS: &str = "/api/v1/namespaces/default/secrets";
    let client = server().client();
    let secret =
        |value: &str| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "data": {"k": value}});
    let (code, made) = post(&client, SECRETS, &secret("aGVs\r\nbG8=")).await;
    assert_eq!((code, &made["data"]["k"]), (201, &json!("aGVsbG8=")));
    let path = format!("{SECRETS}/a");
    let body = secret("hello world").to_string();
    for (method, path, content_type) in [
        ("POST", SECRETS, "application/json"),
        ("POST", SECRETS, "application/yaml"),
        ("PUT", path.as_str(), "application/json"),
        ("PATCH", &path, "application/merge-patch+json"),
        ("PATCH", &path, "application/strategic-merge-patch+json"),
        (
            "PATCH",
            &format!("{path}?fieldManager=m"),
            "application/apply-patch+yaml",
        ),
    ] {
        let (code, refused) = send(&client, method, path, content_type, body.as_bytes()).await;
        assert_eq!(code, 400, "{method} of {content_type}");
        assert_eq!(
            refused["message"],
            "Secret in version \"v1\" cannot be handled as a Secret: illegal base64 data at input byte 5"
        );
    }
    let mut map = config_map("a");
    map["binaryData"] = json!({"b": "YQ"});
    let (code, refused) = post(&client, MAPS, &map).await;
    assert_eq!(code, 400);
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .ends_with("illegal base64 data at input byte 0")
    );
}

#[tokio::test]
async fn a_null_among_texts_is_an_empty_text() {
    let client = server().client();
    let mut map = config_map("a");
    map["metadata"]["labels"] = json!({"l": null});
    map["data"] = json!({"k": null});
    map["binaryData"] = json!({"b": null});
    let (code, made) = post(&client, MAPS, &map).await;
    assert_eq!(code, 201, "{made}");
    assert_eq!(
        (&made["metadata"]["labels"], &made["data"], &made["binaryData"]),
        (&json!({"l": ""}), &json!({"k": ""}), &json!({"b": ""}))
    );
}

#[tokio::test]
async fn repeated_fields_are_refused_or_warned_of_and_the_last_counts() {
    let client = server().client();
    let body = br#"{"metadata": {"name": "a"}, "data": {"k": "1", "k": "2"}, "immutable": false, "immutable": true}"#;
    let json = "application/json";
    let (code, refused) = send(&client, "POST", &format!("{MAPS}?fieldValidation=Strict"), json, body).await;
    assert_eq!(code, 400);
    assert_eq!(
        refused["message"],
        "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: \
         duplicate field \"data.k\", duplicate field \"immutable\""
    );
    let (code, made) = send(&client, "POST", MAPS, json, body).await;
    assert_eq!(
        (code, &made["data"]["k"], &made["immutable"]),
        (201, &json!("2"), &json!(true))
    );
}

#[tokio::test]
async fn values_of_another_type_are_refused() {
    let client = server().client();
    let mut object = deployment("d");
    object["spec"]["replicas"] = json!("3");
    let (code, body) = post(&client, DEPLOYMENTS, &object).await;
    assert_eq!(code, 400);
    assert_eq!(
        body["message"],
        "Deployment in version \"v1\" cannot be handled as a Deployment: \
         json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"
    );
}

#[tokio::test]
async fn an_event_shows_the_fields_of_the_version_it_is_asked_in() {
    let client = server().client();
    let event = json!({
        "metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
        "reason": "R", "message": "m", "type": "Normal", "source": {"component": "c"}, "count": 1,
    });
    let path = "/api/v1/namespaces/default/events";
    let (code, made) = post(&client, path, &event).await;
    assert_eq!((code, made.get("note")), (201, None));
    let (_, newer) = get(&client, "/apis/events.k8s.io/v1/namespaces/default/events/e").await;
    assert_eq!((&newer["note"], newer.get("message")), (&json!("m"), None));
    let strict = format!("{path}/e?fieldValidation=Strict");
    let (code, body) = merge(&client, &strict, &json!({"count": 2})).await;
    assert_eq!(code, 200, "{body}");
}

#[tokio::test]
async fn openapi_describes_every_served_kind_and_resolves_every_reference() {
    let client = server().client();
    let (_, index) = get(&client, "/openapi/v3").await;
    let mut kinds = 0;
    for (path, entry) in index["paths"].as_object().unwrap() {
        let (code, document) = get(&client, entry["serverRelativeURL"].as_str().unwrap()).await;
        assert_eq!(code, 200, "{path}");
        let schemas = document["components"]["schemas"].as_object().unwrap();
        for reference in document.to_string().split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(schemas.contains_key(name), "{path}: {name}");
        }
        let (_, listed) = get(&client, &format!("/{path}")).await;
        for resource in listed["resources"].as_array().unwrap() {
            let kind = &resource["kind"];
            let own = !resource["name"].as_str().unwrap().contains('/');
            let described = schemas.values().find(|schema| {
                schema["x-kubernetes-group-version-kind"]
                    .as_array()
                    .is_some_and(|list| list[0]["kind"] == *kind)
            });
            assert!(
                !own || described.is_some_and(|schema| schema["description"].is_string()),
                "{path}: {kind}"
            );
            kinds += usize::from(own);
        }
    }
    assert!(kinds >= 50, "{kinds}");
}

#[tokio::test]
async fn openapi_says_how_the_lists_of_a_pod_merge() {
    let client = server().client();
    let (_, document) = get(&client, "/openapi/v3/api/v1").await;
    let schemas = &document["components"]["schemas"];
    let containers = &schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
    assert_eq!(containers["x-kubernetes-patch-strategy"], "merge");
    assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
    assert_eq!(containers["x-kubernetes-list-map-keys"], json!(["name"]));
    assert!(containers["description"].as_str().unwrap().contains("containers"));
    assert_eq!(schemas["io.k8s.api.core.v1.PodSpec"]["required"], json!(["containers"]));
    let policy = &schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["restartPolicy"];
    assert_eq!(policy["enum"], json!(["Always", "Never", "OnFailure"]));
}

#[tokio::test]
async fn openapi_v2_is_sent_as_json_or_protobuf_and_in_no_other_form() {
    let client = server().client();
    let (code, document) = get(&client, "/openapi/v2").await;
    assert_eq!((code, &document["swagger"]), (200, &json!("2.0")));
    let pod = &document["definitions"]["io.k8s.api.core.v1.Pod"]["properties"]["spec"];
    assert_eq!(pod["$ref"], "#/definitions/io.k8s.api.core.v1.PodSpec");
    let protobuf = |separator| format!("application/com.github.proto-openapi.spec.v2{separator}v1.0+protobuf");
    for (accept, status, sent) in [
        (protobuf('@'), 200, protobuf('.')),
        ("text/html".to_owned(), 406, "application/json".to_owned()),
    ] {
        let request = http::Request::get("/openapi/v2")
            .header("accept", accept)
            .body(kube::client::Body::empty())
            .unwrap();
        let response = client.send(request).await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-type"]),
            (status, &sent.parse().unwrap())
        );
    }
}

/// As kubectl shows it of a pod in a cluster: no struct is anybody's, nor what admission and the registry fill in.
#[tokio::test]
async fn the_creator_of_a_pod_owns_what_they_said_and_its_defaults_only() {
    let client = server().client();
    let container = json!({"name": "c", "image": "i", "resources": {"limits": {"cpu": "1000m", "memory": "1024Mi"}}});
    let pod =
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [container]}});
    let (code, made) = post(&client, PODS, &pod).await;
    assert_eq!(code, 201, "{made}");
    let limits = json!({"cpu": "1", "memory": "1Gi"});
    assert_eq!(made["spec"]["containers"][0]["resources"]["limits"], limits);
    let fields = &made["metadata"]["managedFields"][0]["fieldsV1"];
    let spec = fields["f:spec"].as_object().unwrap();
    let owned: Vec<&str> = spec.keys().map(String::as_str).collect();
    let expected = [
        "f:containers",
        "f:dnsPolicy",
        "f:enableServiceLinks",
        "f:restartPolicy",
        "f:schedulerName",
        "f:securityContext",
        "f:terminationGracePeriodSeconds",
    ];
    assert_eq!(owned, expected);
    let containers = spec["f:containers"].as_object().unwrap();
    assert_eq!(containers.keys().collect::<Vec<_>>(), ["k:{\"name\":\"c\"}"]);
    assert_eq!(fields.as_object().unwrap().len(), 1);
}

#[tokio::test]
async fn values_of_secrets_and_config_maps_have_a_mebibyte_and_no_more() {
    let client = server().client();
    let text = |bytes: usize| "x".repeat(bytes);
    for (kind, path, named) in [
        ("ConfigMap", MAPS, "[]"),
        ("Secret", "/api/v1/namespaces/default/secrets", "data"),
    ] {
        let object = |name: &str, bytes: usize| {
            let value = if kind == "Secret" {
                json!({})
            } else {
                json!({"a": text(bytes)})
            };
            let plain = if kind == "Secret" {
                json!({"a": text(bytes)})
            } else {
                json!({})
            };
            json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, "data": value, "stringData": plain})
        };
        assert_eq!(post(&client, path, &object("fits", 1024 * 1024)).await.0, 201, "{kind}");
        let (code, refused) = post(&client, path, &object("not", 1024 * 1024 + 1)).await;
        assert_eq!(
            (code, &refused["details"]["causes"][0]["field"]),
            (422, &json!(named)),
            "{kind}"
        );
    }
}

#[tokio::test]
async fn a_review_has_no_table() {
    let client = server().client();
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}},
    });
    let request = http::Request::post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")
        .header("content-type", "application/json")
        .header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
        .body(kube::client::Body::from(review.to_string().into_bytes()))
        .unwrap();
    assert_eq!(client.send(request).await.unwrap().status(), 406);
}

#[tokio::test]
async fn who_has_the_discovery_already_is_told_so() {
    let server = server();
    let client = server.client();
    let ask = async |known: String| {
        let request = http::Request::get("/apis")
            .header(
                "accept",
                "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
            )
            .header("if-none-match", known)
            .body(kube::client::Body::empty())
            .unwrap();
        let response = client.send(request).await.unwrap();
        let tag = response.headers()["etag"].to_str().unwrap().to_owned();
        (response.status().as_u16(), tag)
    };
    let (code, tag) = ask(String::new()).await;
    assert_eq!(code, 200);
    assert_eq!(ask(tag.clone()).await, (304, tag.clone()));
    assert_eq!(post(&client, CRDS, &widget_crd()).await.0, 201);
    let (code, other) = ask(tag.clone()).await;
    assert_eq!(code, 200);
    assert_ne!(other, tag);
}
