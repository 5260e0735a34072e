//! What a run amounts to: no kind of result passes for another.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must fail")]

#[expect(dead_code, reason = "shared with tests that use more of it")]
mod stand_in;

use std::sync::Arc;

use stand_in::{Defect, KEEPS, StandIn};
use torpor_harness::scenario::Scenario;
use torpor_harness::{
    Capability, Catalogue, ExpectationState, ExpectedFailures, Filter, Outcome, Report, RunOptions, Skip, Stale, Suite,
    Target, Verdict, run,
};

fn scenario(id: &str, requirement: &str, needs: &str, steps: &str) -> (String, Arc<Scenario>) {
    let text = format!(
        "id: {id}\ntitle: A claim\nrequirements: [{requirement}]\nneeds: [{needs}]\nvia: [e2b]\ntimeout: 10s\nsteps:\n{steps}"
    );
    let parsed = Scenario::parse(&format!("{id}.yaml"), &text, &Catalogue::load().unwrap());
    (id.to_owned(), Arc::new(parsed.unwrap()))
}

/// One case of a claimed feature, one of an unclaimed one, and one that always passes.
fn suite() -> Suite {
    let mut suite = Suite::embedded().unwrap();
    suite.scenarios = [
        scenario("keeps", "CTX-01", "memory", KEEPS),
        scenario("unclaimed", "TIME-01", "auto-pause", "  - create: {}\n"),
        scenario("starts", "CTX-05", "", "  - create: {}\n"),
    ]
    .into();
    suite
}

async fn report(defect: Defect, options: RunOptions) -> Report {
    report_of(&StandIn::start(defect).await.target, options).await
}

async fn report_of(target: &Arc<Target>, options: RunOptions) -> Report {
    run(&suite(), target, &options, |_| {}).await
}

fn result(report: &Report, id: &str) -> Outcome {
    report.cases.iter().find(|case| case.id == id).unwrap().result
}

fn requirement(report: &Report, id: &str) -> Outcome {
    let found = report.requirements.iter().find(|requirement| requirement.id == id);
    found.unwrap().result
}

fn expected(id: &str, expires: &str) -> ExpectedFailures {
    let text = format!("expectedFailures:\n  - {{id: {id}, owner: me, reason: known, expires: {expires}}}\n");
    ExpectedFailures::parse("known.yaml", &text).unwrap()
}

#[tokio::test]
async fn what_is_not_claimed_is_no_obstacle_and_no_pass() {
    let report = report(Defect::None, RunOptions::default()).await;
    assert_eq!(report.verdict(), Verdict::Conformant, "{:?}", report.notes());
    assert_eq!(result(&report, "unclaimed"), Outcome::NotClaimed);
    assert_eq!(requirement(&report, "TIME-01"), Outcome::NotClaimed);
    assert_eq!((report.summary.pass, report.summary.not_claimed), (2, 1));
}

#[tokio::test]
async fn what_is_claimed_and_left_out_is_no_success() {
    let options = RunOptions {
        skips: vec![Skip {
            id: "CTX-01".to_owned(),
            reason: "no time".to_owned(),
        }],
        ..RunOptions::default()
    };
    let report = report(Defect::None, options).await;
    assert_eq!(result(&report, "keeps"), Outcome::Skipped);
    assert_eq!(report.verdict(), Verdict::NotConformant);
}

#[tokio::test]
async fn what_is_not_claimed_cannot_be_left_out_and_needs_no_excuse() {
    let options = RunOptions {
        skips: vec![Skip {
            id: "unclaimed".to_owned(),
            reason: "why not".to_owned(),
        }],
        ..RunOptions::default()
    };
    let report = report(Defect::None, options).await;
    assert_eq!(result(&report, "unclaimed"), Outcome::NotClaimed);
}

#[tokio::test]
async fn an_expected_failure_is_neither_a_pass_nor_a_surprise() {
    let options = RunOptions {
        expected: expected("keeps", "2999-01-01"),
        ..RunOptions::default()
    };
    let report = report(Defect::ForgetsOnResume, options).await;
    assert_eq!(result(&report, "keeps"), Outcome::ExpectedFailure);
    assert_eq!(requirement(&report, "CTX-01"), Outcome::ExpectedFailure);
    assert_eq!(
        (report.verdict(), report.verdict().exit_code()),
        (Verdict::AsExpected, 0)
    );
    assert_eq!(report.expectations[0].state, ExpectationState::Held);
    let folder = tempfile::tempdir().unwrap();
    report.write(folder.path()).unwrap();
    let junit = std::fs::read_to_string(folder.path().join("junit.xml")).unwrap();
    assert!(
        junit.contains("<skipped message=\"expected-failure: expected by me: known;"),
        "{junit}"
    );
}

