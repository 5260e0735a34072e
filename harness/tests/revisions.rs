//! What a suite may add without breaking anyone, and what a target may take longer for: both are told apart in reports.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must fail")]

#[expect(dead_code, reason = "shared with tests that use more of it")]
mod stand_in;

use std::sync::Arc;

use serde_json::{Value, json};
use stand_in::{Defect, KEEPS, StandIn};
use torpor_harness::scenario::{Scenario, Span};
use torpor_harness::{
    Catalogue, Difference, Filter, Form, FoundReport, Limits, Outcome, Profile, Report, RunOptions, Suite, Target,
    Verdict, run, verify,
};

fn scenario(id: &str, head: &str, steps: &str) -> (String, Arc<Scenario>) {
    let text = format!("id: {id}\ntitle: A claim\nvia: [e2b]\ntimeout: 10s\n{head}\nsteps:\n{steps}");
    let parsed = Scenario::parse(&format!("{id}.yaml"), &text, &Catalogue::load().unwrap());
    (id.to_owned(), Arc::new(parsed.unwrap()))
}

/// One case that counts, one that counted since the first revision, and one that will.
fn suite() -> Suite {
    let mut suite = Suite::embedded().unwrap();
    suite.scenarios = [
        scenario("starts", "requirements: [CTX-05]\nlabels: [smoke]", "  - create: {}\n"),
        scenario(
            "counts",
            "requirements: [CTX-05]\ncounts-from: \"0.0\"",
            "  - create: {}\n",
        ),
        scenario(
            "will-count",
            "requirements: [CTX-01]\nlabels: [smoke, new]\ncounts-from: \"999.0\"\nneeds: [memory]",
            KEEPS,
        ),
    ]
    .into();
    suite
}

async fn report_of(target: &Arc<Target>, options: RunOptions) -> Report {
    run(&suite(), target, &options, |_| {}).await
}

async fn report(defect: Defect, options: RunOptions) -> Report {
    report_of(&StandIn::start(defect).await.target, options).await
}

