//! What a running case knows and touches.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::api::GroupVersionKind;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::history::{Journal, Occurrence, now};
use crate::laboratory::FaultControls;
use crate::probe::{Address, Cluster, E2bClient, Fault, Http};
use crate::profile::Dialect;
use crate::pulse::{Patience, Pulse};
use crate::report::INTERRUPTED;
use crate::scenario::{Front, Variables, fill, fill_whole};
use crate::suite::Case;
use crate::target::Target;

/// What all cases of a run share.
#[derive(Clone)]
pub(super) struct Course {
    /// Cancelled when no further step may be done.
    pub(super) stop: CancellationToken,
    /// Counts how long the suite itself is held up.
    pub(super) pulse: Pulse,
}

/// One running case: its fronts, its record and what it has made. Branches of a race share it.
#[derive(Clone)]
pub(super) struct World {
    pub(super) target: Arc<Target>,
    pub(super) front: Front,
    pub(super) http: Http,
    pub(super) journal: Journal,
    /// Counts how long the suite itself is held up.
    pub(super) pulse: Pulse,
    /// Cancelled when no further step may be done.
    stop: CancellationToken,
    cluster: Option<Cluster>,
    e2b: Option<E2bClient>,
    faults: Option<FaultControls>,
    /// Ends the names of everything that the case makes.
    pub(super) run: String,
    state: Arc<Mutex<State>>,
}

/// The variables that every step has.
fn given(target: &Target, run: &str) -> Variables {
    let kubernetes = target.kubernetes.as_ref();
    let namespace = kubernetes.map(|kubernetes| kubernetes.namespace.clone());
    let dialect = target.profile.kubernetes.as_ref();
    let given = [
        ("run", run.to_owned()),
        (
            "pod",
            dialect.map(|dialect| dialect.pod_name_of(run)).unwrap_or_default(),
        ),
        (
            "image",
            dialect.map(|dialect| dialect.image.clone()).unwrap_or_default(),
        ),
        ("template", template(target).to_owned()),
        ("namespace", namespace.unwrap_or_default()),
    ];
    given.map(|(name, value)| (name.to_owned(), value)).into()
}

/// What sandboxes are made from through E2B.
fn template(target: &Target) -> &str {
    let e2b = target.profile.e2b.as_ref();
    e2b.map(|e2b| e2b.template.as_str()).unwrap_or_default()
}

/// What the steps so far have made.
#[derive(Default)]
pub(super) struct State {
    pub(super) variables: Variables,
    /// What answers held that are kept as variables, as it was before it was made a text.
    pub(super) values: BTreeMap<String, Value>,
    pub(super) sandboxes: BTreeMap<String, Sandbox>,
    /// Every sandbox that was ever made, also those that were made anew under the same alias.
    pub(super) made: Vec<Made>,
    pub(super) marks: BTreeMap<String, super::conditions::Marked>,
    pub(super) series: BTreeMap<String, Vec<crate::probe::Sample>>,
    /// Objects that the suite made beside sandboxes, also those by which a pause or a resume is asked for.
    pub(super) objects: Vec<(GroupVersionKind, String)>,
    /// Reads what runs answer that no step waits for; dropped, it closes their connections.
    pub(super) unheard: tokio::task::JoinSet<()>,
    /// What damaged files were, the first damage first.
    pub(super) damaged: Vec<crate::probe::Original>,
    /// The commands of each sandbox, by its id.
    pub(super) worked: BTreeMap<String, super::canaries::Worked>,
    /// Objects that were given finalizers.
    pub(super) held: Vec<super::clean_up::Held>,
}

/// A sandbox that the case made.
#[derive(Clone, Debug)]
pub(super) struct Sandbox {
    /// The front that made it; E2B need not know those that Kubernetes made.
    pub(super) front: Front,
    /// E2B id and what it takes to speak to it.
    pub(super) address: Address,
    /// Name of the custom resource; the E2B id where none is known.
    pub(super) name: String,
    /// UID of the custom resource, once known.
    pub(super) uid: String,
}

impl Sandbox {
    /// What E2B calls it.
    pub(super) fn id(&self) -> &str {
        &self.address.id
    }
}

/// What a sandbox that was made is called, by which it is deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Made {
    /// The front that made it.
    pub(super) front: Front,
    /// What E2B calls it.
    pub(super) id: String,
    /// Name of the custom resource; nothing where none is known.
    pub(super) name: Option<String>,
}

impl World {
    pub(super) fn new(target: Arc<Target>, case: &Case, http: Http, course: &Course) -> Self {
        let (front, scenario) = (case.front, case.scenario.id.as_str());
        let journal = Journal::new();
        if let Some(endpoint) = &target.e2b {
            journal.hide(&endpoint.api_key);
        }
        let patience = Patience {
            pulse: course.pulse.clone(),
            limit: target.limits().answer.duration(),
        };
        let dialect = target.profile.kubernetes.as_ref();
        let cluster = target
            .kubernetes
            .as_ref()
            .zip(dialect)
            .map(|(kubernetes, dialect)| Cluster::new(kubernetes, dialect, journal.clone(), patience.clone()));
        let e2b = target
            .e2b
            .as_ref()
            .map(|endpoint| E2bClient::new(http.clone(), endpoint.clone(), journal.clone(), patience.clone()));
        let run = format!(
            "{}-{:06x}",
            &scenario[..scenario.len().min(30)],
            rand::random::<u32>() & 0x00ff_ffff
        );
        let state = Arc::new(Mutex::new(State {
            variables: given(&target, &run),
            ..State::default()
        }));
        Self {
            target,
            front,
            http,
            journal,
            pulse: course.pulse.clone(),
            stop: course.stop.clone(),
            cluster,
            e2b,
            faults: None,
            run,
            state,
        }
    }