#[tokio::test]
async fn a_stale_expectation_is_no_success_and_says_why() {
    let table = [
        (Defect::None, "keeps", "2999-01-01", Stale::Passes),
        (Defect::ForgetsOnResume, "keeps", "2001-01-01", Stale::Expired),
        (Defect::None, "no-such-case", "2999-01-01", Stale::Unknown),
    ];
    for (defect, id, expires, why) in table {
        let options = RunOptions {
            expected: expected(id, expires),
            ..RunOptions::default()
        };
        let report = report(defect, options).await;
        assert_eq!(report.expectations[0].stale(), Some(why), "{id}");
        assert_eq!(report.verdict(), Verdict::NotConformant, "{id}");
        assert!(report.notes()[0].contains(why.as_str()), "{:?}", report.notes());
    }
}

#[tokio::test]
async fn an_expectation_of_what_is_not_tried_is_not_stale() {
    for id in ["unclaimed", "TIME-01"] {
        let options = RunOptions {
            expected: expected(id, "2999-01-01"),
            ..RunOptions::default()
        };
        let report = report(Defect::None, options).await;
        assert_eq!(report.expectations[0].state, ExpectationState::NotTried, "{id}");
        assert_eq!(report.verdict(), Verdict::Conformant);
    }
}

#[tokio::test]
async fn what_passes_unclaimed_is_pointed_out_and_counts_for_nothing() {
    let options = RunOptions {
        try_unclaimed: true,
        ..RunOptions::default()
    };
    let report = report(Defect::None, options).await;
    assert_eq!(result(&report, "unclaimed"), Outcome::NotClaimed);
    let found: Vec<_> = report.could_claim.iter().map(|found| found.capability).collect();
    assert_eq!(found, [Capability::AutoPause]);
    assert_eq!(report.summary.pass, 2);
    assert_eq!(report.notes(), ["could claim auto-pause: 1 cases of it pass"]);
}

#[tokio::test]
async fn a_claim_without_an_executed_case_is_an_error() {
    let stand_in = StandIn::start(Defect::None).await;
    let mut target = (*stand_in.target).clone();
    target.capabilities.insert(Capability::Program);
    let target = Arc::new(target);
    let whole = report_of(&target, RunOptions::default()).await;
    assert_eq!(whole.verdict(), Verdict::HarnessError);
    assert!(whole.unexercised.contains(&Capability::Program));
    let options = RunOptions {
        filter: Filter {
            any_of: vec!["CTX".to_owned()],
            ..Filter::default()
        },
        ..RunOptions::default()
    };
    let part = report_of(&target, options).await;
    assert_eq!((part.verdict(), part.partial), (Verdict::Conformant, true));
}

#[tokio::test]
async fn a_claim_without_an_address_is_untestable_and_counts_as_failed() {
    let mut suite = suite();
    suite
        .scenarios
        .extend([scenario("metrics", "OBS-02", "controller-metrics", "  - create: {}\n")]);
    let stand_in = StandIn::start(Defect::None).await;
    let mut target = (*stand_in.target).clone();
    target.capabilities.insert(Capability::ControllerMetrics);
    let report = run(&suite, &Arc::new(target), &RunOptions::default(), |_| {}).await;
    assert_eq!(result(&report, "metrics"), Outcome::Untestable);
    assert_eq!(report.verdict(), Verdict::NotConformant);
}

#[tokio::test]
async fn rounds_are_one_result_each_and_the_worst_in_all() {
    let options = RunOptions {
        repeat: 3,
        ..RunOptions::default()
    };
    let report = report(Defect::ForgetsOnceOnResume, options).await;
    let case = report.cases.iter().find(|case| case.id == "keeps").unwrap();
    assert_eq!(
        (case.result, case.rounds.len(), case.is_flaky()),
        (Outcome::Fail, 3, true)
    );
    assert_eq!(report.cases.len(), 3);
    assert_eq!(report.notes(), ["not the same in every round: keeps"]);
}
