//! Other dialects, described as data: the same steps hold and the same lies are caught.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must fail")]

#[expect(dead_code, reason = "shared with tests that use more of it")]
mod stand_in;

use std::sync::Arc;

use stand_in::cluster::{BOX, KRUISE, Lie, SIGS_ALPHA, Tongue, start_as};
use torpor_harness::scenario::{Front, Scenario};
use torpor_harness::{Case, CaseReport, Catalogue, Filter, Outcome, Profile, Suite, Target, run_one};

/// A custom resource of which no profile comes with the suite.
const PROFILE: &str = r#"
name: hibernator
kubernetes:
  group: example.com
  version: v1
  kind: Box
  plural: boxes
  manifest:
    apiVersion: example.com/v1
    kind: Box
    metadata: {name: "${name}"}
    spec: {power: "on", pod: {spec: {containers: [{name: main, image: "${image}"}]}}}
  image: example/box
  pod-template: /spec/pod
  pod-name: ${name}-0
  pause: {merge: {spec: {power: "off"}}}
  resume: {merge: {spec: {power: "on"}}}
  timers: {pause: /spec/offAt}
  status:
    observed-generation: /status/seen
    conditions: /status/facts
    ready: {condition: Up}
    paused: {condition: Off}
    resumed: {condition: Off, is: "False"}
    explanations: [{path: /status/why}]
    phases:
      - {is: Terminating, when: [{path: /metadata/deletionTimestamp}]}
      - {is: Paused, when: [{condition: Off, is: "True"}]}
      - {is: Pausing, when: [{path: /spec/power, is: "off"}]}
      - {is: Running, when: [{condition: Up, is: "True"}]}
      - {is: Pending}
capabilities: [pause-time]
"#;

/// Every word that a dialect spells its own way.
const LIFE: &str = r#"
  - create: {command: [run], pod: {metadata: {labels: {a: b}}}, pause-time: "${now+60m}"}
  - expect:
      - phase: {is: [Running]}
      - asked: {is: running}
      - condition: {kind: ready, is: holds}
      - pods: {count: 1}
  - pause: {}
  - expect:
      - phase: {is: [Paused]}
      - asked: {is: paused}
      - condition: {kind: paused, is: holds}
      - condition: {kind: ready, is: does-not-hold}
      - pods: {count: 0}
  - patch-template: {merge: {metadata: {labels: {a: c}}}}
  - set-timer: {of: pause, at: "${now+90m}"}
  - resume: {}
  - expect:
      - phase: {is: [Running]}
      - condition: {kind: resumed, is: holds}
      - pods: {count: 1}
  - ask: {for: paused}
  - ask: {for: running}
  - wait:
      until:
        - phase: {is: [Running]}
  - delete: {}
  - ask: {for: running, status: [404]}
  - create: {sandbox: asleep, paused: true}
  - expect:
      - pods: {sandbox: asleep, count: 0}
"#;

const SHORT: &str = "
  - create: {}
  - pause: {}
  - expect:
      - pods: {count: 0}
  - resume: {}
  - expect:
      - pods: {count: 1}
";

fn case(needs: &str, steps: &str) -> Case {
    let head = "id: mine\ntitle: A claim\nrequirements: [FSM-01]\ntimeout: 20s\nvia: [kubernetes]";
    let text = format!("{head}\nneeds: [{needs}]\nsteps:\n{steps}");
    let scenario = Scenario::parse("mine.yaml", &text, &Catalogue::load().unwrap());
    Case {
        id: "mine".to_owned(),
        scenario: Arc::new(scenario.unwrap_or_else(|errors| panic!("{errors:?}"))),
        front: Front::Kubernetes,
    }
}

async fn judge(tongue: Tongue, lie: Lie, profile: &str, needs: &str, steps: &str) -> CaseReport {
    let profile = Profile::parse("profile.yaml", profile).unwrap_or_else(|error| panic!("{error}"));
    let target = start_as(tongue, lie, profile).await;
    run_one(&case(needs, steps), &Arc::new(target)).await
}

