//! What sandboxes are made from through E2B, and which custom resource an id of E2B means. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Stands for the name of the custom resource.
const NAME: &str = "${name}";
/// Stands for its namespace.
const NAMESPACE: &str = "${namespace}";

/// How E2B is spoken.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct E2bProfile {
    /// Template id or alias.
    pub template: String,
    /// How the id of a sandbox says which custom resource it is; it is its name when absent.
    #[serde(default, skip_serializing_if = "SandboxIds::are_names")]
    pub sandbox_id: SandboxIds,
}

/// How the ids of E2B are made. One that has the form means the custom resource of that name; where there is none,
/// and with an id of any other form, the label tells; and what is no id by either is a name if a resource has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct SandboxIds {
    /// The id, where `${name}` is the name of the custom resource and `${namespace}` its namespace.
    pub form: String,
    /// The label of the custom resource that holds the id, where the form does not always tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

impl Default for SandboxIds {
    fn default() -> Self {
        Self {
            form: NAME.to_owned(),
            label: None,
        }
    }
}

impl SandboxIds {
    /// Whether every id is the name of its custom resource.
    #[must_use]
    pub fn are_names(&self) -> bool {
        *self == Self::default()
    }

    /// The name of the custom resource in that namespace that an id means by its form, if it has the form.
    #[must_use]
    pub fn name_in<'i>(&self, id: &'i str, namespace: &str) -> Option<&'i str> {
        let form = self.form.replace(NAMESPACE, namespace);
        let (before, after) = form.split_once(NAME)?;
        let name = id.strip_prefix(before)?.strip_suffix(after)?;
        (!name.is_empty()).then_some(name)
    }

    /// The id by its form of the custom resource of that name.
    #[must_use]
    pub fn id_of(&self, name: &str, namespace: &str) -> String {
        self.form.replace(NAMESPACE, namespace).replace(NAME, name)
    }

    /// What no target could mean, with the field that says it.
    pub(super) fn fault(&self) -> Option<String> {
        let form = &self.form;
        let rest = form.replacen(NAME, "", 1).replace(NAMESPACE, "");
        if !form.contains(NAME) || rest.contains("${") {
            return Some(format!(
                "`e2b.sandbox-id.form: {form}` must hold `{NAME}`, the name of the custom resource, once, and besides it only `{NAMESPACE}`"
            ));
        }
        let label = self.label.as_ref().filter(|label| !is_label_key(label))?;
        Some(format!(
            "`e2b.sandbox-id.label: {label}` is no key of a label, as in `example.com/sandbox-id`"
        ))
    }
}

/// Whether Kubernetes takes it: an optional domain and `/`, then letters and digits with `-`, `_` and `.` between them.
fn is_label_key(key: &str) -> bool {
    let plain = |text: &str, most: usize, between: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || between.as_bytes().contains(&byte);
        let ends = [text.bytes().next(), text.bytes().last()];
        let closed = ends
            .iter()
            .all(|end| end.is_some_and(|byte| byte.is_ascii_alphanumeric()));
        closed && text.len() <= most && text.bytes().all(inner)
    };
    match key.split_once('/') {
        Some((domain, name)) => plain(domain, 253, "-.") && plain(name, 63, "-_."),
        None => plain(key, 63, "-_."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(form: &str) -> SandboxIds {
        SandboxIds {
            form: form.to_owned(),
            label: None,
        }
    }

    #[test]
    fn an_id_of_the_form_means_the_name_in_it_and_any_other_means_none() {
        let kruise = ids("${namespace}--${name}");
        assert_eq!(kruise.name_in("team--a--b", "team"), Some("a--b"));
        for stranger in ["other--a", "team--", "a", "x3k9q2m7v5w1z"] {
            assert_eq!(kruise.name_in(stranger, "team"), None, "{stranger}");
        }
        assert_eq!(SandboxIds::default().name_in("a", "team"), Some("a"));
        assert_eq!(ids("sbx-${name}.${namespace}").name_in("sbx-a.team", "team"), Some("a"));
    }

    #[test]
    fn the_id_of_a_name_leads_back_to_it() {
        for form in ["${name}", "${namespace}--${name}", "x-${name}-${namespace}"] {
            let id = ids(form).id_of("a", "team");
            assert_eq!(ids(form).name_in(&id, "team"), Some("a"), "{id}");
        }
    }

    #[test]
    fn a_label_is_what_kubernetes_takes_for_one() {
        for key in ["sandbox-id", "agents.kruise.io/sandbox-id", "a_b.c"] {
            assert!(is_label_key(key), "{key}");
        }
        for key in ["", "/id", "example.com/", "a/b/c", "-id", "id ", "${name}"] {
            assert!(!is_label_key(key), "{key}");
        }
    }
}
