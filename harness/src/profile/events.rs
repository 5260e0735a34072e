//! The words of Events.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The words by which Events tell that a step is over: one of them is in the reason or the message, in any case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct EventsDialect {
    /// That it is paused.
    pub paused: Vec<String>,
    /// That it serves again.
    pub resumed: Vec<String>,
}

impl Default for EventsDialect {
    /// What those say who pause sandboxes.
    fn default() -> Self {
        Self {
            paused: ["paused", "suspended", "hibernated"].map(str::to_owned).to_vec(),
            resumed: vec!["resumed".to_owned()],
        }
    }
}

impl EventsDialect {
    /// The words for what scenarios call so, if it is the end of a step.
    #[must_use]
    pub fn of(&self, about: &str) -> Option<&[String]> {
        match about {
            "paused" => Some(&self.paused),
            "resumed" => Some(&self.resumed),
            _ => None,
        }
    }

    /// The field that has no word, if one has none: it would fit nothing.
    pub(super) fn wordless(&self) -> Option<&'static str> {
        let no_word = |words: &[String]| words.is_empty() || words.iter().any(|word| word.trim().is_empty());
        let fields = [("paused", &self.paused), ("resumed", &self.resumed)];
        fields
            .into_iter()
            .find_map(|(name, words)| no_word(words).then_some(name))
    }
}
