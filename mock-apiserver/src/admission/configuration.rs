//! What is wrong with a webhook configuration, in the words of `k8s.io/kubernetes/pkg/apis/admissionregistration/validation`.

use super::expression::Expression;
use crate::api::field::{FieldError, Problem};
use crate::api::meta::strings;
use serde_json::{Value, json};
use url::Url;

const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];
const LONGEST_TIMEOUT: u64 = 30;

/// The problems of a `MutatingWebhookConfiguration` or `ValidatingWebhookConfiguration`.
pub(crate) fn problems(configuration: &Value) -> Vec<FieldError> {
    let webhooks = configuration["webhooks"].as_array().into_iter().flatten();
    webhooks
        .enumerate()
        .flat_map(|(index, webhook)| webhook_problems(&format!("webhooks[{index}]"), webhook))
        .collect()
}

fn webhook_problems(path: &str, webhook: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let name = webhook["name"].as_str().unwrap_or_default();
    if name.is_empty() {
        errors.push(FieldError::required(format!("{path}.name"), ""));
    } else if name.split('.').count() < 3 {
        let why = "should be a domain with at least three segments separated by dots";
        errors.push(FieldError::invalid(format!("{path}.name"), &webhook["name"], why));
    }
    let versions = strings(&webhook["admissionReviewVersions"]);
    let at = format!("{path}.admissionReviewVersions");
    if versions.is_empty() {
        errors.push(FieldError::required(at, "must specify one of v1, v1beta1"));
    } else if !versions.contains(&REVIEW_VERSIONS[0]) {
        let why = "must include at least one of v1";
        errors.push(FieldError::invalid(at, &webhook["admissionReviewVersions"], why));
    }
    errors.extend(side_effect_problem(
        path,
        webhook["sideEffects"].as_str().unwrap_or_default(),
    ));
    let timeout = &webhook["timeoutSeconds"];
    if !timeout.is_null()
        && !timeout
            .as_u64()
            .is_some_and(|seconds| (1..=LONGEST_TIMEOUT).contains(&seconds))
    {
        let why = "the timeout value must be between 1 and 30 seconds";
        errors.push(FieldError::invalid(format!("{path}.timeoutSeconds"), timeout, why));
    }
    errors.extend(client_problems(
        &format!("{path}.clientConfig"),
        &webhook["clientConfig"],
    ));
    let conditions = webhook["matchConditions"].as_array().into_iter().flatten();
    for (index, condition) in conditions.enumerate() {
        let expression = &condition["expression"];
        if let Some(why) = Expression::new(expression.as_str().unwrap_or_default()).problem() {
            let at = format!("{path}.matchConditions[{index}].expression");
            errors.push(FieldError::invalid(at, expression, why));
        }
    }
    errors
}

/// The problems of a `ValidatingAdmissionPolicy`.
pub(crate) fn policy_problems(policy: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (list, member) in [
        ("validations", "expression"),
        ("validations", "messageExpression"),
        ("matchConditions", "expression"),
        ("variables", "expression"),
    ] {
        for (index, entry) in policy["spec"][list].as_array().into_iter().flatten().enumerate() {
            let Some(text) = entry[member].as_str() else { continue };
            if let Some(why) = Expression::new(text).problem() {
                let at = format!("spec.{list}[{index}].{member}");
                errors.push(FieldError::invalid(at, &entry[member], why));
            }
        }
    }
    errors
}

fn side_effect_problem(path: &str, found: &str) -> Option<FieldError> {
    let path = format!("{path}.sideEffects");
    match found {
        "None" | "NoneOnDryRun" => None,
        "" => Some(FieldError::required(path, "must specify one of None, NoneOnDryRun")),
        other => Some(FieldError {
            path,
            problem: Problem::NotSupported {
                shown: json!(other).to_string(),
                supported: vec!["None".to_owned(), "NoneOnDryRun".to_owned()],
            },
        }),
    }
}

/// The problems of a `clientConfig`: it names a Service or a URL with TLS.
pub(crate) fn client_problems(path: &str, config: &Value) -> Vec<FieldError> {
    if config["url"].is_null() == config["service"].is_null() {
        return vec![FieldError::required(path, "exactly one of url or service is required")];
    }
    let Some(text) = config["url"].as_str() else {
        let missing = |member: &str| config["service"][member].as_str().unwrap_or_default().is_empty();
        let required = ["name", "namespace"].into_iter().filter(|member| missing(member));
        return required
            .map(|member| {
                FieldError::required(
                    format!("{path}.service.{member}"),
                    format!("service {member} is required"),
                )
            })
            .collect();
    };
    let form = "desired format: https://host[/path]";
    let why = match Url::parse(text) {
        Err(error) => format!("url must be a valid URL: {error}; {form}"),
        Ok(url) if url.scheme() != "https" => format!("'https' is the only allowed URL scheme; {form}"),
        Ok(url) if !url.username().is_empty() => "user information is not permitted in the URL".to_owned(),
        Ok(url) if url.fragment().is_some() || url.query().is_some() => {
            "fragments and query parameters are not permitted in the URL".to_owned()
        }
        Ok(_) => return Vec::new(),
    };
    vec![FieldError::invalid(format!("{path}.url"), &config["url"], why)]
}
