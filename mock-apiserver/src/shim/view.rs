//! Which form of the answer the client wants, and objects in that form.

use crate::api::error::{ApiError, ApiResult};
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
    /// `PartialObjectMetadata` and its list.
    Metadata,
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
}

impl View {
    /// The view that the `Accept` header asks for; 406 if the server cannot send it.
    pub(super) fn new(accept: &str, include: IncludeObject) -> ApiResult<Self> {
        Ok(Self {
            form: negotiate(accept)?,
            include,
        })
    }

    /// The JSON text of an object as the client wants it; the whole object, if that is not JSON.
    pub(super) fn json(self, resource: &Resource, object: &Arc<Object>, now: Timestamp) -> Bytes {
        self.json_of(resource, object, now, true)
    }

    /// The same; a watch describes the columns of its tables once.
    pub(super) fn json_of(self, resource: &Resource, object: &Arc<Object>, now: Timestamp, columns: bool) -> Bytes {
        match self.form {
            Form::Json | Form::Yaml => resource.present(object).json().clone(),
            Form::Metadata => text(&partial(object)),
            Form::Table => {
                let metadata = json!({"resourceVersion": object["metadata"]["resourceVersion"]});
                let rows = std::slice::from_ref(object);
                let mut table = table(resource, &metadata, rows, self.include, now);
                if !columns {
                    table["columnDefinitions"] = Value::Null;
                }
                text(&table)
            }
        }
    }
}

fn text(value: &Value) -> Bytes {
    value.to_string().into()
}

/// The first form in the `Accept` header that the server can send.
fn negotiate(accept: &str) -> ApiResult<Form> {
    if accept.trim().is_empty() {
        return Ok(Form::Json);
    }
    accept
        .split(',')
        .find_map(form)
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
        ("application/json", Some("PartialObjectMetadata" | "PartialObjectMetadataList")) => Some(Form::Metadata),
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
            assert_eq!(negotiate(accept).unwrap(), expected, "{accept}");
        }
        assert_eq!(
            negotiate("application/vnd.kubernetes.protobuf").unwrap_err().code(),
            406
        );
    }
}