fn passed(report: &CaseReport) {
    assert_eq!(
        (report.result, report.reason.as_deref()),
        (Outcome::Pass, None),
        "{:?}",
        report.violations
    );
    assert!(report.leftovers.is_empty(), "{:?}", report.leftovers);
}

#[tokio::test]
async fn a_custom_resource_that_nobody_knew_is_judged_by_its_description_alone() {
    passed(&judge(BOX, Lie::None, PROFILE, "pause-time", LIFE).await);
    let lied = judge(BOX, Lie::PausedTooEarly, PROFILE, "pause-time", LIFE).await;
    assert_eq!(
        lied.violations.first().map(|found| found.requirement.as_ref()),
        Some("ZERO-05")
    );
    let left = judge(BOX, Lie::LeavesThePod, PROFILE, "pause-time", LIFE).await;
    assert!(left.reason.unwrap().contains("live Pods"));
}

/// A scenario of the suite.
fn shipped(id: &str) -> Case {
    let suite = Suite::embedded().unwrap();
    let mut cases = suite.select(&Filter::default()).into_iter();
    cases.find(|case| case.id == id).unwrap()
}

#[tokio::test]
async fn somebody_elses_pod_is_put_where_the_profile_says_that_a_sandbox_has_its_own() {
    let profile = |text: &str| Profile::parse("profile.yaml", text).unwrap();
    for (lie, result) in [(Lie::None, Outcome::Pass), (Lie::TakesAnyPod, Outcome::Fail)] {
        let target = start_as(BOX, lie, profile(PROFILE)).await;
        let report = run_one(&shipped("a-foreign-pod-is-not-touched"), &Arc::new(target)).await;
        assert_eq!(report.result, result, "{lie:?}: {:?}", report.reason);
    }
}

#[tokio::test]
async fn a_description_that_does_not_fit_fails_and_says_what_it_looked_for() {
    let wrong = PROFILE.replace("ready: {condition: Up}", "ready: {condition: Awake}");
    let report = judge(BOX, Lie::None, &wrong, "pause-time", SHORT).await;
    assert_eq!((report.result, report.step.as_deref()), (Outcome::Fail, Some("1")));
    let why = report.reason.unwrap();
    assert!(why.contains("condition Awake of `sandbox` is absent"), "{why}");
}

#[tokio::test]
async fn the_alpha_of_agent_sandbox_is_read_although_its_condition_stays_behind() {
    let profile = "name: mine\nextends: sigs-v1alpha1\n";
    passed(&judge(SIGS_ALPHA, Lie::None, profile, "", SHORT).await);
    let lied = judge(SIGS_ALPHA, Lie::PausedTooEarly, profile, "", SHORT).await;
    assert_eq!(
        lied.violations.first().map(|found| found.requirement.as_ref()),
        Some("ZERO-05")
    );
}

#[tokio::test]
async fn a_pause_may_be_a_subresource_or_an_object_of_its_own() {
    passed(&judge(BOX, Lie::None, &scaled(), "", SHORT).await);
    passed(&judge(BOX, Lie::None, &switched(), "", SHORT).await);
}

/// The profile by which a pause is an object of its own.
fn switched() -> String {
    let switch = "pause: {create: {apiVersion: example.com/v1, kind: Switch, metadata: {name: \"${name}-${nth}\"}, \
                  spec: {box: \"${name}\", power: \"off\"}}}";
    PROFILE.replace("pause: {merge: {spec: {power: \"off\"}}}", switch)
}

/// The profile by which a pause is a patch of a subresource.
fn scaled() -> String {
    PROFILE.replace(
        "pause: {merge: {spec: {power: \"off\"}}}",
        "pause: {merge-subresource: {name: power, merge: {spec: {power: \"off\"}}}}",
    )
}

