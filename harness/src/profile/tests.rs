//! What profiles say, and what they may not.

use serde_json::{Value, json};

use super::*;
use crate::scenario::PhaseName;

fn built_in(name: &str) -> Profile {
    Profile::built_in(name).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_built_in_profile_reads_and_an_unknown_one_is_refused_with_those_there_are() {
    for name in Profile::built_in_names() {
        assert_eq!(built_in(name).name, name);
    }
    let refused = Profile::built_in("nope").unwrap_err().to_string();
    assert!(
        refused.contains("kruise") && refused.contains("sigs-v1alpha1"),
        "{refused}"
    );
}

#[test]
fn a_profile_says_only_what_differs_from_the_one_that_it_extends() {
    let (old, base) = (built_in("sigs-v1alpha1"), built_in("sigs"));
    let (old, base) = (old.kubernetes.unwrap(), base.kubernetes.unwrap());
    assert_eq!(old.pause, Trigger::Merge(json!({"spec": {"replicas": 0}})));
    assert_eq!((old.version.as_str(), old.kind), ("v1alpha1", base.kind));
    assert_eq!(old.status.conditions, base.status.conditions);
}

/// A custom resource of generation 3 whose conditions speak of generation `observed`.
fn resource(spec: &Value, conditions: &[(&str, &str)], observed: i64) -> Value {
    let conditions: Vec<_> = conditions
        .iter()
        .map(|(kind, status)| json!({"type": kind, "status": status, "observedGeneration": observed}))
        .collect();
    json!({"metadata": {"generation": 3}, "spec": spec, "status": {"conditions": conditions}})
}

#[test]
fn without_a_phase_the_conditions_tell_it() {
    let dialect = built_in("sigs").kubernetes.unwrap();
    let suspended = json!({"operatingMode": "Suspended"});
    let cases = [
        (
            suspended.clone(),
            vec![("Suspended", "True"), ("Ready", "False")],
            PhaseName::Paused,
        ),
        (
            suspended.clone(),
            vec![("Suspended", "False"), ("Ready", "False")],
            PhaseName::Pausing,
        ),
        (suspended, vec![], PhaseName::Pausing),
        (
            json!({}),
            vec![("Suspended", "True"), ("Ready", "False")],
            PhaseName::Resuming,
        ),
        (
            json!({}),
            vec![("Suspended", "False"), ("Ready", "True")],
            PhaseName::Running,
        ),
        (json!({}), vec![("Ready", "False")], PhaseName::Pending),
        (
            json!({}),
            vec![("Finished", "True"), ("Ready", "False")],
            PhaseName::Failed,
        ),
    ];
    for (spec, conditions, phase) in cases {
        let reading = dialect.read(&resource(&spec, &conditions, 3));
        assert_eq!(reading.phase, Some(phase), "{conditions:?}");
        assert!(reading.is_current());
    }
    let mut dying = resource(&json!({}), &[("Ready", "True")], 3);
    dying["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert_eq!(dialect.read(&dying).phase, Some(PhaseName::Terminating));
}

#[test]
fn a_condition_of_an_earlier_generation_does_not_speak_of_this_one() {
    let dialect = built_in("sigs").kubernetes.unwrap();
    let suspended = json!({"operatingMode": "Suspended"});
    let stale = dialect.read(&resource(&suspended, &[("Suspended", "True")], 2));
    assert_eq!((stale.phase, stale.is_current()), (Some(PhaseName::Paused), false));
}

#[test]
fn where_the_phase_says_paused_early_the_condition_decides() {
    let paused = |condition: &str| {
        json!({"spec": {"paused": true}, "status": {"phase": "Paused",
               "conditions": [{"type": "SandboxPaused", "status": condition}]}})
    };
    for name in ["kruise-v0.3", "kruise-master"] {
        let dialect = built_in(name).kubernetes.unwrap();
        assert_eq!(dialect.read(&paused("False")).phase, Some(PhaseName::Pausing));
        assert_eq!(dialect.reported_paused(&paused("False")), None);
        assert_eq!(dialect.read(&paused("True")).phase, Some(PhaseName::Paused));
    }
    let strict = built_in("kruise").kubernetes.unwrap();
    assert!(strict.reported_paused(&paused("False")).is_some());
}

#[test]
fn a_condition_that_lingers_while_it_resumes_is_no_report_of_paused() {
    let resuming = json!({"spec": {"paused": false}, "status": {"phase": "Resuming",
        "conditions": [{"type": "SandboxPaused", "status": "True"}]}});
    let reported = |name: &str| built_in(name).kubernetes.unwrap().reported_paused(&resuming);
    assert_eq!(reported("kruise-master"), None);
    assert!(reported("kruise").is_some());
}

#[test]
fn what_is_asked_for_is_read_from_the_resource() {
    let dialect = built_in("kruise").kubernetes.unwrap();
    assert_eq!(dialect.wish(&json!({"spec": {"paused": true}})), Some(Wish::Paused));
    assert_eq!(dialect.wish(&json!({"spec": {}})), Some(Wish::Running));
}

#[test]
fn an_explanation_is_a_text_or_the_message_of_what_is_not_so() {
    let dialect = built_in("sigs").kubernetes.unwrap();
    let with = |status: &str, message: &str| {
        let condition = json!({"type": "Ready", "status": status, "message": message});
        json!({"status": {"conditions": [condition]}})
    };
    assert_eq!(dialect.explanation(&with("False", "no room")), Some("no room"));
    assert_eq!(dialect.explanation(&with("True", "Pod is Ready")), None);
    assert_eq!(dialect.explanation(&with("False", "")), None);
}

const MINE: &str = "name: mine
extends: kruise
kubernetes:
  pod-name: box-${name}
";

/// A file that puts something else in the place of its `pod-name`.
fn with(other: &str) -> String {
    MINE.replace("pod-name: box-${name}", other)
}

/// What is wrong, where, and a word of why.
fn refused() -> Vec<(String, &'static str, &'static str)> {
    vec![
        (MINE.replace("box-${name}", "box"), "mine.yaml:4:3", "${name}"),
        (with("pod-nam: x"), "mine.yaml:4:3", "pod-nam"),
        (MINE.replace("kruise", "cruise"), "mine.yaml:2:1", "kruise-master"),
        (with("pod-template: spec"), "mine.yaml:4:3", "JSON pointer"),
        (with("kind: Box"), "mine.yaml", "`manifest` must be of"),
        (with("pause: {merge: {spec: {paused: false}}}"), "mine.yaml:4:3", "same"),
        (with("pause: {merge: {spec: {}}}"), "mine.yaml:4:3", "created paused"),
        (
            with("created-paused: {spec: {}}"),
            "mine.yaml:4:3",
            "`created-paused` changes nothing",
        ),
        (
            with("status: {phases: [{is: Running}, {is: Paused}]}"),
            "mine.yaml:4:12",
            "always fits",
        ),
        (
            with("status: {phases: [{is: Running}]}"),
            "mine.yaml:4:12",
            "no rule for Paused",
        ),
        (
            with("status: {phases: [{is: Running, when: [{condition: Ready, is: true}]}, {is: Paused}]}"),
            "mine.yaml:4:12",
            "quotes",
        ),
        (
            "name: mine\n".to_owned(),
            "mine.yaml:1:1",
            "`kubernetes`, `e2b` or both",
        ),
        (
            "name: mine\ne2b: {template: 1, x: 2}\n".to_owned(),
            "mine.yaml:2:",
            "unknown field",
        ),
        (
            "name: mine\nextends: kruise\ncapabilities: [flying]\n".to_owned(),
            "mine.yaml:3:1",
            "flying",
        ),
    ]
}

/// The same, of how ids of E2B are made.
fn refused_ids() -> Vec<(String, &'static str, &'static str)> {
    vec![
        (
            "name: mine\nextends: kruise\ne2b:\n  sandbox-id: {form: '${namespace}--x'}\n".to_owned(),
            "mine.yaml:4:3",
            "`e2b.sandbox-id.form: ${namespace}--x` must hold `${name}`",
        ),
        (
            "name: mine\nextends: kruise\ne2b:\n  sandbox-id: {form: '${name}-${uid}'}\n".to_owned(),
            "mine.yaml:4:3",
            "only `${namespace}`",
        ),
        (
            "name: mine\nextends: kruise\ne2b:\n  sandbox-id: {label: a/b/c}\n".to_owned(),
            "mine.yaml:4:3",
            "`e2b.sandbox-id.label: a/b/c` is no key of a label",
        ),
    ]
}

#[test]
fn what_a_profile_cannot_mean_is_refused_where_it_stands() {
    assert_eq!(
        Profile::parse("mine.yaml", MINE)
            .unwrap()
            .kubernetes
            .unwrap()
            .pod_name_of("a"),
        "box-a"
    );
    for (text, place, why) in refused().into_iter().chain(refused_ids()) {
        let error = Profile::parse("mine.yaml", &text).expect_err(&text).to_string();
        assert!(error.starts_with(place) && error.contains(why), "{text}\n{error}");
    }
}

#[test]
fn a_timer_that_is_claimed_must_be_somewhere() {
    let text = "name: mine\nextends: sigs\ncapabilities: [pause-time]\n";
    let error = Profile::parse("mine.yaml", text).unwrap_err().to_string();
    assert!(error.contains("`timers` has no `pause`"), "{error}");
}

#[test]
fn a_pointer_makes_the_patch_that_sets_it() {
    let pointer = Pointer::try_from("/spec/a~1b/c".to_owned()).unwrap();
    assert_eq!(pointer.holding(json!(1)), json!({"spec": {"a/b": {"c": 1}}}));
}

#[test]
fn a_merge_patch_sets_removes_and_keeps() {
    let mut base = json!({"a": {"b": 1, "c": 2}, "d": [1]});
    merge(&mut base, &json!({"a": {"b": null, "e": 3}, "d": [2]}));
    assert_eq!(base, json!({"a": {"c": 2, "e": 3}, "d": [2]}));
    assert!(contains(&base, &json!({"a": {"e": 3}})));
    assert!(!contains(&base, &json!({"a": {"e": 4}})));
}

#[test]
fn what_a_scenario_says_of_a_container_leaves_what_the_profile_says_of_it() {
    let mut template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [
        {"name": "main", "image": "i", "command": ["run"], "resources": {"limits": {"memory": "1Gi"}}},
        {"name": "side", "image": "s"},
    ]}});
    let patch = json!({"spec": {"nodeName": "n", "containers": [{"resources": {"requests": {"cpu": "1"}}}]}});
    merge_pod(&mut template, &patch);
    let merged = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"nodeName": "n", "containers": [
        {"name": "main", "image": "i", "command": ["run"],
         "resources": {"limits": {"memory": "1Gi"}, "requests": {"cpu": "1"}}},
        {"name": "side", "image": "s"},
    ]}});
    assert_eq!(template, merged);

    merge_pod(&mut template, &json!({"spec": {"terminationGracePeriodSeconds": 1}}));
    assert_eq!(template["spec"]["containers"], merged["spec"]["containers"]);
    let mut bare = json!({});
    merge_pod(&mut bare, &json!({"spec": {"containers": [{"name": "one"}]}}));
    assert_eq!(bare["spec"]["containers"], json!([{"name": "one"}]));
}

#[test]
fn a_profile_may_have_words_of_its_own_for_the_end_of_a_step() {
    let parse = |events: &str| {
        let text = format!("name: mine\nextends: kruise\nkubernetes:\n  events: {events}\n");
        Profile::parse("mine.yaml", &text)
    };
    let words = parse("{paused: [Slept]}").unwrap().kubernetes.unwrap().events;
    assert_eq!(words.of("paused"), Some(&["Slept".to_owned()][..]));
    assert_eq!(words.of("resumed"), Some(&["resumed".to_owned()][..]));
    assert_eq!(words.of("lost"), None);
    for events in ["{paused: []}", "{resumed: ['']}"] {
        let refused = parse(events).unwrap_err().to_string();
        assert!(
            refused.starts_with("mine.yaml:4:") && refused.contains("must have words"),
            "{refused}"
        );
    }
}
