//! Revisions of the suite: what is asked changes only with them.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A revision of the suite, e.g. `0.2`: the first two numbers of its version. A patch asks nothing new.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Revision {
    major: u32,
    minor: u32,
}

impl Revision {
    /// That of this suite.
    #[must_use]
    pub fn of_this_suite() -> Self {
        Self::of_version(env!("CARGO_PKG_VERSION")).unwrap_or(Self { major: 0, minor: 0 })
    }

    /// That of a version of the suite, e.g. of `0.2.1`.
    #[must_use]
    pub fn of_version(version: &str) -> Option<Self> {
        let mut numbers = version.split('.');
        let revision = format!("{}.{}", numbers.next()?, numbers.next()?);
        Self::try_from(revision).ok()
    }
}

impl TryFrom<String> for Revision {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let number = |digits: &str| {
            let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| digits.parse().ok()).flatten()
        };
        let numbers = text.split_once('.').and_then(|(major, minor)| {
            Some(Self {
                major: number(major)?,
                minor: number(minor)?,
            })
        });
        numbers.ok_or_else(|| format!("`{text}` is no revision, expected e.g. `\"0.2\"`"))
    }
}

impl From<Revision> for String {
    fn from(revision: Revision) -> Self {
        revision.to_string()
    }
}

impl std::fmt::Display for Revision {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}.{}", self.major, self.minor)
    }
}

impl JsonSchema for Revision {
    fn schema_name() -> Cow<'static, str> {
        "Revision".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[0-9]+\\.[0-9]+$",
            "description": "A revision of the suite, e.g. `0.2`."
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(text: &str) -> Revision {
        Revision::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn revisions_are_ordered_by_number_and_are_the_first_two_of_a_version() {
        assert!(revision("0.9") < revision("0.10") && revision("0.10") < revision("1.0"));
        assert_eq!(Revision::of_version("0.2.7"), Some(revision("0.2")));
        assert!(Revision::of_this_suite() > revision("0.0"));
        for wrong in ["", "1", "1.", "v1.0", "1.2.3", "1.-2", "+1.2"] {
            assert!(Revision::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }
}
