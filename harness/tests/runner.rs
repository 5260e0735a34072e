//! The runner against a little stand-in: what passes, what fails, and what is neither.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must fail")]

#[expect(dead_code, reason = "shared with tests that use more of it")]
mod stand_in;

use std::sync::Arc;

use stand_in::cluster::Lie;
use stand_in::{Defect, StandIn};
use torpor_harness::history::Watched;
use torpor_harness::scenario::{Front, Scenario};
use torpor_harness::{
    Case, CaseReport, Catalogue, Filter, Outcome, RunEvent, RunOptions, Suite, Verdict, render_line, run, run_one,
};

fn case(steps: &str) -> Case {
    case_through(Front::E2b, steps)
}

fn case_through(front: Front, steps: &str) -> Case {
    let head = "id: mine\ntitle: A claim\nrequirements: [CTX-01]\ntimeout: 10s";
    let text = format!("{head}\nvia: [{}]\nsteps:\n{steps}", front.as_str());
    let scenario = Scenario::parse("mine.yaml", &text, &Catalogue::load().unwrap());
    let scenario = Arc::new(scenario.unwrap_or_else(|errors| panic!("{errors:?}")));
    Case {
        id: "mine".to_owned(),
        scenario,
        front,
    }
}

const KEEPS: &str = r#"
  - create: {}
  - run: {code: "x = 7"}
  - pause: {}
  - expect:
      - sdk-state: {is: paused}
  - resume: {}
  - run: {code: "x", text: "7", save: seen}
  - expect:
      - compare: {left: "${seen}", is: equal, right: "7"}
"#;

async fn report(defect: Defect, steps: &str) -> (CaseReport, StandIn) {
    let stand_in = StandIn::start(defect).await;
    let report = run_one(&case(steps), &stand_in.target).await;
    (report, stand_in)
}

#[tokio::test]
async fn a_claim_that_holds_passes_and_leaves_nothing_behind() {
    let (report, stand_in) = report(Defect::None, KEEPS).await;
    assert_eq!((report.result, report.reason), (Outcome::Pass, None));
    assert_eq!((stand_in.sandboxes(), report.leftovers.len()), (0, 0));
}

#[tokio::test]
async fn a_claim_that_does_not_hold_fails_at_its_step_and_is_cleaned_up() {
    let (report, stand_in) = report(Defect::ForgetsOnResume, KEEPS).await;
    assert_eq!((report.result, report.step.as_deref()), (Outcome::Fail, Some("6")));
    assert!(report.reason.unwrap().contains("NameError"));
    assert_eq!(stand_in.sandboxes(), 0);
}

#[tokio::test]
async fn a_sandbox_that_a_request_has_made_is_deleted_also_where_it_should_not_have_been_made() {
    let make = |status: u16| {
        format!("\n  - http: {{method: POST, path: /v2/sandboxes, body: {{timeout: 0}}, status: [{status}]}}\n")
    };
    for (status, result) in [(201, Outcome::Pass), (400, Outcome::Fail)] {
        let (report, stand_in) = report(Defect::None, &make(status)).await;
        assert_eq!(report.result, result, "{:?}", report.reason);
        assert_eq!((stand_in.sandboxes(), report.leftovers.len()), (0, 0));
    }
    let (report, _) = report(Defect::CannotDelete, &make(201)).await;
    assert!(
        report.leftovers.concat().contains("sandbox i0"),
        "{:?}",
        report.leftovers
    );
}

#[tokio::test]
async fn finalizers_that_a_broken_case_has_set_are_taken_away_again() {
    let target = stand_in::cluster::start(Lie::None).await;
    let set = "patch: {merge: {metadata: {finalizers: [example.com/other]}}}";
    for hold in [
        "create: {finalizers: [example.com/hold]}",
        &format!("create: {{}}\n  - {set}"),
    ] {
        let steps = format!("\n  - {hold}\n  - delete: {{wait: false}}\n  - expect:\n      - gone: {{}}\n");
        let report = run_one(&case_through(Front::Kubernetes, &steps), &target).await;
        assert_eq!(report.result, Outcome::Fail, "{hold}: {:?}", report.reason);
        assert_eq!(report.leftovers, Vec::<String>::new(), "{hold}");
    }
}

