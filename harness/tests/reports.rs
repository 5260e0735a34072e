//! Reports of real runs: they read back, and none that was tampered with is accepted.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must fail")]

#[expect(dead_code, reason = "shared with tests that use more of it")]
mod stand_in;

use std::sync::{Arc, LazyLock};

use serde_json::{Value, json};
use stand_in::{Defect, StandIn};
use torpor_harness::scenario::Scenario;
use torpor_harness::{
    Catalogue, ChangeKind, Difference, Filter, Finding, Form, FoundReport, Report, RunOptions, Suite, Verdict,
    remove_reports, run, verify,
};

fn scenario(id: &str, requirement: &str, needs: &str, steps: &str) -> (String, Arc<Scenario>) {
    let text = format!(
        "id: {id}\ntitle: A claim\nrequirements: [{requirement}]\nneeds: [{needs}]\nvia: [e2b]\nsteps:\n{steps}"
    );
    let parsed = Scenario::parse(&format!("{id}.yaml"), &text, &Catalogue::load().unwrap());
    (id.to_owned(), Arc::new(parsed.unwrap()))
}

static SUITE: LazyLock<Suite> = LazyLock::new(|| {
    let mut suite = Suite::embedded().unwrap();
    let keeps = "  - create: {}\n  - run: {code: \"x = 7\"}\n  - pause: {}\n  - resume: {}\n  - run: {code: \"x\", text: \"7\"}\n";
    suite.scenarios = [
        scenario("keeps", "CTX-01", "memory", keeps),
        scenario("starts", "CTX-05", "", "  - create: {}\n"),
        scenario("unclaimed", "TIME-01", "auto-pause", "  - create: {}\n"),
    ]
    .into();
    suite
});

async fn report(defect: Defect, filter: &[&str]) -> Report {
    let options = RunOptions {
        filter: Filter {
            any_of: filter.iter().map(|word| (*word).to_owned()).collect(),
            ..Filter::default()
        },
        ..RunOptions::default()
    };
    run(&SUITE, &StandIn::start(defect).await.target, &options, |_| {}).await
}

fn findings(data: Value) -> Vec<String> {
    let found = FoundReport::of("report.json", data).unwrap();
    let verification = verify(&found, &SUITE);
    verification.findings.iter().map(ToString::to_string).collect()
}

fn data(report: &Report) -> Value {
    serde_json::to_value(report).unwrap()
}

/// As whoever tampers with care would: the digest is made to fit.
fn resealed(mut data: Value) -> Value {
    let said = findings(data.clone());
    let digest = said.iter().find_map(|finding| finding.split("its digest is ").nth(1));
    if let Some(digest) = digest {
        data["integrity"] = json!(digest.split(',').next().unwrap());
    }
    data
}

#[tokio::test]
async fn what_a_run_wrote_is_accepted_whatever_it_says_and_in_both_forms() {
    for (defect, verdict) in [
        (Defect::None, Verdict::Conformant),
        (Defect::ForgetsOnResume, Verdict::NotConformant),
    ] {
        let report = report(defect, &[]).await;
        assert_eq!(report.verdict(), verdict, "{:?}", report.notes());
        let folder = tempfile::tempdir().unwrap();
        report.write_as(folder.path(), &[Form::Json, Form::Yaml]).unwrap();
        for file in ["", "report.json", "report.yaml"] {
            let found = FoundReport::read(&folder.path().join(file)).unwrap();
            let verification = verify(&found, &SUITE);
            assert!(verification.findings.is_empty(), "{file}: {:?}", verification.findings);
            assert!(verification.notes.is_empty(), "{:?}", verification.notes);
        }
    }
}

#[tokio::test]
async fn any_edit_shows_in_the_digest() {
    let report = report(Defect::None, &[]).await;
    for (pointer, value) in [
        ("/target", json!("another")),
        ("/cases/0/seconds", json!(9)),
        ("/provenance/environment/suite/kernel", json!("7.0")),
    ] {
        let mut edited = data(&report);
        *edited.pointer_mut(pointer).unwrap() = value;
        let found = findings(edited);
        assert!(
            found.len() == 1 && found[0].contains("changed after it was written"),
            "{pointer}: {found:?}"
        );
    }
}