/// Cases of the suite that every sandbox can be asked for.
const PLAIN: [&str; 2] = ["pause-and-resume-reach-their-state", "resume-races-delete"];

/// What comes of a case of the suite: why it is skipped, or nothing when it passes.
async fn skipped(target: &Arc<Target>, id: &str) -> Option<String> {
    let report = run_one(&shipped(id), target).await;
    match report.result {
        Outcome::Pass => None,
        Outcome::Skipped => report.reason,
        other => panic!("{id} is {other:?}: {:?} {:?}", report.reason, report.violations),
    }
}

async fn reads(profile: &str) -> Arc<Target> {
    let profile = Profile::parse("profile.yaml", profile).unwrap_or_else(|error| panic!("{error}"));
    Arc::new(start_as(BOX, Lie::None, profile).await)
}

#[tokio::test]
async fn what_a_profile_leaves_unsaid_is_skipped_with_the_field_that_is_missing() {
    let bare = PROFILE.replace("  pod-template: /spec/pod\n", "");
    let profiles = [
        (PROFILE.to_owned(), [None, None]),
        (scaled(), [Some("kubernetes.created-paused"), None]),
        (switched(), [Some("kubernetes.created-paused"), None]),
        (bare, [None, Some("kubernetes.pod-template")]),
    ];
    let judged = profiles.map(|(profile, unsaid)| leaves_unsaid(profile, unsaid));
    futures::future::join_all(judged).await;
}

/// Judges two cases of which a profile leaves these fields unsaid, and those that take none of them.
async fn leaves_unsaid(profile: String, unsaid: [Option<&str>; 2]) {
    let target = reads(&profile).await;
    let cases = [
        "created-paused-starts-nothing",
        "an-edited-template-waits-for-the-resume",
    ];
    for (id, field) in cases.into_iter().zip(unsaid) {
        let why = skipped(&target, id).await;
        assert_eq!(why.is_some(), field.is_some(), "{id}: {why:?}\n{profile}");
        let named = field.is_none_or(|field| why.is_some_and(|why| why.contains(field)));
        assert!(named, "{id}\n{profile}");
    }
    for id in PLAIN {
        assert_eq!(skipped(&target, id).await, None, "{id}\n{profile}");
    }
}

#[tokio::test]
async fn a_profile_can_say_how_a_sandbox_is_created_paused_where_a_pause_is_no_patch() {
    let created = "  created-paused: {spec: {power: \"off\"}}\n  resume:";
    let target = reads(&switched().replace("  resume:", created)).await;
    assert_eq!(skipped(&target, "created-paused-starts-nothing").await, None);
}

#[tokio::test]
async fn the_object_that_asked_for_a_pause_is_no_remnant_and_goes_with_the_case() {
    let profile = Profile::parse("profile.yaml", &switched()).unwrap_or_else(|error| panic!("{error}"));
    let target = Arc::new(start_as(BOX, Lie::None, profile).await);
    for (steps, result) in [(DELETED, Outcome::Pass), (BROKEN, Outcome::Fail)] {
        let report = run_one(&case("", steps), &target).await;
        assert_eq!(report.result, result, "{:?}", report.reason);
        assert_eq!(
            stand_in::cluster::names_of(&target, "Switch").await,
            Vec::<String>::new()
        );
    }
}

/// Nothing is left of what was paused and deleted.
const DELETED: &str = "
  - create: {}
  - pause: {}
  - ask: {for: paused}
  - delete: {}
  - expect:
      - nothing-left: {}
";

/// A case that is broken off over a paused sandbox.
const BROKEN: &str = "
  - create: {}
  - pause: {}
  - expect:
      - phase: {is: [Running]}
";

#[tokio::test]
async fn a_target_is_not_read_by_a_profile_without_a_custom_resource() {
    let target = start_as(KRUISE, Lie::None, Profile::built_in("e2b").unwrap()).await;
    let report = run_one(&case("", SHORT), &Arc::new(target)).await;
    assert_ne!(report.result, Outcome::Pass);
}

