//! What the server fills in and refuses, kind by kind. The tables have one row for each behaviour.

use crate::support::*;
use serde_json::{Value, json};

const APPS: &str = "/apis/apps/v1/namespaces/default";
const BATCH: &str = "/apis/batch/v1/namespaces/default";
const CORE: &str = "/api/v1/namespaces/default";

fn template(policy: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": "a"}},
        "spec": {"restartPolicy": policy, "containers": [{"name": "c", "image": "img"}]},
    })
}

fn named(spec: &Value) -> Value {
    json!({"metadata": {"name": "a"}, "spec": spec})
}

/// A workload that chooses its own pods, with more in its spec.
fn workload(more: &Value) -> Value {
    let mut spec = json!({"selector": {"matchLabels": {"app": "a"}}, "template": template("Always")});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    named(&spec)
}

fn job(more: &Value) -> Value {
    let mut spec = json!({"template": template("Never")});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    named(&spec)
}

fn claim() -> Value {
    named(&json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}))
}

fn volume() -> Value {
    named(&json!({"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/x"}}))
}

/// Everything of `part` is in `whole`, too.
fn holds(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => part
            .iter()
            .all(|(key, value)| whole.get(key).is_some_and(|found| holds(found, value))),
        (Value::Array(whole), Value::Array(part)) => {
            whole.len() == part.len() && whole.iter().zip(part).all(|(whole, part)| holds(whole, part))
        }
        _ => whole == part,
    }
}

