//! Reads the objects of a kustomization, and takes single grants out of its roles.

use std::fmt;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::root;

/// The objects of the kustomization in `folder`, in its order.
///
/// # Panics
/// When a file is missing or is not YAML.
pub fn load(folder: &str) -> Vec<Value> {
    load_from(&root().join(folder))
}

fn load_from(folder: &Path) -> Vec<Value> {
    let kustomization = read(&folder.join("kustomization.yaml")).remove(0);
    let resources = kustomization["resources"].as_array().expect("it lists resources");
    let paths = resources.iter().map(|path| folder.join(path.as_str().expect("a path")));
    paths
        .flat_map(|path| if path.is_dir() { load_from(&path) } else { read(&path) })
        .collect()
}

/// The kustomization of `deploy`, with the component in `folder`.
///
/// # Panics
/// When a file is missing or is not YAML, or a patch is none of those that are known here.
pub fn load_with(folder: &str) -> Vec<Value> {
    let mut objects = load("deploy");
    objects.extend(load(folder));
    let kustomization = read(&root().join(folder).join("kustomization.yaml")).remove(0);
    for patch in kustomization["patches"].as_array().expect("it lists patches") {
        let target = &patch["target"];
        let is_target =
            |object: &&mut Value| object["kind"] == target["kind"] && object["metadata"]["name"] == target["name"];
        let object = objects.iter_mut().find(is_target).expect("the target is there");
        for operations in documents(patch["patch"].as_str().expect("a patch")) {
            for operation in operations.as_array().expect("a list of operations") {
                append(object, operation);
            }
        }
    }
    objects
}

/// Adds a value to the end of a list.
fn append(object: &mut Value, operation: &Value) {
    assert_eq!(operation["op"], "add", "{operation}");
    let path = operation["path"].as_str().and_then(|path| path.strip_suffix("/-"));
    let list = object.pointer_mut(path.expect("the end of a list"));
    let list = list.and_then(Value::as_array_mut).expect("a list");
    list.push(operation["value"].clone());
}

fn read(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()));
    documents(&text)
}

/// The documents of a YAML stream.
///
/// # Panics
/// When it is not YAML.
pub fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).expect("YAML")
}

/// One verb on one resource, granted by one rule of one role.
#[derive(Clone, Debug)]
pub struct Grant {
    group: String,
    kind: String,
    role: String,
    rule: usize,
    resource: String,
    verb: String,
}

impl Grant {
    /// Every grant of every role among `objects`.
    pub fn all(objects: &[Value]) -> Vec<Self> {
        let mut grants = Vec::new();
        for object in objects.iter().filter(|object| is_role(object)) {
            for (rule, granted) in rules(object).iter().enumerate() {
                for resource in texts(&granted["resources"]) {
                    for verb in texts(&granted["verbs"]) {
                        grants.push(Self {
                            group: texts(&granted["apiGroups"]).concat(),
                            kind: object["kind"].as_str().expect("a kind").to_owned(),
                            role: object["metadata"]["name"].as_str().expect("a name").to_owned(),
                            rule,
                            resource: resource.clone(),
                            verb,
                        });
                    }
                }
            }
        }
        grants
    }

    /// The same objects without this grant.
    pub fn taken_from(&self, mut objects: Vec<Value>) -> Vec<Value> {
        let object = objects.iter_mut().find(|object| {
            is_role(object) && object["kind"] == self.kind.as_str() && object["metadata"]["name"] == self.role.as_str()
        });
        let rules = object.expect("the role is there")["rules"]
            .as_array_mut()
            .expect("rules");
        let whole = rules.remove(self.rule);
        for resource in texts(&whole["resources"]) {
            let mut verbs = texts(&whole["verbs"]);
            if resource == self.resource {
                verbs.retain(|verb| *verb != self.verb);
            }
            let mut rest = whole.clone();
            rest["resources"] = json!([resource]);
            rest["verbs"] = json!(verbs);
            if !verbs.is_empty() {
                rules.push(rest);
            }
        }
        objects
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            group,
            kind,
            role,
            resource,
            verb,
            rule: _,
        } = self;
        write!(f, "{verb}_{resource}.{group}_of_the_{kind}_{role}")
    }
}

fn is_role(object: &Value) -> bool {
    object["kind"] == "Role" || object["kind"] == "ClusterRole"
}

fn rules(role: &Value) -> &[Value] {
    role["rules"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn texts(list: &Value) -> Vec<String> {
    let items = list.as_array().into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}
