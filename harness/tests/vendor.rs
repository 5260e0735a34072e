//! The suite as `docs/vendors.md` shows it: as a test of a crate that knows its public interface only.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must fail")]

#[expect(dead_code, reason = "shared with tests that use more of it")]
mod stand_in;

use std::sync::Arc;

use stand_in::{Defect, StandIn};
use torpor_harness::{E2bEndpoint, Filter, Profile, Report, RunOptions, Suite, Target, render_line, run};

/// A case of the vendor's own.
const MINE: &str = r#"
id: mine
title: A variable outlives a pause
requirements: [CTX-01, ACME-01]
via: [e2b]
steps:
  - create: {}
  - run: {code: "x = 7"}
  - pause: {}
  - resume: {}
  - run: {code: "x", text: "7"}
"#;

/// What the vendor promises besides the contract.
const CATALOGUE: &str = r#"
groups: [{id: ACME, title: "What Acme promises besides"}]
requirements:
  - {id: ACME-01, level: profile, since: "2.1", text: "A pause takes no name away from a variable."}
"#;

/// The whole of a vendor's test, but for the address.
async fn conformance(url: &str, api_key: &str) -> Report {
    let mut target = Target::new("Acme Sandboxes", Profile::built_in("e2b").unwrap());
    target.e2b = Some(E2bEndpoint {
        url: url.parse().unwrap(),
        sandbox_url: Some(url.parse().unwrap()),
        api_key: api_key.to_owned(),
    });
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mine.yaml"), MINE).unwrap();
    std::fs::write(folder.path().join("catalogue.yaml"), CATALOGUE).unwrap();
    let suite = Suite::load(Some(folder.path())).unwrap();
    let options = RunOptions {
        filter: Filter {
            any_of: vec!["mine".to_owned()],
            ..Filter::default()
        },
        facts: [("engine".to_owned(), "acme 2.1".to_owned())].into(),
        ..RunOptions::default()
    };
    run(&suite, &Arc::new(target), &options, |event| {
        if let Some(line) = render_line(event) {
            println!("{line}");
        }
    })
    .await
}

#[tokio::test]
async fn a_vendor_runs_the_suite_in_a_test_of_its_own() {
    let mine = StandIn::start(Defect::None).await;
    let url = mine.target.e2b.as_ref().unwrap().url.clone();
    let report = conformance(url.as_str(), "e2b_00").await;
    let folder = tempfile::tempdir().unwrap();
    report.write(folder.path()).unwrap();
    report.assert_conformant();
    assert_eq!((report.target.as_str(), report.summary.pass), ("Acme Sandboxes", 1));
    assert_eq!(report.provenance.declared.facts["engine"], "acme 2.1");
    let kept = report
        .requirements
        .iter()
        .find(|requirement| requirement.id == "ACME-01");
    assert!(kept.unwrap().cases.iter().any(|case| case.id == "mine"));
    let page = std::fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert!(page.contains("A pause takes no name away from a variable."));
}

#[tokio::test]
#[should_panic(expected = "Acme Sandboxes is not conformant")]
async fn what_is_not_conformant_fails_the_test_of_the_vendor() {
    let mine = StandIn::start(Defect::ForgetsOnResume).await;
    let url = mine.target.e2b.as_ref().unwrap().url.clone();
    conformance(url.as_str(), "e2b_00").await.assert_conformant();
}
