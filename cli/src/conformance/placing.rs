//! Which options go with which targets. What a target does not take is refused, for whoever names it means another target.

use std::collections::BTreeSet;

use anyhow::bail;
use clap::ArgMatches;
use clap::parser::ValueSource;

use super::args::TargetKind;

/// Options that say where a target elsewhere is, or what can be seen of it.
const OF_E2B: [TargetKind; 3] = [TargetKind::E2b, TargetKind::Kubeconfig, TargetKind::Kind];
/// Options that are of use wherever the control plane is not this process.
const ELSEWHERE: [TargetKind; 4] = [
    TargetKind::E2b,
    TargetKind::Kubeconfig,
    TargetKind::Kind,
    TargetKind::Container,
];

/// The options that some target does not take, each by its name with the targets that do.
const PLACES: [(&str, &[TargetKind]); 15] = [
    ("engine", &[TargetKind::Embedded]),
    ("kubeconfig", &[TargetKind::Kubeconfig]),
    (
        "namespace",
        &[TargetKind::Kubeconfig, TargetKind::Kind, TargetKind::Container],
    ),
    ("e2b_url", &OF_E2B),
    ("e2b_sandbox_url", &OF_E2B),
    ("e2b_api_key", &OF_E2B),
    ("ca_cert", &ELSEWHERE),
    ("metrics_url", &OF_E2B),
    ("prometheus_url", &OF_E2B),
    ("controller_metrics_url", &OF_E2B),
    ("storage", &ELSEWHERE),
    ("image", &[TargetKind::Container]),
    ("node_image", &[TargetKind::Kind]),
    ("load", &[TargetKind::Kind]),
    ("apply", &[TargetKind::Kind]),
];

/// The options that the command line itself names. What the environment sets may be meant for other programs.
pub fn named(matches: &ArgMatches) -> BTreeSet<String> {
    let ids = matches.ids().map(clap::Id::as_str);
    ids.filter(|id| matches.value_source(id) == Some(ValueSource::CommandLine))
        .map(str::to_owned)
        .collect()
}

/// Refuses options that the target does not take.
///
/// # Errors
/// Names them, with the targets that do.
pub fn check(target: TargetKind, named: &BTreeSet<String>) -> anyhow::Result<()> {
    let misplaced = PLACES
        .iter()
        .filter(|(option, targets)| named.contains(*option) && !targets.contains(&target));
    let lines: Vec<String> = misplaced
        .map(|(option, targets)| format!("--{} goes with {}", option.replace('_', "-"), choice(targets)))
        .collect();
    if lines.is_empty() {
        return Ok(());
    }
    let name = target.name();
    let judged = if named.contains("target") {
        format!("--target {name} is judged")
    } else {
        format!("--target {name}, Torpor's own control plane, is judged where none is named")
    };
    bail!("{}; {judged}", lines.join(", "));
}

fn choice(targets: &[TargetKind]) -> String {
    let targets = targets.iter().map(|target| format!("--target {}", target.name()));
    targets.collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::args::Cli;

    #[test]
    fn every_option_with_a_place_is_one_of_the_command() {
        let cli = Cli::command();
        let command = cli.find_subcommand("conformance").expect("the command");
        for (option, _) in PLACES {
            let mut arguments = command.get_arguments();
            let found = arguments.find(|argument| argument.get_id() == option);
            let long = found.and_then(clap::Arg::get_long).map(str::to_owned);
            assert_eq!(long, Some(option.replace('_', "-")));
        }
    }

    #[test]
    fn what_a_target_does_not_take_is_refused_with_the_one_that_does() {
        let named = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let refused = |target, words: &[&str]| check(target, &named(words)).map_err(|error| error.to_string());
        assert_eq!(
            refused(TargetKind::Embedded, &["load", "kubeconfig"]),
            Err(
                "--kubeconfig goes with --target kubeconfig, --load goes with --target kind; \
                 --target embedded, Torpor's own control plane, is judged where none is named"
                    .to_owned()
            )
        );
        assert_eq!(
            refused(TargetKind::E2b, &["target", "engine"]),
            Err("--engine goes with --target embedded; --target e2b is judged".to_owned())
        );
        assert_eq!(
            refused(TargetKind::Kind, &["target", "load", "apply", "e2b_url"]),
            Ok(())
        );
        assert_eq!(refused(TargetKind::Embedded, &["capability", "name", "report"]), Ok(()));
    }
}
