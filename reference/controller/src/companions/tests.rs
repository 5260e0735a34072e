//! What is made beside the Pod, field by field, and when it matters.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::*;
use crate::example::{at, paused, reading, record, serving, status};

fn with_claims(mut reading: Reading, seen: [Companion; 2]) -> Reading {
    let template = |name: &str| {
        json!({
            "metadata": {"name": name, "labels": {"tier": "fast"}, "annotations": {"owner": "team"}},
            "spec": {"accessModes": ["ReadWriteOnce"]},
        })
    };
    let templates = json!([template("data"), template("cache")]);
    reading.sandbox.spec.volume_claim_templates = serde_json::from_value(templates).expect("templates");
    reading.companions.claims = ["data-one", "cache-one"]
        .map(str::to_owned)
        .into_iter()
        .zip(seen)
        .collect();
    reading
}

fn json_of(chore: Option<Chore>) -> Value {
    match chore {
        Some(Chore::CreateClaim(claim)) => json!({"claim": claim}),
        Some(Chore::CreateService(service)) => json!({"service": service}),
        Some(Chore::CreateCheckpoint(checkpoint)) => json!({"checkpoint": checkpoint}),
        Some(Chore::DeleteService { .. }) => json!("delete the Service"),
        Some(Chore::DeleteCheckpoint { generation, name, uid }) => json!({"delete": [generation, name, uid]}),
        None => Value::Null,
    }
}

fn owner_reference() -> Value {
    json!([{
        "apiVersion": "agents.kruise.io/v1alpha1", "kind": "Sandbox", "name": "one", "uid": "uid-1", "controller": true,
    }])
}

fn new() -> Reading {
    reading(&json!({}))
}

#[test]
fn a_claim_is_made_from_its_template_and_says_whom_it_was_made_for() {
    let reading = with_claims(new(), [Companion::Ours, Companion::Missing]);
    let expected = json!({"claim": {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": "cache-one", "namespace": "default",
            "labels": {"tier": "fast", "torpor.dev/sandbox": "one"},
            "annotations": {"owner": "team", "torpor.dev/sandbox-uid": "uid-1"},
            "ownerReferences": owner_reference(),
        },
        "spec": {"accessModes": ["ReadWriteOnce"]},
    }});
    assert_eq!(json_of(chore(&reading, &[])), expected);
}

#[test]
fn a_claim_that_is_to_outlive_its_sandbox_has_no_owner() {
    let mut reading = with_claims(new(), [Companion::Missing, Companion::Missing]);
    let retained = |policy: &str| serde_json::from_value(json!({"whenDeleted": policy})).expect("a policy");
    for (policy, owned) in [("Retain", false), ("Delete", true)] {
        reading.sandbox.spec.persistent_volume_claim_retention_policy = retained(policy);
        let claim = json_of(chore(&reading, &[]));
        let metadata = &claim["claim"]["metadata"];
        assert_eq!(metadata["name"], "data-one", "in the order of the spec");
        assert_eq!(!metadata["ownerReferences"].is_null(), owned, "{policy}");
        assert_eq!(metadata["annotations"]["torpor.dev/sandbox-uid"], "uid-1");
    }
}

#[test]
fn a_claim_is_made_only_for_what_never_served() {
    let missing = || [Companion::Missing, Companion::Missing];
    assert_eq!(chore(&with_claims(paused(), missing()), &[]), None);
    let mut deleted = with_claims(new(), missing());
    deleted.sandbox.metadata.deletion_timestamp = Some(Time(at(0)));
    assert_eq!(chore(&deleted, &[]), None);
}

#[test]
fn claims_matter_while_no_pod_is_there_and_one_may_come() {
    let deleted = |mut reading: Reading| {
        reading.sandbox.metadata.deletion_timestamp = Some(Time(at(0)));
        reading
    };
    let mut vanished = serving();
    vanished.pod = None;
    let mut with_pod = paused();
    with_pod.pod = serving().pod;
    let cases = vec![
        (new(), true),
        (paused(), true),
        (serving(), false),
        (vanished, false),
        (with_pod, false),
        (deleted(paused()), false),
    ];
    for (reading, matter) in cases {
        assert_eq!(claims_matter(&reading), matter, "{:#?}", reading.sandbox);
    }
}

