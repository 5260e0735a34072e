//! A run on a target that is not of this process: what it takes is looked for first, and what it
//! makes has a namespace of its own that goes with the run.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use torpor_harness::{
    Dialect, KubernetesTarget, Lodging, OwnNamespace, Report, RunOptions, Suite, Target, claims_of_target,
    endpoint_answers, for_terminal, preflight,
};

use crate::conformance::args::ConformanceArgs;
use crate::conformance::run_with_progress;
use crate::contact::{ANSWER, LOOK, within};
use crate::say;

/// How long the namespace of a run may take to go.
const LEAVE: Duration = Duration::from_mins(1);

/// Runs the suite on a target elsewhere.
///
/// # Errors
/// Something that the run takes is not there; everything that is missing is said.
pub async fn run(
    args: &ConformanceArgs,
    mut target: Target,
    suite: &Suite,
    options: &RunOptions,
) -> anyhow::Result<Report> {
    endpoint_answers(&target).await?;
    let Some(kubernetes) = target.kubernetes.clone() else {
        return Ok(run_with_progress(suite, &Arc::new(target), options, args.reporting.quiet).await);
    };
    let dialect = target.profile.dialect()?.clone();
    let server = || {
        let kubeconfig = args.kubeconfig.as_deref().unwrap_or_else(|| Path::new("kubeconfig"));
        format!("the Kubernetes API of {}", kubeconfig.display())
    };
    let looked = async {
        if args.capabilities.is_none() {
            take_claims(args, &kubernetes, &dialect, &mut target).await?;
        }
        check(args, &kubernetes, &dialect, &target).await
    };
    within(server(), LOOK, looked).await??;
    if args.namespace.is_some() {
        return Ok(run_with_progress(suite, &Arc::new(target), options, args.reporting.quiet).await);
    }
    let created = within(server(), ANSWER, OwnNamespace::create(&kubernetes.client)).await;
    let attempt = "create a namespace for the run";
    let namespace = created.context(attempt)?.context(attempt)?;
    say::line(format_args!("namespace {}, which goes with the run", namespace.name()));
    target.kubernetes = Some(KubernetesTarget {
        namespace: namespace.name().to_owned(),
        ..kubernetes
    });
    let report = run_with_progress(suite, &Arc::new(target), options, args.reporting.quiet).await;
    let name = namespace.name().to_owned();
    let left = namespace.leave(&dialect, LEAVE).await;
    if !left.is_empty() {
        let left = for_terminal(&left.join("\n"), 2);
        say::aside(format_args!("torpor: left behind in {name}:\n  {left}"));
    }
    Ok(report)
}

/// Takes what the definition of the custom resource says in place of what the profile supposes.
async fn take_claims(
    args: &ConformanceArgs,
    kubernetes: &KubernetesTarget,
    dialect: &Dialect,
    target: &mut Target,
) -> anyhow::Result<()> {
    let said = claims_of_target(&kubernetes.client, dialect).await;
    let said = said.with_context(|| format!("read the claims of the definition of {}", dialect.plural))?;
    if let Some(claims) = said {
        let names: Vec<_> = claims.iter().map(|capability| capability.as_str()).collect();
        say::line(format_args!(
            "the definition of {}.{} claims {}",
            dialect.plural,
            dialect.group,
            names.join(", ")
        ));
        target.capabilities = claims;
        target.capabilities.extend(args.capability.iter().copied());
    }
    Ok(())
}

async fn check(
    args: &ConformanceArgs,
    kubernetes: &KubernetesTarget,
    dialect: &Dialect,
    target: &Target,
) -> anyhow::Result<()> {
    let lodging = args.namespace.as_deref().map_or(Lodging::Own, Lodging::Given);
    let missing = preflight(&kubernetes.client, dialect, lodging, &target.offers()).await;
    if missing.is_empty() {
        return Ok(());
    }
    let lines: Vec<_> = missing.iter().map(|shortcoming| format!("  - {shortcoming}")).collect();
    bail!("the cluster lacks what a run takes:\n{}", lines.join("\n"))
}
