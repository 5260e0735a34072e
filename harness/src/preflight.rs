//! Whether a cluster has what a run takes, found out before the run.
//!
//! Asks the API server for its version, for the custom resource, and with
//! `SelfSubjectAccessReview` for every permission; says all that is missing, not the first thing.

use std::collections::BTreeSet;

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, GroupVersionKind, PostParams, TypeMeta};
use kube::{Api, Client};

use crate::capability::{Capability, UnknownCapability};
use crate::profile::{Dialect, Trigger};

/// The annotation of a `CustomResourceDefinition` by which an implementation says what it can do.
pub const CAPABILITIES_ANNOTATION: &str = "torpor.dev/capabilities";

/// Something that a run takes and that is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Shortcoming {
    /// Nobody answers.
    #[error("the API server does not answer: {0}; is the kubeconfig right?")]
    Unreachable(String),
    /// The custom resource is not served.
    #[error("{api_version} {kind} is not served{others}; install its definition, or choose another --profile")]
    NotServed {
        /// Group and version.
        api_version: String,
        /// Kind.
        kind: String,
        /// What is served instead, if anything of the group is.
        others: String,
    },
    /// A subresource that a trigger patches is not served.
    #[error("the subresource `{0}` is not served, by which the profile asks for a pause or a resume")]
    NoSubresource(String),
    /// The namespace that was named does not exist.
    #[error(
        "there is no namespace `{0}`; create it, or leave --namespace out for one that comes and goes with the run"
    )]
    NoNamespace(String),
    /// A permission is missing.
    #[error("{0} is not allowed; let a role of this user say so")]
    Forbidden(Permission),
    /// The API server would not say.
    #[error("{what}: {why}")]
    Unknown {
        /// What was attempted.
        what: String,
        /// Why it failed.
        why: String,
    },
}

/// A permission.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Permission {
    /// The verb.
    pub verb: &'static str,
    /// The API group; empty for the core.
    pub group: String,
    /// The plural.
    pub resource: String,
    /// The subresource; empty for none.
    pub subresource: String,
    /// The namespace; none for the whole cluster.
    pub namespace: Option<String>,
}

impl std::fmt::Display for Permission {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "`{} {}", self.verb, self.resource)?;
        if !self.group.is_empty() {
            write!(out, ".{}", self.group)?;
        }
        if !self.subresource.is_empty() {
            write!(out, "/{}", self.subresource)?;
        }
        match &self.namespace {
            Some(namespace) => write!(out, "` in namespace {namespace}"),
            None => write!(out, "` in all namespaces"),
        }
    }
}

/// Where the sandboxes of a run go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lodging<'a> {
    /// A namespace that exists.
    Given(&'a str),
    /// One that is made for the run.
    Own,
}

/// Every permission that a run takes.
#[must_use]
pub fn permissions(dialect: &Dialect, lodging: Lodging<'_>, claims: &BTreeSet<Capability>) -> Vec<Permission> {
    let namespace = match lodging {
        Lodging::Given(name) => Some(name.to_owned()),
        Lodging::Own => None,
    };
    let mut needed = Vec::new();
    let mut need = |verbs: &[&'static str], group: &str, resource: &str, subresource: &str, within: Option<String>| {
        needed.extend(verbs.iter().map(|verb| Permission {
            verb,
            group: group.to_owned(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            namespace: within.clone(),
        }));
    };
    let all = ["create", "get", "list", "watch", "patch", "delete"];
    need(&all, &dialect.group, &dialect.plural, "", namespace.clone());
    need(&all, "", "pods", "", namespace.clone());
    for trigger in [&dialect.pause, &dialect.resume] {
        if let Some((verbs, group, resource, subresource)) = taken_by(trigger, dialect) {
            need(verbs, &group, &resource, &subresource, namespace.clone());
        }
    }
    if claims.contains(&Capability::Program) {
        need(&["get"], "", "pods", "log", namespace.clone());
    }
    if claims.contains(&Capability::Events) {
        need(&["list"], "", "events", "", namespace.clone());
    }
    if claims.contains(&Capability::Nodes) {
        need(&["list"], "", "nodes", "", None);
        need(&["list"], "", "pods", "", None);
    }
    if lodging == Lodging::Own || claims.contains(&Capability::Namespaces) {
        need(&["create", "get", "delete"], "", "namespaces", "", None);
    }
    needed.sort();
    needed.dedup();
    needed
}

/// What a trigger takes besides the custom resource itself: verbs, group, plural and subresource.
fn taken_by(trigger: &Trigger, dialect: &Dialect) -> Option<(&'static [&'static str], String, String, String)> {
    match trigger {
        Trigger::MergeSubresource(patch) => Some((
            &["patch"],
            dialect.group.clone(),
            dialect.plural.clone(),
            patch.name.clone(),
        )),
        Trigger::Create(manifest) => {
            let types: TypeMeta = serde_json::from_value(manifest.clone()).ok()?;
            let kind = GroupVersionKind::try_from(&types).ok()?;
            let resource = ApiResource::from_gvk(&kind);
            Some((&["create", "delete"], resource.group, resource.plural, String::new()))
        }
        Trigger::Merge(_) | Trigger::Hook => None,
    }
}