#[test]
fn a_service_is_made_kept_or_deleted_as_the_spec_says_and_never_somebody_elses() {
    let foreign = || Companion::Foreign {
        owner: "nobody".to_owned(),
    };
    let next = |wanted: Option<bool>, seen: Option<Companion>| {
        let mut reading = serving();
        reading.sandbox.spec.service = wanted;
        assert_eq!(service_matters(&reading), wanted.is_some());
        reading.companions.service = seen;
        chore(&reading, &[]).map_or("nothing", |chore| chore.name())
    };
    for (wanted, seen, expected) in [
        (Some(true), Some(Companion::Missing), "create_service"),
        (Some(true), Some(Companion::Ours), "nothing"),
        (Some(true), Some(foreign()), "nothing"),
        (Some(false), Some(Companion::Missing), "nothing"),
        (Some(false), Some(Companion::Ours), "delete_service"),
        (Some(false), Some(foreign()), "nothing"),
        (Some(true), Some(Companion::Going), "nothing"),
        (Some(false), Some(Companion::Going), "nothing"),
        (None, Some(Companion::Ours), "nothing"),
        (Some(true), None, "nothing"),
    ] {
        assert_eq!(next(wanted, seen.clone()), expected, "{wanted:?}, {seen:?}");
    }
    let mut deleted = serving();
    deleted.sandbox.spec.service = Some(true);
    deleted.sandbox.metadata.deletion_timestamp = Some(Time(at(0)));
    assert!(!service_matters(&deleted));
}

#[test]
fn a_service_is_headless_and_selects_the_pod_of_today() {
    let mut reading = serving();
    reading.sandbox.spec.service = Some(true);
    reading.companions.service = Some(Companion::Missing);
    let expected = json!({"service": {
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": "one", "namespace": "default", "labels": {"torpor.dev/sandbox": "one"},
            "ownerReferences": owner_reference(),
        },
        "spec": {"clusterIP": "None", "selector": {"torpor.dev/sandbox": "one"}},
    }});
    assert_eq!(json_of(chore(&reading, &[])), expected);
}

#[test]
fn a_checkpoint_on_record_is_described_in_full() {
    let mut reading = paused();
    reading.sandbox.metadata.uid = Some("4a-1b2c3d4e5f".to_owned());
    reading.companions.checkpoints = Some(BTreeMap::new());
    let owner = {
        let mut owner = owner_reference();
        owner[0]["uid"] = json!("4a-1b2c3d4e5f");
        owner
    };
    let expected = json!({"checkpoint": {
        "apiVersion": "agents.kruise.io/v1alpha1", "kind": "Checkpoint",
        "metadata": {
            "name": "one-4a1b2c3d-1", "namespace": "default", "labels": {"torpor.dev/sandbox": "one"},
            "ownerReferences": owner,
        },
        "spec": {
            "sandboxName": "one", "podName": "one", "keepRunning": false, "persistentContents": ["memory", "filesystem"],
        },
        "status": {
            "phase": "Succeeded", "checkpointId": "4a-1b2c3d4e5f/1", "completionTime": at(0).to_string(),
            "generation": 1, "engine": "sim", "digest": "blake3:1", "sizeBytes": 10, "storedBytes": 5,
            "conditions": [{
                "type": "Sealed", "status": "True", "reason": "CheckpointSucceeded",
                "message": "the checkpoint is complete and durable", "lastTransitionTime": at(0).to_string(),
            }],
        },
    }});
    assert_eq!(json_of(chore(&reading, &[])), expected);
}

