//! What a profile leaves unsaid of what a scenario takes. Pure.

use std::collections::BTreeSet;

use super::{Dialect, Trigger};
use crate::adapter::AdapterCall;
use crate::scenario::{TimerName, WishName, Word};

impl Dialect {
    /// The fields of the profile that a word takes and that it does not have, with what they would say. `calls` are those
    /// of the adapter.
    pub(crate) fn unsaid(&self, word: Word, calls: &BTreeSet<AdapterCall>) -> Option<&'static str> {
        let (said, field) = match word {
            Word::PodTemplate => (
                self.pod_template.is_some(),
                "`kubernetes.pod-template`: where the Pod template of a sandbox is",
            ),
            Word::CreatedPaused => (
                self.of_created_paused().is_some(),
                "`kubernetes.created-paused`: what the manifest of a sandbox has that is created paused",
            ),
            Word::Asked => (
                matches!(self.pause, Trigger::Merge(_)) || !self.asks_for_pause.is_empty(),
                "`kubernetes.asks-for-pause`: what holds of a resource that asks for a pause",
            ),
            Word::Explained => (
                !self.status.explanations.is_empty(),
                "`kubernetes.status.explanations`: where it says why it is not as asked",
            ),
            Word::ContextLost => (
                self.status.context_lost.is_some(),
                "`kubernetes.status.context-lost`: the condition that says so",
            ),
            Word::PodIdentity => (
                !self.status.pod_identity.is_empty(),
                "`kubernetes.status.pod-identity`: where the status names its Pod",
            ),
            Word::Timer(TimerName::Pause) => (
                self.timers.pause.is_some(),
                "`kubernetes.timers.pause`: where the pause time is",
            ),
            Word::Timer(TimerName::Shutdown) => (
                self.timers.shutdown.is_some(),
                "`kubernetes.timers.shutdown`: where the shutdown time is",
            ),
            Word::Wish(WishName::Paused) => (
                self.pause != Trigger::Hook || calls.contains(&AdapterCall::Pause),
                "`hooks.pause`: the command that `pause: hook` means",
            ),
            Word::Wish(WishName::Running) => (
                self.resume != Trigger::Hook || calls.contains(&AdapterCall::Resume),
                "`hooks.resume`: the command that `resume: hook` means",
            ),
        };
        (!said).then_some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profile;

    /// A profile that says as little as it can and pauses so.
    fn least(pause: &str) -> Dialect {
        let text = format!(
            "
name: least
kubernetes:
  group: example.com
  version: v1
  kind: Box
  plural: boxes
  manifest: {{apiVersion: example.com/v1, kind: Box, metadata: {{name: '${{name}}'}}}}
  image: example/box
  pod-name: ${{name}}-0
  pause: {pause}
  resume: {{merge: {{spec: {{power: up}}}}}}
  status:
    conditions: /status/conditions
    ready: {{condition: Up}}
    paused: {{condition: Off}}
    resumed: {{condition: Up}}
    phases: [{{is: Paused, when: [{{condition: Off}}]}}, {{is: Running}}]
"
        );
        let profile = Profile::parse("least.yaml", &text).unwrap_or_else(|error| panic!("{error}"));
        profile.kubernetes.unwrap()
    }

    const OBJECT: &str = "{create: {apiVersion: example.com/v1, kind: Pause, metadata: {name: '${name}-${nth}'}}}";

    fn fields(dialect: &Dialect, calls: &[AdapterCall]) -> Vec<String> {
        let calls = calls.iter().copied().collect();
        let words = [
            Word::PodTemplate,
            Word::CreatedPaused,
            Word::Asked,
            Word::Explained,
            Word::ContextLost,
            Word::PodIdentity,
            Word::Timer(TimerName::Pause),
            Word::Timer(TimerName::Shutdown),
            Word::Wish(WishName::Paused),
            Word::Wish(WishName::Running),
        ];
        let unsaid = words.into_iter().filter_map(|word| dialect.unsaid(word, &calls));
        let short = |field: &str| field.split('`').nth(1).unwrap_or_default().to_owned();
        unsaid.map(short).collect()
    }

    #[test]
    fn a_pause_that_is_no_merge_patch_says_neither_how_one_is_created_paused_nor_what_asks_for_it() {
        let always = [
            "kubernetes.status.explanations",
            "kubernetes.status.context-lost",
            "kubernetes.status.pod-identity",
            "kubernetes.timers.pause",
            "kubernetes.timers.shutdown",
        ];
        let unsaid = |pause: &str, calls: &[AdapterCall]| {
            let found = fields(&least(pause), calls);
            found
                .into_iter()
                .filter(|field| !always.contains(&field.as_str()))
                .collect::<Vec<_>>()
        };
        let patched = "{merge: {spec: {power: down}}}";
        assert_eq!(unsaid(patched, &[]), ["kubernetes.pod-template"]);
        let others = [
            "kubernetes.pod-template",
            "kubernetes.created-paused",
            "kubernetes.asks-for-pause",
        ];
        let scaled = "{merge-subresource: {name: scale, merge: {spec: {replicas: 0}}}}";
        for pause in [scaled, OBJECT] {
            assert_eq!(unsaid(pause, &[]), others, "{pause}");
        }
        assert_eq!(unsaid("hook", &[AdapterCall::Pause]), others);
        assert!(unsaid("hook", &[]).contains(&"hooks.pause".to_owned()));
    }

    #[test]
    fn everything_is_said_by_the_profile_of_the_front_that_has_it_all() {
        let kruise = Profile::built_in("kruise").unwrap().kubernetes.unwrap();
        assert_eq!(fields(&kruise, &[]), ["kubernetes.status.context-lost"]);
    }
}
