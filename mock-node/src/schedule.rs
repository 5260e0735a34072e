//! Where a Pod goes: by the sum of requests against the node's capacity, like the real
//! scheduler's resource filter, and by its `nodeSelector` against the labels that the node registers with. Affinity,
//! taints and priorities are left out.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// What the node can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// In thousandths of a core.
    pub cpu_millis: u64,
    /// In bytes.
    pub memory_bytes: u64,
    /// Number of Pods.
    pub pods: u64,
}

/// What a Pod asks to be set aside for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// In thousandths of a core.
    pub cpu_millis: u64,
    /// In bytes.
    pub memory_bytes: u64,
}

/// What a container may use at most, where its Pod says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// In thousandths of a core.
    pub cpu_millis: Option<u64>,
    /// In bytes.
    pub memory_bytes: Option<u64>,
}

impl Limits {
    /// `resources.limits` of a container. A quantity that cannot be read limits nothing: the API server has refused it.
    #[must_use]
    pub fn of(container: &Container) -> Self {
        let limits = container
            .resources
            .as_ref()
            .and_then(|resources| resources.limits.as_ref());
        let limit = |name| limits.and_then(|limits| limits.get(name)).and_then(millis);
        Self {
            cpu_millis: limit("cpu"),
            memory_bytes: limit("memory").map(|millis| millis / 1000),
        }
    }
}

/// The scheduler that this node stands in for.
const DEFAULT_SCHEDULER: &str = "default-scheduler";

/// Whether the Pod is left to a scheduler of another name, as its `schedulerName` says.
#[must_use]
pub fn is_left_to_another(pod: &Pod) -> bool {
    let scheduler = pod.spec.as_ref().and_then(|spec| spec.scheduler_name.as_deref());
    scheduler.is_some_and(|name| !name.is_empty() && name != DEFAULT_SCHEDULER)
}

/// Whether every label that the Pod's `nodeSelector` asks for is one of `labels`.
#[must_use]
pub fn selects(pod: &Pod, labels: &BTreeMap<String, String>) -> bool {
    let selector = pod.spec.as_ref().and_then(|spec| spec.node_selector.as_ref());
    let mut asked = selector.into_iter().flatten();
    asked.all(|(label, value)| labels.get(label) == Some(value))
}

/// Whether a Pod fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// It fits.
    Fits,
    /// It does not; each reason in the words that the real scheduler prints.
    Unfit(Vec<&'static str>),
}

impl Requests {
    /// The sum over the containers of `pod`. A quantity that cannot be read counts as nothing:
    /// the API server has refused such a Pod already.
    #[must_use]
    pub fn of(pod: &Pod) -> Self {
        let containers = pod
            .spec
            .as_ref()
            .map(|spec| spec.containers.as_slice())
            .unwrap_or_default();
        let mut sum = Self::default();
        for requests in containers
            .iter()
            .filter_map(|c| c.resources.as_ref()?.requests.as_ref())
        {
            sum.cpu_millis += requests.get("cpu").and_then(millis).unwrap_or(0);
            sum.memory_bytes += requests.get("memory").and_then(millis).unwrap_or(0) / 1000;
        }
        sum
    }
}

impl Capacity {
    /// Whether one more Pod has room beside those already placed.
    #[must_use]
    pub fn place(self, placed: &[Requests], pod: Requests) -> Placement {
        let cpu: u64 = placed.iter().map(|requests| requests.cpu_millis).sum();
        let memory: u64 = placed.iter().map(|requests| requests.memory_bytes).sum();
        let missing: Vec<&'static str> = [
            (placed.len() as u64 >= self.pods, "Too many pods"),
            (cpu + pod.cpu_millis > self.cpu_millis, "Insufficient cpu"),
            (memory + pod.memory_bytes > self.memory_bytes, "Insufficient memory"),
        ]
        .into_iter()
        .filter_map(|(lacks, name)| lacks.then_some(name))
        .collect();
        if missing.is_empty() {
            Placement::Fits
        } else {
            Placement::Unfit(missing)
        }
    }
}

