//! What is reported of a sandbox.
//!
//! Field names and meanings follow `OpenKruise` agents; `phase: Pausing`, `checkpoint`,
//! `lastCheckpointGeneration`, `restore` and `runningSince` are ours.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, Time};
use serde::de::{IntoDeserializer, value};
use serde::{Deserialize, Deserializer, Serialize};

use crate::schema;
use crate::time::{reported, reported_conditions, reported_to_the_micro};

/// What is reported of a sandbox.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SandboxStatus {
    /// The `metadata.generation` that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where the sandbox is on its way.
    #[serde(default, deserialize_with = "known_phase", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub phase: Option<Phase>,
    /// Why it is there, and what to do about it, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Conditions: `Ready`, `SandboxPaused`, `SandboxResumed`, `ContextLost`.
    #[serde(
        default,
        deserialize_with = "reported_conditions",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// The Pod that runs now. Absent while there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_info: Option<PodInfo>,
    /// IP of the Pod that runs now, as in `podInfo`. Another one after every resume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox_ip: Option<String>,
    /// Node of the Pod that runs now, as in `podInfo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    /// The checkpoint that a resume starts from. Absent while the workload serves: it has outlived it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<CheckpointRecord>,
    /// The largest checkpoint generation ever recorded; numbers are never used again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_checkpoint_generation: Option<u64>,
    /// Restores of the checkpoint that failed in a row. Absent when the last one worked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<FailedRestores>,
    /// When the current or last run began to serve, in microseconds, so that lists have an order. Absent before the first: then there is no context to lose.
    #[serde(
        default,
        deserialize_with = "reported_to_the_micro",
        skip_serializing_if = "Option::is_none"
    )]
    pub running_since: Option<MicroTime>,
}

/// Where a sandbox is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// On its first way up.
    Pending,
    /// It serves.
    Running,
    /// On the way from `Running` to `Paused`.
    Pausing,
    /// Context kept, compute released.
    Paused,
    /// On the way from `Paused` to `Running`.
    Resuming,
    /// No step is safe without a person; see the message.
    Failed,
    /// It is being deleted.
    Terminating,
}

/// Reads a phase. One that only another controller has, such as `Upgrading`, is none: it must not make a whole list of
/// sandboxes unreadable, and where this one is comes from what there is of it.
fn known_phase<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Phase>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    let known = |text: String| Phase::deserialize(IntoDeserializer::<value::Error>::into_deserializer(text)).ok();
    Ok(text.and_then(known))
}

/// The Pod of a running sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodInfo {
    /// `metadata.uid` of the Pod.
    #[serde(rename = "podUID")]
    pub pod_uid: String,
    /// `status.podIP` of the Pod.
    #[serde(default, rename = "podIP", skip_serializing_if = "Option::is_none")]
    pub pod_ip: Option<String>,
    /// `spec.nodeName` of the Pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
}

/// A sealed checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckpointRecord {
    /// Its number within the sandbox, from 1.
    pub generation: u64,
    /// `blake3:` and the hash of what was sealed, whatever form it is stored in, in lower-case hex.
    pub digest: String,
    /// Bytes of context, before compression and deduplication.
    pub size_bytes: u64,
    /// Bytes that this checkpoint added to the store when it was sealed.
    pub stored_bytes: u64,
    /// The engine that wrote it, and that alone can restore it.
    pub engine: String,
}

/// Restores that failed in a row, and when the next one is due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailedRestores {
    /// How many.
    pub failures: u32,
    /// When the restore is tried again by itself. Any change of the spec has it tried at once.
    #[serde(deserialize_with = "reported")]
    pub retry_time: Time,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{CheckpointStatus, agent_sandbox};

    fn seconds(time: &Time) -> i64 {
        time.0.as_second()
    }

    /// A status with this text for each of its times.
    fn with_times(text: &str) -> Value {
        let condition =
            json!({"type": "Ready", "status": "True", "reason": "PodReady", "message": "", "lastTransitionTime": text});
        json!({
            "phase": "Running", "runningSince": text, "conditions": [condition],
            "restore": {"failures": 2, "retryTime": text},
        })
    }

    #[test]
    fn an_odd_time_makes_no_status_unreadable_and_is_not_taken_for_none() {
        let last = jiff::Timestamp::MAX.as_second();
        for (text, read) in [
            ("2027-01-15T08:00:00Z", 1_800_000_000),
            ("9999-12-31T23:59:59Z", last),
            ("2027-01-15T08:00:00+30:00", 1_800_000_000 - 30 * 3600),
            ("yesterday", 0),
            ("", 0),
        ] {
            let status: SandboxStatus = serde_json::from_value(with_times(text)).expect(text);
            let since = status.running_since.expect("it has served");
            assert_eq!(since.0.as_second(), read, "{text}");
            assert_eq!(seconds(&status.conditions[0].last_transition_time), read, "{text}");
            let restore = status.restore.expect("failed restores");
            assert_eq!((restore.failures, seconds(&restore.retry_time)), (2, read), "{text}");
        }
    }

    #[test]
    fn a_phase_of_another_controller_is_none() {
        for (text, phase) in [
            (json!("Paused"), Some(Phase::Paused)),
            (json!("Upgrading"), None),
            (json!(""), None),
            (Value::Null, None),
        ] {
            let status: SandboxStatus = serde_json::from_value(json!({ "phase": text })).expect("a status");
            assert_eq!(status.phase, phase, "{text}");
        }
        let status: SandboxStatus = serde_json::from_value(json!({})).expect("a status");
        assert_eq!(status.phase, None);
    }

    #[test]
    fn every_kind_that_is_listed_is_as_lenient() {
        let mut of_the_other_front = with_times("yesterday");
        of_the_other_front["torpor"] = with_times("yesterday");
        let status: agent_sandbox::SandboxStatus = serde_json::from_value(of_the_other_front).expect("a status");
        assert_eq!(seconds(&status.conditions[0].last_transition_time), 0);
        let mut of_a_checkpoint = with_times("yesterday");
        for (field, value) in [
            ("checkpointId", json!("uid-1/1")),
            ("completionTime", json!("yesterday")),
            ("generation", json!(1)),
            ("engine", json!("sim")),
            ("digest", json!("")),
            ("sizeBytes", json!(0)),
            ("storedBytes", json!(0)),
        ] {
            of_a_checkpoint[field] = value;
        }
        let status: CheckpointStatus = serde_json::from_value(of_a_checkpoint).expect("a status");
        assert_eq!(seconds(&status.completion_time.expect("a time")), 0);
    }
}
