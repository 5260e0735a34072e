//! Resources declared by a `CustomResourceDefinition`.

use super::resource::{Origin, Resource};
use crate::api::meta::strings;
use crate::conversion::Converter;
use crate::definition;
use crate::schema::CompiledRules;
use serde_json::Value;
use std::sync::Arc;

/// Where a kind keeps the fields of its scale subresource, as dotted paths (`.spec.replicas`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScalePaths {
    pub(crate) spec_replicas: String,
    pub(crate) status_replicas: String,
    pub(crate) label_selector: Option<String>,
}

/// One version of a CRD.
#[derive(Debug)]
pub(crate) struct CustomVersion {
    /// The CRD's name, `plural.group`.
    pub(crate) crd: String,
    /// `schema.openAPIV3Schema`; null if there is none.
    pub(crate) schema: Value,
    /// The patterns and rules of the schema.
    pub(crate) rules: CompiledRules,
    /// `additionalPrinterColumns`.
    pub(crate) columns: Vec<Value>,
    /// The warning for every request, if the version is deprecated.
    pub(crate) deprecation: Option<String>,
    /// The revision from which on all that is stored has the defaults of the schema; what is older gets them when read.
    pub(crate) since: u64,
    /// The version in which objects are stored.
    pub(crate) storage: String,
    /// The webhook that converts between versions, if they differ in more than their names.
    pub(crate) converter: Option<Arc<Converter>>,
    /// The schema of the version in which objects are stored, if it says something else than this one's.
    pub(crate) storage_schema: Option<Value>,
    /// `spec.preserveUnknownFields`.
    pub(crate) preserve_unknown: bool,
}

/// The served resources of a CRD that is established.
pub(super) fn resources(crd: &Value, since: u64) -> Vec<Resource> {
    let is_established = definition::is_established(crd);
    let served = served(crd).filter(|_| is_established);
    served.map(|version| resource(crd, version, since)).collect()
}

/// The versions of a CRD that are served.
pub(super) fn served(crd: &Value) -> impl Iterator<Item = &Value> {
    let versions = crd["spec"]["versions"].as_array().into_iter().flatten();
    versions.filter(|version| version["served"] == true)
}

/// The version in which objects are stored.
fn stored(crd: &Value) -> Option<&Value> {
    let versions = crd["spec"]["versions"].as_array().into_iter().flatten();
    versions.into_iter().find(|version| version["storage"] == true)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn owned(value: &Value) -> Vec<String> {
    strings(value).into_iter().map(str::to_owned).collect()
}

fn resource(crd: &Value, version: &Value, since: u64) -> Resource {
    let spec = &crd["spec"];
    let names = &spec["names"];
    let (group, plural, kind) = (text(&spec["group"]), text(&names["plural"]), text(&names["kind"]));
    let or = |value: &Value, default: String| value.as_str().map_or(default, str::to_owned);
    let subresources = &version["subresources"];
    let selectable = version["selectableFields"].as_array().into_iter().flatten();
    Resource {
        list_kind: or(&names["listKind"], format!("{kind}List")),
        singular: or(&names["singular"], kind.to_lowercase()),
        namespaced: spec["scope"] == "Namespaced",
        short_names: owned(&names["shortNames"]),
        categories: owned(&names["categories"]),
        status: subresources["status"].is_object(),
        scale: scale_paths(&subresources["scale"]),
        collection: Arc::from(format!("{plural}.{group}")),
        selectable: selectable
            .map(|field| text(&field["jsonPath"]).trim_start_matches('.').to_owned())
            .collect(),
        version: text(&version["name"]),
        origin: Origin::Custom(Arc::new(custom_version(crd, version, (&group, &kind), since))),
        group,
        kind,
        plural,
    }
}

fn custom_version(crd: &Value, version: &Value, (group, kind): (&str, &str), since: u64) -> CustomVersion {
    let name = text(&version["name"]);
    let deprecation = (version["deprecated"] == true).then(|| {
        version["deprecationWarning"]
            .as_str()
            .map_or_else(|| format!("{group}/{name} {kind} is deprecated"), str::to_owned)
    });
    let schema = version["schema"]["openAPIV3Schema"].clone();
    let storage_schema = stored(crd)
        .map(|stored| &stored["schema"]["openAPIV3Schema"])
        .filter(|stored| **stored != schema);
    CustomVersion {
        crd: text(&crd["metadata"]["name"]),
        rules: CompiledRules::new(&schema),
        schema,
        columns: version["additionalPrinterColumns"]
            .as_array()
            .cloned()
            .unwrap_or_default(),
        deprecation,
        since,
        storage: stored(crd).map(|version| text(&version["name"])).unwrap_or_default(),
        storage_schema: storage_schema.cloned(),
        converter: Converter::read(&crd["spec"]["conversion"]).map(Arc::new),
        preserve_unknown: crd["spec"]["preserveUnknownFields"] == true,
    }
}

fn scale_paths(scale: &Value) -> Option<ScalePaths> {
    Some(ScalePaths {
        spec_replicas: scale["specReplicasPath"].as_str()?.to_owned(),
        status_replicas: scale["statusReplicasPath"].as_str()?.to_owned(),
        label_selector: scale["labelSelectorPath"].as_str().map(str::to_owned),
    })
}
