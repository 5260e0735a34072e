//! The webhook of a definition, with what of its configuration counts.

use crate::admission::ClientConfig;
use crate::api::meta::strings;
use serde_json::Value;

/// How the objects of a definition are converted.
#[derive(Debug)]
pub(crate) struct Converter {
    pub(crate) client: ClientConfig,
    /// `group/version` of the reviews that it is sent; `None` if it knows none that the server speaks.
    pub(crate) review_version: Option<&'static str>,
}

impl Converter {
    /// Reads `spec.conversion`; `None` if versions differ in their names only.
    pub(crate) fn read(conversion: &Value) -> Option<Self> {
        if conversion["strategy"] != "Webhook" {
            return None;
        }
        let webhook = &conversion["webhook"];
        let listed = strings(&webhook["conversionReviewVersions"]);
        let review_version = listed.into_iter().find_map(|version| match version {
            "v1" => Some("apiextensions.k8s.io/v1"),
            "v1beta1" => Some("apiextensions.k8s.io/v1beta1"),
            _ => None,
        });
        Some(Self {
            client: ClientConfig::read(&webhook["clientConfig"]),
            review_version,
        })
    }
}
