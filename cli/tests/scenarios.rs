//! Every scenario of the repository against the embedded control plane: one test per case.
//!
//! The same cases as `torpor conformance`, under the test runner. A case that the embedded control
//! plane does not claim to support is *ignored*, with the reason in its name.

#![expect(clippy::expect_used, reason = "a test ends where something it needs is missing")]

#[path = "support/mod.rs"]
#[expect(dead_code, reason = "shared with tests that use more of it")]
mod support;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use libtest_mimic::{Arguments, Failed, Trial};
use support::Up;
use torpor_harness::{
    Capability, Case, E2bEndpoint, Filter, KubernetesTarget, Outcome, Profile, StorageProbe, Suite, Target,
    UsageSource, run_one,
};

fn main() -> ExitCode {
    let mut args = Arguments::from_args();
    // Scenarios wait more than they compute.
    args.test_threads = args.test_threads.or(Some(4));
    let suite = Suite::embedded().expect("the scenarios of the repository can be read");
    let data_dir = tempfile::tempdir().expect("a data directory");
    let (runtime, target, up);
    let cases = suite.select(&Filter::default());
    if args.list {
        return libtest_mimic::run(
            &args,
            cases.iter().map(|case| Trial::test(&case.id, || Ok(()))).collect(),
        )
        .exit_code();
    }
    runtime = Arc::new(tokio::runtime::Runtime::new().expect("a runtime"));
    up = Up::start(Up::command(data_dir.path()), data_dir.path());
    target = Arc::new(runtime.block_on(embedded(&up, data_dir.path())));
    // A case that must be alone holds this for writing, the others for reading.
    let alone = Arc::new(tokio::sync::RwLock::new(()));
    let trial = |case: Case| {
        let lacks = target.lacks(&case.scenario, case.front);
        let (runtime, target, alone, id) = (
            Arc::clone(&runtime),
            Arc::clone(&target),
            Arc::clone(&alone),
            case.id.clone(),
        );
        let trial = Trial::test(id, move || {
            runtime.block_on(async {
                if case.scenario.exclusive {
                    let _alone = alone.write().await;
                    judge(&case, &target).await
                } else {
                    let _together = alone.read().await;
                    judge(&case, &target).await
                }
            })
        });
        if lacks.is_empty() {
            return trial;
        }
        let names: Vec<&str> = lacks.iter().map(|capability| capability.as_str()).collect();
        trial
            .with_kind(format!("not claimed: needs {}", names.join(", ")))
            .with_ignored_flag(true)
    };
    libtest_mimic::run(&args, cases.into_iter().map(trial).collect()).exit_code()
}

async fn judge(case: &Case, target: &Arc<Target>) -> Result<(), Failed> {
    let report = run_one(case, target).await;
    match report.result {
        Outcome::Pass => Ok(()),
        Outcome::Untested
        | Outcome::NotClaimed
        | Outcome::Skipped
        | Outcome::ExpectedFailure
        | Outcome::Untestable
        | Outcome::Error
        | Outcome::Fail => {
            let history = serde_json::to_string_pretty(&report.history)?;
            Err(format!(
                "{}: step {}: {}\n{history}",
                report.result.as_str(),
                report.step.as_deref().unwrap_or("-"),
                report.reason.as_deref().unwrap_or("no reason given")
            )
            .into())
        }
    }
}

async fn embedded(up: &Up, data_dir: &std::path::Path) -> Target {
    let env = up.env("env");
    let kubeconfig = Kubeconfig::read_from(up.kubeconfig()).expect("a kubeconfig");
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    let client = kube::Client::try_from(config.expect("a configuration")).expect("a client");
    let e2b: url::Url = env["E2B_API_URL"].parse().expect("a URL");
    let metrics: url::Url = up.metrics_url().parse().expect("a URL");
    Target {
        name: "embedded".to_owned(),
        kubernetes: Some(KubernetesTarget {
            client,
            namespace: "default".to_owned(),
        }),
        e2b: Some(E2bEndpoint {
            url: e2b.clone(),
            sandbox_url: Some(e2b),
            api_key: env["E2B_API_KEY"].clone(),
        }),
        pod_metrics: Some(UsageSource::Page(metrics.clone())),
        controller_metrics: vec![metrics],
        adapter: None,
        authorities: torpor_harness::Authorities::default(),
        storage: Some(StorageProbe::Directory(data_dir.join("checkpoints"))),
        laboratory: None,
        capabilities: capabilities(),
        profile: Profile::built_in("kruise").expect("the profile is built in"),
    }
    .within(Duration::from_mins(1))
}

/// Everything but other processes than the interpreter, which the embedded engine does not run, instances to put
/// faults into, which a process of its own cannot start, and what the other front does about a lost Pod.
fn capabilities() -> BTreeSet<Capability> {
    Capability::ALL
        .into_iter()
        .filter(|capability| {
            !matches!(
                capability,
                Capability::Commands
                    | Capability::TracedProcesses
                    | Capability::Probe
                    | Capability::Faults
                    | Capability::LostPodRecreated
            )
        })
        .collect()
}