/// Where an object goes, the object, and what it has then.
#[expect(clippy::too_many_lines, reason = "a table, one row for each kind")]
fn defaulted() -> Vec<(String, Value, Value)> {
    let pod_spec = json!({
        "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler", "terminationGracePeriodSeconds": 30,
        "securityContext": {},
        "containers": [{"imagePullPolicy": "Always", "terminationMessagePath": "/dev/termination-log", "resources": {}}],
    });
    vec![
        (
            format!("{APPS}/deployments"),
            workload(&json!({})),
            json!({"metadata": {"generation": 1}, "status": {}, "spec": {
                "replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
                "template": {"spec": pod_spec},
            }}),
        ),
        (
            format!("{APPS}/replicasets"),
            workload(&json!({})),
            json!({"spec": {"replicas": 1}, "status": {"replicas": 0}}),
        ),
        (
            format!("{APPS}/statefulsets"),
            workload(&json!({"serviceName": "s", "volumeClaimTemplates": [claim()]})),
            json!({"spec": {
                "podManagementPolicy": "OrderedReady",
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
                "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
                "volumeClaimTemplates": [{"spec": {"volumeMode": "Filesystem"}, "status": {"phase": "Pending"}}],
            }}),
        ),
        (
            format!("{APPS}/daemonsets"),
            workload(&json!({})),
            json!({
                "spec": {"updateStrategy": {"rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}},
                "status": {"numberReady": 0},
            }),
        ),
        (
            format!("{BATCH}/jobs"),
            job(&json!({})),
            json!({"metadata": {"labels": {"app": "a"}}, "spec": {
                "completions": 1, "parallelism": 1, "backoffLimit": 6, "completionMode": "NonIndexed", "suspend": false,
                "podReplacementPolicy": "TerminatingOrFailed", "template": {"metadata": {"labels": {"job-name": "a"}}},
            }}),
        ),
        (
            format!("{BATCH}/cronjobs"),
            named(&json!({"schedule": "* * * * *", "jobTemplate": {"spec": {"template": template("OnFailure")}}})),
            json!({"spec": {
                "concurrencyPolicy": "Allow", "suspend": false, "successfulJobsHistoryLimit": 3, "failedJobsHistoryLimit": 1,
                "jobTemplate": {"spec": {"template": {"spec": pod_spec}}},
            }}),
        ),
        (
            format!("{CORE}/replicationcontrollers"),
            named(&json!({"template": template("Always")})),
            json!({"metadata": {"labels": {"app": "a"}}, "spec": {"replicas": 1, "selector": {"app": "a"}}}),
        ),
        (
            format!("{CORE}/services"),
            named(&json!({"type": "NodePort", "sessionAffinity": "ClientIP", "ports": [{"port": 80}]})),
            json!({"spec": {
                "externalTrafficPolicy": "Cluster", "internalTrafficPolicy": "Cluster", "ipFamilies": ["IPv4"],
                "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}},
                "ports": [{"nodePort": 30000, "protocol": "TCP", "targetPort": 80}],
            }, "status": {"loadBalancer": {}}}),
        ),
        (
            format!("{CORE}/persistentvolumeclaims"),
            claim(),
            json!({"spec": {"volumeMode": "Filesystem"}, "status": {"phase": "Pending"}}),
        ),
        (
            "/api/v1/persistentvolumes".to_owned(),
            volume(),
            json!({"spec": {"volumeMode": "Filesystem", "persistentVolumeReclaimPolicy": "Retain"}}),
        ),
        (
            "/apis/storage.k8s.io/v1/storageclasses".to_owned(),
            json!({"metadata": {"name": "a"}, "provisioner": "p"}),
            json!({"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"}),
        ),
        (
            "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies".to_owned(),
            named(&json!({"podSelector": {}, "egress": [{"ports": [{"port": 53}]}]})),
            json!({"spec": {"policyTypes": ["Ingress", "Egress"], "egress": [{"ports": [{"protocol": "TCP"}]}]}}),
        ),
        (
            "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings".to_owned(),
            json!({
                "metadata": {"name": "a"}, "roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "u"}],
            }),
            json!({"roleRef": {"apiGroup": "rbac.authorization.k8s.io"}, "subjects": [{"apiGroup": "rbac.authorization.k8s.io"}]}),
        ),
        (
            "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers".to_owned(),
            named(&json!({"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "d"}})),
            json!({"spec": {"minReplicas": 1}, "status": {"desiredReplicas": 0}}),
        ),
        (
            "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices".to_owned(),
            json!({"metadata": {"name": "a"}, "addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 1}]}),
            json!({"metadata": {"generation": 1}, "ports": [{"name": "", "protocol": "TCP"}]}),
        ),
        (
            "/apis/scheduling.k8s.io/v1/priorityclasses".to_owned(),
            json!({"metadata": {"name": "a"}, "value": 1}),
            json!({"preemptionPolicy": "PreemptLowerPriority"}),
        ),
        (
            format!("{CORE}/pods"),
            named(&json!({
                "volumes": [{"name": "e"}, {"name": "s", "secret": {"secretName": "x"}}], "hostNetwork": true,
                "containers": [{
                    "name": "c", "image": "img:1", "ports": [{"containerPort": 8}], "livenessProbe": {"httpGet": {"port": 8}},
                    "resources": {"limits": {"cpu": "1"}}, "env": [{"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                }],
            })),
            json!({"spec": {
                "enableServiceLinks": true, "serviceAccount": "default",
                "volumes": [{"emptyDir": {}}, {"secret": {"defaultMode": 420}}],
                "containers": [{
                    "imagePullPolicy": "IfNotPresent", "ports": [{"hostPort": 8, "protocol": "TCP"}],
                    "livenessProbe": {"periodSeconds": 10, "httpGet": {"path": "/", "scheme": "HTTP"}},
                    "resources": {"requests": {"cpu": "1"}}, "env": [{"valueFrom": {"fieldRef": {"apiVersion": "v1"}}}],
                }],
            }, "status": {"qosClass": "Burstable"}}),
        ),
    ]
}

#[tokio::test]
async fn objects_get_the_defaults_of_their_kind() {
    let client = server().client();
    for (path, object, expected) in defaulted() {
        let (code, made) = post(&client, &path, &object).await;
        assert_eq!(code, 201, "{path}: {made}");
        assert!(holds(&made, &expected), "{path}: {made}");
        // What controllers do all day: writing back what they have read changes nothing.
        let (_, again) = put(&client, &format!("{path}/a"), &made).await;
        assert_eq!(
            again["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"],
            "{path}: {again}"
        );
    }
}

/// Where an object goes, the object, the field it is refused for, and the message about that.
#[expect(clippy::too_many_lines, reason = "a table, one row for each rule")]
fn refused() -> Vec<(String, Value, &'static str, &'static str)> {
    let deployments = || format!("{APPS}/deployments");
    let (jobs, services) = (|| format!("{BATCH}/jobs"), || format!("{CORE}/services"));
    vec![
        (
            deployments(),
            named(&json!({"template": template("Always")})),
            "spec.selector",
            "Required value",
        ),
        (
            deployments(),
            workload(&json!({"selector": {"matchLabels": {"app": "b"}}})),
            "spec.template.metadata.labels",
            "Invalid value: {\"app\":\"a\"}: `selector` does not match template `labels`",
        ),
        (
            deployments(),
            workload(&json!({"selector": {}})),
            "spec.selector",
            "Invalid value: {}: empty selector is invalid for deployment",
        ),
        (
            deployments(),
            workload(&json!({"replicas": -1})),
            "spec.replicas",
            "Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            deployments(),
            workload(&json!({"template": template("Never")})),
            "spec.template.spec.restartPolicy",
            "Unsupported value: \"Never\": supported values: \"Always\"",
        ),
        (
            deployments(),
            workload(&json!({"strategy": {"type": "Slow"}})),
            "spec.strategy.type",
            "Unsupported value: \"Slow\": supported values: \"Recreate\", \"RollingUpdate\"",
        ),
        (
            deployments(),
            workload(&json!({"template": {"metadata": {"labels": {"app": "a"}}, "spec": {}}})),
            "spec.template.spec.containers",
            "Required value",
        ),
        (
            jobs(),
            job(&json!({"template": template("Always")})),
            "spec.template.spec.restartPolicy",
            "Required value: valid values: \"OnFailure\", \"Never\"",
        ),
        (
            format!("{BATCH}/cronjobs"),
            named(&json!({"jobTemplate": {"spec": {"template": template("Never")}}})),
            "spec.schedule",
            "Required value",
        ),
        (services(), named(&json!({})), "spec.ports", "Required value"),
        (
            services(),
            named(&json!({"ports": [{"port": 1}, {"port": 2, "name": "b"}]})),
            "spec.ports[0].name",
            "Required value",
        ),
        (
            services(),
            named(&json!({"ports": [{"port": 70000}]})),
            "spec.ports[0].port",
            "Invalid value: 70000: must be between 1 and 65535, inclusive",
        ),
        (
            services(),
            named(&json!({"type": "ExternalName"})),
            "spec.externalName",
            "Required value",
        ),
        (
            format!("{CORE}/persistentvolumeclaims"),
            named(&json!({"accessModes": ["ReadWriteOnce"]})),
            "spec.resources[storage]",
            "Required value",
        ),
        (
            format!("{CORE}/persistentvolumeclaims"),
            named(&json!({"resources": {"requests": {"storage": "1"}}})),
            "spec.accessModes",
            "Required value: at least 1 access mode is required",
        ),
        (
            "/api/v1/persistentvolumes".to_owned(),
            named(&json!({"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1"}})),
            "spec",
            "Required value: must specify a volume type",
        ),
        (
            "/apis/storage.k8s.io/v1/storageclasses".to_owned(),
            json!({"metadata": {"name": "a"}}),
            "provisioner",
            "Required value",
        ),
        (
            "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles".to_owned(),
            json!({"metadata": {"name": "a"}, "rules": [{"apiGroups": [""], "resources": ["pods"]}]}),
            "rules[0].verbs",
            "Required value: verbs must contain at least one value",
        ),
        (
            "/apis/coordination.k8s.io/v1/namespaces/default/leases".to_owned(),
            named(&json!({"leaseDurationSeconds": 0})),
            "spec.leaseDurationSeconds",
            "Invalid value: 0: must be greater than 0",
        ),
        (
            format!("{CORE}/pods"),
            named(&json!({"containers": [{"name": "a", "image": "i", "imagePullPolicy": "Sometimes"}]})),
            "spec.containers[0].imagePullPolicy",
            "Unsupported value: \"Sometimes\": supported values: \"Always\", \"IfNotPresent\", \"Never\"",
        ),
    ]
}

/// A spec of a pod that is refused, and the field and the message of the refusal.
fn refused_pods() -> Vec<(Value, &'static str, &'static str)> {
    let of = |more: Value| {
        let mut container = json!({"name": "c", "image": "i"});
        container
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({"containers": [container]})
    };
    let mut two_volumes = of(json!({}));
    two_volumes["volumes"] = json!([{"name": "v"}, {"name": "v"}]);
    vec![
        (
            of(json!({"volumeMounts": [{"name": "v", "mountPath": "/v"}]})),
            "spec.containers[0].volumeMounts[0].name",
            "Not found: \"v\"",
        ),
        (two_volumes, "spec.volumes[1].name", "Duplicate value: \"v\""),
        (
            of(json!({"resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "1100m"}}})),
            "spec.containers[0].resources.requests",
            "Invalid value: \"1100m\": must be less than or equal to cpu limit of 1",
        ),
        (
            of(json!({"resources": {"limits": {"example.com/gpu": 2}, "requests": {"example.com/gpu": 1}}})),
            "spec.containers[0].resources.requests",
            "Invalid value: \"1\": must be equal to example.com/gpu limit of 2",
        ),
        (
            of(json!({"ports": [{"containerPort": 70000}]})),
            "spec.containers[0].ports[0].containerPort",
            "Invalid value: 70000: must be between 1 and 65535, inclusive",
        ),
        (
            of(json!({"ports": [{"containerPort": 80, "hostPort": -1}]})),
            "spec.containers[0].ports[0].hostPort",
            "Invalid value: -1: must be between 1 and 65535, inclusive",
        ),
        (
            of(json!({"ports": [{"name": "http"}]})),
            "spec.containers[0].ports[0].containerPort",
            "Required value",
        ),
    ]
}

#[tokio::test]
async fn pods_and_templates_of_what_no_node_could_run_are_refused() {
    let client = server().client();
    for (spec, field, message) in refused_pods() {
        let mut template = template("Always");
        template["spec"]["containers"] = spec["containers"].clone();
        template["spec"]["volumes"] = spec["volumes"].clone();
        let deployment = workload(&json!({ "template": template }));
        for (path, object, prefix) in [
            (format!("{CORE}/pods"), named(&spec), ""),
            (format!("{APPS}/deployments"), deployment, "spec.template."),
        ] {
            let (code, body) = post(&client, &path, &object).await;
            assert_eq!(code, 422, "{field}: {body}");
            let cause = &body["details"]["causes"][0];
            assert_eq!(
                (&cause["field"], &cause["message"]),
                (&json!(format!("{prefix}{field}")), &json!(message)),
                "{body}"
            );
        }
    }
    // The claims of a stateful set become volumes of its pods.
    let mut template = template("Always");
    template["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "claimed", "mountPath": "/v"}]);
    let (code, body) = post(
        &client,
        &format!("{APPS}/statefulsets"),
        &workload(&json!({ "template": template })),
    )
    .await;
    assert_eq!(code, 201, "{body}");
}

#[tokio::test]
async fn a_pod_names_a_service_account_and_a_priority_class_that_are_there() {
    let client = server().client();
    let pods = format!("{CORE}/pods");
    let with = |member: &str, value: &str| {
        let mut pod = pod("a");
        pod["spec"][member] = json!(value);
        pod
    };
    let (code, refused) = post(&client, &pods, &with("serviceAccountName", "robot")).await;
    assert_eq!(
        (code, &refused["message"]),
        (
            403,
            &json!(
                "pods \"a\" is forbidden: error looking up service account default/robot: serviceaccount \"robot\" not found"
            )
        )
    );
    let (code, refused) = post(&client, &pods, &with("priorityClassName", "urgent")).await;
    assert_eq!(
        (code, &refused["message"]),
        (
            403,
            &json!("pods \"a\" is forbidden: no PriorityClass with name urgent was found")
        )
    );
    post(
        &client,
        &format!("{CORE}/serviceaccounts"),
        &json!({"metadata": {"name": "robot"}}),
    )
    .await;
    let class = json!({"metadata": {"name": "urgent"}, "value": 7, "preemptionPolicy": "Never"});
    post(&client, "/apis/scheduling.k8s.io/v1/priorityclasses", &class).await;
    let mut pod = with("serviceAccountName", "robot");
    pod["spec"]["priorityClassName"] = json!("urgent");
    let (code, made) = post(&client, &pods, &pod).await;
    assert_eq!(code, 201, "{made}");
    assert_eq!(
        (&made["spec"]["priority"], &made["spec"]["preemptionPolicy"]),
        (&json!(7), &json!("Never"))
    );
}

#[tokio::test]
async fn of_a_pod_changes_only_what_a_running_one_can_follow() {
    let client = server().client();
    let pods = format!("{CORE}/pods");
    let mut object = pod("a");
    let spec = &mut object["spec"];
    spec["activeDeadlineSeconds"] = json!(10);
    spec["tolerations"] = json!([{"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}]);
    spec["schedulingGates"] = json!([{"name": "example.com/gate"}]);
    let (_, made) = post(&client, &pods, &object).await;
    let mut tolerations = made["spec"]["tolerations"].clone();
    let path = format!("{pods}/a");
    for (change, field, message) in [
        (
            json!({"activeDeadlineSeconds": 11}),
            "spec.activeDeadlineSeconds",
            "Invalid value: 11: must be less than or equal to previous value",
        ),
        (
            json!({"activeDeadlineSeconds": null}),
            "spec.activeDeadlineSeconds",
            "Invalid value: null: must not update from a positive integer to nil value",
        ),
        (
            json!({"tolerations": []}),
            "spec.tolerations",
            "Forbidden: existing toleration can not be modified except its tolerationSeconds",
        ),
        (
            json!({"schedulingGates": [{"name": "example.com/gate"}, {"name": "example.com/other"}]}),
            "spec.schedulingGates[1].name",
            "Forbidden: only deletion is allowed, but found new scheduling gate 'example.com/other'",
        ),
    ] {
        let (code, body) = merge(&client, &path, &json!({ "spec": change })).await;
        assert_eq!(code, 422, "{change}: {body}");
        let cause = &body["details"]["causes"][0];
        assert_eq!((&cause["field"], &cause["message"]), (&json!(field), &json!(message)));
    }
    let (code, body) = merge(&client, &path, &json!({"spec": {"terminationGracePeriodSeconds": 7}})).await;
    assert_eq!((code, &body["details"]["causes"][0]["field"]), (422, &json!("spec")));

    tolerations[0]["tolerationSeconds"] = json!(6);
    tolerations
        .as_array_mut()
        .unwrap()
        .push(json!({"key": "l", "operator": "Exists"}));
    let fine = json!({"spec": {"activeDeadlineSeconds": 9, "tolerations": tolerations, "schedulingGates": []}});
    let (code, body) = merge(&client, &path, &fine).await;
    assert_eq!(code, 200, "{body}");
}

#[tokio::test]
async fn objects_that_break_a_rule_of_their_kind_are_refused() {
    let client = server().client();
    for (path, object, field, message) in refused() {
        let (code, body) = post(&client, &path, &object).await;
        assert_eq!(code, 422, "{path}: {body}");
        let causes = body["details"]["causes"].as_array().unwrap();
        let found = causes
            .iter()
            .any(|cause| cause["field"] == field && cause["message"] == message);
        assert!(found, "{path}: {body}");
    }
}

#[expect(clippy::too_many_lines, reason = "a table, one row for each rule")]
/// Where an object goes, the object, a change to it, and the field that refuses the change.
fn fixed() -> Vec<(String, Value, Value, &'static str)> {
    let class = || json!({"metadata": {"name": "a"}, "provisioner": "p", "parameters": {"k": "v"}});
    let binding = json!({"metadata": {"name": "a"}, "roleRef": {"kind": "ClusterRole", "name": "r"}});
    vec![
        (
            format!("{APPS}/deployments"),
            workload(&json!({})),
            json!({"spec": {"selector": {"matchLabels": {"b": "b"}}, "template": {"metadata": {"labels": {"b": "b"}}}}}),
            "spec.selector",
        ),
        (
            format!("{APPS}/statefulsets"),
            workload(&json!({})),
            json!({"spec": {"serviceName": "other"}}),
            "spec",
        ),
        (
            format!("{BATCH}/jobs"),
            job(&json!({})),
            json!({"spec": {"completions": 5}}),
            "spec.completions",
        ),
        (
            format!("{BATCH}/jobs"),
            job(&json!({})),
            json!({"spec": {"template": {"spec": {"nodeName": "n"}}}}),
            "spec.template",
        ),
        (
            format!("{CORE}/persistentvolumeclaims"),
            claim(),
            json!({"spec": {"storageClassName": "x"}}),
            "spec",
        ),
        (
            format!("{CORE}/persistentvolumeclaims"),
            claim(),
            json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}}),
            "spec",
        ),
        (
            "/api/v1/persistentvolumes".to_owned(),
            volume(),
            json!({"spec": {"hostPath": {"path": "/y"}}}),
            "spec.persistentvolumesource",
        ),
        (
            "/apis/storage.k8s.io/v1/storageclasses".to_owned(),
            class(),
            json!({"parameters": {"k": "w"}}),
            "parameters",
        ),
        (
            format!("{CORE}/secrets"),
            json!({"metadata": {"name": "a"}}),
            json!({"type": "x"}),
            "type",
        ),
        (
            "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings".to_owned(),
            binding,
            json!({"roleRef": {"name": "s"}}),
            "roleRef",
        ),
    ]
}

#[tokio::test]
async fn what_cannot_change_stays() {
    let client = server().client();
    for (path, object, change, field) in fixed() {
        post(&client, &path, &object).await;
        let (code, body) = merge(&client, &format!("{path}/a"), &change).await;
        assert_eq!(
            (code, &body["details"]["causes"][0]["field"]),
            (422, &json!(field)),
            "{path}: {body}"
        );
    }
    // What may change of them, still may.
    for (path, change) in [
        (format!("{APPS}/statefulsets/a"), json!({"spec": {"replicas": 3}})),
        (format!("{BATCH}/jobs/a"), json!({"spec": {"parallelism": 2}})),
        (
            format!("{CORE}/persistentvolumeclaims/a"),
            json!({"spec": {"volumeName": "v"}}),
        ),
    ] {
        let (code, body) = merge(&client, &path, &change).await;
        assert_eq!(code, 200, "{path}: {body}");
    }
}

#[tokio::test]
async fn a_job_chooses_its_pods_by_its_own_uid() {
    let client = server().client();
    let (_, made) = post(&client, &format!("{BATCH}/jobs"), &job(&json!({}))).await;
    let uid = &made["metadata"]["uid"];
    assert_eq!(
        &made["spec"]["selector"]["matchLabels"]["batch.kubernetes.io/controller-uid"],
        uid
    );
    assert_eq!(&made["spec"]["template"]["metadata"]["labels"]["controller-uid"], uid);
}

#[tokio::test]
async fn pods_get_ephemeral_containers_and_other_resources_through_subresources_only() {
    let client = server().client();
    let (_, _) = post(&client, PODS, &pod("p")).await;
    let debug = json!({"spec": {"ephemeralContainers": [{"name": "d", "image": "busybox"}]}});
    assert_eq!(merge(&client, &format!("{PODS}/p"), &debug).await.0, 422);
    let (code, body) = merge(&client, &format!("{PODS}/p/ephemeralcontainers"), &debug).await;
    assert_eq!(
        (code, &body["spec"]["ephemeralContainers"][0]["name"]),
        (200, &json!("d"))
    );
    let patch = br#"{"spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": "2"}}}]}}"#;
    let strategic = "application/strategic-merge-patch+json";
    assert_eq!(
        send(&client, "PATCH", &format!("{PODS}/p"), strategic, patch).await.0,
        422
    );
    let (code, body) = send(&client, "PATCH", &format!("{PODS}/p/resize"), strategic, patch).await;
    assert_eq!(
        (code, &body["spec"]["containers"][0]["resources"]["limits"]["cpu"]),
        (200, &json!("2"))
    );
    assert_eq!(body["spec"]["containers"][0]["image"], "img");
}

#[tokio::test]
async fn an_eviction_uses_up_what_a_disruption_budget_allows() {
    let client = server().client();
    for name in ["p", "q"] {
        let mut pod = pod(name);
        pod["metadata"]["labels"] = json!({"app": "a"});
        post(&client, PODS, &pod).await;
    }
    let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    let selector = json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["a"]}]});
    post(
        &client,
        budgets,
        &named(&json!({"maxUnavailable": 1, "selector": selector})),
    )
    .await;
    let status = json!({"status": {"disruptionsAllowed": 1, "desiredHealthy": 1, "currentHealthy": 2}});
    assert_eq!(merge(&client, &format!("{budgets}/a/status"), &status).await.0, 200);
    let evict = |name: &str| json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
    assert_eq!(post(&client, &format!("{PODS}/p/eviction"), &evict("p")).await.0, 201);
    let (code, refused) = post(&client, &format!("{PODS}/q/eviction"), &evict("q")).await;
    assert_eq!((code, &refused["reason"]), (429, &json!("TooManyRequests")));
    assert_eq!(
        refused["details"]["causes"][0]["message"],
        "The disruption budget a needs 1 healthy pods and has 2 currently"
    );
    let (_, budget) = get(&client, &format!("{budgets}/a")).await;
    assert_eq!(budget["status"]["disruptionsAllowed"], 0);
    assert!(budget["status"]["disruptedPods"]["p"].is_string());
}
