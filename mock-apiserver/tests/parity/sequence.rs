//! The form of the files in `fixtures/parity/sequences`.

use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// A file of sequences.
pub struct Topic {
    /// The name of the file, without extension.
    pub name: String,
    /// What relative paths are joined to.
    pub base: String,
    /// `apiVersion` and `kind` of bodies that do not say them.
    pub object: Value,
    /// Custom resource definitions that exist before any sequence.
    pub definitions: Vec<Value>,
    /// What is sent, in order.
    pub sequences: Vec<Sequence>,
}

/// Requests that follow one another.
pub struct Sequence {
    pub name: String,
    pub steps: Vec<Step>,
    /// What `{name}` in a step stands for.
    pub variables: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "about")]
    _about: String,
    base: String,
    #[serde(default)]
    object: Value,
    /// Whole, or as `file: PATH` from the folder of this file.
    #[serde(default)]
    definitions: Vec<Value>,
    #[serde(default)]
    sequences: BTreeMap<String, Vec<Step>>,
    #[serde(default)]
    tables: BTreeMap<String, Table>,
}

/// The same steps for each of several values of `{case}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    steps: Vec<Step>,
    cases: BTreeMap<String, Value>,
}

/// One step: a request, the opening of a watch, or the reading of its events.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    #[serde(rename = "GET")]
    get: Option<String>,
    #[serde(rename = "POST")]
    post: Option<String>,
    #[serde(rename = "PUT")]
    put: Option<String>,
    #[serde(rename = "PATCH")]
    patch: Option<String>,
    #[serde(rename = "DELETE")]
    delete: Option<String>,
    /// Opens a watch at this path; it is read by `EVENTS`.
    #[serde(rename = "WATCH")]
    watch: Option<String>,
    /// Reads that many events of the open watch, or all to its end if `end`.
    #[serde(rename = "EVENTS")]
    events: Option<Value>,
    /// Has the server forget what was before now.
    #[serde(rename = "COMPACT", default)]
    compact: bool,
    /// The body, sent as JSON.
    pub body: Option<Value>,
    /// The type as which the body is sent in protobuf, such as `meta.DeleteOptions`.
    pub protobuf: Option<String>,
    /// Texts of that many bytes to put into the body, by JSON pointer.
    #[serde(default)]
    pub fill: BTreeMap<String, usize>,
    /// The body is a list of that many times its only item.
    pub times: Option<usize>,
    /// The body as it stands here.
    pub raw: Option<String>,
    /// The `Content-Type`: a media type, or `merge`, `json`, `strategic`, `apply` for those of patches.
    #[serde(rename = "type", default)]
    pub content_type: Option<String>,
    /// The `Accept` header; `application/json` if absent.
    pub accept: Option<String>,
    /// The `User-Agent`; `parity` if absent.
    pub agent: Option<String>,
    /// Variables and where their values are in the answer, as JSON pointers.
    #[serde(default)]
    pub keep: BTreeMap<String, String>,
    /// The parts of the answer that are compared, as JSON pointers; all of it if empty.
    #[serde(default)]
    pub pick: Vec<String>,
    /// The request is repeated until this holds; only the last answer counts.
    pub until: Option<Until>,
    /// The real server tells nobody when its handlers follow a definition; it is given a second.
    #[serde(default)]
    pub settle: bool,
}

/// What ends the repetition of a request.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
pub enum Until {
    /// The status code of the answer.
    Code(u16),
    /// A condition of the answer's status that is true.
    Condition(String),
    /// Values in the answer, by JSON pointer.
    Values(BTreeMap<String, Value>),
}

/// What a step does.
pub enum Action<'a> {
    Request { method: &'static str, path: &'a str },
    Watch { path: &'a str },
    Compact,
    Events { count: Option<u64> },
}

impl Step {
    pub fn action(&self) -> Action<'_> {
        let requests = [
            ("GET", &self.get),
            ("POST", &self.post),
            ("PUT", &self.put),
            ("PATCH", &self.patch),
            ("DELETE", &self.delete),
        ];
        if let Some((method, path)) = requests
            .iter()
            .find_map(|(method, path)| Some((method, path.as_ref()?)))
        {
            return Action::Request { method, path };
        }
        if let Some(path) = &self.watch {
            return Action::Watch { path };
        }
        if self.compact {
            return Action::Compact;
        }
        Action::Events {
            count: self.events.as_ref().and_then(Value::as_u64),
        }
    }
}

/// Reads every topic of a folder.
///
/// The variables of `everywhere` are known in all of them, in definitions as well.
pub fn read_all(folder: &Path, everywhere: &[(&str, String)]) -> Vec<Topic> {
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let known: BTreeMap<String, Value> = everywhere
        .iter()
        .map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str())))
        .collect();
    let mut topics: Vec<Topic> = paths.iter().map(|path| read(path)).collect();
    for topic in &mut topics {
        topic.definitions = topic
            .definitions
            .iter()
            .map(|definition| fill(definition, &known))
            .collect();
        for sequence in &mut topic.sequences {
            sequence.variables.extend(known.clone());
        }
    }
    topics
}

fn read(path: &Path) -> Topic {
    let text = std::fs::read_to_string(path).unwrap();
    let file: File = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let topic = path.file_stem().unwrap().to_string_lossy().into_owned();
    let definitions = file
        .definitions
        .into_iter()
        .map(|definition| match definition["file"].as_str() {
            Some(file) => {
                let text = std::fs::read_to_string(path.with_file_name(file)).unwrap();
                serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
            }
            None => definition,
        });
    let single = file
        .sequences
        .into_iter()
        .map(|(name, steps)| sequence(&topic, name, steps, None));
    let tables = file.tables.into_iter().flat_map(|(table, Table { steps, cases })| {
        let topic = topic.clone();
        cases
            .into_iter()
            .map(move |(case, value)| sequence(&topic, format!("{table}/{case}"), steps.clone(), Some(value)))
    });
    let sequences = single.chain(tables).collect();
    Topic {
        name: topic,
        base: file.base,
        object: file.object,
        definitions: definitions.collect(),
        sequences,
    }
}

fn sequence(topic: &str, name: String, steps: Vec<Step>, case: Option<Value>) -> Sequence {
    // A namespace has at most 63 characters.
    let namespace: String = format!("{topic}-{name}")
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .take(63)
        .collect();
    let namespace = namespace.trim_end_matches('-').to_owned();
    let mut variables = BTreeMap::from([("ns".to_owned(), Value::from(namespace))]);
    variables.extend(case.map(|case| ("case".to_owned(), case)));
    Sequence { name, steps, variables }
}

/// Puts the values of variables where `{name}` stands; a text that is only `{name}` becomes the value itself.
pub fn fill(value: &Value, variables: &BTreeMap<String, Value>) -> Value {
    match value {
        Value::String(text) => variables
            .iter()
            .find(|(name, _)| *text == format!("{{{name}}}"))
            .map_or_else(
                || fill_text(text, variables).into(),
                |(_, value)| match value {
                    Value::Array(_) | Value::Object(_) => fill(value, variables),
                    Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
                },
            ),
        Value::Array(items) => items.iter().map(|item| fill(item, variables)).collect(),
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (fill_text(key, variables), fill(value, variables)))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// Puts the values of variables into a text.
pub fn fill_text(text: &str, variables: &BTreeMap<String, Value>) -> String {
    variables.iter().fold(text.to_owned(), |text, (name, value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        text.replace(&format!("{{{name}}}"), &value)
    })
}
