//! Which resources the server serves: the built-in kinds and those of the CRDs.
//!
//! It decides what a path means and where objects are stored; it holds no objects.

mod builtin;
mod custom;
mod resource;

pub(crate) use custom::{CustomVersion, ScalePaths};
pub(crate) use resource::{BuiltIn, Origin, Resource};

use crate::api::path::ResourcePath;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// `(group, version, plural)`.
type ResourceKey = (String, String, String);

/// The served resources.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    resources: BTreeMap<ResourceKey, Arc<Resource>>,
}

impl Catalog {
    /// A catalogue of the built-in kinds.
    pub(crate) fn new() -> Self {
        let mut catalog = Self::default();
        for resource in builtin::resources() {
            catalog.insert(resource);
        }
        catalog
    }

    fn insert(&mut self, resource: Resource) {
        let key = (
            resource.group.clone(),
            resource.version.clone(),
            resource.plural.clone(),
        );
        self.resources.insert(key, Arc::new(resource));
    }

    /// The resource a path names.
    pub(crate) fn find(&self, path: &ResourcePath) -> Option<Arc<Resource>> {
        self.get(&path.group, &path.version, &path.resource)
    }

    /// The resource by group, version and plural.
    pub(crate) fn get(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Resource>> {
        self.resources
            .get(&(group.to_owned(), version.to_owned(), plural.to_owned()))
            .cloned()
    }

    /// The resource of a kind, in the given version.
    pub(crate) fn by_kind(&self, group: &str, version: &str, kind: &str) -> Option<Arc<Resource>> {
        let first = (group.to_owned(), version.to_owned(), String::new());
        let from = self.resources.range(first..).map(|(_, resource)| resource);
        let mut of_version = from.take_while(|resource| resource.group == group && resource.version == version);
        of_version.find(|resource| resource.kind == kind).cloned()
    }

    /// Any version of the resource stored in a collection.
    pub(crate) fn by_collection(&self, collection: &str) -> Option<Arc<Resource>> {
        self.all().find(|resource| &*resource.collection == collection).cloned()
    }

    /// The resource in all versions, which show the same stored objects.
    pub(crate) fn versions(&self, resource: &Resource) -> Vec<Arc<Resource>> {
        let same = self.all().filter(|other| other.collection == resource.collection);
        same.cloned().collect()
    }

    /// All resources, ordered by group, version and plural.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.resources.values()
    }

    /// Groups with their versions, preferred version first; the core group is `""`.
    pub(crate) fn groups(&self) -> Vec<(String, Vec<String>)> {
        let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for resource in self.all() {
            let versions = groups.entry(resource.group.clone()).or_default();
            if !versions.contains(&resource.version) {
                versions.push(resource.version.clone());
            }
        }
        let mut groups: Vec<_> = groups.into_iter().collect();
        for (_, versions) in &mut groups {
            versions.sort_by_key(|version| std::cmp::Reverse(version_rank(version)));
        }
        groups
    }

    /// Makes the catalogue agree with a CRD written at `revision`: its served versions appear, others vanish.
    pub(crate) fn apply_crd(&mut self, crd: &Value, revision: u64) {
        let since = self.since(crd, revision);
        self.remove_crd(crd["metadata"]["name"].as_str().unwrap_or_default());
        for resource in custom::resources(crd, since) {
            self.insert(resource);
        }
    }

    /// Since when the schemas of a CRD are in force that is written at `revision`.
    fn since(&self, crd: &Value, revision: u64) -> u64 {
        let name = &crd["metadata"]["name"];
        let before: BTreeMap<&str, &CustomVersion> = self
            .all()
            .filter_map(|resource| match &resource.origin {
                Origin::Custom(custom) if *name == custom.crd => Some((resource.version.as_str(), &**custom)),
                Origin::Custom(_) | Origin::BuiltIn(_) => None,
            })
            .collect();
        let same = |version: &Value| {
            let known = version["name"].as_str().and_then(|name| before.get(name));
            known.is_some_and(|known| known.schema == version["schema"]["openAPIV3Schema"])
        };
        let oldest = before.values().map(|version| version.since).max();
        oldest.filter(|_| custom::served(crd).all(same)).unwrap_or(revision)
    }

    /// Withdraws the resources of a CRD, named `plural.group`.
    pub(crate) fn remove_crd(&mut self, name: &str) {
        self.resources.retain(|_, resource| match &resource.origin {
            Origin::BuiltIn(_) => true,
            Origin::Custom(custom) => custom.crd != name,
        });
    }
}

/// Orders versions as Kubernetes does: stable over beta over alpha, higher numbers first, other names last.
fn version_rank(version: &str) -> (u8, u32, u32, std::cmp::Reverse<String>) {
    let rank = || {
        let rest = version.strip_prefix('v')?;
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let major: u32 = rest[..digits].parse().ok()?;
        let tail = &rest[digits..];
        if tail.is_empty() {
            return Some((3, major, 0));
        }
        let (level, minor) = match (tail.strip_prefix("beta"), tail.strip_prefix("alpha")) {
            (Some(minor), _) => (2, minor),
            (None, Some(minor)) => (1, minor),
            (None, None) => return None,
        };
        Some((level, major, minor.parse().ok()?))
    };
    let (level, major, minor) = rank().unwrap_or((0, 0, 0));
    (level, major, minor, std::cmp::Reverse(version.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_stability_then_number() {
        let mut versions = [
            "foo1",
            "v1",
            "v10",
            "v2beta1",
            "v3beta1",
            "v12alpha1",
            "v11alpha2",
            "v2",
        ];
        versions.sort_by_key(|version| std::cmp::Reverse(version_rank(version)));
        assert_eq!(
            versions,
            [
                "v10",
                "v2",
                "v1",
                "v3beta1",
                "v2beta1",
                "v12alpha1",
                "v11alpha2",
                "foo1"
            ]
        );
    }
}
