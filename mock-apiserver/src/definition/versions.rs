//! `spec.versions` and what they share.

use super::folded::Folded;
use super::schema::Schemas;
use super::{columns, conversion, go_form, names, path, schema, selectable, subresources};
use crate::api::field::{FieldError, Problem};
use serde_json::Value;
use std::collections::BTreeSet;

const PATH: &str = "spec.versions";

/// What is wrong with a folded `spec`.
pub(super) fn problems(folded: &Folded, old: Option<&Value>) -> Vec<FieldError> {
    let spec = &folded.spec;
    let unchanged = Unchanged { old };
    let mut errors: Vec<FieldError> = names::group(&spec["group"]).into_iter().collect();
    errors.extend(scope(&spec["scope"]));
    errors.extend(missing_schemas(folded));
    for (index, version) in folded.versions().iter().enumerate() {
        errors.extend(of_version(folded, version, &path::index(PATH, index), &unchanged));
    }
    errors.extend(storage(folded));
    errors.extend(first_version(folded));
    errors.extend(names::problems(&spec["names"]));
    let schemas = Schemas {
        has_status: has_status(spec) || folded.versions().iter().any(has_status),
        is_unchanged: unchanged.holds(
            text(&folded.versions().first().unwrap_or(&Value::Null)["name"]),
            &spec["validation"],
        ),
    };
    errors.extend(schema::problems(&spec["validation"], "spec.validation", schemas));
    errors.extend(subresources::problems(&spec["subresources"], "spec.subresources"));
    errors.extend(columns::problems(
        &spec["additionalPrinterColumns"],
        "spec.additionalPrinterColumns",
    ));
    errors.extend(selectable::problems(
        &spec["selectableFields"],
        &spec["validation"]["openAPIV3Schema"],
        "spec.selectableFields",
    ));
    errors.extend(conversion::problems(&spec["conversion"]));
    errors
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn scope(scope: &Value) -> Option<FieldError> {
    match text(scope) {
        "Cluster" | "Namespaced" => None,
        "" => Some(FieldError::required("spec.scope", "")),
        _ => Some(FieldError::not_supported(
            "spec.scope",
            scope,
            &["Cluster", "Namespaced"],
        )),
    }
}

/// Which schemas an update leaves as they were: their rules may be as costly as they are.
struct Unchanged<'a> {
    old: Option<&'a Value>,
}

impl Unchanged<'_> {
    fn holds(&self, version: &str, schema: &Value) -> bool {
        let versions = self.old.and_then(|old| old["spec"]["versions"].as_array());
        let mut versions = versions.into_iter().flatten();
        versions.any(|old| old["name"] == version && old["schema"] == *schema)
    }
}

fn missing_schemas(folded: &Folded) -> Vec<FieldError> {
    if folded.spec["validation"]["openAPIV3Schema"].is_object() {
        return Vec::new();
    }
    let versions = folded.versions().iter().enumerate();
    let without = versions.filter(|(_, version)| !version["schema"]["openAPIV3Schema"].is_object());
    without
        .map(|(index, _)| FieldError::required(format!("{}.schema.openAPIV3Schema", path::index(PATH, index)), ""))
        .collect()
}

fn of_version(folded: &Folded, version: &Value, at: &str, unchanged: &Unchanged<'_>) -> Vec<FieldError> {
    let name = &version["name"];
    let mut errors: Vec<FieldError> = names::label(&path::child(at, "name"), text(name), &Value::from(text(name)), "")
        .into_iter()
        .collect();
    let warning = &version["deprecationWarning"];
    let problems = warning
        .as_str()
        .map(|text| deprecation_warning(version["deprecated"] == true, text));
    let warnings = problems.into_iter().flatten();
    errors.extend(warnings.map(|detail| FieldError::invalid(path::child(at, "deprecationWarning"), warning, detail)));
    // A status that only other versions have does not restrict this one's schema.
    let per_version = folded
        .versions()
        .iter()
        .any(|version| version["subresources"].is_object());
    let schemas = Schemas {
        has_status: has_status(if per_version { version } else { &folded.spec }),
        is_unchanged: unchanged.holds(text(name), &version["schema"]),
    };
    errors.extend(schema::problems(
        &version["schema"],
        &path::child(at, "schema"),
        schemas,
    ));
    errors.extend(subresources::problems(
        &version["subresources"],
        &path::child(at, "subresources"),
    ));
    let columns_at = path::child(at, "additionalPrinterColumns");
    errors.extend(columns::problems(&version["additionalPrinterColumns"], &columns_at));
    let schema = &version["schema"]["openAPIV3Schema"];
    errors.extend(selectable::problems(
        &version["selectableFields"],
        schema,
        &path::child(at, "selectableFields"),
    ));
    errors
}

fn has_status(holder: &Value) -> bool {
    holder["subresources"]["status"].is_object()
}

fn deprecation_warning(deprecated: bool, text: &str) -> Vec<String> {
    const LONGEST: usize = 256;
    if !deprecated {
        return vec!["can only be set for deprecated versions".to_owned()];
    }
    let mut problems = Vec::new();
    if text.len() > LONGEST {
        problems.push(format!("must be <= {LONGEST} characters long"));
    }
    if text.is_empty() {
        problems.push("must not be an empty string".to_owned());
    }
    if let Some((index, _)) = text.char_indices().find(|(_, letter)| letter.is_control()) {
        problems.push(format!(
            "must only contain printable UTF-8 characters; non-printable character found at index {index}"
        ));
    }
    problems
}

/// Names are unique, and one version is the one that objects are stored in.
fn storage(folded: &Folded) -> Vec<FieldError> {
    let versions = folded.versions();
    let names: BTreeSet<&str> = versions.iter().map(|version| text(&version["name"])).collect();
    let stored = versions.iter().filter(|version| version["storage"] == true).count();
    let refuse = |detail: &str| FieldError {
        path: PATH.to_owned(),
        problem: Problem::Invalid {
            shown: go_form::versions(&folded.spec["versions"]),
            detail: detail.to_owned(),
        },
    };
    let mut errors = Vec::new();
    if names.len() < versions.len() {
        errors.push(refuse("must contain unique version names"));
    }
    if stored != 1 {
        errors.push(refuse("must have exactly one version marked as storage version"));
    }
    errors
}

/// The internal form names the first version a second time.
fn first_version(folded: &Folded) -> Option<FieldError> {
    let first = &folded.versions().first()?["name"];
    let name = first.as_str().filter(|name| !name.is_empty())?;
    names::label("spec.version", name, first, "")
}
