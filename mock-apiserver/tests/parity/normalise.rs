//! What differs from run to run is replaced, the same value by the same word.

use regex::{Captures, Regex};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::LazyLock;

static UID: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b").unwrap());
static TIME: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ").unwrap());
/// Where the webhook of this run listens.
static WEBHOOK: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"https://127\.0\.0\.1:\d+").unwrap());
/// Resource versions inside of messages.
static REVISION: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"((?:ResourceVersion in (?:the precondition|record|precondition)|resource version|current)[ :]*\(?)(\d+)(?:( \()(\d+))?")
        .unwrap()
});

/// Resource versions in objects that are quoted inside of messages.
static QUOTED: LazyLock<Regex> = LazyLock::new(|| Regex::new(r#"(resourceVersion\\*":\\*")(\d+)"#).unwrap());

/// The replacements of one sequence, numbered in the order of appearance.
#[derive(Default)]
pub struct Normaliser {
    uids: BTreeMap<String, usize>,
    revisions: BTreeMap<String, usize>,
    generated: Vec<String>,
}

impl Normaliser {
    /// Replaces UIDs, times, resource versions, continue tokens, generated names and a server's own address.
    pub fn value(&mut self, value: &Value) -> Value {
        self.collect_generated(value);
        self.walk(value)
    }

    /// The same inside of a text.
    pub fn text(&mut self, text: &str) -> String {
        let mut text = UID
            .replace_all(text, |found: &Captures<'_>| number(&mut self.uids, "uid", &found[0]))
            .into_owned();
        text = TIME.replace_all(&text, "<time>").into_owned();
        text = WEBHOOK.replace_all(&text, "https://<webhook>").into_owned();
        let revisions = &mut self.revisions;
        text = REVISION
            .replace_all(&text, |found: &Captures<'_>| {
                let mut shown = format!("{}{}", &found[1], number(revisions, "rv", &found[2]));
                if let (Some(space), Some(other)) = (found.get(3), found.get(4)) {
                    shown += space.as_str();
                    shown += &number(revisions, "rv", other.as_str());
                }
                shown
            })
            .into_owned();
        text = QUOTED
            .replace_all(&text, |found: &Captures<'_>| {
                format!("{}{}", &found[1], number(revisions, "rv", &found[2]))
            })
            .into_owned();
        for (index, name) in self.generated.iter().enumerate() {
            text = text.replace(name.as_str(), &format!("<generated {}>", index + 1));
        }
        text
    }

    fn walk(&mut self, value: &Value) -> Value {
        match value {
            Value::Object(map) => map
                .iter()
                .map(|(key, child)| {
                    let child = match (key.as_str(), child.as_str()) {
                        ("resourceVersion", Some(version))
                            if version.parse::<u64>().is_ok_and(|version| version > 0) =>
                        {
                            number(&mut self.revisions, "rv", version).into()
                        }
                        ("continue", Some(token)) if !token.is_empty() => "<continue>".into(),
                        ("manager", Some("kube-apiserver" | "parity-apiserver")) => "<server>".into(),
                        _ => self.walk(child),
                    };
                    (self.text(key), child)
                })
                .collect(),
            Value::Array(items) => items.iter().map(|item| self.walk(item)).collect(),
            Value::String(text) => self.text(text).into(),
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }

    fn collect_generated(&mut self, value: &Value) {
        match value {
            Value::Object(map) => {
                let text = |key: &str| map.get(key).and_then(Value::as_str).unwrap_or_default();
                let (base, name) = (text("generateName"), text("name"));
                let made = !base.is_empty() && name.starts_with(&base[..base.len().min(58)]);
                if made && name.len() > base.len().min(58) && !self.generated.iter().any(|known| known == name) {
                    self.generated.push(name.to_owned());
                }
                map.values().for_each(|child| self.collect_generated(child));
            }
            Value::Array(items) => items.iter().for_each(|item| self.collect_generated(item)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

fn number(known: &mut BTreeMap<String, usize>, what: &str, value: &str) -> String {
    let next = known.len() + 1;
    let number = known.entry(value.to_owned()).or_insert(next);
    format!("<{what} {number}>")
}