#[tokio::test]
async fn what_was_not_selected_is_called_so_in_every_form_for_people() {
    let (part, whole) = (report(Defect::None, &["keeps"]).await, report(Defect::None, &[]).await);
    for (form, word) in [
        (Form::Text, "not selected"),
        (Form::Markdown, "not-selected"),
        (Form::Html, ">not selected<"),
    ] {
        assert!(part.render(form).unwrap().contains(word), "{form:?}");
        assert!(!whole.render(form).unwrap().contains(word), "{form:?}");
    }
}

#[tokio::test]
async fn a_report_that_cannot_be_written_names_the_file_and_leaves_the_one_before_whole() {
    let (before, after) = (
        report(Defect::None, &[]).await,
        report(Defect::ForgetsOnResume, &[]).await,
    );
    let folder = tempfile::tempdir().unwrap();
    before.write(folder.path()).unwrap();
    // The first file that is put in its place cannot be.
    std::fs::remove_file(folder.path().join("junit.xml")).unwrap();
    std::fs::create_dir_all(folder.path().join("junit.xml/in-the-way")).unwrap();
    let refused = after.write(folder.path()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!("write {}", folder.path().join("junit.xml").display())
    );
    let kept = FoundReport::read(folder.path()).unwrap();
    assert_eq!(kept.report.verdict(), Verdict::Conformant);
    let staged: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "new"))
        .collect();
    assert!(staged.is_empty(), "{staged:?}");

    std::fs::remove_dir_all(folder.path().join("junit.xml")).unwrap();
    after.write(folder.path()).unwrap();
    let now = FoundReport::read(folder.path()).unwrap();
    assert_eq!(now.report.verdict(), Verdict::NotConformant);
    remove_reports(folder.path()).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

