//! Decides about the objects beside the Pod: the volume claims, the Service and the Checkpoints of a sandbox.
//!
//! They follow the spec and not the state machine: claims are there before the first start and stay
//! over every pause, the Service stays for as long as it is wanted, a Checkpoint is there for as long as it may
//! be needed. So what is missing is made as found, without a word in the status first. Pure. Left out: the data of
//! checkpoints, which goes with the pass that completes the next pause; and what becomes of all this at the deletion,
//! which is the garbage collector's work, by the owner that they are given here or not.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Service, ServiceSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::ResourceExt;
use torpor_api::{
    Checkpoint, CheckpointRecord, CheckpointSpec, CheckpointStatus, ClaimRetention, Phase, Sandbox,
    VolumeClaimTemplate, annotation, label,
};

use crate::checkpoints::Described;
use crate::conditions::{self, Verdict};
use crate::decide::{Goal, History};
use crate::observe::{Reading, is_ours, owner};

/// An object beside the Pod, as last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Companion {
    /// It is not there.
    Missing,
    /// It is this sandbox's.
    Ours,
    /// It is a Service of this sandbox that is being deleted: gone once others let go of it.
    Going,
    /// It is somebody else's.
    Foreign {
        /// Whose it is, for people.
        owner: String,
    },
}

/// The objects beside the Pod, as last seen. Empty where nothing depends on them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Companions {
    /// By the name of the claim, in the order of the spec.
    pub(crate) claims: Vec<(String, Companion)>,
    /// The Service of the sandbox's name.
    pub(crate) service: Option<Companion>,
    /// `metadata.uid` of that Service.
    pub(crate) service_uid: Option<String>,
    /// The sandbox's Checkpoints, by generation.
    pub(crate) checkpoints: Option<BTreeMap<u64, Described>>,
}

/// One write that brings the objects beside the Pod in line with the spec.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Chore {
    /// Create a volume claim. Nothing can be started without it.
    CreateClaim(Box<PersistentVolumeClaim>),
    /// Create the Service.
    CreateService(Box<Service>),
    /// Delete the Service.
    DeleteService {
        /// `metadata.uid` of the one that was read.
        uid: Option<String>,
    },
    /// Describe the checkpoint on record.
    CreateCheckpoint(Box<Checkpoint>),
    /// Delete a Checkpoint whose data nobody needs any more.
    DeleteCheckpoint {
        /// Its number.
        generation: u64,
        /// Its name.
        name: String,
        /// Its `metadata.uid`.
        uid: String,
    },
}

impl Chore {
    /// Its name for machines.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::CreateClaim(_) => "create_claim",
            Self::CreateService(_) => "create_service",
            Self::DeleteService { .. } => "delete_service",
            Self::CreateCheckpoint(_) => "create_checkpoint",
            Self::DeleteCheckpoint { .. } => "delete_checkpoint",
        }
    }
}

impl Companions {
    /// The first claim that is somebody else's, and whose.
    pub(crate) fn foreign_claim(&self) -> Option<(&str, &str)> {
        self.claims.iter().find_map(|(name, seen)| match seen {
            Companion::Foreign { owner } => Some((name.as_str(), owner.as_str())),
            Companion::Missing | Companion::Ours | Companion::Going => None,
        })
    }

    /// Whose the Service of the sandbox's name is, if it is somebody else's.
    pub(crate) fn foreign_service(&self) -> Option<&str> {
        match self.service.as_ref()? {
            Companion::Foreign { owner } => Some(owner),
            Companion::Missing | Companion::Ours | Companion::Going => None,
        }
    }

    /// Notes the Service of the sandbox's name, or that there is none.
    pub(crate) fn saw_service(&mut self, service: Option<&Service>, sandbox: &Sandbox) {
        self.service = Some(Companion::of_service(service, sandbox));
        self.service_uid = service.and_then(|service| service.metadata.uid.clone());
    }

    /// The first claim that is not there.
    pub(crate) fn missing_claim(&self) -> Option<&str> {
        let missing = self.claims.iter().find(|(_, seen)| *seen == Companion::Missing);
        missing.map(|(name, _)| name.as_str())
    }
}

