//! `torpor conformance --target kubeconfig`: a cluster that is not its own, and what a run leaves there.

#![cfg(unix)]
#![expect(clippy::expect_used, reason = "a test ends where something it needs is missing")]

#[expect(dead_code, reason = "shared with tests that use more of it")]
mod support;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use mock_apiserver::{MockApiServer, User};
use serde_json::json;
use support::Up;
use torpor_harness::{Capability, Lodging, Profile, preflight};

fn conformance(kubeconfig: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_torpor"));
    command
        .args(["conformance", "--target", "kubeconfig", "--kubeconfig"])
        .arg(kubeconfig)
        .args(args);
    command
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

async fn client(kubeconfig: &Path) -> kube::Client {
    let file = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
    let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
    kube::Client::try_from(config.expect("a configuration")).expect("a client")
}

async fn namespaces_of_runs(client: &kube::Client) -> Vec<String> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let list = namespaces.list(&ListParams::default().labels("torpor.dev/run")).await;
    let names = list
        .expect("a list")
        .into_iter()
        .map(|namespace| namespace.metadata.name.expect("a name"));
    names.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_on_a_cluster_lives_in_a_namespace_of_its_own_and_leaves_nothing() {
    let data = tempfile::tempdir().expect("a data directory");
    let up = Up::start(Up::command(data.path()), data.path());
    let client = client(&up.kubeconfig()).await;

    let cases = ["--filter", "paused-has-no-pod", "--filter", "finalizers-of-others"];
    let output = conformance(&up.kubeconfig(), &cases).output().expect("torpor runs");
    let text = said(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(
        text.contains("namespace torpor-") && !text.contains("left behind"),
        "{text}"
    );
    assert_eq!(namespaces_of_runs(&client).await, Vec::<String>::new());

    stopped_in_the_middle(&up, &client).await;
    claims_of_the_definition(&up, &client).await;

    let output = conformance(&up.kubeconfig(), &["--profile", "sigs-v1alpha1"])
        .output()
        .expect("torpor runs");
    let text = said(&output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(
        text.contains("agents.x-k8s.io/v1alpha1 Sandbox is not served (of agents.x-k8s.io there is: v1beta1)"),
        "{text}"
    );
    let output = conformance(&up.kubeconfig(), &["--namespace", "nowhere"])
        .output()
        .expect("torpor runs");
    assert!(
        said(&output).contains("there is no namespace `nowhere`"),
        "{}",
        said(&output)
    );
}

/// Ctrl-C while a Pod is held by a finalizer, which nobody but the run would ever take away.
async fn stopped_in_the_middle(up: &Up, client: &kube::Client) {
    let mut command = conformance(&up.kubeconfig(), &["--filter", "a-pod-that-will-not-end"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("torpor runs");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let line = lines
        .find_map(|line| line.ok().filter(|line| line.starts_with("namespace ")))
        .expect("a namespace");
    let namespace = line
        .trim_start_matches("namespace ")
        .split(',')
        .next()
        .expect("a name")
        .to_owned();
    let resource = kube::api::ApiResource::from_gvk(&kube::api::GroupVersionKind::gvk("", "v1", "Pod"));
    let pods: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, &resource);
    let mut looks = tokio::time::interval(std::time::Duration::from_millis(50));
    loop {
        looks.tick().await;
        let list = pods.list(&ListParams::default()).await.expect("a list");
        if list
            .into_iter()
            .any(|pod| pod.metadata.finalizers.is_some_and(|held| !held.is_empty()))
        {
            break;
        }
    }
    interrupt(&child);
    let output = child.wait_with_output().expect("its end");
    let text = said(&output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("stopping") && !text.contains("left behind"), "{text}");
    assert_eq!(namespaces_of_runs(client).await, Vec::<String>::new());
}

fn interrupt(child: &Child) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("a signal");
}

/// An implementation says in its definition what it can do; nothing else is then claimed for it.
async fn claims_of_the_definition(up: &Up, client: &kube::Client) {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let patch = json!({"metadata": {"annotations": {"torpor.dev/capabilities": "events, program"}}});
    let name = "sandboxes.agents.kruise.io";
    let patched = definitions
        .patch(name, &PatchParams::default(), &Patch::Merge(patch))
        .await;
    patched.expect("a patch");
    let cases = ["--filter", "created-paused", "--filter", "a-missing-template"];
    let output = conformance(&up.kubeconfig(), &cases).output().expect("torpor runs");
    let text = said(&output);
    assert!(text.contains("claims events, program"), "{text}");
    assert!(text.contains("the target does not claim: template-ref"), "{text}");
    assert!(
        text.lines()
            .any(|line| line.starts_with("pass") && line.contains("created-paused")),
        "{text}"
    );
}

#[tokio::test]
async fn what_a_run_may_not_do_is_said_before_it_begins() {
    let server = MockApiServer::builder().rbac().build();
    let profile = Profile::built_in("kruise").expect("the profile is built in");
    let dialect = profile.dialect().expect("it has one");
    let claims = BTreeSet::from([Capability::Kubernetes, Capability::Nodes]);
    let visitor = server.client_as_user(User::new("visitor"));
    let lacking = preflight(&server.client(), dialect, Lodging::Own, &claims).await;
    let texts: Vec<String> = lacking.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts.len(),
        1,
        "an administrator lacks nothing but the definition: {texts:?}"
    );
    assert!(
        texts[0].starts_with("agents.kruise.io/v1alpha1 Sandbox is not served; install"),
        "{texts:?}"
    );

    let texts: Vec<String> = preflight(&visitor, dialect, Lodging::Own, &claims)
        .await
        .iter()
        .map(ToString::to_string)
        .collect();
    for needed in [
        "`create namespaces` in all namespaces",
        "`list nodes`",
        "`patch sandboxes.agents.kruise.io`",
        "`watch pods`",
    ] {
        assert!(
            texts
                .iter()
                .any(|text| text.contains(needed) && text.contains("is not allowed")),
            "{needed}: {texts:?}"
        );
    }
    let in_one: Vec<String> = preflight(&visitor, dialect, Lodging::Given("default"), &BTreeSet::new())
        .await
        .iter()
        .map(ToString::to_string)
        .collect();
    assert!(
        in_one
            .iter()
            .any(|text| text.contains("`delete pods` in namespace default")),
        "{in_one:?}"
    );
    assert!(!in_one.iter().any(|text| text.contains("namespaces`")), "{in_one:?}");
}
