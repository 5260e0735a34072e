//! The conformance suite for pausing and resuming agent sandboxes.
//!
//! It speaks Kubernetes with untyped objects and E2B with plain HTTP, like any stranger, and
//! shares no code with what it judges.
//!
//! ```text
//! Catalogue   what must hold, with permanent ids
//! Scenario    one claim: steps and conditions, as YAML
//! Target      addresses and declared capabilities of an implementation
//! run         cases ─▶ histories ─▶ oracles ─▶ Report
//! ```

mod adapter;
mod capability;
mod catalogue;
mod claims;
mod coverage;
mod error;
mod expectation;
pub mod history;
mod laboratory;
mod limits;
mod namespace;
pub mod oracle;
mod preflight;
mod probe;
mod profile;
mod pulse;
mod remains;
mod report;
mod run;
pub mod scenario;
pub mod sim;
mod suite;
mod target;
mod vendor;
mod workload;

pub use adapter::{Adapter, AdapterCall, AdapterError, ExecHooks, Facet, Hook, PodInterpreter, Slot, Subject, Usage};
pub use capability::{Capability, UnknownCapability, parse_capabilities};
pub use catalogue::{Catalogue, Group, Level, Requirement};
pub use claims::CouldClaim;
pub use coverage::{Coverage, Covered, ProvisionalCase};
pub use error::{ScenarioErrors, YamlError};
pub use expectation::{ExpectationReport, ExpectationState, ExpectedFailure, ExpectedFailures, Stale};
pub use laboratory::{Bench, FaultControls, Laboratory};
pub use limits::Limits;
pub use namespace::{OwnNamespace, RUN_LABEL};
pub use preflight::{
    CAPABILITIES_ANNOTATION, Lodging, Permission, Shortcoming, claims_of_target, permissions, preflight,
};
pub use probe::{Authorities, AuthoritiesError, nodes_show_usage};
pub use profile::{
    ConditionIs, Dialect, E2bProfile, EventsDialect, Explanation, MetricsDialect, NoDialect, PhaseRule,
    PodIdentityDialect, Pointer, PointerError, Profile, Reading, SandboxIds, StatusDialect, SubresourcePatch, Test,
    TimersDialect, Trigger, Wish, profile_schema,
};
pub use report::{
    CaseReport, ChangeKind, Changed, ClusterFacts, Difference, Environment, Finding, Form, FoundReport, MachineFacts,
    NodeFacts, OptionFacts, Outcome, Provenance, ReadReportError, RenderError, Report, RequirementCase,
    RequirementReport, RunEvent, SCHEMA_VERSION, Summary, TargetFacts, Verdict, Verification, WriteError, for_terminal,
    remove_reports, render_line, report_schema, verify,
};
pub use run::{EndpointRefusal, RunOptions, Skip, endpoint_answers, run, run_one, run_one_by_the_clock};
pub use suite::{Case, Filter, Suite};
pub use target::{E2bEndpoint, KubernetesTarget, StorageProbe, Target, UsageSource};