/// A quantity in thousandths of its unit, rounded up as the scheduler does.
fn millis(quantity: &Quantity) -> Option<u64> {
    let text = quantity.0.trim();
    let split = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let (multiply, divide): (u128, u128) = match suffix {
        "m" => (1, 1),
        "" => (1000, 1),
        "k" => (1_000_000, 1),
        "M" => (1_000_000_000, 1),
        "G" => (1_000_000_000_000, 1),
        "T" => (1_000_000_000_000_000, 1),
        "Ki" => (1000 << 10, 1),
        "Mi" => (1000 << 20, 1),
        "Gi" => (1000 << 30, 1),
        "Ti" => (1000 << 40, 1),
        "u" => (1, 1000),
        "n" => (1, 1_000_000),
        exponent => (
            10u128
                .checked_pow(exponent.strip_prefix(['e', 'E'])?.parse().ok()?)?
                .checked_mul(1000)?,
            1,
        ),
    };
    let scale = 10u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    u64::try_from(digits.checked_mul(multiply)?.div_ceil(scale * divide)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::PodSpec;

    const NODE: Capacity = Capacity {
        cpu_millis: 2000,
        memory_bytes: 1 << 30,
        pods: 3,
    };

    fn quantity(text: &str) -> Option<u64> {
        millis(&Quantity(text.to_owned()))
    }

    #[test]
    fn quantities_are_read_in_every_suffix() {
        let read = ["1", "100m", "0.5", "1k", "1Ki", "1.5Gi", "1e3", "1n", "x", ""].map(quantity);
        assert_eq!(
            read,
            [
                Some(1000),
                Some(100),
                Some(500),
                Some(1_000_000),
                Some(1_024_000),
                Some(1_610_612_736_000),
                Some(1_000_000),
                Some(1),
                None,
                None
            ]
        );
    }

    #[test]
    fn a_pod_of_another_scheduler_is_left_alone() {
        for (scheduler, left) in [
            (None, false),
            (Some("default-scheduler"), false),
            (Some("nobody"), true),
        ] {
            let spec = PodSpec {
                scheduler_name: scheduler.map(str::to_owned),
                ..PodSpec::default()
            };
            let pod = Pod {
                spec: Some(spec),
                ..Pod::default()
            };
            assert_eq!(is_left_to_another(&pod), left, "{scheduler:?}");
        }
    }

    #[test]
    fn a_pod_goes_to_a_node_that_has_every_label_that_it_selects() {
        let labels = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            let owned = pairs
                .iter()
                .map(|(label, value)| ((*label).to_owned(), (*value).to_owned()));
            owned.collect()
        };
        let node = labels(&[("os", "linux"), ("hostname", "one")]);
        for (selector, fits) in [
            (None, true),
            (Some(&[][..]), true),
            (Some(&[("os", "linux")][..]), true),
            (Some(&[("os", "linux"), ("hostname", "two")][..]), false),
            (Some(&[("disk", "ssd")][..]), false),
        ] {
            let spec = PodSpec {
                node_selector: selector.map(labels),
                ..PodSpec::default()
            };
            let pod = Pod {
                spec: Some(spec),
                ..Pod::default()
            };
            assert_eq!(selects(&pod, &node), fits, "{selector:?}");
        }
    }

    #[test]
    fn a_pod_that_does_not_fit_names_what_is_missing() {
        let big = Requests {
            cpu_millis: 1500,
            memory_bytes: 1 << 29,
        };
        assert_eq!(NODE.place(&[], big), Placement::Fits);
        assert_eq!(NODE.place(&[big], big), Placement::Unfit(vec!["Insufficient cpu"]));
        let small = Requests {
            cpu_millis: 1,
            memory_bytes: 1,
        };
        assert_eq!(NODE.place(&[small; 3], small), Placement::Unfit(vec!["Too many pods"]));
    }
}
