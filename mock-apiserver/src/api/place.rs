//! Where a walk through an object is.

use std::fmt;

/// A place in an object, as a chain back to where the walk began. It becomes text only where something is wrong: most objects
/// are right, and a path for every value of them is most of what it would cost to judge them.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place<'a> {
    /// The path where the walk began; empty for the whole object.
    Start(&'a str),
    /// A member: `.name`.
    Member(&'a Self, &'a str),
    /// An item of a list: `[0]`.
    Index(&'a Self, usize),
    /// A value in a map: `[key]`.
    Key(&'a Self, &'a str),
}

impl<'a> Place<'a> {
    /// The whole object.
    pub(crate) const ROOT: Self = Self::Start("");

    /// A member of what is here.
    pub(crate) fn member(&'a self, name: &'a str) -> Self {
        Self::Member(self, name)
    }

    /// An item of the list that is here.
    pub(crate) fn index(&'a self, index: usize) -> Self {
        Self::Index(self, index)
    }

    /// A value in the map that is here.
    pub(crate) fn key(&'a self, key: &'a str) -> Self {
        Self::Key(self, key)
    }

    /// Whether its path is empty.
    pub(crate) fn is_root(&self) -> bool {
        match self {
            Self::Start(path) => path.is_empty(),
            Self::Member(above, name) => name.is_empty() && above.is_root(),
            Self::Index(..) | Self::Key(..) => false,
        }
    }
}

/// The path as messages show it: `spec.list[0].name`.
impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(path) => f.write_str(path),
            Self::Member(above, name) if above.is_root() => f.write_str(name),
            Self::Member(above, name) => write!(f, "{above}.{name}"),
            Self::Index(above, index) => write!(f, "{above}[{index}]"),
            Self::Key(above, key) => write!(f, "{above}[{key}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_written_from_where_the_walk_began() {
        let root = Place::ROOT;
        let spec = root.member("spec");
        let list = spec.member("list");
        let item = list.index(2);
        assert_eq!(item.member("name").to_string(), "spec.list[2].name");
        assert_eq!(list.key("a.b").to_string(), "spec.list[a.b]");
        assert_eq!(root.index(0).to_string(), "[0]");
        assert!(root.is_root() && !spec.is_root());
        assert_eq!(Place::Start("metadata").member("labels").to_string(), "metadata.labels");
    }
}