#[tokio::test]
async fn steps_repeat_with_their_number_and_race_side_by_side() {
    let steps = r#"
  - create: {sandbox: a}
  - create: {sandbox: b}
  - race:
      branches:
        - - repeat:
              times: 2
              steps:
                - run: {sandbox: a, code: "x = ${i}"}
                - run: {sandbox: a, code: "x", text: "${i}"}
        - - run: {sandbox: b, code: "x = 9"}
          - pause: {sandbox: b}
  - run: {sandbox: a, code: "x", text: "2"}
  - expect:
      - listed: {has: [a, b], in-order: true, limit: 1}
      - sdk-state: {sandbox: b, is: paused}
"#;
    let (report, _) = report(Defect::None, steps).await;
    assert_eq!((report.result, report.reason), (Outcome::Pass, None));
}

#[tokio::test]
async fn who_cannot_find_a_sandbox_by_its_name_is_told_how_to_name_another_way() {
    let stand_in = StandIn::start(Defect::None).await;
    let mut target = (*stand_in.target).clone();
    target.e2b.as_mut().unwrap().sandbox_url = None;
    let report = run_one(&case(KEEPS), &Arc::new(target)).await;
    assert_eq!((report.result, report.step.as_deref()), (Outcome::Error, Some("2")));
    let reason = report.reason.unwrap();
    assert!(
        reason.contains(".sandboxes.invalid") && reason.contains("--e2b-sandbox-url"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_wait_that_is_never_met_fails_with_what_was_seen_last() {
    let steps = "
  - create: {}
  - wait:
      until:
        - sdk-state: {is: paused}
      within: 300ms
";
    let (report, _) = report(Defect::None, steps).await;
    assert_eq!((report.result, report.step.as_deref()), (Outcome::Fail, Some("2")));
    assert!(report.reason.unwrap().contains("running"));
}

#[tokio::test]
async fn a_state_that_comes_and_goes_is_reached_unless_it_has_to_be_stable() {
    let waits = |stable: &str| {
        format!("\n  - create: {{}}\n  - wait: {{until: [{{sdk-state: {{is: running}}}}], within: 1500ms{stable}}}\n")
    };
    let (plain, _) = report(Defect::Flaps(usize::MAX), &waits("")).await;
    assert_eq!((plain.result, plain.reason), (Outcome::Pass, None));
    let (for_ever, _) = report(Defect::Flaps(usize::MAX), &waits(", stable: 300ms")).await;
    assert_eq!((for_ever.result, for_ever.step.as_deref()), (Outcome::Fail, Some("2")));
    assert!(for_ever.reason.unwrap().contains("it came and went"));
    let (at_first, _) = report(Defect::Flaps(4), &waits(", stable: 300ms")).await;
    assert_eq!((at_first.result, at_first.reason), (Outcome::Pass, None));
}

#[tokio::test]
async fn something_that_must_hold_all_the_time_fails_when_it_stops_to() {
    let steps = "
  - create: {}
  - race:
      branches:
        - - observe:
              during: 20s
              holds:
                - sdk-state: {is: running}
        - - pause: {}
";
    let (report, _) = report(Defect::None, steps).await;
    assert_eq!((report.result, report.step.as_deref()), (Outcome::Fail, Some("2.1.1")));
}

#[tokio::test]
async fn a_target_that_does_not_answer_in_time_fails() {
    let (report, _) = report(Defect::Hangs, KEEPS).await;
    assert_eq!(report.result, Outcome::Fail);
    assert!(report.reason.unwrap().contains("no answer"));
}

#[tokio::test]
async fn what_cannot_be_cleaned_up_is_named() {
    let (report, stand_in) = report(Defect::CannotDelete, KEEPS).await;
    assert_eq!((report.result, stand_in.sandboxes()), (Outcome::Pass, 1));
    assert!(report.leftovers[0].contains("not 404"), "{:?}", report.leftovers);
}

#[tokio::test]
async fn a_target_that_cannot_be_reached_is_an_error_and_no_verdict_on_it() {
    let mut target = stand_in::target("http://127.0.0.1:1");
    target.name = "nobody".to_owned();
    let report = run_one(&case(KEEPS), &Arc::new(target)).await;
    assert_eq!((report.result, report.step.as_deref()), (Outcome::Error, Some("1")));
}

#[tokio::test]
async fn what_a_target_does_not_claim_is_told_with_its_name() {
    let stand_in = StandIn::start(Defect::None).await;
    let mut case = case(KEEPS);
    case.front = Front::Kubernetes;
    let report = run_one(&case, &stand_in.target).await;
    assert_eq!(report.result, Outcome::NotClaimed);
    assert!(report.reason.unwrap().contains("kubernetes"));
}

#[tokio::test]
async fn a_run_tells_its_events_and_writes_its_files() {
    let stand_in = StandIn::start(Defect::ForgetsOnResume).await;
    let mut suite = Suite::embedded().unwrap();
    let mine = case(KEEPS).scenario;
    let fresh = case("  - create: {}\n").scenario;
    suite.scenarios = [
        ("mine".to_owned(), mine),
        ("fresh".to_owned(), Arc::new(renamed(&fresh))),
    ]
    .into();
    let mut lines = Vec::new();
    let mut ended = 0;
    let report = run(&suite, &stand_in.target, &RunOptions::default(), |event| {
        lines.extend(render_line(event));
        ended += usize::from(matches!(event, RunEvent::CaseEnded { .. }));
    })
    .await;
    assert_eq!((ended, report.summary.pass, report.summary.fail), (2, 1, 1));
    assert_eq!(
        (report.verdict(), report.verdict().exit_code()),
        (Verdict::NotConformant, 1)
    );
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("fail") && line.contains("mine")),
        "{lines:?}"
    );
    let folder = tempfile::tempdir().unwrap();
    report.write(folder.path()).unwrap();
    let read = |file: &str| std::fs::read_to_string(folder.path().join(file)).unwrap();
    let json: serde_json::Value = serde_json::from_str(&read("report.json")).unwrap();
    assert_eq!(
        (&json["schemaVersion"], &json["summary"]["fail"]),
        (&2.into(), &1.into())
    );
    let requirement = &json["requirements"][0];
    assert_eq!(
        (requirement["id"].as_str(), requirement["result"].as_str()),
        (Some("CTX-01"), Some("fail"))
    );
    assert!(read("junit.xml").contains("<failure message=\"&quot;x&quot; ended with NameError"));
    assert!(read("report.html").contains("Everything that was done and seen"));
}

fn renamed(scenario: &Scenario) -> Scenario {
    Scenario {
        id: "fresh".to_owned(),
        requirements: vec!["CTX-02".to_owned()],
        ..scenario.clone()
    }
}

#[tokio::test]
async fn a_run_that_tries_nothing_is_not_conformant() {
    let stand_in = StandIn::start(Defect::None).await;
    let suite = Suite::embedded().unwrap();
    let options = RunOptions {
        filter: Filter {
            any_of: vec!["no-such-case".to_owned()],
            ..Filter::default()
        },
        ..RunOptions::default()
    };
    let report = run(&suite, &stand_in.target, &options, |_| {}).await;
    assert_eq!(report.verdict(), Verdict::HarnessError);
}

#[tokio::test]
async fn without_keep_going_what_follows_a_failure_is_skipped() {
    let stand_in = StandIn::start(Defect::ForgetsOnResume).await;
    let mut suite = Suite::embedded().unwrap();
    let later = Scenario {
        id: "zz".to_owned(),
        ..(*case("  - create: {}\n").scenario).clone()
    };
    suite.scenarios = [
        ("mine".to_owned(), case(KEEPS).scenario),
        ("zz".to_owned(), Arc::new(later)),
    ]
    .into();
    let options = RunOptions {
        keep_going: false,
        jobs: 1,
        ..RunOptions::default()
    };
    let report = run(&suite, &stand_in.target, &options, |_| {}).await;
    assert_eq!((report.summary.fail, report.summary.skipped), (1, 1));
}

const PAUSES: &str = "
  - create: {}
  - pause: {}
  - expect:
      - pods: {count: 0}
      - condition: {kind: paused, is: holds}
  - mark: {name: before, of: resource, fields: [/metadata/uid, /metadata/name]}
  - resume: {}
  - expect:
      - pods: {count: 1}
      - unchanged: {since: before}
      - field: {path: /spec/paused, is: false}
  - delete: {}
  - patch: {merge: {spec: {paused: true}}, status: [404]}
";

async fn on_kubernetes(lie: Lie, steps: &str) -> CaseReport {
    let target = stand_in::cluster::start(lie).await;
    run_one(&case_through(Front::Kubernetes, steps), &target).await
}

#[tokio::test]
async fn a_truthful_controller_passes_and_is_judged_on_its_history() {
    let report = on_kubernetes(Lie::None, PAUSES).await;
    assert_eq!((report.result, report.reason), (Outcome::Pass, None));
    assert!(report.judged.contains(&"ZERO-05".to_owned()));
    let pods = report
        .history
        .changes()
        .iter()
        .filter(|change| change.object == Watched::Pod)
        .count();
    assert_eq!(pods, 5, "created, dying and gone, then created and gone");
}

#[tokio::test]
async fn a_lie_that_lasts_no_time_at_all_is_caught_although_every_step_passes() {
    let report = on_kubernetes(Lie::PausedTooEarly, PAUSES).await;
    assert_eq!((report.result, report.step), (Outcome::Fail, None));
    assert_eq!(
        report
            .violations
            .iter()
            .map(|violation| violation.requirement.as_ref())
            .collect::<Vec<_>>(),
        ["ZERO-05"]
    );
}

#[tokio::test]
async fn a_pod_that_outlives_its_sandbox_is_no_clean_deletion() {
    let report = on_kubernetes(Lie::LeavesThePod, PAUSES).await;
    assert_eq!((report.result, report.step.as_deref()), (Outcome::Fail, Some("7")));
    assert!(
        report.reason.unwrap().contains("1 live Pods"),
        "the reason names what is left"
    );
    assert_eq!(report.leftovers.len(), 1);
}

#[tokio::test]
async fn a_controller_that_does_nothing_fails_within_the_patience_of_the_target() {
    let report = on_kubernetes(Lie::Sleeps, PAUSES).await;
    assert_eq!((report.result, report.step.as_deref()), (Outcome::Fail, Some("1")));
    assert!(report.reason.unwrap().contains("Running"));
}

const EXPECTS_PAUSED: &str = "
  - create: {}
  - patch: {merge: {spec: {paused: true}}}
  - wait: {until: [phase: {is: [Paused]}], within: 10s}
  - expect: [phase: {is: [Paused]}]
";

#[tokio::test]
async fn a_status_that_lags_behind_the_spec_is_looked_at_again_before_it_is_judged() {
    let report = on_kubernetes(Lie::CatchesUpLate, EXPECTS_PAUSED).await;
    assert_eq!((report.result, report.reason), (Outcome::Pass, None));
}

#[tokio::test]
async fn a_status_that_never_speaks_of_the_spec_again_is_no_answer() {
    let report = on_kubernetes(Lie::NeverCatchesUp, EXPECTS_PAUSED).await;
    assert_eq!((report.result, report.step.as_deref()), (Outcome::Fail, Some("4")));
    let reason = report.reason.unwrap();
    assert!(reason.contains("generation 2 of 3"), "{reason}");
}
