//! What the containers of a Pod may use, in the whole units that E2B reports.

use serde_json::Value;
use torpor_api::PodTemplate;

const MIB: f64 = 1024.0 * 1024.0;

/// CPU, memory and disk of a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resources {
    /// Rounded up; 1 where nothing is said.
    pub(crate) cpu_count: u64,
    /// In MiB; 512 where nothing is said.
    pub(crate) memory_mb: u64,
    /// In MiB; 0 where nothing is said.
    pub(crate) disk_mb: u64,
}

impl Resources {
    /// Sums up the limits, or else the requests, of the containers of `template`.
    pub(crate) fn of(template: Option<&PodTemplate>) -> Self {
        let containers = template.and_then(|template| template.pointer("/spec/containers")?.as_array());
        let sum = |resource: &str| -> f64 {
            containers
                .into_iter()
                .flatten()
                .filter_map(|container| amount(container, resource))
                .sum()
        };
        let or = |value: u64, default: u64| if value == 0 { default } else { value };
        Self {
            cpu_count: or(whole(sum("cpu")), 1),
            memory_mb: or(whole(sum("memory") / MIB), 512),
            disk_mb: whole(sum("ephemeral-storage") / MIB),
        }
    }
}

fn amount(container: &Value, resource: &str) -> Option<f64> {
    let find = |kind: &str| container.get("resources")?.get(kind)?.get(resource);
    match find("limits").or_else(|| find("requests"))? {
        Value::String(text) => quantity(text),
        Value::Number(number) => number.as_f64(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Reads a Kubernetes quantity, e.g. `500m`, `2`, `1Gi`, `1e9`.
fn quantity(text: &str) -> Option<f64> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let split = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, suffix) = text.split_at(split);
    let factor = match suffix {
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "Ki" => 1024.0,
        "Mi" => MIB,
        "Gi" => MIB * 1024.0,
        "Ti" => MIB * 1024.0 * 1024.0,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * factor)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float cast saturates; negatives become 0"
)]
fn whole(amount: f64) -> u64 {
    amount.ceil() as u64
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn limits_count_before_requests_and_containers_add_up() {
        let template = json!({ "spec": { "containers": [
            { "resources": { "limits": { "cpu": "1500m", "memory": "1Gi" }, "requests": { "cpu": "1" } } },
            { "resources": { "requests": { "cpu": 1, "memory": "512Mi", "ephemeral-storage": "2Gi" } } },
        ] } });
        let expected = Resources {
            cpu_count: 3,
            memory_mb: 1536,
            disk_mb: 2048,
        };
        assert_eq!(Resources::of(Some(&template)), expected);
    }

    #[test]
    fn what_cannot_be_read_counts_as_not_said() {
        let expected = Resources {
            cpu_count: 1,
            memory_mb: 512,
            disk_mb: 0,
        };
        assert_eq!(Resources::of(None), expected);
        let odd =
            json!({ "spec": { "containers": [{ "resources": { "limits": { "cpu": "lots", "memory": "-1Gi" } } }] } });
        assert_eq!(Resources::of(Some(&odd)), expected);
    }
}