impl Companion {
    /// Whose the claim is. One that outlives its sandbox has no owner, so it says whom it was made for.
    pub(crate) fn of_claim(claim: Option<&PersistentVolumeClaim>, sandbox: &Sandbox) -> Self {
        match claim {
            None => Self::Missing,
            Some(claim) if claim.metadata.deletion_timestamp.is_some() => Self::Foreign {
                owner: "nobody, it is being deleted".to_owned(),
            },
            Some(claim) if is_ours(claim, sandbox) || made_for(claim) == sandbox.metadata.uid.as_deref() => Self::Ours,
            Some(claim) => Self::Foreign {
                owner: made_for(claim).map_or_else(|| owner(claim), |uid| format!("an earlier sandbox ({uid})")),
            },
        }
    }

    /// Whose the Service is.
    fn of_service(service: Option<&Service>, sandbox: &Sandbox) -> Self {
        match service {
            None => Self::Missing,
            Some(service) if is_ours(service, sandbox) => match service.metadata.deletion_timestamp {
                None => Self::Ours,
                Some(_) => Self::Going,
            },
            Some(service) => Self::Foreign { owner: owner(service) },
        }
    }
}

fn made_for(claim: &PersistentVolumeClaim) -> Option<&str> {
    claim.annotations().get(annotation::SANDBOX_UID).map(String::as_str)
}

/// Whether it matters which claims there are: while no Pod is there and one may come.
pub(crate) fn claims_matter(reading: &Reading) -> bool {
    match reading.goal() {
        Goal::Deleted => false,
        Goal::Running | Goal::Paused => reading.pod.is_none() && reading.history() != History::Live,
    }
}

/// Whether it matters if there is a Service.
pub(crate) fn service_matters(reading: &Reading) -> bool {
    reading.sandbox.spec.service.is_some() && reading.goal() != Goal::Deleted
}

/// The next write, if one is needed beside those of these names, which are put off.
pub(crate) fn chore(reading: &Reading, put_off: &[&str]) -> Option<Chore> {
    let seen = &reading.companions;
    if reading.goal() == Goal::Deleted {
        return None;
    }
    // Made anew later, a claim would pass an empty volume for the one that was lost.
    let missing = seen.missing_claim().filter(|_| reading.history() == History::New);
    if let Some(template) = missing.and_then(|missing| template_of(&reading.sandbox, missing)) {
        return Some(Chore::CreateClaim(Box::new(claim(reading, template))));
    }
    let mut chores = [checkpoint_chore(reading), service_chore(reading)]
        .into_iter()
        .flatten();
    chores.find(|chore| !put_off.contains(&chore.name()))
}

fn service_chore(reading: &Reading) -> Option<Chore> {
    match (reading.sandbox.spec.service, reading.companions.service.as_ref()?) {
        (Some(true), Companion::Missing) => Some(Chore::CreateService(Box::new(service(reading)))),
        (Some(false), Companion::Ours) => Some(Chore::DeleteService {
            uid: reading.companions.service_uid.clone(),
        }),
        // Deleted once more, one that somebody holds would be there still.
        (Some(true), Companion::Ours | Companion::Going | Companion::Foreign { .. })
        | (Some(false), Companion::Missing | Companion::Going | Companion::Foreign { .. })
        | (None, _) => None,
    }
}

/// Whether it matters which Checkpoints there are: on the way to a pause and during it, once one is on record.
pub(crate) fn checkpoints_matter(reading: &Reading) -> bool {
    reading.goal() == Goal::Paused && reading.status().checkpoint.is_some()
}

fn checkpoint_chore(reading: &Reading) -> Option<Chore> {
    let (status, seen) = (reading.status(), reading.companions.checkpoints.as_ref()?);
    let record = status.checkpoint.as_ref()?;
    if !seen.contains_key(&record.generation) {
        return Some(Chore::CreateCheckpoint(Box::new(checkpoint(reading, record))));
    }
    // Until the pause is complete there is time for nothing else.
    if status.phase != Some(Phase::Paused) {
        return None;
    }
    let mut outlived = seen.range(..record.generation);
    outlived.find_map(|(generation, Described { name, uid })| {
        Some(Chore::DeleteCheckpoint {
            generation: *generation,
            name: name.clone(),
            uid: uid.clone()?,
        })
    })
}

