//! `deploy/`: the manifests are whole, and their roles are what the parts need and no more.
//!
//! One test takes controller and gateway through a whole life under the roles of the manifests. Then each
//! verb of each rule is taken away in turn, and something has to be refused: a grant without which nothing
//! fails is superfluous. The same with the component for the second kind of Sandbox.

#![expect(clippy::expect_used, reason = "a test ends where something it needs is missing")]

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "shared with tests that use more of it")]
mod support;

mod life;
mod manifests;
mod readme;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;

use life::{Life, live};
use manifests::{Grant, load, load_with};

/// What has to be added for the Sandboxes of `agents.x-k8s.io`.
const COMPONENT: &str = "deploy/components/agent-sandbox";

/// What is changed where checkpoints are in a bucket.
const BUCKET: &str = "deploy/components/bucket-store";

fn main() -> ExitCode {
    let mut trials = vec![
        Trial::test("the_definitions_are_those_of_the_types", definitions),
        Trial::test("containers_are_started_with_options_that_exist", options),
        Trial::test("the_roles_suffice_for_a_whole_life", || sufficient(&load("deploy"))),
        Trial::test("the_roles_suffice_for_a_whole_life_with_the_second_front", || {
            sufficient(&load_with(COMPONENT))
        }),
        Trial::test("the_second_front_needs_more_than_the_role_of_the_first", insufficient),
        by_kubectl("kubectl_builds_the_same_objects", kustomize),
        by_kubectl("the_commands_of_the_readme_install_it_in_their_order", readme::commands),
        by_kubectl("with_a_bucket_no_claim_is_asked_for", bucket),
    ];
    for (grants, load) in [
        (Grant::all(&load("deploy")), (|| load("deploy")) as fn() -> Vec<Value>),
        (Grant::all(&load(COMPONENT)), || load_with(COMPONENT)),
    ] {
        for grant in grants {
            let name = format!("without_{grant}_something_is_refused");
            trials.push(Trial::test(name, move || necessary(&grant, load())));
        }
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
    let objects = load_with(COMPONENT);
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

fn sufficient(objects: &[Value]) -> Result<(), Failed> {
    match live(objects) {
        Life::Whole => Ok(()),
        Life::Refused(request) => Err(format!("not allowed: {request}").into()),
    }
}

/// What the component patches, without what it grants.
fn insufficient() -> Result<(), Failed> {
    let granted: BTreeSet<String> = load(COMPONENT).iter().map(name).collect();
    let mut objects = load_with(COMPONENT);
    objects.retain(|object| !granted.contains(&name(object)));
    match live(&objects) {
        Life::Refused(_) => Ok(()),
        Life::Whole => Err("the component grants nothing that is needed".into()),
    }
}

fn necessary(grant: &Grant, objects: Vec<Value>) -> Result<(), Failed> {
    match live(&grant.taken_from(objects)) {
        Life::Refused(_) => Ok(()),
        Life::Whole => Err(format!("nothing needs {grant}; take it out of the role").into()),
    }
}

/// A test that takes kubectl; without it, it is skipped and says so.
fn by_kubectl(name: &str, test: fn() -> Result<(), Failed>) -> Trial {
    if Command::new("kubectl").arg("version").arg("--client").output().is_err() {
        let skipped = format!("{name} (skipped: kubectl is not installed)");
        return Trial::test(skipped, || Ok(())).with_ignored_flag(true);
    }
    Trial::test(name, test)
}

/// kubectl reads the same objects from the manifests as this test does.
fn kustomize() -> Result<(), Failed> {
    for folder in ["deploy", "deploy/crds"] {
        same_objects(&build(&support::root().join(folder))?, &load(folder))?;
    }
    let built = build(&own_kustomization(COMPONENT)?)?;
    same_objects(&built, &load_with(COMPONENT))?;
    let args = |objects: &[Value]| {
        let mut controllers = objects.iter().filter(|object| object["kind"] == "Deployment");
        let controller = controllers.find(|object| object["metadata"]["name"] == "torpor-controller");
        controller.map(|object| object["spec"]["template"]["spec"]["containers"][0]["args"].clone())
    };
    let (built, loaded) = (args(&built), args(&load_with(COMPONENT)));
    require(built == loaded, || format!("{built:?} instead of {loaded:?}"))
}

/// What is built with the component for buckets is what is deployed, without the claim and what mounts it.
fn bucket() -> Result<(), Failed> {
    let built = build(&own_kustomization(BUCKET)?)?;
    let mut expected = load("deploy");
    expected.retain(|object| object["kind"] != "PersistentVolumeClaim");
    same_objects(&built, &expected)?;
    let is_controller =
        |object: &&Value| object["kind"] == "Deployment" && object["metadata"]["name"] == "torpor-controller";
    let pod = built
        .iter()
        .find(is_controller)
        .map(|object| &object["spec"]["template"]["spec"]);
    let pod = pod.ok_or("no controller is deployed")?;
    let container = &pod["containers"][0];
    require(pod["volumes"].is_null() && container["volumeMounts"].is_null(), || {
        format!("it mounts something: {pod}")
    })?;
    require(container["envFrom"][0]["secretRef"]["name"] == "torpor-store", || {
        format!("it has no settings of the bucket: {container}")
    })
}

fn build(folder: &Path) -> Result<Vec<Value>, Failed> {
    let output = Command::new("kubectl").arg("kustomize").arg(folder).output()?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    require(output.status.success(), || errors)?;
    Ok(manifests::documents(&String::from_utf8(output.stdout)?))
}

fn same_objects(built: &[Value], loaded: &[Value]) -> Result<(), Failed> {
    let names = |objects: &[Value]| objects.iter().map(name).collect::<BTreeSet<String>>();
    let (built, loaded) = (names(built), names(loaded));
    require(built == loaded, || format!("{built:?} instead of {loaded:?}"))
}

/// A user's kustomization with the component. Bases have to be named by relative paths.
fn own_kustomization(component: &str) -> Result<PathBuf, Failed> {
    let name = component.replace('/', "-");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("with-{name}"));
    std::fs::create_dir_all(&folder)?;
    let folder = folder.canonicalize()?;
    let up = "../".repeat(folder.components().count() - 1);
    let root = support::root().canonicalize()?;
    let root = root.display().to_string().trim_start_matches('/').to_owned();
    let text = format!("resources: [{up}{root}/deploy]\ncomponents: [{up}{root}/{component}]\n");
    std::fs::write(folder.join("kustomization.yaml"), text)?;
    Ok(folder)
}
