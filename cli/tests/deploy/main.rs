//! `deploy/`: the manifests are whole, and their roles are what the parts need and no more.
//!
//! One test takes controller and gateway through a whole life under the roles of the manifests. Then each
//! verb of each rule is taken away in turn, and something has to be refused: a grant without which nothing
//! fails is superfluous.

#![expect(clippy::expect_used, reason = "a test ends where something it needs is missing")]

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "shared with tests that use more of it")]
mod support;

mod life;
mod manifests;

use std::collections::BTreeSet;
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;

use life::{Life, live};
use manifests::{Grant, load};

fn main() -> ExitCode {
    let mut trials = vec![
        Trial::test("the_definitions_are_those_of_the_types", definitions),
        Trial::test("containers_are_started_with_options_that_exist", options),
        Trial::test("the_roles_suffice_for_a_whole_life", sufficient),
        kustomize(),
    ];
    for grant in Grant::all(&load("deploy")) {
        let name = format!("without_{grant}_something_is_refused");
        trials.push(Trial::test(name, move || necessary(&grant)));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn require(condition: bool, text: impl FnOnce() -> String) -> Result<(), Failed> {
    if condition { Ok(()) } else { Err(text().into()) }
}

fn name(object: &Value) -> String {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    let kind = object["kind"].as_str().unwrap_or_default();
    format!("{kind} {}/{}", text("namespace"), text("name"))
}

fn definitions() -> Result<(), Failed> {
    let deployed: BTreeSet<String> = load("deploy/crds").iter().map(name).collect();
    let types = torpor_api::custom_resource_definitions();
    let types: BTreeSet<String> = types
        .iter()
        .map(|definition| name(&serde_json::to_value(definition).expect("JSON")))
        .collect();
    require(deployed == types, || {
        format!("fixtures/crds/kustomization.yaml lists {deployed:?} instead of {types:?}")
    })
}

/// Each container is started as its manifest says, but asked for help only.
fn options() -> Result<(), Failed> {
    let objects = load("deploy");
    let deployments = objects.iter().filter(|object| object["kind"] == "Deployment");
    let mut seen = 0;
    for deployment in deployments {
        for container in deployment["spec"]["template"]["spec"]["containers"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let args = container["args"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str);
            let output = Command::new(env!("CARGO_BIN_EXE_torpor"))
                .args(args)
                .arg("--help")
                .output()?;
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            require(output.status.success(), || format!("{}: {text}", name(deployment)))?;
            seen += 1;
        }
    }
    require(seen == 2, || format!("{seen} containers instead of two"))
}

fn sufficient() -> Result<(), Failed> {
    match live(&load("deploy")) {
        Life::Whole => Ok(()),
        Life::Refused(request) => Err(format!("not allowed: {request}").into()),
    }
}

fn necessary(grant: &Grant) -> Result<(), Failed> {
    match live(&grant.taken_from(load("deploy"))) {
        Life::Refused(_) => Ok(()),
        Life::Whole => Err(format!("nothing needs {grant}; take it out of the role").into()),
    }
}

/// kubectl reads the same objects from the manifests as this test does.
fn kustomize() -> Trial {
    let name_of_test = "kubectl_builds_the_same_objects";
    if Command::new("kubectl").arg("version").arg("--client").output().is_err() {
        let skipped = format!("{name_of_test} (skipped: kubectl is not installed)");
        return Trial::test(skipped, || Ok(())).with_ignored_flag(true);
    }
    Trial::test(name_of_test, || {
        for folder in ["deploy", "deploy/crds"] {
            let output = Command::new("kubectl")
                .arg("kustomize")
                .arg(support::root().join(folder))
                .output()?;
            let text = String::from_utf8(output.stdout)?;
            let built: BTreeSet<String> = manifests::documents(&text).iter().map(name).collect();
            let loaded: BTreeSet<String> = load(folder).iter().map(name).collect();
            require(built == loaded, || format!("{folder}: {built:?} instead of {loaded:?}"))?;
        }
        Ok(())
    })
}