type Edit = (&'static str, fn(&mut Value), &'static [&'static str]);

/// Each edit with everything that is then found to be wrong, also with a digest that fits.
const EDITS: [Edit; 13] = [
    (
        "a failure is made a pass",
        |data| data["cases"][0]["result"] = json!("pass"),
        &[
            "summary: 1 cases are said to be pass, and there are 2",
            "verdict: it says not conformant",
            "requirement CTX-01: it says fail, and its cases amount to pass",
            "case keeps: it passed, and says why it did not",
        ],
    ),
    (
        "a failure is made a pass, and its traces are removed",
        |data| {
            data["cases"][0] =
                json!({"id": "keeps", "title": "A claim", "requirements": ["CTX-01"], "result": "pass", "seconds": 1});
            data["summary"]["pass"] = json!(2);
            data["summary"]["fail"] = json!(0);
        },
        &["verdict: it says not conformant", "requirement CTX-01: it says fail"],
    ),
    (
        "a verdict is made better",
        |data| data["verdict"] = json!("conformant"),
        &["verdict: it says conformant, and what it holds amounts to not conformant"],
    ),
    (
        "a count is made better",
        |data| data["summary"]["fail"] = json!(0),
        &["summary: 0 cases are said to be fail, and there are 1"],
    ),
    (
        "a failing case is removed",
        |data| drop(data["cases"].as_array_mut().unwrap().remove(0)),
        &["case keeps is missing", "summary:", "verdict:", "requirement CTX-01:"],
    ),
    (
        "a requirement is removed",
        |data| drop(data["requirements"].as_array_mut().unwrap().remove(4)),
        &["requirement CTX-05 (core) is missing"],
    ),
    (
        "a requirement is made better",
        |data| data["requirements"][0]["result"] = json!("pass"),
        &["requirement CTX-01: it says pass, and its cases amount to fail"],
    ),
    (
        "a requirement loses a case",
        |data| data["requirements"][0]["cases"] = json!([]),
        &["requirement CTX-01: its cases are not those that speak of it"],
    ),
    (
        "a requirement is reworded",
        |data| data["requirements"][0]["text"] = json!("Something easier."),
        &["requirement CTX-01: its text is another"],
    ),
    (
        "a claim is taken back after the run",
        |data| data["claims"] = json!(["e2b"]),
        &["case keeps: the target does not claim what it takes, and it was run"],
    ),
    (
        "a case is made to say that nothing was claimed",
        |data| data["cases"][0]["result"] = json!("not-claimed"),
        &["case keeps: it was not claimed, and run all the same", "summary:"],
    ),
    (
        "the record of a failure is removed",
        |data| drop(data["cases"][0].as_object_mut().unwrap().remove("history")),
        &["case keeps: it failed, and its record is missing"],
    ),
    (
        "something is added",
        |data| data["cases"][0]["approved"] = json!(true),
        &["/cases/0/approved: no report has that field"],
    ),
];

#[tokio::test]
async fn what_does_not_follow_is_named_even_when_the_digest_was_made_to_fit() {
    let report = report(Defect::ForgetsOnResume, &[]).await;
    for (name, edit, expected) in EDITS {
        let mut edited = data(&report);
        edit(&mut edited);
        let found = findings(resealed(edited));
        assert!(
            !found.iter().any(|finding| finding.contains("digest")),
            "{name}: {found:?}"
        );
        for part in expected {
            assert!(
                found.iter().any(|finding| finding.contains(part)),
                "{name}: {part}: {found:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_report_of_selected_cases_is_none_of_all() {
    let found = findings(data(&report(Defect::None, &["keeps"]).await));
    assert_eq!(
        found,
        ["it is of selected cases only (keeps), so it says nothing of the others"]
    );
    // Nor does it help to hide the selection.
    let mut hidden = data(&report(Defect::None, &["keeps"]).await);
    hidden["partial"] = json!(false);
    hidden["provenance"]["options"]["filter"] = json!([]);
    let found = findings(resealed(hidden));
    assert!(
        found.iter().any(|finding| finding.contains("case starts is missing")),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_report_of_another_suite_is_checked_against_itself_and_that_is_said() {
    let report = report(Defect::None, &[]).await;
    let found = FoundReport::of("report.json", data(&report)).unwrap();
    let verification = verify(&found, &Suite::embedded().unwrap());
    assert!(verification.findings.is_empty(), "{:?}", verification.findings);
    assert!(
        verification.notes[0].contains("another suite"),
        "{:?}",
        verification.notes
    );
}

#[tokio::test]
async fn a_requirement_of_an_earlier_revision_is_missed_in_a_report_of_another_suite() {
    let mut suite = Suite::embedded().unwrap();
    suite.catalogue.requirements[4].since = "0.9.0".to_owned();
    let mut edited = data(&report(Defect::None, &[]).await);
    edited["suiteVersion"] = json!("0.10.0");
    edited["provenance"]["suiteDigest"] = json!("of another");
    edited["requirements"].as_array_mut().unwrap().remove(4);
    let found = FoundReport::of("report.json", edited).unwrap();
    let findings = verify(&found, &suite).findings;
    let missed = |finding: &Finding| finding.to_string() == "requirement CTX-05 (core) is missing";
    assert!(findings.iter().any(missed), "{findings:?}");
}

#[tokio::test]
async fn what_is_no_report_is_refused_with_what_is_wrong() {
    let report = data(&report(Defect::None, &[]).await);
    let edited = |edit: fn(&mut Value)| {
        let mut data = report.clone();
        edit(&mut data);
        FoundReport::of("mine.json", data).unwrap_err().to_string()
    };
    assert!(edited(|data| *data = json!([])).contains("no report"));
    assert!(edited(|data| data["schemaVersion"] = json!(99)).contains("its layout is version 99"));
    let said = edited(|data| data["cases"][1]["result"] = json!("great"));
    assert!(
        said.starts_with("mine.json: cases[1].result: unknown variant `great`"),
        "{said}"
    );
    let said = edited(|data| drop(data.as_object_mut().unwrap().remove("provenance")));
    assert!(said.contains("missing field `provenance`"), "{said}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.json");
    assert!(FoundReport::read(&file).is_err());
    std::fs::write(&file, "{\n  \"schemaVersion\": 2,,\n}").unwrap();
    let said = FoundReport::read(&file).unwrap_err().to_string();
    assert!(said.contains("report.json:2:22: "), "{said}");
    std::fs::write(folder.path().join("report.yaml"), "schemaVersion: 2\n  a: [").unwrap();
    let said = FoundReport::read(&folder.path().join("report.yaml"))
        .unwrap_err()
        .to_string();
    assert!(said.contains("report.yaml:2:"), "{said}");
}

#[tokio::test]
async fn a_report_cut_off_anywhere_is_refused_and_never_panics() {
    let text = report(Defect::ForgetsOnResume, &[]).await.render(Form::Json).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.json");
    for place in (0..text.len() - 2).step_by(997) {
        let cut = text
            .char_indices()
            .map(|(index, _)| index)
            .take_while(|index| *index <= place)
            .last();
        std::fs::write(&file, &text[..cut.unwrap()]).unwrap();
        assert!(FoundReport::read(&file).is_err(), "cut at {place}");
    }
}

#[tokio::test]
async fn what_got_worse_is_a_regression_and_the_way_back_is_none() {
    let (good, bad) = (
        report(Defect::None, &[]).await,
        report(Defect::ForgetsOnResume, &[]).await,
    );
    let worse = Difference::between(&good, &bad);
    assert!(worse.is_regression());
    let changed: Vec<_> = worse
        .requirements
        .iter()
        .chain(&worse.cases)
        .map(|change| (change.id.as_str(), change.kind))
        .collect();
    assert_eq!(
        changed,
        [("CTX-01", ChangeKind::Regression), ("keeps", ChangeKind::Regression)]
    );
    assert!(
        worse
            .to_text()
            .contains("was conformant, is not conformant: 2 regressions")
    );
    let better = Difference::between(&bad, &good);
    assert!(!better.is_regression() && better.cases[0].kind == ChangeKind::Improvement);
    let same = Difference::between(&good, &report(Defect::None, &[]).await);
    assert!(
        same.requirements.is_empty() && same.cases.is_empty() && same.notes.is_empty(),
        "{same:?}"
    );
}

#[tokio::test]
async fn every_form_speaks_of_the_failure_and_none_of_the_key() {
    let report = report(Defect::ForgetsOnResume, &[]).await;
    for form in Form::USUAL.into_iter().chain([Form::Text, Form::Yaml]) {
        let text = report.render(form).unwrap();
        assert!(!text.contains("e2b_00") && !text.contains("token-of-"), "{form:?}");
        let says = match form {
            Form::BadgeData | Form::Badge => "1 broken, 1 kept",
            Form::Text => "not conformant: of 62 requirements 1 kept, 1 broken",
            Form::Json | Form::Yaml | Form::Junit | Form::Html | Form::Markdown => "NameError",
        };
        assert!(text.contains(says), "{form:?}: {text}");
    }
}

#[tokio::test]
async fn what_a_report_of_selected_cases_left_out_is_neither_worse_nor_gone() {
    let (whole, part) = (report(Defect::None, &[]).await, report(Defect::None, &["starts"]).await);
    for difference in [Difference::between(&whole, &part), Difference::between(&part, &whole)] {
        let silent = difference.requirements.is_empty() && difference.cases.is_empty();
        assert!(silent && !difference.is_regression(), "{difference:?}");
        assert!(difference.notes.iter().any(|note| note.contains("selected cases only")));
    }
    let broken = report(Defect::ForgetsOnResume, &["keeps"]).await;
    assert!(Difference::between(&whole, &broken).is_regression());
}
