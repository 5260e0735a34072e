//! Custom resource definitions: names, versions, and the conditions that say they are served.

use super::selectable;
use crate::api::field::FieldError;
use crate::api::meta;
use crate::core::Core;
use serde_json::{Value, json};

/// The finalizer that keeps a CRD until its objects are gone.
pub(crate) const CLEANUP_FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

pub(super) fn default_fields(crd: &mut Value) {
    super::default_to(crd, "spec", json!({}));
    let names = crd["spec"]["names"].clone();
    if let Some(kind) = names["kind"].as_str() {
        let slot = &mut crd["spec"]["names"];
        super::default_to(slot, "singular", kind.to_lowercase());
        super::default_to(slot, "listKind", format!("{kind}List"));
    }
    super::default_to(&mut crd["spec"], "conversion", json!({"strategy": "None"}));
}

/// Accepts the names and establishes the CRD at once.
pub(super) fn prepare_write(core: &Core, old: Option<&Value>, crd: &mut Value) {
    let mut status = old.map_or_else(|| json!({}), |old| old["status"].clone());
    status["acceptedNames"] = crd["spec"]["names"].clone();
    let storage = crd["spec"]["versions"]
        .as_array()
        .and_then(|versions| versions.iter().find(|version| version["storage"] == true))
        .map(|version| version["name"].clone());
    let mut stored = status["storedVersions"].as_array().cloned().unwrap_or_default();
    stored.extend(storage.filter(|name| !stored.contains(name)));
    status["storedVersions"] = stored.into();
    let now = core.now();
    let condition = |name: &str, reason: &str, message: &str| json!({"type": name, "status": "True", "reason": reason, "message": message, "lastTransitionTime": now});
    if status["conditions"].as_array().is_none_or(Vec::is_empty) {
        status["conditions"] = json!([
            condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            condition(
                "Established",
                "InitialNamesAccepted",
                "the initial names have been accepted"
            ),
        ]);
    }
    crd["status"] = status;
    if old.is_none() && !meta::finalizers(crd).contains(&CLEANUP_FINALIZER) {
        let mut finalizers: Vec<String> = meta::finalizers(crd).into_iter().map(str::to_owned).collect();
        finalizers.push(CLEANUP_FINALIZER.to_owned());
        meta::set_finalizers(crd, &finalizers);
    }
}

/// Versions differ in `apiVersion` only, whatever the definition says.
pub(super) fn warnings(crd: &Value) -> Vec<String> {
    if crd["spec"]["conversion"]["strategy"] != "Webhook" {
        return Vec::new();
    }
    let name = meta::name(crd);
    tracing::warn!(name, "the conversion webhook of a definition is not called");
    vec![format!(
        "spec.conversion.strategy: Webhook is treated as None: this server calls no conversion webhooks, objects of {name} differ between versions in apiVersion only"
    )]
}

pub(super) fn problems(crd: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let spec = &crd["spec"];
    let (group, plural) = (
        spec["group"].as_str().unwrap_or_default(),
        spec["names"]["plural"].as_str().unwrap_or_default(),
    );
    for (path, value) in [
        ("spec.group", &spec["group"]),
        ("spec.names.plural", &spec["names"]["plural"]),
        ("spec.names.kind", &spec["names"]["kind"]),
        ("spec.scope", &spec["scope"]),
    ] {
        if value.as_str().unwrap_or_default().is_empty() {
            errors.push(FieldError::required(path, ""));
        }
    }
    let name = format!("{plural}.{group}");
    if meta::name(crd) != name {
        let detail = format!("must be spec.names.plural+\".\"+spec.group; expected {name:?}");
        errors.push(FieldError::invalid("metadata.name", &crd["metadata"]["name"], detail));
    }
    let scope = &spec["scope"];
    if scope.is_string() && scope != "Cluster" && scope != "Namespaced" {
        errors.push(FieldError::not_supported(
            "spec.scope",
            scope,
            &["Cluster", "Namespaced"],
        ));
    }
    errors.extend(version_problems(spec));
    errors
}

fn version_problems(spec: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let versions = spec["versions"].as_array().map(Vec::as_slice).unwrap_or_default();
    if versions.iter().filter(|version| version["storage"] == true).count() != 1 {
        let detail = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid("spec.versions", &spec["versions"], detail));
    }
    for (index, version) in versions.iter().enumerate() {
        let path = format!("spec.versions[{index}]");
        if version["name"].as_str().unwrap_or_default().is_empty() {
            errors.push(FieldError::required(format!("{path}.name"), ""));
        }
        let schema = &version["schema"]["openAPIV3Schema"];
        if !schema.is_object() {
            errors.push(FieldError::required(
                format!("{path}.schema.openAPIV3Schema"),
                "schemas are required",
            ));
        } else if schema["type"] != "object" {
            let path = format!("{path}.schema.openAPIV3Schema.type");
            match &schema["type"] {
                Value::Null => errors.push(FieldError::required(path, "must not be empty at the root")),
                other => errors.push(FieldError::invalid(path, other, "must be object at the root")),
            }
        }
    }
    errors.extend(selectable_problems(versions));
    errors
}

/// Versions that all say the same are told about once, as if the definition itself said it.
fn selectable_problems(versions: &[Value]) -> Vec<FieldError> {
    let problems = |version: &Value, path: &str| {
        let schema = &version["schema"]["openAPIV3Schema"];
        selectable::problems(
            &version["selectableFields"],
            schema,
            &format!("{path}.selectableFields"),
        )
    };
    let same = |one: &Value, other: &Value| {
        one["selectableFields"] == other["selectableFields"] && one["schema"] == other["schema"]
    };
    match versions {
        [first, rest @ ..] if rest.iter().all(|version| same(first, version)) => problems(first, "spec"),
        differing => differing
            .iter()
            .enumerate()
            .flat_map(|(index, version)| problems(version, &format!("spec.versions[{index}]")))
            .collect(),
    }
}
