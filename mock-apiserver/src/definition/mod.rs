//! Whether a custom resource definition is valid: one module for each part of it.
//!
//! ```text
//!   definition --> folded (what all versions say alike is said once) --> names, versions, columns, subresources, conversion
//!                                                                    --> schema --> structural --> defaults --> rules
//! ```
//! Paths and words are those of the real server (`apiextensions-apiserver/pkg/apis/apiextensions/validation`), which judges an
//! internal form of the definition: hence paths such as `spec.validation` for a schema that all versions share. All of it is
//! pure. Left out: leniency with stored definitions that older releases accepted; nothing here accepted them.

mod accepted;
mod cel;
mod columns;
mod conversion;
mod defaults;
mod folded;
mod go_form;
mod lists;
mod names;
mod path;
mod rules;
mod schema;
mod selectable;
mod structural;
mod subresources;
mod versions;

pub(crate) use accepted::{is_established, next_status, terminating};

use crate::api::field::FieldError;
use crate::api::meta;
use folded::Folded;
use serde_json::{Value, json};

/// The annotation that says who approved an API of the community's own groups.
const APPROVED: &str = "api-approved.kubernetes.io";

/// Everything that is wrong with a definition; `old` is the stored one at an update.
pub(crate) fn problems(old: Option<&Value>, definition: &Value) -> Vec<FieldError> {
    // The status is written by itself and its keepers.
    if old.is_some_and(|old| old["spec"] == definition["spec"]) {
        return names::problems_of_accepted(&definition["status"]["acceptedNames"]);
    }
    let folded = Folded::new(&definition["spec"]);
    let mut errors: Vec<FieldError> = own_name(definition).into_iter().collect();
    errors.extend(versions::problems(&folded, old));
    if let Some(old) = old {
        errors.extend(immutable(old, definition));
    }
    errors.extend(stored_versions(definition));
    errors.extend(approval(old, definition));
    errors.extend(preserve_unknown_fields(old, definition));
    errors
}

/// The name is made of the plural and the group.
fn own_name(definition: &Value) -> Option<FieldError> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let spec = &definition["spec"];
    let name = format!("{}.{}", text(&spec["names"]["plural"]), text(&spec["group"]));
    (meta::name(definition) != name).then(|| {
        let detail = "must be spec.names.plural+\".\"+spec.group";
        FieldError::invalid("metadata.name", &definition["metadata"]["name"], detail)
    })
}

/// What decides where objects are stored cannot change: the group and the plural never, the rest once it is established.
fn immutable(old: &Value, new: &Value) -> Vec<FieldError> {
    let established = old["status"]["conditions"].as_array().is_some_and(|conditions| {
        let mut conditions = conditions.iter();
        conditions.any(|condition| condition["type"] == "Established" && condition["status"] == "True")
    });
    let once_established = [("spec.scope", "/spec/scope"), ("spec.names.kind", "/spec/names/kind")];
    let always = [
        ("spec.group", "/spec/group"),
        ("spec.names.plural", "/spec/names/plural"),
    ];
    let fields = once_established.into_iter().filter(|_| established).chain(always);
    let changed = fields.filter(|(_, pointer)| old.pointer(pointer) != new.pointer(pointer));
    changed
        .map(|(path, pointer)| {
            FieldError::invalid(path, new.pointer(pointer).unwrap_or(&Value::Null), "field is immutable")
        })
        .collect()
}

/// Every version that objects may be stored in must be declared.
fn stored_versions(definition: &Value) -> Vec<FieldError> {
    const PATH: &str = "status.storedVersions";
    let stored = &definition["status"]["storedVersions"];
    let listed: Vec<&str> = meta::strings(stored);
    if listed.is_empty() {
        return vec![FieldError::invalid(
            PATH,
            &Value::Null,
            "must have at least one stored version",
        )];
    }
    let versions = definition["spec"]["versions"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let declared: Vec<&str> = versions.iter().filter_map(|version| version["name"].as_str()).collect();
    let storage = versions.iter().filter(|version| version["storage"] == true);
    let unlisted = storage
        .filter_map(|version| version["name"].as_str())
        .filter(|name| !listed.contains(name));
    let mut errors: Vec<FieldError> = unlisted
        .map(|name| FieldError::invalid(PATH, stored, format!("must have the storage version {name}")))
        .collect();
    for (index, name) in listed.iter().enumerate().filter(|(_, name)| !declared.contains(name)) {
        let detail = format!(
            "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in {name} and removes {name} from status.storedVersions"
        );
        errors.push(FieldError::invalid(format!("{PATH}[{index}]"), &json!(name), detail));
    }
    errors
}

/// How the annotation of an API's approval stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Approval {
    Missing,
    /// A reason that starts with `unapproved`.
    Bypassed,
    /// A URL.
    Approved,
    Invalid,
}

impl Approval {
    fn of(definition: &Value) -> Self {
        let text = definition["metadata"]["annotations"][APPROVED]
            .as_str()
            .unwrap_or_default();
        if text.is_empty() {
            Self::Missing
        } else if text.starts_with("unapproved") {
            Self::Bypassed
        } else if url::Url::parse(text).is_ok_and(|url| url.has_host()) {
            Self::Approved
        } else {
            Self::Invalid
        }
    }
}

/// Definitions in groups of the community need its approval; an update may leave the annotation as it was.
fn approval(old: Option<&Value>, definition: &Value) -> Option<FieldError> {
    let group = definition["spec"]["group"].as_str().unwrap_or_default();
    let is_protected = ["k8s.io", "kubernetes.io"].iter().any(|domain| {
        group
            .strip_suffix(domain)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    });
    let approval = Approval::of(definition);
    if !is_protected || old.is_some_and(|old| Approval::of(old) == approval) {
        return None;
    }
    let path = path::key("metadata.annotations", APPROVED);
    let must = format!("protected groups must have approval annotation {APPROVED:?}");
    let see = "see https://github.com/kubernetes/enhancements/pull/1111";
    match approval {
        Approval::Missing => Some(FieldError::required(path, format!("{must}, {see}"))),
        Approval::Invalid => {
            let detail = format!("{must} with either a URL or a reason starting with \"unapproved\", {see}");
            let value = &definition["metadata"]["annotations"][APPROVED];
            Some(FieldError::invalid(path, value, detail))
        }
        Approval::Bypassed | Approval::Approved => None,
    }
}

fn preserve_unknown_fields(old: Option<&Value>, definition: &Value) -> Option<FieldError> {
    let preserves = |definition: &Value| definition["spec"]["preserveUnknownFields"] == true;
    (preserves(definition) && !old.is_some_and(preserves)).then(|| {
        let detail =
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        FieldError::invalid("spec.preserveUnknownFields", &json!(true), detail)
    })
}
