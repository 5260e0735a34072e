//! From a template name to a `Sandbox` object: which `SandboxTemplate` a name means, and what is made of it.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde_json::{Value, json};
use torpor_api::{PodTemplate, Sandbox, SandboxSpec, SandboxTemplate, annotation, label};

use crate::{id::SandboxId, lifecycle::Lifecycle, timer::Timers};

/// Names under which SDKs and their documents ask for a code interpreter. They mean each other, and
/// where none of them exists, whatever template there is.
const CODE_INTERPRETER_ALIASES: [&str; 3] = ["code-interpreter", "code-interpreter-v1", "base"];

/// The template that `name` means among those that exist; `name` itself was not found.
pub(crate) fn resolve_alias<'a>(name: &str, existing: &'a [SandboxTemplate]) -> Option<&'a SandboxTemplate> {
    if !CODE_INTERPRETER_ALIASES.contains(&name) {
        return None;
    }
    let named = |alias: &str| {
        existing
            .iter()
            .find(|template| template.metadata.name.as_deref() == Some(alias))
    };
    let first = || existing.iter().min_by_key(|template| template.metadata.name.as_deref());
    CODE_INTERPRETER_ALIASES.into_iter().find_map(named).or_else(first)
}

/// Whether `name` can be the name of an object at all, so that it may be put into a path.
pub(crate) fn is_object_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    let outer = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 253 && name.starts_with(outer) && name.ends_with(outer) && name.chars().all(inner)
}

/// What a new `Sandbox` object is made of.
pub(crate) struct Blueprint {
    pub(crate) id: SandboxId,
    pub(crate) template: PodTemplate,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) timers: Timers,
}

impl Blueprint {
    /// The object.
    pub(crate) fn build(self) -> Sandbox {
        let mut labels = BTreeMap::from([(label::SANDBOX_ID.to_owned(), self.id.to_string())]);
        // A label value holds 63 characters, a name 253; the annotation has it in any case.
        if self.lifecycle.template.len() <= 63 {
            labels.insert(label::TEMPLATE.to_owned(), self.lifecycle.template.clone());
        }
        let annotations = BTreeMap::from([
            (annotation::E2B_METADATA.to_owned(), json!(self.metadata).to_string()),
            (annotation::E2B_LIFECYCLE.to_owned(), json!(self.lifecycle).to_string()),
        ]);
        Sandbox {
            metadata: ObjectMeta {
                name: Some(self.id.to_string()),
                labels: Some(labels),
                annotations: Some(annotations),
                ..ObjectMeta::default()
            },
            spec: SandboxSpec {
                pause_time: self.timers.pause.map(Time),
                shutdown_time: self.timers.shutdown.map(Time),
                template: Some(with_env(self.template, &self.env)),
                ..SandboxSpec::default()
            },
            status: None,
        }
    }
}

/// `template` with `env` set in each of its containers, over what the template says.
fn with_env(mut template: PodTemplate, env: &BTreeMap<String, String>) -> PodTemplate {
    let containers = template.pointer_mut("/spec/containers").and_then(Value::as_array_mut);
    let containers = containers.into_iter().flatten().filter_map(Value::as_object_mut);
    for container in containers.filter(|_| !env.is_empty()) {
        let given = container
            .get("env")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        let keeps = |variable: &Value| variable["name"].as_str().is_none_or(|name| !env.contains_key(name));
        let set = env
            .iter()
            .map(|(name, value)| json!({ "name": name, "value": escape_references(value) }));
        container.insert("env".to_owned(), given.into_iter().filter(keeps).chain(set).collect());
    }
    template
}

/// Kubernetes replaces `$(NAME)` in the value of a variable, and every `$$` by a plain `$`.
fn escape_references(value: &str) -> String {
    value.replace('$', "$$")
}

#[cfg(test)]
mod tests {
    use torpor_api::SandboxTemplateSpec;

    use super::*;

    fn templates(names: &[&str]) -> Vec<SandboxTemplate> {
        names
            .iter()
            .map(|name| SandboxTemplate::new(name, SandboxTemplateSpec { template: json!({}) }))
            .collect()
    }

    fn resolved(name: &str, existing: &[&str]) -> Option<String> {
        resolve_alias(name, &templates(existing)).and_then(|template| template.metadata.name.clone())
    }

    #[test]
    fn the_names_for_a_code_interpreter_mean_each_other() {
        assert_eq!(
            resolved("code-interpreter-v1", &["a", "code-interpreter"]).as_deref(),
            Some("code-interpreter")
        );
        assert_eq!(resolved("base", &["zeta", "base-image"]).as_deref(), Some("base-image"));
        assert_eq!(resolved("base", &[]), None);
    }

    #[test]
    fn any_other_name_means_only_itself() {
        assert_eq!(resolved("my-template", &["code-interpreter"]), None);
    }

    #[test]
    fn what_could_leave_a_path_is_no_object_name() {
        for name in ["", "../x", "a/b", "A", "-a", "a-", ".", "a b", "a%2f"] {
            assert!(!is_object_name(name), "{name}");
        }
        assert!(is_object_name("code-interpreter-v1"));
    }

    #[test]
    fn env_of_the_caller_wins_over_the_template_and_is_taken_literally() {
        let template = json!({ "spec": { "containers": [
            { "name": "a", "env": [{ "name": "X", "value": "1" }, { "name": "Y", "value": "2" }] }, { "name": "b" },
        ] } });
        let env = BTreeMap::from([("X".to_owned(), "$(Y)".to_owned())]);
        let expected = json!({ "spec": { "containers": [
            { "name": "a", "env": [{ "name": "Y", "value": "2" }, { "name": "X", "value": "$$(Y)" }] },
            { "name": "b", "env": [{ "name": "X", "value": "$$(Y)" }] },
        ] } });
        assert_eq!(with_env(template, &env), expected);
    }

    #[test]
    fn every_dollar_of_the_caller_is_escaped() {
        for (value, escaped) in [
            ("$(HOME)", "$$(HOME)"),
            ("$$(HOME)", "$$$$(HOME)"),
            ("a$$b", "a$$$$b"),
            ("$X", "$$X"),
            ("$", "$$"),
            ("plain", "plain"),
        ] {
            assert_eq!(escape_references(value), escaped, "{value}");
        }
    }

    #[test]
    fn a_template_of_an_odd_shape_is_left_as_it_is() {
        let odd = json!({ "spec": { "containers": ["x", null] } });
        assert_eq!(
            with_env(odd.clone(), &BTreeMap::from([("A".to_owned(), "b".to_owned())])),
            odd
        );
    }
}