    /// The same world, in which faults can be put.
    pub(super) fn with_faults(mut self, faults: Option<FaultControls>) -> Self {
        self.faults = faults;
        self
    }

    pub(super) fn fault_controls(&self) -> Result<&FaultControls, Fault> {
        self.faults
            .as_ref()
            .ok_or_else(|| Fault::Harness("the step needs `faults`; add it to `needs`".to_owned()))
    }

    pub(super) fn cluster(&self) -> Result<&Cluster, Fault> {
        self.cluster
            .as_ref()
            .ok_or_else(|| Fault::Harness("the step needs Kubernetes; add it to `needs`".to_owned()))
    }

    /// Whether a further step may be done.
    pub(super) fn goes_on(&self) -> Result<(), Fault> {
        if self.stop.is_cancelled() {
            return Err(Fault::Harness(INTERRUPTED.to_owned()));
        }
        Ok(())
    }

    /// How the custom resource is asked and read.
    pub(super) fn dialect(&self) -> Result<&Dialect, Fault> {
        self.cluster().map(|cluster| &*cluster.dialect)
    }

    /// The name of a sandbox's Pod.
    pub(super) fn pod_of(&self, alias: &str) -> Result<String, Fault> {
        Ok(self.dialect()?.pod_name_of(&self.sandbox(alias)?.name))
    }

    pub(super) fn e2b(&self) -> Result<&E2bClient, Fault> {
        self.e2b
            .as_ref()
            .ok_or_else(|| Fault::Harness("the step needs E2B; add `e2b` to `needs`".to_owned()))
    }

    pub(super) const fn has_cluster(&self) -> bool {
        self.cluster.is_some()
    }

    pub(super) const fn has_e2b(&self) -> bool {
        self.e2b.is_some()
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names of the custom resources of every sandbox that the case made.
    pub(super) fn own_names(&self) -> Vec<String> {
        self.state().made.iter().filter_map(|made| made.name.clone()).collect()
    }

    /// What the custom resource of each sandbox of the scenario is called.
    pub(super) fn names_by_alias(&self) -> BTreeMap<String, String> {
        let state = self.state();
        let called = state
            .sandboxes
            .iter()
            .map(|(alias, sandbox)| (alias.clone(), sandbox.name.clone()));
        called.collect()
    }

    pub(super) fn sandbox(&self, alias: &str) -> Result<Sandbox, Fault> {
        let sandbox = self.state().sandboxes.get(alias).cloned();
        sandbox.ok_or_else(|| Fault::Harness(format!("no sandbox `{alias}` was created")))
    }

    /// Keeps a value for later steps.
    pub(super) fn save(&self, name: &str, value: String) {
        self.journal.note(Occurrence::Probe {
            what: format!("saved {name}"),
            value: value.clone(),
        });
        let mut state = self.state();
        state.values.remove(name);
        state.variables.insert(name.to_owned(), value);
    }

    /// A step or condition with its variables filled in.
    pub(super) fn filled<T: Serialize + DeserializeOwned>(&self, raw: &T, scope: &Variables) -> Result<T, Fault> {
        let mut value = serde_json::to_value(raw).map_err(|error| Fault::harness("read the step", error))?;
        let mut variables = self.state().variables.clone();
        variables.extend(scope.clone());
        if let Some(expected) = value.pointer_mut("/http/json") {
            fill_whole(expected, &self.state().values);
        }
        fill(&mut value, &variables, now()).map_err(Fault::Harness)?;
        serde_json::from_value(value).map_err(|error| Fault::harness("read the step", error))
    }

    /// Keeps a sandbox under its alias, so that steps find it and the case deletes it at its end. Without the name of its
    /// custom resource it is known by its E2B id alone.
    pub(super) fn register(&self, alias: &str, front: Front, address: Address, name: Option<String>) {
        self.journal.hide(&address.envd_token);
        self.journal.hide(&address.traffic_token);
        let made = Made {
            front,
            id: address.id.clone(),
            name: name.clone(),
        };
        let name = name.unwrap_or_else(|| address.id.clone());
        self.journal.owns(&name);
        let called = match front {
            Front::Kubernetes => name.clone(),
            Front::E2b => address.id.clone(),
        };
        let mut state = self.state();
        state.variables.insert(alias.to_owned(), called);
        state.made.push(made);
        let sandbox = Sandbox {
            front,
            address,
            name,
            uid: String::new(),
        };
        state.sandboxes.insert(alias.to_owned(), sandbox);
    }

    /// Learns name and UID of a sandbox's custom resource, while it can be asked for.
    pub(super) fn learn(&self, alias: &str, resource: &Value) {
        let text = |pointer: &str| resource.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (name, uid) = (text("/metadata/name"), text("/metadata/uid"));
        let mut state = self.state();
        let State { sandboxes, made, .. } = &mut *state;
        let Some(sandbox) = sandboxes.get_mut(alias) else {
            return;
        };
        uid.clone_into(&mut sandbox.uid);
        name.clone_into(&mut sandbox.name);
        for made in made.iter_mut().filter(|made| made.id == sandbox.address.id) {
            made.name = Some(name.to_owned());
        }
        self.journal.owns(name);
    }
}