#[test]
fn outlived_checkpoints_go_one_by_one_oldest_first_and_only_once_the_pause_is_complete() {
    let mut reading = paused();
    status(&mut reading).checkpoint = Some(record(3));
    let named = |generation: u64| {
        let described = Described {
            name: format!("one-{generation}"),
            uid: Some(format!("uid-{generation}")),
        };
        (generation, described)
    };
    for (there, phase, expected) in [
        (vec![1, 2, 3], Phase::Paused, json!({"delete": [1, "one-1", "uid-1"]})),
        (vec![2, 3, 4], Phase::Paused, json!({"delete": [2, "one-2", "uid-2"]})),
        (vec![3, 4], Phase::Paused, Value::Null),
        (vec![1, 2, 3], Phase::Pausing, Value::Null),
    ] {
        status(&mut reading).phase = Some(phase);
        reading.companions.checkpoints = Some(there.iter().map(|generation| named(*generation)).collect());
        assert_eq!(json_of(chore(&reading, &[])), expected, "{there:?}, {phase:?}");
    }
    let mut there = BTreeMap::from([1, 2, 3].map(named));
    there.get_mut(&1).expect("the first").uid = None;
    status(&mut reading).phase = Some(Phase::Paused);
    reading.companions.checkpoints = Some(there);
    let next = json_of(chore(&reading, &[]));
    assert_eq!(
        next,
        json!({"delete": [2, "one-2", "uid-2"]}),
        "one whose UID is not known waits"
    );
    reading.companions.checkpoints = None;
    assert_eq!(chore(&reading, &[]), None, "of what is not known nothing is said");
}

#[test]
fn checkpoints_matter_on_the_way_to_a_pause_once_one_is_on_record() {
    let mut resuming = paused();
    resuming.sandbox.spec.paused = false;
    let mut pausing = serving();
    pausing.sandbox.spec.paused = true;
    for (reading, matter) in [
        (paused(), true),
        (resuming, false),
        (pausing, false),
        (serving(), false),
    ] {
        assert_eq!(checkpoints_matter(&reading), matter, "{:#?}", reading.sandbox);
    }
}

#[test]
fn a_claim_is_ours_by_its_owner_or_by_whom_it_was_made_for() {
    let whose = |metadata: Value| {
        let claim = serde_json::from_value(json!({"metadata": metadata})).expect("a claim");
        Companion::of_claim(Some(&claim), &paused().sandbox)
    };
    let foreign = |owner: &str| Companion::Foreign {
        owner: owner.to_owned(),
    };
    let made_for = |uid: &str| json!({annotation::SANDBOX_UID: uid});
    assert_eq!(Companion::of_claim(None, &paused().sandbox), Companion::Missing);
    assert_eq!(whose(json!({"ownerReferences": owner_reference()})), Companion::Ours);
    assert_eq!(whose(json!({"annotations": made_for("uid-1")})), Companion::Ours);
    assert_eq!(
        whose(json!({"annotations": made_for("uid-0")})),
        foreign("an earlier sandbox (uid-0)")
    );
    assert_eq!(whose(json!({})), foreign("nobody"));
    let going = json!({"annotations": made_for("uid-1"), "deletionTimestamp": at(0).to_string()});
    assert_eq!(whose(going), foreign("nobody, it is being deleted"));
}

#[test]
fn a_service_is_ours_by_its_owner_alone() {
    let whose = |metadata: Value| {
        let service = serde_json::from_value(json!({"metadata": metadata})).expect("a Service");
        Companion::of_service(Some(&service), &paused().sandbox)
    };
    assert_eq!(Companion::of_service(None, &paused().sandbox), Companion::Missing);
    assert_eq!(whose(json!({"ownerReferences": owner_reference()})), Companion::Ours);
    let going = json!({"ownerReferences": owner_reference(), "deletionTimestamp": at(0).to_string()});
    assert_eq!(whose(going), Companion::Going);
    let owner = "nobody".to_owned();
    assert_eq!(
        whose(json!({"annotations": {annotation::SANDBOX_UID: "uid-1"}})),
        Companion::Foreign { owner }
    );
}
