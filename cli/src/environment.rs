//! The environment of this process.

use std::collections::BTreeMap;
use std::ffi::OsString;

/// The variables that are text.
pub fn variables() -> BTreeMap<String, String> {
    let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    std::env::vars_os().filter_map(text).collect()
}
