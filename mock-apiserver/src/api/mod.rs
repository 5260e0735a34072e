//! The vocabulary of the Kubernetes API that every other part uses: object metadata, `Status` errors, request paths and
//! options, selectors, names. Pure functions over JSON values.

pub(crate) mod error;
pub(crate) mod field;
pub(crate) mod json;
mod labels;
pub(crate) mod meta;
pub(crate) mod names;
pub(crate) mod object_meta;
pub(crate) mod options;
pub(crate) mod path;
pub(crate) mod place;
pub(crate) mod selector;