/// Keeps values in files of a folder, pauses by HTTP, and counts CPU only while a box is on.
#[cfg(unix)]
const SCRIPT: &str = r#"
request=$(cat)
field() { printf %s "$request" | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }
name=$(field name); file="$DIR/$name.$(field facet).$(field key)"
power() {
  body="{\"spec\":{\"power\":\"$1\"}}"
  exec 3<>"/dev/tcp/127.0.0.1/$PORT"
  printf 'PATCH %s/%s HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %s\r\n\r\n%s' \
    "/apis/example.com/v1/namespaces/default/boxes" "$name" "${#body}" "$body" >&3
  head -n 1 <&3 | grep -q ' 200 ' || { echo '{"refused": "no such box"}'; exit 0; }
  echo "$1" > "$DIR/$name.power"; echo '{}'
}
case $(field call) in
  probe-write) field value > "$file"; echo '{}' ;;
  probe-read) if [ -e "$file" ]; then echo "{\"value\": \"$(cat "$file")\"}"; else echo '{"value": null}'; fi ;;
  usage) if grep -qs off "$DIR/$name.power"; then echo '{}'; else echo '{"cpuSeconds": 1.5, "memoryBytes": 4096}'; fi ;;
  pause) power off; [ -z "$FORGETS" ] || rm -f "$DIR/$name".*.* ;;
  resume) power on ;;
esac
"#;

#[cfg(unix)]
const HOOKED: &str = r#"
  - create: {}
  - probe-write: {facet: memory, key: x, value: "7 of ${run}"}
  - expect:
      - metric: {of: memory}
  - pause: {}
  - expect:
      - pods: {count: 0}
      - metric: {of: memory, positive: false}
      - metric: {of: cpu, positive: false}
  - resume: {}
  - probe-read: {facet: memory, key: x, value: "7 of ${run}"}
  - probe-read: {facet: files, key: x}
"#;

/// A target whose profile names the script for every call.
#[cfg(unix)]
async fn hooked(folder: &std::path::Path, forgets: &str) -> Target {
    let profile = PROFILE
        .replace("pause: {merge: {spec: {power: \"off\"}}}", "pause: hook")
        .replace("resume: {merge: {spec: {power: \"on\"}}}", "resume: hook");
    let script = folder.join("hook.sh");
    // The address is known once it is started, so that the script is written after the profile is read.
    let command = format!("{{command: [bash, {:?}]}}", script.display().to_string());
    let calls = ["probe-write", "probe-read", "usage", "pause", "resume"];
    let hooks = calls.map(|call| format!("  {call}: {command}\n")).concat();
    let profile = Profile::parse("profile.yaml", &format!("{profile}hooks:\n{hooks}"));
    let target = start_as(BOX, Lie::None, profile.unwrap_or_else(|error| panic!("{error}"))).await;
    let port = stand_in::cluster::port_of(&target);
    let head = format!("DIR={:?} PORT={port} FORGETS={forgets}\n", folder.display().to_string());
    std::fs::write(script, head + SCRIPT).unwrap();
    target
}

#[cfg(unix)]
#[tokio::test]
async fn a_shell_script_can_be_the_adapter() {
    let folder = tempfile::tempdir().unwrap();
    let target = Arc::new(hooked(folder.path(), "").await);
    passed(&run_one(&case("probe, metrics", HOOKED), &target).await);
}

#[cfg(unix)]
#[tokio::test]
async fn a_pause_by_a_hook_is_judged_like_any_other_also_where_the_hook_may_refuse() {
    let folder = tempfile::tempdir().unwrap();
    let target = Arc::new(hooked(folder.path(), "").await);
    for id in PLAIN {
        assert_eq!(skipped(&target, id).await, None, "{id}");
    }
    let why = skipped(&target, "created-paused-starts-nothing").await.unwrap();
    assert!(why.contains("kubernetes.created-paused"), "{why}");
    let refused = "\n  - create: {}\n  - delete: {}\n  - ask: {for: running, status: [404]}\n";
    passed(&run_one(&case("", refused), &target).await);
}

