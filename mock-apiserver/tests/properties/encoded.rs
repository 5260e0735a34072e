//! Objects in protobuf: they are what their JSON would be. The model is JSON itself.

use crate::encode::envelope;
use crate::support::*;
use proptest::prelude::*;
use serde_json::{Value, json};

fn quantity() -> impl Strategy<Value = Value> {
    prop::sample::select(vec!["1", "500m", "2Gi", "1500m", "0", "1e3"]).prop_map(Value::from)
}

fn int_or_string() -> impl Strategy<Value = Value> {
    prop_oneof![
        (-5..70_000_i64).prop_map(Value::from),
        "[a-z]{1,4}".prop_map(Value::from)
    ]
}

fn container(name: &'static str) -> impl Strategy<Value = Value> {
    let env = prop::collection::btree_map("[A-Z]{1,3}", ".{0,4}", 0..3);
    let limits = prop::collection::btree_map("cpu|memory", quantity(), 0..2);
    let port = (1..65_000_i64, prop::option::of("TCP|UDP"));
    let probe = prop::option::of((int_or_string(), 0..100_i64));
    let flags = (
        any::<bool>(),
        prop::option::of(any::<bool>()),
        prop::option::of(0..2000_i64),
    );
    (env, limits, prop::option::of(port), probe, flags).prop_map(
        move |(env, limits, port, probe, (stdin, privileged, user))| {
            let env: Vec<Value> = env
                .iter()
                .map(|(name, value)| json!({"name": name, "value": value}))
                .collect();
            let mut container = json!({"name": name, "image": "i", "env": env, "stdin": stdin, "args": ["", "ä"]});
            container["resources"] = json!({ "limits": limits });
            container["securityContext"] = json!({"privileged": privileged, "runAsUser": user});
            container["ports"] = port
                .into_iter()
                .map(|(number, protocol)| json!({"containerPort": number, "protocol": protocol}))
                .collect();
            if let Some((port, delay)) = probe {
                container["livenessProbe"] =
                    json!({"httpGet": {"path": "/", "port": port}, "initialDelaySeconds": delay});
            }
            container
        },
    )
}

fn pods() -> impl Strategy<Value = Value> {
    let labels = prop::collection::btree_map("[a-z]{1,3}", "[a-z0-9]{0,3}", 0..3);
    let seconds = prop::option::of(0..5000_i64);
    (labels, container("a"), prop::option::of(container("b")), seconds, any::<bool>()).prop_map(|(labels, first, second, seconds, host)| {
        let containers: Vec<Value> = [Some(first), second].into_iter().flatten().collect();
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": labels, "annotations": {"a": "b\n"}},
            "spec": {
                "containers": containers, "terminationGracePeriodSeconds": seconds, "hostNetwork": host,
                "tolerations": [{"key": "k", "operator": "Exists", "tolerationSeconds": seconds}],
                "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Gi"}}, {"name": "w", "configMap": {"name": "c", "defaultMode": 420}}],
                "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
                    {"weight": 1, "preference": {"matchExpressions": [{"key": "k", "operator": "In", "values": ["x", "y"]}]}},
                ]}},
            },
        })
    })
}

/// What is drawn anew for each object.
fn without_identity(mut object: Value) -> Value {
    for member in ["uid", "creationTimestamp", "managedFields"] {
        object["metadata"][member].take();
    }
    object
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]
    #[test]
    fn a_pod_in_protobuf_is_the_pod_that_its_json_is(pod in pods()) {
        crate::block_on(async {
            let client = server().client();
            let uri = format!("{PODS}?dryRun=All&fieldValidation=Strict");
            let (code, by_json) = post(&client, &uri, &pod).await;
            let body = envelope("core.v1.Pod", &pod);
            let (other, by_protobuf) = send(&client, "POST", &uri, "application/vnd.kubernetes.protobuf", &body).await;
            prop_assert_eq!(code, other, "{} {}", by_json, by_protobuf);
            prop_assert_eq!(without_identity(by_json), without_identity(by_protobuf));
            Ok(())
        })?;
    }
}
