//! Names: generated suffixes and UIDs from a seedable source, and the rules names must obey.

use super::field::FieldError;
use serde_json::Value;

/// The letters of generated name suffixes (no vowels, nothing easily confused).
const SUFFIX_LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX_LENGTH: usize = 5;
const MAX_GENERATED_BASE: usize = 58;

const QUALIFIED_PART: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// Whether a text is the name part of a label's key, or a label's value.
pub(crate) fn is_qualified_part(text: &str) -> bool {
    let is_edge = |letter: Option<char>| letter.is_some_and(|letter| letter.is_ascii_alphanumeric());
    let is_inner = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    is_edge(text.chars().next()) && is_edge(text.chars().last()) && text.chars().all(is_inner)
}

/// What is wrong with the value of a label.
pub(crate) fn label_value_problems(text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if text.len() > 63 {
        problems.push("must be no more than 63 bytes".to_owned());
    }
    if !text.is_empty() && !is_qualified_part(text) {
        problems.push(LABEL_VALUE.to_owned());
    }
    problems
}

/// What is wrong with the key of a label or annotation, or with a finalizer.
pub(crate) fn qualified_name_problems(text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let name = match text.split('/').collect::<Vec<_>>().as_slice() {
        [name] => *name,
        [prefix, name] => {
            if prefix.is_empty() {
                problems.push("prefix part must be non-empty".to_owned());
            } else {
                let of_prefix = NameRule::Subdomain.problems(prefix).into_iter();
                problems.extend(of_prefix.map(|problem| format!("prefix part {problem}")));
            }
            name
        }
        _ => {
            let suffix = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
            return vec![format!("a valid label key {QUALIFIED_PART} {suffix}")];
        }
    };
    if name.is_empty() {
        problems.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        problems.push("name part must be no more than 63 bytes".to_owned());
    }
    if !is_qualified_part(name) {
        problems.push(format!("name part {QUALIFIED_PART}"));
    }
    problems
}

/// A small deterministic generator (`SplitMix64`), so that a seeded server repeats its UIDs and names.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A version 4 UUID.
    pub(crate) fn uid(&mut self) -> String {
        let bits = (u128::from(self.next()) << 64) | u128::from(self.next());
        uuid::Builder::from_random_bytes(bits.to_be_bytes())
            .into_uuid()
            .to_string()
    }

    /// `base` cut to 58 characters, followed by five random letters.
    pub(crate) fn generated_name(&mut self, base: &str) -> String {
        let mut name: String = base.chars().take(MAX_GENERATED_BASE).collect();
        for _ in 0..SUFFIX_LENGTH {
            let index = usize::try_from(self.next() % SUFFIX_LETTERS.len() as u64).unwrap_or(0);
            name.push(char::from(SUFFIX_LETTERS[index]));
        }
        name
    }
}

/// The shapes of names in the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameRule {
    /// RFC 1123 subdomain: most kinds.
    Subdomain,
    /// RFC 1123 label: namespaces.
    Label,
    /// RFC 1035 label: services.
    Label1035,
    /// A path segment: RBAC kinds.
    PathSegment,
}

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";

fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

impl NameRule {
    /// What is wrong with `name`, as the server's messages; empty if nothing.
    pub(crate) fn problems(self, name: &str) -> Vec<String> {
        let (max, fits, text) = match self {
            Self::Subdomain => (253, name.split('.').all(is_label), SUBDOMAIN),
            Self::Label => (63, is_label(name), LABEL),
            Self::Label1035 => (
                63,
                is_label(name) && name.starts_with(|c: char| c.is_ascii_lowercase()),
                LABEL_1035,
            ),
            Self::PathSegment => return path_segment_problems(name),
        };
        let mut problems = Vec::new();
        if name.len() > max {
            problems.push(format!("must be no more than {max} bytes"));
        }
        if !fits {
            problems.push(text.to_owned());
        }
        problems
    }

    /// The problems as field errors of `metadata.name`.
    pub(crate) fn check(self, name: &str) -> Vec<FieldError> {
        let value = Value::String(name.to_owned());
        self.problems(name)
            .into_iter()
            .map(|detail| FieldError::invalid("metadata.name", &value, detail))
            .collect()
    }
}

fn path_segment_problems(name: &str) -> Vec<String> {
    if name == "." || name == ".." {
        return vec![format!("may not be '{name}'")];
    }
    ["/", "%"]
        .iter()
        .filter(|part| name.contains(**part))
        .map(|part| format!("may not contain '{part}'"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_repeats_uids_and_names() {
        let (mut a, mut b) = (Random::new(7), Random::new(7));
        assert_eq!(a.uid(), b.uid());
        assert_eq!(a.generated_name("x-"), b.generated_name("x-"));
        assert_ne!(a.uid(), a.uid());
    }

    #[test]
    fn a_generated_name_never_exceeds_63_characters() {
        assert_eq!(Random::new(1).generated_name(&"a".repeat(80)).len(), 63);
    }

    #[test]
    fn capital_letters_and_edge_dashes_are_refused() {
        for name in ["Pod", "-a", "a-", "a..b", ""] {
            assert!(!NameRule::Subdomain.problems(name).is_empty(), "{name}");
        }
        assert!(NameRule::Subdomain.problems("a-1.b").is_empty());
        assert!(!NameRule::Label.problems("a.b").is_empty());
        assert!(!NameRule::Label1035.problems("1a").is_empty());
        assert!(NameRule::PathSegment.problems("system:node").is_empty());
    }
}
