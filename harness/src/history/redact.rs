//! What a record must not tell anybody: keys, tokens and the content of Secrets.
//!
//! The suite hides what it was given or was answered as soon as it knows it (`Journal::hide`).
//! Here is the rest: objects of the target that hold secrets of their own.

use serde_json::Value;

/// What stands in place of a secret.
pub(crate) const HIDDEN: &str = "***";

/// Words in the name of a field, a variable or an annotation whose value is a secret.
const WORDS: [&str; 9] = [
    "token",
    "password",
    "passwd",
    "secret",
    "authorization",
    "api-key",
    "apikey",
    "credential",
    "private-key",
];

/// Fields whose names hold such a word, and that name an object or set a switch instead of holding a secret.
const HARMLESS: [&str; 8] = [
    "secretName",
    "secretRef",
    "secretKeyRef",
    "imagePullSecrets",
    "tokenExpirationSeconds",
    "automountServiceAccountToken",
    "serviceAccountToken",
    "tokenRequests",
];

/// Takes the secrets out of an object, as far as names tell where they are.
pub(crate) fn redact_object(object: &mut Value) {
    if object["kind"] == "Secret" {
        for field in ["data", "stringData"] {
            if let Some(entries) = object.get_mut(field).and_then(Value::as_object_mut) {
                entries.values_mut().for_each(hide);
            }
        }
    }
    redact_fields(object);
}

fn redact_fields(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            // A variable of a container: its name is the value of another field.
            let named = fields.get("name").and_then(Value::as_str).is_some_and(is_secret);
            for (key, inner) in fields.iter_mut() {
                let source_of_volume = key == "secret" && inner.is_object();
                if (named && key == "value") || (is_secret_field(key) && !source_of_volume) {
                    hide(inner);
                } else if key.ends_with("last-applied-configuration") {
                    redact_text(inner);
                } else {
                    redact_fields(inner);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(redact_fields),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// An object written as text inside another.
fn redact_text(value: &mut Value) {
    let inner = value.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
    if let Some(mut inner) = inner {
        redact_object(&mut inner);
        *value = Value::String(inner.to_string());
    }
}

fn is_secret_field(key: &str) -> bool {
    !HARMLESS.contains(&key) && !key.starts_with("f:") && is_secret(key)
}

fn is_secret(name: &str) -> bool {
    let plain = name.to_lowercase().replace('_', "-");
    WORDS.iter().any(|word| plain.contains(word))
}

/// Texts only: a number, a switch or the name of an object is none. Nothing is hidden twice.
fn hide(value: &mut Value) {
    match value {
        Value::String(text) if !text.is_empty() => HIDDEN.clone_into(text),
        Value::Object(fields) => fields.values_mut().for_each(hide),
        Value::Array(items) => items.iter_mut().for_each(hide),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn redacted(mut object: Value) -> Value {
        redact_object(&mut object);
        object
    }

    #[test]
    fn tokens_and_keys_of_an_object_are_hidden_wherever_they_are() {
        let sandbox = json!({
            "kind": "Sandbox",
            "metadata": {"annotations": {
                "e2b.agents.kruise.io/envd-access-token": "s3cret",
                "kubectl.kubernetes.io/last-applied-configuration": "{\"spec\":{\"apiKey\":\"s3cret\"}}",
            }},
            "spec": {"template": {"spec": {"containers": [
                {"env": [{"name": "OPENAI_API_KEY", "value": "s3cret"}, {"name": "MODE", "value": "fast"}]},
            ]}}},
            "headers": {"Authorization": "Bearer s3cret"},
            "secret": "s3cret",
        });
        let shown = redacted(sandbox).to_string();
        assert!(!shown.contains("s3cret"), "{shown}");
        assert!(shown.contains("fast"), "{shown}");
    }

    #[test]
    fn the_data_of_a_secret_is_hidden_and_its_keys_are_shown() {
        let secret = json!({"kind": "Secret", "data": {"a": "czNjcmV0"}, "stringData": {"b": "s3cret"}});
        assert_eq!(
            redacted(secret),
            json!({"kind": "Secret", "data": {"a": "***"}, "stringData": {"b": "***"}})
        );
    }

    #[test]
    fn what_only_names_a_secret_stays() {
        let volumes = json!({
            "automountServiceAccountToken": false,
            "imagePullSecrets": [{"name": "registry"}],
            "volumes": [{"name": "keys", "secret": {"secretName": "mine"}}],
            "env": [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "mine", "key": "k"}}}],
        });
        assert_eq!(redacted(volumes.clone()), volumes);
    }
}