#[cfg(unix)]
#[tokio::test]
async fn without_its_hook_a_pause_by_hook_is_no_error() {
    let profile = PROFILE.replace("pause: {merge: {spec: {power: \"off\"}}}", "pause: hook");
    let why = skipped(&reads(&profile).await, PLAIN[0]).await.unwrap();
    assert!(why.contains("hooks.pause"), "{why}");
}

#[cfg(unix)]
#[tokio::test]
async fn what_a_sandbox_forgets_the_script_tells() {
    let folder = tempfile::tempdir().unwrap();
    let target = Arc::new(hooked(folder.path(), "yes").await);
    let report = run_one(&case("probe, metrics", HOOKED), &target).await;
    assert_eq!((report.result, report.step.as_deref()), (Outcome::Fail, Some("7")));
    assert!(
        report
            .reason
            .unwrap()
            .contains("`x` of `sandbox` is nothing instead of")
    );
}

#[cfg(unix)]
#[tokio::test]
async fn a_script_that_does_not_work_is_an_error_and_no_verdict_on_the_target() {
    let folder = tempfile::tempdir().unwrap();
    let target = hooked(folder.path(), "").await;
    std::fs::write(folder.path().join("hook.sh"), "echo oops >&2; exit 3").unwrap();
    let report = run_one(&case("probe, metrics", HOOKED), &Arc::new(target)).await;
    assert_eq!((report.result, report.step.as_deref()), (Outcome::Error, Some("2")));
    let why = report.reason.unwrap();
    assert!(
        why.contains("probe-write") && why.contains("exit status: 3: oops"),
        "{why}"
    );
}

mod in_rust {
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Mutex;

    use torpor_harness::{Adapter, AdapterCall, AdapterError, Facet, Slot, Subject};

    use super::*;

    /// An adapter of somebody who runs the suite from Rust.
    #[derive(Debug, Default)]
    struct Mine {
        values: Mutex<BTreeMap<(String, Facet, String), String>>,
        forgets: bool,
    }

    #[async_trait::async_trait]
    impl Adapter for Mine {
        fn calls(&self) -> BTreeSet<AdapterCall> {
            [AdapterCall::ProbeWrite, AdapterCall::ProbeRead].into()
        }

        async fn probe_write(&self, sandbox: &Subject, slot: &Slot, value: &str) -> Result<(), AdapterError> {
            let key = (sandbox.uid.clone(), slot.facet, slot.key.clone());
            if !self.forgets {
                self.values.lock().unwrap().insert(key, value.to_owned());
            }
            Ok(())
        }

        async fn probe_read(&self, sandbox: &Subject, slot: &Slot) -> Result<Option<String>, AdapterError> {
            let key = (sandbox.uid.clone(), slot.facet, slot.key.clone());
            Ok(self.values.lock().unwrap().get(&key).cloned())
        }
    }

    const PROBED: &str = "
  - create: {}
  - probe-write: {facet: files, key: x, value: \"7\"}
  - pause: {}
  - resume: {}
  - probe-read: {facet: files, key: x, value: \"7\"}
";

    #[tokio::test]
    async fn an_adapter_may_be_a_type_of_ones_own() {
        for (forgets, result) in [(false, Outcome::Pass), (true, Outcome::Fail)] {
            let mut target = start_as(KRUISE, Lie::None, Profile::built_in("kruise").unwrap()).await;
            target.adapter = Some(Arc::new(Mine {
                forgets,
                ..Mine::default()
            }));
            let report = run_one(&case("probe", PROBED), &Arc::new(target)).await;
            assert_eq!(report.result, result, "{:?}", report.reason);
        }
    }
}
