//! Paths of fields, as messages write them.

/// A member: `spec.names`.
pub(super) fn child(path: &str, member: &str) -> String {
    if path.is_empty() {
        member.to_owned()
    } else {
        format!("{path}.{member}")
    }
}

/// A key of a map: `properties[name]`.
pub(super) fn key(path: &str, key: &str) -> String {
    format!("{path}[{key}]")
}

/// An item of a list: `versions[0]`.
pub(super) fn index(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}
