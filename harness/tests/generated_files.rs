//! Files that are made from the suite's own data are what they would be made to today.
//! `UPDATE_DOCS=1` writes them anew.

use std::path::PathBuf;

use torpor_harness::{Suite, scenario};

fn agrees_with(file: &str, expected: &str) -> std::io::Result<()> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, expected)?;
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "{file} is out of date: run the tests with UPDATE_DOCS=1 and commit it"
    );
    Ok(())
}

#[test]
fn the_page_of_requirements_is_that_of_the_catalogue_and_the_scenarios() {
    let suite = Suite::embedded().unwrap();
    agrees_with("docs/requirements.md", &suite.requirements_page()).unwrap();
}

#[test]
fn the_schema_of_scenarios_is_that_of_the_types() {
    let mut schema = serde_json::to_string_pretty(&scenario::scenario_schema()).unwrap();
    schema.push('\n');
    agrees_with("scenarios/schema.json", &schema).unwrap();
}

#[test]
fn the_schema_of_reports_is_that_of_the_types() {
    let mut schema = serde_json::to_string_pretty(&torpor_harness::report_schema()).unwrap();
    schema.push('\n');
    agrees_with("docs/report.schema.json", &schema).unwrap();
}

#[test]
fn the_page_of_scenarios_speaks_of_every_step_condition_and_capability() {
    let page = std::fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/scenarios.md")).unwrap();
    let schema = scenario::scenario_schema();
    let keys = |name: &str| -> Vec<String> {
        let variants = schema["$defs"][name]["oneOf"]
            .as_array()
            .unwrap_or_else(|| panic!("{name} has no variants"));
        variants
            .iter()
            .map(|variant| variant["required"][0].as_str().unwrap().to_owned())
            .collect()
    };
    let capabilities = torpor_harness::Capability::ALL.map(|capability| capability.as_str().to_owned());
    let words: Vec<_> = keys("Step")
        .into_iter()
        .chain(keys("Condition"))
        .chain(capabilities)
        .collect();
    assert!(words.len() > 40, "{words:?}");
    let missing: Vec<_> = words
        .iter()
        .filter(|word| !page.contains(&format!("`{word}`")))
        .collect();
    assert!(missing.is_empty(), "docs/scenarios.md does not speak of {missing:?}");
}

#[test]
fn the_schema_of_profiles_is_that_of_the_types() {
    let mut schema = serde_json::to_string_pretty(&torpor_harness::profile_schema()).unwrap();
    schema.push('\n');
    agrees_with("harness/profiles/schema.json", &schema).unwrap();
}