/// The name of the claim of a template, as `OpenKruise` agents and agent-sandbox name it.
pub(crate) fn claim_name(sandbox: &Sandbox, template: &VolumeClaimTemplate) -> String {
    format!("{}-{}", template.metadata.name, sandbox.name_any())
}

fn template_of<'a>(sandbox: &'a Sandbox, name: &str) -> Option<&'a VolumeClaimTemplate> {
    let mut templates = sandbox.spec.volume_claim_templates.iter();
    templates.find(|template| claim_name(sandbox, template) == name)
}

fn claim(reading: &Reading, template: &VolumeClaimTemplate) -> PersistentVolumeClaim {
    let sandbox = &reading.sandbox;
    let policy = sandbox
        .spec
        .persistent_volume_claim_retention_policy
        .unwrap_or_default();
    let mut annotations = template.metadata.annotations.clone();
    annotations.extend(
        sandbox
            .metadata
            .uid
            .clone()
            .map(|uid| (annotation::SANDBOX_UID.to_owned(), uid)),
    );
    let mut metadata = ObjectMeta {
        name: Some(claim_name(sandbox, template)),
        annotations: Some(annotations),
        ..beside(reading, template.metadata.labels.clone())
    };
    if policy.when_deleted == ClaimRetention::Retain {
        metadata.owner_references = None;
    }
    PersistentVolumeClaim {
        metadata,
        spec: Some(template.spec.clone()),
        status: None,
    }
}

/// Headless: one name for the Pod of today and that of after the next resume.
fn service(reading: &Reading) -> Service {
    let sandbox = &reading.sandbox;
    Service {
        metadata: beside(reading, BTreeMap::new()),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            selector: Some(BTreeMap::from([(label::SANDBOX_NAME.to_owned(), sandbox.name_any())])),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// Named after the very sandbox, so that one of the same name does not come across it.
fn checkpoint(reading: &Reading, record: &CheckpointRecord) -> Checkpoint {
    let (sandbox, generation) = (&reading.sandbox, record.generation);
    let (name, uid) = (sandbox.name_any(), sandbox.metadata.uid.clone().unwrap_or_default());
    let short: String = uid.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
    let mut conditions = Vec::new();
    let verdict = Verdict::new("True", "CheckpointSucceeded", "the checkpoint is complete and durable");
    conditions::put(&mut conditions, "Sealed", verdict, None, reading.whole_second());
    Checkpoint {
        metadata: ObjectMeta {
            name: Some(format!("{name}-{short}-{generation}")),
            ..beside(reading, BTreeMap::new())
        },
        spec: CheckpointSpec {
            sandbox_name: name.clone(),
            pod_name: name,
            keep_running: false,
            persistent_contents: vec!["memory".to_owned(), "filesystem".to_owned()],
        },
        status: Some(CheckpointStatus {
            phase: "Succeeded".to_owned(),
            checkpoint_id: format!("{uid}/{generation}"),
            completion_time: Some(Time(reading.whole_second())),
            generation,
            engine: record.engine.clone(),
            digest: record.digest.clone(),
            size_bytes: record.size_bytes,
            stored_bytes: record.stored_bytes,
            conditions,
        }),
    }
}

/// The metadata of an object that belongs to the sandbox and has its name.
fn beside(reading: &Reading, mut labels: BTreeMap<String, String>) -> ObjectMeta {
    let sandbox = &reading.sandbox;
    labels.extend(reading.front.labels(sandbox));
    ObjectMeta {
        name: sandbox.metadata.name.clone(),
        namespace: sandbox.metadata.namespace.clone(),
        labels: Some(labels),
        owner_references: reading.front.owner(sandbox),
        ..ObjectMeta::default()
    }
}

#[cfg(test)]
mod tests;
