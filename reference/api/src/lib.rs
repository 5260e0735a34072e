//! Types of the Torpor Sandbox API, shared by the controller, the gateway and the agent.
//!
//! Pure data: no client, no runtime, no clock. What a sandbox *does* is decided in the
//! controller; how it is checkpointed, in the runtime.

mod agent;
pub mod agent_sandbox;
mod checkpoint;
mod condition;
mod crd;
mod names;
mod sandbox;
mod schema;
mod status;
mod template;
mod time;
mod volume;

pub use agent::{
    Addressee, AgentRefusal, AgentState, CHECKPOINT_PATH, CheckpointRequest, CheckpointState, FREEZE_PATH, STATE_PATH,
    THAW_PATH, WorkloadState,
};
pub use checkpoint::{Checkpoint, CheckpointSpec, CheckpointStatus};
pub use condition::{ConditionType, Reason};
pub use crd::custom_resource_definitions;
pub use names::{annotation, env, finalizer, label, port};
pub use sandbox::{
    LostPodPolicy, PauseStrategy, PodTemplate, Runtime, Sandbox, SandboxSpec, ShutdownPolicy, TemplateRef,
};
pub use status::{CheckpointRecord, FailedRestores, Phase, PodInfo, SandboxStatus};
pub use template::{SandboxTemplate, SandboxTemplateSpec};
pub use volume::{ClaimRetention, ClaimRetentionPolicy, VolumeClaimMetadata, VolumeClaimTemplate};
