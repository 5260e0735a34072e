//! An E2B API beside a cluster, whose ids are not the names of custom resources.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must fail")]

#[expect(dead_code, reason = "shared with tests that use more of it")]
mod stand_in;

use std::sync::Arc;

use stand_in::managed::{Ids, start};
use torpor_harness::scenario::{Front, Scenario};
use torpor_harness::{Case, CaseReport, Catalogue, Outcome, Profile, run_one};

/// Looks at the custom resource, its Pod and what E2B says, and asks by both.
const BOTH: &str = "
  - create: {}
  - expect:
      - phase: {is: [Running]}
      - pods: {count: 1}
      - sdk-state: {is: running}
  - mark: {name: pod, of: pod, fields: [/metadata/name]}
  - pause: {through: kubernetes}
  - expect:
      - sdk-state: {is: paused}
      - pods: {count: 0}
      - asked: {is: paused}
  - resume: {through: e2b}
  - expect:
      - unchanged: {since: pod}
  - patch: {merge: {metadata: {labels: {a: b}}}}
  - http: {method: POST, path: \"/sandboxes/${sandbox}/pause\", status: [204]}
  - delete: {}
  - expect:
      - gone: {}
      - nothing-left: {}
";

fn case(steps: &str) -> Case {
    let head = "id: mine\ntitle: A claim\nrequirements: [FSM-01]\ntimeout: 20s\nvia: [e2b]\nneeds: [kubernetes]";
    let scenario = Scenario::parse(
        "mine.yaml",
        &format!("{head}\nsteps:\n{steps}"),
        &Catalogue::load().unwrap(),
    );
    Case {
        id: "mine".to_owned(),
        scenario: Arc::new(scenario.unwrap_or_else(|errors| panic!("{errors:?}"))),
        front: Front::E2b,
    }
}

/// A profile of the stand-in's dialect, with this for `e2b.sandbox-id`.
fn profile(sandbox_id: &str) -> Profile {
    let text = format!("name: mine\nextends: kruise\ne2b: {{sandbox-id: {sandbox_id}}}\n");
    Profile::parse("mine.yaml", &text).unwrap_or_else(|error| panic!("{error}"))
}

async fn judge(ids: Ids, profile: Profile, steps: &str) -> CaseReport {
    run_one(&case(steps), &Arc::new(start(ids, profile).await)).await
}

const KRUISE: &str = "{form: '${namespace}--${name}', label: agents.kruise.io/sandbox-id}";

#[tokio::test]
async fn the_profile_says_which_custom_resource_an_id_means() {
    for ids in [Ids::Long, Ids::Short] {
        let report = judge(ids, profile(KRUISE), BOTH).await;
        assert_eq!((report.result, report.reason), (Outcome::Pass, None), "{ids:?}");
        assert_eq!(report.leftovers, Vec::<String>::new());
    }
    // What is written for one manager does for another whose ids are names.
    assert_eq!(judge(Ids::Name, profile(KRUISE), BOTH).await.result, Outcome::Pass);
    let labelled = profile("{label: agents.kruise.io/sandbox-id}");
    assert_eq!(judge(Ids::Short, labelled, BOTH).await.result, Outcome::Pass);
}

#[tokio::test]
async fn what_a_broken_case_has_made_is_deleted_by_its_id_and_by_its_name() {
    let target = Arc::new(start(Ids::Short, profile(KRUISE)).await);
    let broken = "\n  - create: {}\n  - expect:\n      - phase: {is: [Paused]}\n";
    let report = run_one(&case(broken), &target).await;
    assert_eq!((report.result, report.step.as_deref()), (Outcome::Fail, Some("2")));
    assert_eq!(report.leftovers, Vec::<String>::new());
    // The watches have seen it go: its name is known, although its id is another.
    let deleted = report
        .history
        .changes()
        .into_iter()
        .filter(|change| change.deleted)
        .count();
    assert_eq!(deleted, 2, "the custom resource and its Pod");
}

#[tokio::test]
async fn an_id_that_the_profile_cannot_read_is_no_verdict_on_the_target() {
    let report = judge(Ids::Short, profile("{form: '${namespace}--${name}'}"), BOTH).await;
    assert_eq!((report.result, report.step.as_deref()), (Outcome::Error, Some("1")));
    let why = report.reason.unwrap();
    assert!(why.contains("e2b.sandbox-id") && why.contains("--namespace"), "{why}");
    let report = judge(Ids::Long, profile("{}"), BOTH).await;
    assert_eq!((report.result, report.step.as_deref()), (Outcome::Fail, Some("1")));
    assert!(report.reason.unwrap().contains("e2b.sandbox-id"));
}

#[test]
fn the_releases_of_openkruise_are_read_by_the_ids_that_they_make() {
    for name in ["kruise-v0.3", "kruise-master"] {
        let ids = Profile::built_in(name).unwrap().sandbox_ids();
        assert_eq!(ids.name_in("team--box", "team"), Some("box"), "{name}");
        assert_eq!(ids.label.as_deref(), Some("agents.kruise.io/sandbox-id"), "{name}");
    }
    assert!(Profile::built_in("kruise").unwrap().sandbox_ids().are_names());
}
