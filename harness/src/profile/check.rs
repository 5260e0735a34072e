//! Whether a profile makes sense, and where in its file it does not.

use super::{Dialect, Profile, Test, Trigger, contains};
use crate::capability::Capability;
use crate::error::{YamlError, at};
use crate::scenario::PhaseName;

/// The first thing that is wrong.
pub(super) fn fault(profile: &Profile, file: &str, text: &str) -> Option<YamlError> {
    let found = whole_profile(profile).or_else(|| profile.kubernetes.as_ref().and_then(dialect));
    let (needles, message) = found?;
    // What is not in this file comes from the one that it extends.
    let needle = needles.iter().find(|needle| text.contains(**needle));
    Some(at(file, text, needle.unwrap_or(&"extends:"), message))
}

pub(super) fn whole(file: &str, message: String) -> YamlError {
    YamlError {
        file: file.to_owned(),
        line: 0,
        column: 0,
        message,
    }
}

/// Keys at one of which the fault is, and what it is.
type Found = Option<(&'static [&'static str], String)>;

fn whole_profile(profile: &Profile) -> Found {
    if profile.name.is_empty() {
        return Some((&["name:"], "`name` must not be empty".to_owned()));
    }
    if profile.kubernetes.is_none() && profile.e2b.is_none() {
        let message = "a profile needs `kubernetes`, `e2b` or both: nothing could be judged by it";
        return Some((&["name:"], message.to_owned()));
    }
    if let Some(call) = profile
        .hooks
        .iter()
        .find_map(|(call, hook)| hook.command.is_empty().then_some(call))
    {
        let message = format!("the `command` of `hooks.{}` names no program", call.as_str());
        return Some((&["hooks:"], message));
    }
    if let Some(message) = profile.e2b.as_ref().and_then(|e2b| e2b.sandbox_id.fault()) {
        return Some((&["sandbox-id:"], message));
    }
    if let Some(name) = profile.limits.impossible() {
        return Some((&["limits:"], format!("`limits.{name}` must be above zero")));
    }
    profile.kubernetes.as_ref().and_then(|dialect| claims(profile, dialect))
}

/// Claims of which the dialect does not say where they show.
fn claims(profile: &Profile, dialect: &Dialect) -> Found {
    let (timers, identity) = (&dialect.timers, &dialect.status.pod_identity);
    let unsaid = [
        (Capability::PauseTime, timers.pause.is_none(), "`timers` has no `pause`"),
        (
            Capability::ShutdownTime,
            timers.shutdown.is_none(),
            "`timers` has no `shutdown`",
        ),
        (
            Capability::PodIdentity,
            identity.is_empty(),
            "`status` has no `pod-identity`",
        ),
    ];
    unsaid.into_iter().find_map(|(capability, unsaid, what)| {
        let claimed = unsaid && profile.capabilities.contains(&capability);
        let message = || format!("`{}` is claimed, but {what}", capability.as_str());
        claimed.then(|| (&["capabilities:"][..], message()))
    })
}

fn dialect(dialect: &Dialect) -> Found {
    if !dialect.pod_name.contains("${name}") {
        let message = format!(
            "`pod-name: {}` must hold `${{name}}`, the name of the sandbox",
            dialect.pod_name
        );
        return Some((&["pod-name:"], message));
    }
    let api_version = dialect.api_version();
    if dialect.manifest["apiVersion"] != *api_version || dialect.manifest["kind"] != *dialect.kind {
        let message = format!(
            "`manifest` must be of {api_version} {}, as `group`, `version` and `kind` say",
            dialect.kind
        );
        return Some((&["manifest:", "kind:", "version:", "group:"], message));
    }
    if let Some(template) = &dialect.pod_template
        && template
            .of(&dialect.manifest)
            .and_then(|found| found.pointer("/spec/containers/0"))
            .is_none()
    {
        let message = format!(
            "`manifest` has no container below `pod-template: {}`",
            template.as_str()
        );
        return Some((&["pod-template:"], message));
    }
    if let Some(field) = dialect.events.wordless() {
        let message = format!("`events.{field}` must have words, none of them empty: every Event or none would fit");
        return Some((&["events:"], message));
    }
    triggers(dialect).or_else(|| rules(dialect))
}

fn triggers(dialect: &Dialect) -> Found {
    if let Some(patch) = &dialect.created_paused
        && contains(&dialect.manifest, patch)
    {
        let message = "`created-paused` changes nothing of `manifest`: every sandbox would be created paused";
        return Some((&["created-paused:"], message.to_owned()));
    }
    match (&dialect.pause, &dialect.resume) {
        (Trigger::Merge(pause), _) if contains(&dialect.manifest, pause) => {
            let message = "`pause` changes nothing of `manifest`: every sandbox would be created paused";
            Some((&["pause:"], message.to_owned()))
        }
        (Trigger::Hook, Trigger::Hook) => None,
        (pause, resume) if pause == resume => Some((
            &["resume:", "pause:"],
            "`resume` asks for the same as `pause`".to_owned(),
        )),
        (_, _) => None,
    }
}

fn rules(dialect: &Dialect) -> Found {
    let phases = &dialect.status.phases;
    let needed = [PhaseName::Running, PhaseName::Paused];
    if let Some(missing) = needed
        .into_iter()
        .find(|phase| phases.iter().all(|rule| rule.is != *phase))
    {
        return Some((&["phases:"], format!("`phases` has no rule for {}", missing.as_str())));
    }
    let last = phases.len().saturating_sub(1);
    if let Some(rule) = phases.iter().take(last).find(|rule| rule.when.is_empty()) {
        let message = format!(
            "the rule for {} always fits, so those below it never do",
            rule.is.as_str()
        );
        return Some((&["phases:"], message));
    }
    let tests = phases.iter().flat_map(|rule| &rule.when).chain(&dialect.asks_for_pause);
    tests.into_iter().find_map(test)
}

fn test(test: &Test) -> Found {
    let said = serde_json::to_string(test).unwrap_or_default();
    match (&test.path, &test.condition, &test.is, &test.present) {
        (Some(_), Some(_), _, _) | (None, None, _, _) => {
            Some((&["phases:"], format!("a test has either `path` or `condition`: {said}")))
        }
        (None, Some(_), Some(value), _) if !value.is_string() => {
            let message = format!("the status of a condition is a text, so put it in quotes: {said}");
            Some((&["phases:"], message))
        }
        (_, _, Some(_), Some(false)) => Some((
            &["phases:"],
            format!("a test cannot ask for a value and for none: {said}"),
        )),
        (_, _, _, _) => None,
    }
}

/// Places an error of a merged profile at the key of the file that it is about.
pub(super) fn at_path(
    file: &str,
    text: &str,
    path: &serde_path_to_error::Path,
    error: &serde_json::Error,
) -> YamlError {
    let mut place = (0, 0);
    let mut from = 0;
    for segment in path {
        let serde_path_to_error::Segment::Map { key } = segment else {
            continue;
        };
        let found = text.lines().enumerate().skip(from).find_map(|(line, content)| {
            let column = content.find(&format!("{key}:"))?;
            Some((line, content[..column].chars().count()))
        });
        let Some((line, column)) = found else { break };
        place = (line as u64 + 1, column as u64 + 1);
        from = line;
    }
    YamlError {
        file: file.to_owned(),
        line: place.0,
        column: place.1,
        message: format!("{path}: {error}"),
    }
}