/// Everything that a run takes and that is not there; nothing when all is well.
pub async fn preflight(
    client: &Client,
    dialect: &Dialect,
    lodging: Lodging<'_>,
    claims: &BTreeSet<Capability>,
) -> Vec<Shortcoming> {
    if let Err(error) = client.apiserver_version().await {
        return vec![Shortcoming::Unreachable(error.to_string())];
    }
    let mut found = served(client, dialect).await;
    if let Lodging::Given(name) = lodging {
        found.extend(namespace_exists(client, name).await);
    }
    for permission in permissions(dialect, lodging, claims) {
        match allowed(client, &permission).await {
            Ok(true) => {}
            Ok(false) => found.push(Shortcoming::Forbidden(permission)),
            Err(error) => {
                found.push(Shortcoming::Unknown {
                    what: "ask for permissions by SelfSubjectAccessReview".to_owned(),
                    why: error.to_string(),
                });
                break;
            }
        }
    }
    found
}

async fn served(client: &Client, dialect: &Dialect) -> Vec<Shortcoming> {
    let api_version = dialect.api_version();
    let resources = match client.list_api_group_resources(&api_version).await {
        Ok(list) => list.resources,
        Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
        Err(error) => {
            return vec![Shortcoming::Unknown {
                what: format!("ask for the resources of {api_version}"),
                why: error.to_string(),
            }];
        }
    };
    let known = |name: &str| resources.iter().any(|resource| resource.name == name);
    if !resources
        .iter()
        .any(|found| found.name == dialect.plural && found.kind == dialect.kind)
    {
        return vec![Shortcoming::NotServed {
            api_version,
            kind: dialect.kind.clone(),
            others: other_versions(client, dialect).await,
        }];
    }
    let patched = [&dialect.pause, &dialect.resume]
        .into_iter()
        .filter_map(|trigger| match trigger {
            Trigger::MergeSubresource(patch) => Some(patch.name.clone()),
            Trigger::Merge(_) | Trigger::Create(_) | Trigger::Hook => None,
        });
    let missing: BTreeSet<_> = patched
        .filter(|name| !known(&format!("{}/{name}", dialect.plural)))
        .collect();
    missing.into_iter().map(Shortcoming::NoSubresource).collect()
}

/// What of the group is served, as the end of a sentence.
async fn other_versions(client: &Client, dialect: &Dialect) -> String {
    let groups = client
        .list_api_groups()
        .await
        .map(|list| list.groups)
        .unwrap_or_default();
    let group = groups.into_iter().find(|group| group.name == dialect.group);
    let versions = group.map(|group| group.versions).unwrap_or_default();
    let names: Vec<_> = versions.into_iter().map(|version| version.version).collect();
    if names.is_empty() {
        String::new()
    } else {
        format!(" (of {} there is: {})", dialect.group, names.join(", "))
    }
}

async fn namespace_exists(client: &Client, name: &str) -> Option<Shortcoming> {
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(client.clone());
    match namespaces.get_opt(name).await {
        Ok(None) => Some(Shortcoming::NoNamespace(name.to_owned())),
        // Who may not look at namespaces may still work in one.
        Ok(Some(_)) | Err(_) => None,
    }
}

async fn allowed(client: &Client, permission: &Permission) -> kube::Result<bool> {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                verb: Some(permission.verb.to_owned()),
                group: Some(permission.group.clone()),
                resource: Some(permission.resource.clone()),
                subresource: some(&permission.subresource),
                namespace: permission.namespace.clone(),
                ..ResourceAttributes::default()
            }),
            non_resource_attributes: None,
        },
        ..SelfSubjectAccessReview::default()
    };
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let answer = reviews.create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

/// What the definition of the custom resource says that the implementation can do; nothing where
/// it says nothing, or may not be read.
///
/// # Errors
/// It names a capability that does not exist.
pub async fn claims_of_target(
    client: &Client,
    dialect: &Dialect,
) -> Result<Option<BTreeSet<Capability>>, UnknownCapability> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = format!("{}.{}", dialect.plural, dialect.group);
    let definition = definitions.get_opt(&name).await.ok().flatten();
    let annotations = definition.and_then(|definition| definition.metadata.annotations);
    let said = annotations.and_then(|mut annotations| annotations.remove(CAPABILITIES_ANNOTATION));
    let names = said.as_deref().map(|said| said.split(',').map(str::trim));
    names
        .map(|names| names.filter(|name| !name.is_empty()).map(str::parse).collect())
        .transpose()
}
