//! Names that objects, Pods and processes agree on.
//!
//! Names of the `agents.kruise.io` domain follow `OpenKruise` agents; those of `torpor.dev` are ours.

/// Keys of `metadata.annotations`.
pub mod annotation {
    /// On a Pod: the checkpoint generation it was started from, in decimal. Absent on a fresh start.
    pub const RESTORE_GENERATION: &str = "torpor.dev/restore-generation";
    /// On a volume claim: `metadata.uid` of the Sandbox it was created for, also when it outlives it.
    pub const SANDBOX_UID: &str = "torpor.dev/sandbox-uid";
    /// On a Sandbox made by the gateway: its E2B metadata, a JSON object of strings.
    pub const E2B_METADATA: &str = "torpor.dev/e2b-metadata";
    /// On a Sandbox made by the gateway: what happens at the timeout and how it was created, as JSON.
    pub const E2B_LIFECYCLE: &str = "torpor.dev/e2b-lifecycle";
    /// On a Sandbox made by the gateway: the `pauseTime` that stands in for the timer of the run that was asked for last,
    /// in seconds since 1970. One of another time was asked for by somebody.
    pub const E2B_STAND_IN: &str = "torpor.dev/e2b-stand-in";
}

/// Keys of `metadata.labels`.
pub mod label {
    /// On a Pod: [`CREATED_BY_SANDBOX`] when the Sandbox controller made it.
    pub const CREATED_BY: &str = "agents.kruise.io/created-by";
    /// The value of [`CREATED_BY`].
    pub const CREATED_BY_SANDBOX: &str = "sandbox";
    /// On a Sandbox: the name of the template it was made from.
    pub const TEMPLATE: &str = "agents.kruise.io/sandbox-template";
    /// On a Sandbox made by the gateway: its E2B sandbox id, equal to its name.
    pub const SANDBOX_ID: &str = "agents.kruise.io/sandbox-id";
    /// On what belongs to a Sandbox of `agents.x-k8s.io`: the hash of its name, as agent-sandbox computes it.
    pub const SANDBOX_NAME_HASH: &str = "agents.x-k8s.io/sandbox-name-hash";
    /// On a Pod, a volume claim, a Service, a Checkpoint: the name of its Sandbox.
    pub const SANDBOX_NAME: &str = "torpor.dev/sandbox";
}

/// Values of `metadata.finalizers`.
pub mod finalizer {
    /// Held by a Sandbox for as long as checkpoint data of it may exist.
    pub const SANDBOX: &str = "agents.kruise.io/sandbox";
}

/// Environment variables that the controller sets on a sandbox container and the agent reads.
pub mod env {
    /// `metadata.namespace` of the Sandbox.
    pub const SANDBOX_NAMESPACE: &str = "TORPOR_SANDBOX_NAMESPACE";
    /// `metadata.name` of the Sandbox.
    pub const SANDBOX_NAME: &str = "TORPOR_SANDBOX_NAME";
    /// `metadata.uid` of the Sandbox; checkpoints are stored under it.
    pub const SANDBOX_UID: &str = "TORPOR_SANDBOX_UID";
    /// `metadata.uid` of the Pod: whose the agent is, when an address is given to one Pod after another.
    pub const POD_UID: &str = "TORPOR_POD_UID";
    /// The checkpoint generation to restore, in decimal. Absent on a fresh start.
    pub const RESTORE_GENERATION: &str = "TORPOR_RESTORE_GENERATION";
    /// The digest on record of that checkpoint: another one in its place is not restored. Absent when none is on record.
    pub const RESTORE_DIGEST: &str = "TORPOR_RESTORE_DIGEST";
    /// URL of the checkpoint store, e.g. `file:///var/lib/torpor/checkpoints`.
    pub const STORE: &str = "TORPOR_STORE";
    /// Before the name of a setting of the store, e.g. `TORPOR_STORE_AWS_REGION`: preferred to the plain name,
    /// which the code in the sandbox sees.
    pub const STORE_SETTING: &str = "TORPOR_STORE_";
    /// Keys of the tenant to encrypt checkpoints with, `ID:KEY` on a line; the first seals, every one opens.
    pub const STORE_KEYS: &str = "TORPOR_STORE_KEYS";
    /// A file with such lines.
    pub const STORE_KEYS_FILE: &str = "TORPOR_STORE_KEYS_FILE";
    /// Most bytes that the store may keep for the sandbox, in decimal; a checkpoint that needs more fails.
    pub const STORE_QUOTA: &str = "TORPOR_STORE_QUOTA";
    /// All of the above start with this; none of them is shown to the code in the sandbox.
    pub const PREFIX: &str = "TORPOR_";
    /// With `0` the allocator of the agent and of init takes memory by the page, not in huge pages at the start: less to
    /// write down, and to be touched for the first time. Set by nodes that run real processes; not shown to the code in
    /// the sandbox either. Source: `mi_option_arena_eager_commit` of mimalloc.
    pub const ALLOCATOR: &str = "MIMALLOC_ARENA_EAGER_COMMIT";
}

/// TCP ports of an agent, all on the Pod IP.
pub mod port {
    /// Control endpoint for the controller (`STATE_PATH` and its siblings).
    pub const CONTROL: u16 = 49982;
    /// E2B envd: files, processes, health.
    pub const ENVD: u16 = 49983;
    /// E2B code interpreter: executions and contexts.
    pub const CODE_INTERPRETER: u16 = 49999;
}
