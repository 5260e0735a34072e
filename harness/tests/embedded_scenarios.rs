//! The scenarios of the repository read without a fault.

use torpor_harness::{Filter, Suite, scenario::Front};

#[test]
fn every_scenario_of_the_repository_makes_sense() {
    let suite = Suite::embedded().unwrap_or_else(|errors| panic!("{errors}"));
    assert!(suite.scenarios.len() >= 50, "{} scenarios", suite.scenarios.len());
}

#[test]
fn every_front_is_a_case_of_its_own() {
    let suite = Suite::embedded().unwrap();
    let cases = suite.select(&Filter {
        any_of: vec!["interpreter-state-survives".to_owned()],
        ..Filter::default()
    });
    let fronts: Vec<_> = cases.iter().map(|case| (case.id.as_str(), case.front)).collect();
    assert_eq!(
        fronts,
        [
            ("interpreter-state-survives@e2b", Front::E2b),
            ("interpreter-state-survives@kubernetes", Front::Kubernetes)
        ]
    );
}

#[test]
fn a_filter_takes_requirements_groups_and_parts_of_ids() {
    let suite = Suite::embedded().unwrap();
    let count = |word: &str| {
        suite
            .select(&Filter {
                any_of: vec![word.to_owned()],
                ..Filter::default()
            })
            .len()
    };
    assert!(count("DEL-02") >= 1 && count("DEL") > count("DEL-02"));
    assert_eq!(count("no-such-thing"), 0);
    assert!(suite.select(&Filter::default()).len() > suite.scenarios.len());
}

#[test]
fn a_folder_adds_scenarios_and_its_faults_are_reported_with_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let text = "id: mine\ntitle: A claim\nrequirements: [CTX-01]\nvia: [e2b]\nsteps:\n  - create: {}\n";
    std::fs::write(folder.path().join("mine.yaml"), text).unwrap();
    assert!(Suite::load(Some(folder.path())).unwrap().scenarios.contains_key("mine"));
    std::fs::write(folder.path().join("mine.yaml"), text.replace("create", "crate")).unwrap();
    let errors = Suite::load(Some(folder.path())).unwrap_err();
    assert!(errors.to_string().contains("mine.yaml:6:"), "{errors}");
    assert!(Suite::load(Some(&folder.path().join("none"))).is_err());
}

#[test]
fn requirements_of_a_vendor_take_nothing_from_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let text = "id: mine\ntitle: A claim\nrequirements: [CTX-01]\nvia: [e2b]\nsteps:\n  - create: {}\n";
    std::fs::write(folder.path().join("mine.yaml"), text).unwrap();
    let load = |text: &str| {
        std::fs::write(folder.path().join("catalogue.yaml"), text).unwrap();
        Suite::load(Some(folder.path())).map_err(|errors| errors.to_string())
    };
    let requirement =
        |id: &str| format!("requirements:\n  - {{id: {id}, level: core, since: \"1\", text: Something holds.}}\n");
    let mine = load(&format!(
        "groups: [{{id: ACME, title: Ours}}]\n{}",
        requirement("ACME-01")
    ))
    .unwrap();
    assert_eq!(mine.catalogue.get("ACME-01").unwrap().text, "Something holds.");
    for (groups, id, wrong) in [
        (
            "groups: []",
            "CTX-01",
            "catalogue.yaml:3:10: there is a requirement `CTX-01` already",
        ),
        (
            "groups: []",
            "CTX-99",
            "catalogue.yaml:3:10: `CTX` is a group of the contract",
        ),
        (
            "groups: []",
            "ACME-01",
            "catalogue.yaml:3:10: `ACME-01` belongs to no group",
        ),
        (
            "groups: [{id: DEL, title: Ours}]",
            "DEL-99",
            "catalogue.yaml:1:15: there is a group `DEL` already",
        ),
    ] {
        let errors = load(&format!("{groups}\n{}", requirement(id))).unwrap_err();
        assert!(errors.contains(wrong), "{errors}");
    }
}

#[test]
fn a_scenario_cut_off_or_damaged_anywhere_is_refused_or_read_and_never_panics() {
    let catalogue = torpor_harness::Catalogue::load().unwrap();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let text = std::fs::read_to_string(folder.join("two-sandboxes-are-apart.yaml")).unwrap();
    for place in 0..text.len() {
        let (before, after) = text.split_at(place);
        for damaged in [
            before.to_owned(),
            format!("{before}{{{after}"),
            format!("{before}\t- {after}"),
        ] {
            let _ = torpor_harness::scenario::Scenario::parse("a.yaml", &damaged, &catalogue);
        }
    }
}

#[test]
fn every_requirement_has_a_case_or_an_oracle_or_a_written_reason_why_none_can_show_it() {
    let suite = Suite::embedded().unwrap();
    let proofs = torpor_harness::scenario::proofs(suite.scenarios.values().map(AsRef::as_ref));
    let judged = |id: &str| torpor_harness::oracle::JUDGED.contains(&id);
    let wrong: Vec<_> = suite
        .catalogue
        .requirements
        .iter()
        .filter(|requirement| {
            (proofs.contains_key(&requirement.id) || judged(&requirement.id)) == requirement.untestable.is_some()
        })
        .map(|requirement| &requirement.id)
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}
