//! `conversion`: whether, and by which webhook, objects are converted between versions.

use super::names;
use super::path;
use crate::api::field::FieldError;
use crate::api::meta;
use serde_json::Value;

/// The versions of `ConversionReview` that the server speaks or once spoke.
const KNOWN_REVIEWS: [&str; 2] = ["v1", "v1beta1"];
const PATH: &str = "spec.conversion";

/// What is wrong with a conversion.
pub(super) fn problems(conversion: &Value) -> Vec<FieldError> {
    if !conversion.is_object() {
        return Vec::new();
    }
    let strategy = &conversion["strategy"];
    let webhook = &conversion["webhook"];
    let (config, reviews) = (&webhook["clientConfig"], &webhook["conversionReviewVersions"]);
    let mut errors = Vec::new();
    match strategy.as_str().unwrap_or_default() {
        "" => errors.push(FieldError::required(path::child(PATH, "strategy"), "")),
        "None" => {}
        "Webhook" => {
            errors.extend(client(config));
            errors.extend(review_versions(reviews));
            return errors;
        }
        _ => {
            let at = path::child(PATH, "strategy");
            errors.push(FieldError::not_supported(at, strategy, &["None", "Webhook"]));
        }
    }
    let detail = "should not be set when strategy is not set to Webhook";
    if config.is_object() {
        errors.push(FieldError::forbidden(path::child(PATH, "webhookClientConfig"), detail));
    }
    if !meta::strings(reviews).is_empty() {
        errors.push(FieldError::forbidden(
            path::child(PATH, "conversionReviewVersions"),
            detail,
        ));
    }
    errors
}

fn client(config: &Value) -> Vec<FieldError> {
    let at = path::child(PATH, "webhookClientConfig");
    if !config.is_object() {
        return vec![FieldError::required(at, "required when strategy is set to Webhook")];
    }
    crate::admission::client_problems(&at, config)
}

fn review_versions(versions: &Value) -> Vec<FieldError> {
    let at = path::child(PATH, "conversionReviewVersions");
    let listed = meta::strings(versions);
    if listed.is_empty() {
        return vec![FieldError::required(at, "")];
    }
    let mut errors = Vec::new();
    for (index, version) in listed.iter().enumerate() {
        let (at, shown) = (path::index(&at, index), Value::from(*version));
        if listed[..index].contains(version) {
            errors.push(FieldError::invalid(at, &shown, "duplicate version"));
        } else {
            errors.extend(names::label(&at, version, &shown, ""));
        }
    }
    if !listed.iter().any(|version| KNOWN_REVIEWS.contains(version)) {
        let detail = format!("must include at least one of {}", KNOWN_REVIEWS.join(", "));
        errors.push(FieldError::invalid(at, versions, detail));
    }
    errors
}
