//! Columns of built-in kinds that show one field each, as a table of kinds.

use super::Column;
use super::age::age;
use crate::api::meta;
use crate::catalog::Resource;
use jiff::Timestamp;
use serde_json::Value;

/// What a cell shows; the texts are JSON pointers, and after them what stands where nothing is.
#[derive(Debug, Clone, Copy)]
enum Cell {
    Text(&'static str, &'static str),
    Number(&'static str),
    Flag(&'static str),
    /// How many items a list has.
    Count(&'static str),
    /// How long ago something was.
    Since(&'static str, &'static str),
    /// The phase, or that the object is being deleted.
    Phase,
    /// Access modes in short.
    Modes(&'static str),
    /// A member of every item of a list.
    Each(&'static str, &'static str, &'static str),
    /// Two fields with a slash between them.
    Pair(&'static str, &'static str),
    /// The labels that a selector asks for.
    Labels(&'static str),
    /// The ports of an ingress.
    Ports,
    /// The resource metrics of an autoscaler with their targets.
    Targets,
}

use Cell::{Count, Each, Flag, Labels, Modes, Number, Pair, Phase, Ports, Since, Targets, Text};

const AGE: (&str, Cell) = ("Age", Since("/metadata/creationTimestamp", "<unknown>"));
const NONE: &str = "<none>";
const UNSET: &str = "<unset>";

/// A kind and its columns after the name; those that start with `+` are wide.
type Row = (&'static str, &'static [(&'static str, Cell)]);

const ROWS: &[Row] = &[
    (
        "CronJob",
        &[
            ("Schedule", Text("/spec/schedule", NONE)),
            ("Timezone", Text("/spec/timeZone", NONE)),
            ("Suspend", Flag("/spec/suspend")),
            ("Active", Count("/status/active")),
            ("Last Schedule", Since("/status/lastScheduleTime", NONE)),
            AGE,
            (
                "+Containers",
                Each("/spec/jobTemplate/spec/template/spec/containers", "name", ""),
            ),
            (
                "+Images",
                Each("/spec/jobTemplate/spec/template/spec/containers", "image", ""),
            ),
            ("+Selector", Labels("/spec/jobTemplate/spec/selector/matchLabels")),
        ],
    ),
    (
        "DaemonSet",
        &[
            ("Desired", Number("/status/desiredNumberScheduled")),
            ("Current", Number("/status/currentNumberScheduled")),
            ("Ready", Number("/status/numberReady")),
            ("Up-to-date", Number("/status/updatedNumberScheduled")),
            ("Available", Number("/status/numberAvailable")),
            ("Node Selector", Labels("/spec/template/spec/nodeSelector")),
            AGE,
            ("+Containers", Each("/spec/template/spec/containers", "name", "")),
            ("+Images", Each("/spec/template/spec/containers", "image", "")),
            ("+Selector", Labels("/spec/selector/matchLabels")),
        ],
    ),
    (
        "ReplicationController",
        &[
            ("Desired", Number("/spec/replicas")),
            ("Current", Number("/status/replicas")),
            ("Ready", Number("/status/readyReplicas")),
            AGE,
            ("+Containers", Each("/spec/template/spec/containers", "name", "")),
            ("+Images", Each("/spec/template/spec/containers", "image", "")),
            ("+Selector", Labels("/spec/selector")),
        ],
    ),
    (
        "PodDisruptionBudget",
        &[
            ("Min Available", Text("/spec/minAvailable", "N/A")),
            ("Max Unavailable", Text("/spec/maxUnavailable", "N/A")),
            ("Allowed Disruptions", Number("/status/disruptionsAllowed")),
            AGE,
        ],
    ),
    (
        "Ingress",
        &[
            ("Class", Text("/spec/ingressClassName", NONE)),
            ("Hosts", Each("/spec/rules", "host", "*")),
            ("Address", Each("/status/loadBalancer/ingress", "ip", "")),
            ("Ports", Ports),
            AGE,
        ],
    ),
    (
        "HorizontalPodAutoscaler",
        &[
            (
                "Reference",
                Pair("/spec/scaleTargetRef/kind", "/spec/scaleTargetRef/name"),
            ),
            ("Targets", Targets),
            ("MinPods", Text("/spec/minReplicas", UNSET)),
            ("MaxPods", Number("/spec/maxReplicas")),
            ("Replicas", Number("/status/currentReplicas")),
            AGE,
        ],
    ),
    (
        "PersistentVolumeClaim",
        &[
            ("Status", Phase),
            ("Volume", Text("/spec/volumeName", "")),
            ("Capacity", Text("/status/capacity/storage", "")),
            ("Access Modes", Modes("/status/accessModes")),
            ("StorageClass", Text("/spec/storageClassName", "")),
            ("VolumeAttributesClass", Text("/spec/volumeAttributesClassName", UNSET)),
            AGE,
            ("+VolumeMode", Text("/spec/volumeMode", UNSET)),
        ],
    ),
    (
        "PersistentVolume",
        &[
            ("Capacity", Text("/spec/capacity/storage", "")),
            ("Access Modes", Modes("/spec/accessModes")),
            ("Reclaim Policy", Text("/spec/persistentVolumeReclaimPolicy", "")),
            ("Status", Phase),
            ("Claim", Pair("/spec/claimRef/namespace", "/spec/claimRef/name")),
            ("StorageClass", Text("/spec/storageClassName", "")),
            ("VolumeAttributesClass", Text("/spec/volumeAttributesClassName", UNSET)),
            ("Reason", Text("/status/reason", "")),
            AGE,
            ("+VolumeMode", Text("/spec/volumeMode", UNSET)),
        ],
    ),
    (
        "StorageClass",
        &[
            ("Provisioner", Text("/provisioner", "")),
            ("ReclaimPolicy", Text("/reclaimPolicy", "")),
            ("VolumeBindingMode", Text("/volumeBindingMode", "")),
            ("AllowVolumeExpansion", Text("/allowVolumeExpansion", "false")),
            AGE,
        ],
    ),
    (
        "PriorityClass",
        &[
            ("Value", Number("/value")),
            ("Global-Default", Text("/globalDefault", "false")),
            AGE,
            ("+PreemptionPolicy", Text("/preemptionPolicy", "")),
        ],
    ),
    ("RuntimeClass", &[("Handler", Text("/handler", "")), AGE]),
    (
        "NetworkPolicy",
        &[("Pod-Selector", Labels("/spec/podSelector/matchLabels")), AGE],
    ),
];

fn row(kind: &str) -> Option<&'static [(&'static str, Cell)]> {
    ROWS.iter().find(|(of, _)| *of == kind).map(|(_, cells)| *cells)
}

/// The columns of a kind; `None` if it is not in the table.
pub(super) fn columns(resource: &Resource) -> Option<Vec<Column>> {
    let columns = row(&resource.kind)?
        .iter()
        .map(|(name, _)| match name.strip_prefix('+') {
            Some(name) => Column::wide(name),
            None => Column::new(name, "string"),
        });
    Some(std::iter::once(Column::name()).chain(columns).collect())
}

/// The cells of an object of such a kind.
pub(super) fn cells(resource: &Resource, object: &Value, now: Timestamp) -> Option<Vec<Value>> {
    let cells = row(&resource.kind)?
        .iter()
        .map(|(_, cell)| Value::from(text(*cell, object, now)));
    Some(std::iter::once(Value::from(meta::name(object))).chain(cells).collect())
}

fn text(cell: Cell, object: &Value, now: Timestamp) -> String {
    let at = |pointer: &str| object.pointer(pointer).unwrap_or(&Value::Null);
    let words = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match cell {
        Text(pointer, absent) if at(pointer).is_null() => absent.to_owned(),
        Text(pointer, _) => words(at(pointer)),
        Number(pointer) => at(pointer).as_i64().unwrap_or(0).to_string(),
        Flag(pointer) => if *at(pointer) == true { "True" } else { "False" }.to_owned(),
        Count(pointer) => at(pointer).as_array().map_or(0, Vec::len).to_string(),
        Since(pointer, absent) if at(pointer).is_null() => absent.to_owned(),
        Since(pointer, _) => age(at(pointer), now),
        Phase if meta::is_deleting(object) => "Terminating".to_owned(),
        Phase => at("/status/phase").as_str().unwrap_or_default().to_owned(),
        Modes(pointer) => modes(at(pointer)),
        Each(pointer, member, absent) => {
            let items = at(pointer).as_array().into_iter().flatten();
            let found: Vec<&str> = items.filter_map(|item| item[member].as_str()).collect();
            if found.is_empty() {
                absent.to_owned()
            } else {
                found.join(",")
            }
        }
        Pair(first, _) if at(first).is_null() => String::new(),
        Pair(first, second) => format!("{}/{}", words(at(first)), words(at(second))),
        Labels(pointer) => labels(at(pointer)),
        Ports if at("/spec/tls").is_array() => "80, 443".to_owned(),
        Ports => "80".to_owned(),
        Targets => targets(object),
    }
}

fn modes(modes: &Value) -> String {
    let short = |mode| match mode {
        "ReadWriteOnce" => "RWO",
        "ReadOnlyMany" => "ROX",
        "ReadWriteMany" => "RWX",
        "ReadWriteOncePod" => "RWOP",
        other => other,
    };
    let modes = meta::strings(modes).into_iter().map(short);
    modes.collect::<Vec<_>>().join(",")
}

fn labels(labels: &Value) -> String {
    let terms = labels.as_object().into_iter().flatten();
    let terms: Vec<String> = terms
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    if terms.is_empty() {
        NONE.to_owned()
    } else {
        terms.join(",")
    }
}

fn targets(autoscaler: &Value) -> String {
    let metrics = autoscaler["spec"]["metrics"].as_array().into_iter().flatten();
    let shown: Vec<String> = metrics
        .enumerate()
        .filter(|(_, metric)| metric["type"] == "Resource")
        .map(|(index, metric)| {
            let status = &autoscaler["status"]["currentMetrics"][index]["resource"]["current"];
            let percent = |value: &Value, absent: &str| {
                value
                    .as_i64()
                    .map_or_else(|| absent.to_owned(), |percent| format!("{percent}%"))
            };
            let current = percent(&status["averageUtilization"], "<unknown>");
            let target = percent(&metric["resource"]["target"]["averageUtilization"], "<auto>");
            format!(
                "{}: {current}/{target}",
                metric["resource"]["name"].as_str().unwrap_or_default()
            )
        })
        .collect();
    if shown.is_empty() {
        NONE.to_owned()
    } else {
        shown.join(", ")
    }
}