fn findings(data: Value) -> Vec<String> {
    let found = FoundReport::of("report.json", data).unwrap();
    let findings = verify(&found, &suite()).findings;
    findings.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn a_provisional_case_fails_without_any_weight_and_is_shown_apart_in_every_form() {
    let report = report(Defect::ForgetsOnResume, RunOptions::default()).await;
    assert_eq!(report.verdict(), Verdict::Conformant, "{:?}", report.notes());
    assert_eq!(
        (report.summary.pass, report.summary.fail, report.cases.len()),
        (2, 0, 2)
    );
    let [case] = report.provisional.as_slice() else {
        panic!("{:?}", report.provisional);
    };
    assert_eq!((case.id.as_str(), case.result), ("will-count", Outcome::Fail));
    let requirement = report.requirements.iter().find(|row| row.id == "CTX-01").unwrap();
    assert_eq!(requirement.result, Outcome::Untested);
    for form in [
        Form::Text,
        Form::Json,
        Form::Yaml,
        Form::Junit,
        Form::Html,
        Form::Markdown,
    ] {
        let text = report.render(form).unwrap();
        assert!(
            text.contains("will-count") && text.to_lowercase().contains("provisional"),
            "{form:?}: {text}"
        );
    }
    let junit = report.render(Form::Junit).unwrap();
    assert!(junit.contains("failures=\"0\"") && junit.contains("<skipped message=\"provisional, fail: "));
    assert!(junit.contains("<property name=\"label\" value=\"new\"/><property name=\"counts-from\" value=\"999.0\"/>"));
    let passes = self::report(Defect::None, RunOptions::default()).await;
    assert!(!Difference::between(&passes, &report).is_regression());
    assert!(findings(serde_json::to_value(&report).unwrap()).is_empty());
}

#[tokio::test]
async fn a_failure_moved_to_the_provisional_cases_is_found() {
    let report = report(Defect::CannotDelete, RunOptions::default()).await;
    let mut data = serde_json::to_value(&report).unwrap();
    let moved = data["cases"].as_array_mut().unwrap().remove(0);
    data["provisional"].as_array_mut().unwrap().insert(0, moved);
    let found = findings(data.clone());
    let says = |what: &str| found.iter().any(|finding| finding.contains(what));
    assert!(
        says("it counts by now, and stands with the provisional cases"),
        "{found:?}"
    );
    data["provisional"][0]["countsFrom"] = json!("999.0");
    let found = findings(data);
    let says = |what: &str| found.iter().any(|finding| finding.contains(what));
    assert!(says("when it counts, are not as the suite has them"), "{found:?}");
}

#[tokio::test]
async fn a_provisional_failure_stops_no_run() {
    let options = RunOptions {
        keep_going: false,
        jobs: 1,
        repeat: 2,
        ..RunOptions::default()
    };
    let report = report(Defect::ForgetsOnResume, options).await;
    assert_eq!((report.summary.pass, report.summary.skipped), (2, 0));
}

#[tokio::test]
async fn a_label_takes_the_cases_that_have_it_and_makes_the_report_one_of_selected_cases() {
    let options = |any_of: &[&str], labels: &[&str]| RunOptions {
        filter: Filter {
            any_of: any_of.iter().map(|word| (*word).to_owned()).collect(),
            labels: labels.iter().map(|word| (*word).to_owned()).collect(),
        },
        ..RunOptions::default()
    };
    let smoke = report(Defect::None, options(&[], &["smoke"])).await;
    assert_eq!(
        (smoke.cases.len(), smoke.provisional.len(), smoke.partial),
        (1, 1, true)
    );
    let found = findings(serde_json::to_value(&smoke).unwrap());
    assert_eq!(
        found,
        ["it is of selected cases only (smoke), so it says nothing of the others"]
    );
    let both = report(Defect::None, options(&["CTX-05"], &["new"])).await;
    assert_eq!((both.cases.len(), both.provisional.len()), (0, 0));
}

#[tokio::test]
async fn limits_of_a_profile_are_obeyed_and_pointed_out() {
    let text = "name: slow\nextends: kruise\nlimits: {delete: 300ms, start: 2m}\n";
    let profile = Profile::parse("slow.yaml", text).unwrap();
    assert_eq!(
        profile.limits,
        Limits {
            delete: Span::try_from("300ms".to_owned()).unwrap(),
            start: Span::seconds(120),
            ..Limits::NORMATIVE
        }
    );
    let stand_in = StandIn::start(Defect::CannotDelete).await;
    let target = Arc::new(Target {
        profile,
        ..(*stand_in.target).clone()
    });
    let report = report_of(&target, RunOptions::default()).await;
    let note = "judged with more patience than the contract has: start 120s instead of 30s";
    assert!(report.notes().iter().any(|found| found == note), "{:?}", report.notes());
    for form in [Form::Text, Form::Html, Form::Markdown] {
        let text = report.render(form).unwrap();
        assert!(text.contains("start 120s instead of 30s"), "{form:?}");
    }
    assert!(
        report.seconds < 20.0,
        "the limit of a deletion was not that of the profile"
    );
    let found = FoundReport::of("report.json", serde_json::to_value(&report).unwrap()).unwrap();
    let notes = verify(&found, &suite()).notes;
    assert!(notes.iter().any(|note| note.contains("more patience")), "{notes:?}");
}

#[test]
fn a_limit_of_nothing_and_an_unknown_one_are_refused_with_their_place() {
    let error = |limits: &str| {
        let text = format!("name: mine\nextends: kruise\nlimits: {limits}\n");
        Profile::parse("mine.yaml", &text).unwrap_err().to_string()
    };
    assert_eq!(error("{pause: 0s}"), "mine.yaml:3:1: `limits.pause` must be above zero");
    let unknown = error("{paus: 3s}");
    assert!(
        unknown.starts_with("mine.yaml:3:") && unknown.contains("paus"),
        "{unknown}"
    );
}

#[test]
fn every_label_is_explained() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/scenarios.md")).unwrap();
    for label in Suite::embedded().unwrap().labels() {
        assert!(
            page.contains(&format!("| `{label}` |")),
            "docs/scenarios.md does not explain `{label}`"
        );
    }
}

#[test]
fn a_revision_and_a_label_that_are_none_are_refused_with_their_place() {
    let errors = |head: &str| {
        let text =
            format!("id: a\ntitle: A claim\nrequirements: [CTX-01]\nvia: [e2b]\n{head}\nsteps: [create: {{}}]\n");
        let errors = Scenario::parse("a.yaml", &text, &Catalogue::load().unwrap()).unwrap_err();
        errors[0].to_string()
    };
    let revision = errors("counts-from: next");
    assert!(
        revision.starts_with("a.yaml:5:") && revision.contains("`next` is no revision"),
        "{revision}"
    );
    let label = errors("labels: [Slow Ones]");
    assert_eq!(
        label,
        "a.yaml:5:10: label `Slow Ones` must be lower-case words joined by `-`"
    );
}
