//! Policies in CEL: whom they are about, what they refuse, and in which words.

use crate::support::*;
use kube::Client;
use serde_json::{Value, json};

const API: &str = "/apis/admissionregistration.k8s.io/v1";

/// A policy on config maps and a binding of it.
async fn policy(client: &Client, spec: Value, binding: Value) {
    let mut full = json!({
        "matchConstraints": {"resourceRules": [{
            "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE", "DELETE"], "resources": ["configmaps"],
        }]},
    });
    let mut bound = json!({"policyName": "p", "validationActions": ["Deny"]});
    for (target, source) in [(&mut full, spec), (&mut bound, binding)] {
        for (member, value) in source.as_object().into_iter().flatten() {
            target[member] = value.clone();
        }
    }
    for (plural, name, spec) in [
        ("validatingadmissionpolicies", "p", full),
        ("validatingadmissionpolicybindings", "b", bound),
    ] {
        let object = json!({"metadata": {"name": name}, "spec": spec});
        let (code, made) = post(client, &format!("{API}/{plural}"), &object).await;
        assert_eq!(code, 201, "{made}");
    }
}

fn with_data(name: &str, value: &str) -> Value {
    json!({"metadata": {"name": name}, "data": {"k": value}})
}

#[tokio::test]
async fn what_a_policy_rules_out_is_refused_in_the_words_of_the_real_server() {
    let client = server().client();
    let spec = json!({"validations": [
        {"expression": "request.operation == 'DELETE' || size(object.data.k) < 4"},
        {"expression": "request.operation != 'DELETE'", "message": "they stay", "reason": "Forbidden"},
    ]});
    policy(&client, spec, json!({})).await;
    assert_eq!(post(&client, MAPS, &with_data("a", "abc")).await.0, 201);
    let (code, refused) = post(&client, MAPS, &with_data("b", "abcd")).await;
    assert_eq!((code, &refused["reason"]), (422, &json!("Invalid")));
    assert_eq!(
        refused["message"],
        "configmaps \"b\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: \
         failed expression: request.operation == 'DELETE' || size(object.data.k) < 4"
    );
    let (code, refused) = delete(&client, &format!("{MAPS}/a"), &json!({})).await;
    assert_eq!((code, &refused["reason"]), (403, &json!("Forbidden")));
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .ends_with("denied request: they stay")
    );
    assert_eq!(get(&client, &format!("{MAPS}/a")).await.0, 200);
}

#[tokio::test]
async fn a_policy_compares_with_what_was_and_composes_its_message() {
    let client = server().client();
    let spec = json!({
        "variables": [{"name": "before", "expression": "oldObject == null ? 'none' : oldObject.data.k"}],
        "validations": [{
            "expression": "oldObject == null || object.data.k == variables.before",
            "messageExpression": "'it was ' + variables.before",
        }],
    });
    policy(&client, spec, json!({})).await;
    assert_eq!(post(&client, MAPS, &with_data("a", "x")).await.0, 201);
    let (code, refused) = merge(&client, &format!("{MAPS}/a"), &json!({"data": {"k": "y"}})).await;
    assert_eq!(code, 422);
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .ends_with("denied request: it was x"),
        "{refused}"
    );
}

#[tokio::test]
async fn parameters_selectors_and_conditions_narrow_a_policy() {
    let client = server().client();
    let spec = json!({
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "matchConditions": [{"name": "not-the-limit", "expression": "object.metadata.name != 'limit'"}],
        "validations": [{"expression": "size(object.data.k) <= int(params.data.most)"}],
    });
    let binding = json!({
        "paramRef": {"name": "limit", "namespace": "default", "parameterNotFoundAction": "Deny"},
        "matchResources": {"objectSelector": {"matchExpressions": [{"key": "free", "operator": "DoesNotExist"}]}},
    });
    policy(&client, spec, binding).await;
    let (code, refused) = post(&client, MAPS, &with_data("a", "x")).await;
    assert_eq!(code, 422);
    assert!(
        refused["message"].as_str().unwrap().contains("no params found"),
        "{refused}"
    );
    let mut limit = json!({"metadata": {"name": "limit", "labels": {"free": "yes"}}, "data": {"most": "2"}});
    assert_eq!(post(&client, MAPS, &limit).await.0, 201);
    assert_eq!(post(&client, MAPS, &with_data("a", "xx")).await.0, 201);
    assert_eq!(post(&client, MAPS, &with_data("b", "xxx")).await.0, 422);
    limit["metadata"]["name"] = "free".into();
    limit["data"]["k"] = "far too long".into();
    assert_eq!(post(&client, MAPS, &limit).await.0, 201);
}

#[tokio::test]
async fn a_binding_that_only_warns_lets_pass() {
    let client = server().client();
    let spec = json!({"validations": [{"expression": "false", "message": "no"}]});
    policy(&client, spec, json!({"validationActions": ["Warn"]})).await;
    let request = http::Request::post(MAPS).header("content-type", "application/json");
    let body = with_data("a", "x").to_string().into_bytes();
    let response = client
        .send(request.body(kube::client::Body::from(body)).unwrap())
        .await
        .unwrap();
    assert_eq!(response.status(), 201);
    assert_eq!(
        response.headers()["warning"],
        "299 - \"Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': no\""
    );
}

#[tokio::test]
async fn an_expression_that_fails_refuses_unless_failures_are_ignored() {
    for (failure_policy, expected) in [("Fail", 422), ("Ignore", 201)] {
        let client = server().client();
        let spec = json!({"failurePolicy": failure_policy, "validations": [{"expression": "object.absent.x == 1"}]});
        policy(&client, spec, json!({})).await;
        assert_eq!(
            post(&client, MAPS, &with_data("a", "x")).await.0,
            expected,
            "{failure_policy}"
        );
    }
    let client = server().client();
    let broken = json!({"metadata": {"name": "p"}, "spec": {"validations": [{"expression": "object."}]}});
    let (code, refused) = post(&client, &format!("{API}/validatingadmissionpolicies"), &broken).await;
    assert_eq!(code, 422);
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .contains("spec.validations[0].expression: Invalid value"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_policy_without_a_binding_and_one_that_is_gone_refuse_nothing() {
    let client = server().client();
    policy(&client, json!({"validations": [{"expression": "false"}]}), json!({})).await;
    assert_eq!(post(&client, MAPS, &with_data("a", "x")).await.0, 422);
    let path = format!("{API}/validatingadmissionpolicybindings/b");
    assert_eq!(delete(&client, &path, &json!({})).await.0, 200);
    assert_eq!(post(&client, MAPS, &with_data("a", "x")).await.0, 201);
}
