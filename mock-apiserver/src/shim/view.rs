//! Which form of the answer the client wants, and objects in that form.

use crate::api::error::{ApiError, ApiResult, Reason};
use crate::catalog::Resource;
use crate::store::Object;
use crate::table::{IncludeObject, partial, table};
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;

/// The forms in which objects are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Yaml,
    Table,
    /// `PartialObjectMetadata`.
    Metadata,
    /// `PartialObjectMetadataList`.
    MetadataList,
}

/// The forms that refusals name. Protobuf is sent to nobody: clients that ask for it take JSON, too.
const ACCEPTED: &[&str] = &[
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
];

/// How one client wants to see objects.
#[derive(Debug, Clone, Copy)]
pub(super) struct View {
    pub(super) form: Form,
    pub(super) include: IncludeObject,
    /// The version of tables and metadata.
    api_version: &'static str,
}

impl View {
    /// The view that the `Accept` header asks for; 406 if the server cannot send it. `include` is what the rows of a table are
    /// to carry.
    pub(super) fn new(accept: &str, include: Option<&str>) -> ApiResult<Self> {
        let (form, clause) = negotiate(accept)?;
        let include = match include {
            Some("None") => IncludeObject::None,
            Some("Object") => IncludeObject::Object,
            None | Some("" | "Metadata") => IncludeObject::Metadata,
            Some(_) if form != Form::Table => IncludeObject::Metadata,
            Some(other) => {
                return Err(ApiError::bad_request(format!(
                    "Unable to convert to Table as requested: includeObject: Invalid value: {other:?}: must be 'Metadata', 'Object', 'None', or empty"
                )));
            }
        };
        let is_beta = clause.split(';').any(|part| part.trim() == "v=v1beta1");
        let api_version = if is_beta {
            "meta.k8s.io/v1beta1"
        } else {
            "meta.k8s.io/v1"
        };
        Ok(Self {
            form,
            include,
            api_version,
        })
    }

    /// The view of one object; 406 if a list was asked for. Reviews are seen as they are only.
    pub(super) fn of_one(accept: &str, include: Option<&str>, resource: &Resource) -> ApiResult<Self> {
        let view = Self::new(accept, include)?;
        match view.form {
            Form::MetadataList => Err(ApiError::new(
                Reason::NotAcceptable,
                "you requested PartialObjectMetadataList, but the requested object is not a list (*unstructured.Unstructured)",
            )),
            Form::Table | Form::Metadata if resource.is_review() => Err(ApiError::not_acceptable(ACCEPTED)),
            Form::Json | Form::Yaml | Form::Table | Form::Metadata => Ok(view),
        }
    }

    /// The view of a list; 406 if one object was asked for.
    pub(super) fn of_list(accept: &str, include: Option<&str>) -> ApiResult<Self> {
        let view = Self::new(accept, include)?;
        match view.form {
            Form::Metadata => Err(ApiError::new(
                Reason::NotAcceptable,
                "you requested PartialObjectMetadata, but the requested object is a list (*unstructured.UnstructuredList)",
            )),
            Form::Json | Form::Yaml | Form::Table | Form::MetadataList => Ok(view),
        }
    }

    /// A table in the version that was asked for.
    pub(super) fn table(self, mut table: Value) -> Value {
        if table["apiVersion"] != self.api_version {
            table["apiVersion"] = self.api_version.into();
        }
        table
    }

    /// The JSON text of an object as the client wants it; the whole object, if that is not JSON.
    pub(super) fn json(self, resource: &Resource, object: &Arc<Object>, now: Timestamp) -> Bytes {
        self.json_of(resource, object, now, true)
    }

    /// The same; a watch describes the columns of its tables once.
    pub(super) fn json_of(self, resource: &Resource, object: &Arc<Object>, now: Timestamp, columns: bool) -> Bytes {
        match self.form {
            Form::Json | Form::Yaml => resource.present(object).json().clone(),
            Form::Metadata | Form::MetadataList => text(&partial(object)),
            Form::Table => {
                let metadata = json!({"resourceVersion": object["metadata"]["resourceVersion"]});
                let rows = std::slice::from_ref(object);
                let mut table = table(resource, &metadata, rows, self.include, now);
                if !columns {
                    table["columnDefinitions"] = Value::Null;
                }
                text(&self.table(table))
            }
        }
    }
}

fn text(value: &Value) -> Bytes {
    value.to_string().into()
}

/// The first form in the `Accept` header that the server can send.
fn negotiate(accept: &str) -> ApiResult<(Form, &str)> {
    if accept.trim().is_empty() {
        return Ok((Form::Json, ""));
    }
    accept
        .split(',')
        .find_map(|clause| Some((form(clause)?, clause)))
        .ok_or_else(|| ApiError::not_acceptable(ACCEPTED))
}

fn form(clause: &str) -> Option<Form> {
    let mut parts = clause.split(';').map(str::trim);
    let media_type = parts.next()?;
    let parameter = |name: &str| {
        clause
            .split(';')
            .filter_map(|part| part.trim().split_once('='))
            .find(|(key, _)| *key == name)
    };
    let shape = parameter("as").map(|(_, value)| value);
    match (media_type, shape) {
        ("application/json", Some("Table")) if is_v1(clause) => Some(Form::Table),
        ("application/json", Some("PartialObjectMetadata")) => Some(Form::Metadata),
        ("application/json", Some("PartialObjectMetadataList")) => Some(Form::MetadataList),
        ("application/json" | "application/*" | "*/*", None) => Some(Form::Json),
        ("application/yaml" | "text/yaml", None) => Some(Form::Yaml),
        _ => None,
    }
}

/// Whether a clause asks for `v1` of a form, or for no version.
fn is_v1(clause: &str) -> bool {
    let mut versions = clause.split(';').filter_map(|part| part.trim().strip_prefix("v="));
    versions.all(|version| matches!(version, "v1" | "v1beta1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_form_that_can_be_sent_wins() {
        for (accept, expected) in [
            ("", Form::Json),
            (
                "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
                Form::Table,
            ),
            ("application/vnd.kubernetes.protobuf, */*", Form::Json),
            (
                "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
                Form::Metadata,
            ),
            ("application/yaml", Form::Yaml),
        ] {
            assert_eq!(negotiate(accept).unwrap().0, expected, "{accept}");
        }
        assert_eq!(
            negotiate("application/vnd.kubernetes.protobuf").unwrap_err().code(),
            406
        );
    }
}
