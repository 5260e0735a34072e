//! Resource use by Pod, in the Prometheus text format and under the names of the kubelet's cAdvisor endpoint.

use std::fmt::Write as _;
use std::time::Duration;

/// What one running Pod uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodUsage {
    /// Namespace of the Pod.
    pub namespace: String,
    /// Name of the Pod.
    pub pod: String,
    /// Name of its container.
    pub container: String,
    /// CPU time since the container started.
    pub cpu: Duration,
    /// Bytes of memory in use.
    pub memory_bytes: u64,
}

/// Renders the metrics page. A Pod that does not run has no series.
#[must_use]
pub fn render(usage: &[PodUsage]) -> String {
    let mut page = String::new();
    family(
        &mut page,
        "container_cpu_usage_seconds_total",
        "counter",
        "Cumulative CPU time consumed in seconds.",
        usage,
        |pod| format!("{:.9}", pod.cpu.as_secs_f64()),
    );
    family(
        &mut page,
        "container_memory_working_set_bytes",
        "gauge",
        "Current working set in bytes.",
        usage,
        |pod| pod.memory_bytes.to_string(),
    );
    page
}

fn family(
    page: &mut String,
    name: &str,
    kind: &str,
    help: &str,
    usage: &[PodUsage],
    value: impl Fn(&PodUsage) -> String,
) {
    // Writing to a String cannot fail.
    let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}");
    for pod in usage {
        let _ = writeln!(
            page,
            "{name}{{namespace=\"{}\",pod=\"{}\",container=\"{}\"}} {}",
            pod.namespace,
            pod.pod,
            pod.container,
            value(pod)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_running_pods_have_series() {
        let usage = PodUsage {
            namespace: "default".to_owned(),
            pod: "p".to_owned(),
            container: "c".to_owned(),
            cpu: Duration::from_millis(1500),
            memory_bytes: 42,
        };
        let page = render(&[usage]);
        assert!(page.contains(
            "container_cpu_usage_seconds_total{namespace=\"default\",pod=\"p\",container=\"c\"} 1.500000000\n"
        ));
        assert!(
            page.contains("container_memory_working_set_bytes{namespace=\"default\",pod=\"p\",container=\"c\"} 42\n")
        );
        assert!(!render(&[]).contains('{'));
    }
}
