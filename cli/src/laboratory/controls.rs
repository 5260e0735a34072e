//! The faults of one control plane, as they are armed and ended over HTTP.
//!
//! ```text
//! POST   crash     {"name": …, "write": 3, "moment": "before" | "after"}
//! GET    crash     {"crashes": 2}
//! DELETE crash
//! PUT    removals  {"allowed": false}
//! PUT    election  {"held": true}
//! POST   cut       {"name": …, "write": 1, "verb": "delete"}
//! GET    cut       {"handovers": 1}
//! DELETE cut
//! ```

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{Json, State};
use axum::http::StatusCode;
use axum::routing::{get, put};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use torpor_controller::{CheckpointCustodian, RemovalError};

/// The faults of one control plane. A cheap handle.
#[derive(Clone, Debug)]
pub struct Controls(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    armed: Mutex<Option<Armed>>,
    crashes: watch::Sender<u32>,
    removals_allowed: AtomicBool,
    elects: watch::Sender<bool>,
    cut: Mutex<Option<Cut>>,
    /// The seat of the candidate that is cut off.
    off: watch::Sender<Option<usize>>,
    leadership: Mutex<Leadership>,
}

/// A leader to be cut off.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cut {
    /// As that of a crash.
    name: String,
    /// At which such write from now on, from 1.
    write: u32,
    /// Of which writes, by their HTTP method in lower case; all when absent.
    verb: Option<String>,
}

/// Who leads.
#[derive(Debug, Default)]
struct Leadership {
    seat: Option<usize>,
    handovers: u32,
}

/// A crash to come.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Armed {
    /// A word that the address or the body of a write must hold to count.
    name: String,
    /// At which such write from now on, from 1.
    write: u32,
    moment: Moment,
}

/// When the controller crashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Moment {
    /// The write is never sent.
    Before,
    /// The write is carried out, and its answer is never heard.
    After,
}

#[derive(Serialize)]
struct Crashes {
    crashes: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Elections {
    held: bool,
}

#[derive(Serialize)]
struct Handovers {
    handovers: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Removals {
    allowed: bool,
}

impl Controls {
    /// Nothing is armed.
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            armed: Mutex::default(),
            crashes: watch::Sender::new(0),
            removals_allowed: AtomicBool::new(true),
            elects: watch::Sender::new(false),
            cut: Mutex::default(),
            off: watch::Sender::new(None),
            leadership: Mutex::default(),
        }))
    }

    /// Where the faults are armed and ended.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/crash", get(crashes).post(arm).delete(disarm))
            .route("/removals", put(removals))
            .route("/election", put(elect))
            .route("/cut", get(handovers).post(arm_cut).delete(reconnect))
            .with_state(self.clone())
    }

    /// The same custodian, whose removals fail while they are not allowed.
    pub fn custodian(&self, inner: Arc<dyn CheckpointCustodian>) -> Arc<dyn CheckpointCustodian> {
        Arc::new(Refusing {
            inner,
            controls: self.clone(),
        })
    }

    /// Counts a write; says whether the controller crashes at it.
    pub(super) fn count(&self, is_about: impl Fn(&str) -> bool) -> Option<Moment> {
        let mut armed = self.armed();
        let crash = armed.as_mut().filter(|crash| is_about(&crash.name))?;
        crash.write = crash.write.saturating_sub(1);
        let moment = (crash.write == 0).then_some(crash.moment)?;
        *armed = None;
        Some(moment)
    }

    pub(super) fn crash(&self) {
        self.0.crashes.send_modify(|crashes| *crashes += 1);
    }

    pub(super) fn crashes(&self) -> watch::Receiver<u32> {
        self.0.crashes.subscribe()
    }

    /// Whether leaders are elected.
    pub(super) fn elects(&self) -> watch::Receiver<bool> {
        self.0.elects.subscribe()
    }

    /// Counts a write of a candidate, and cuts the candidate off if that is the one.
    pub(super) fn cut_off_at(&self, seat: usize, method: &str, is_about: impl Fn(&str) -> bool) {
        let mut armed = self.0.cut.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |cut: &&mut Cut| {
            let verb = cut.verb.as_deref();
            is_about(&cut.name) && verb.is_none_or(|verb| verb.eq_ignore_ascii_case(method))
        };
        let Some(cut) = armed.as_mut().filter(fits) else { return };
        cut.write = cut.write.saturating_sub(1);
        if cut.write == 0 {
            *armed = None;
            self.0.off.send_replace(Some(seat));
        }
    }

    /// The seat that is cut off.
    pub(super) fn off(&self) -> watch::Receiver<Option<usize>> {
        self.0.off.subscribe()
    }

    /// Notes who leads from now on.
    pub(super) fn leads(&self, seat: usize) {
        let mut leadership = self.leadership();
        if leadership.seat.is_some_and(|before| before != seat) {
            leadership.handovers += 1;
        }
        leadership.seat = Some(seat);
    }

    fn leadership(&self) -> MutexGuard<'_, Leadership> {
        self.0.leadership.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn armed(&self) -> MutexGuard<'_, Option<Armed>> {
        self.0.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refusal(&self) -> Option<RemovalError> {
        let allowed = self.0.removals_allowed.load(Ordering::Relaxed);
        (!allowed).then(|| RemovalError {
            message: "the checkpoint store is away".to_owned(),
        })
    }
}

async fn arm(State(controls): State<Controls>, Json(crash): Json<Armed>) -> StatusCode {
    *controls.armed() = Some(crash);
    StatusCode::NO_CONTENT
}

async fn disarm(State(controls): State<Controls>) -> StatusCode {
    *controls.armed() = None;
    StatusCode::NO_CONTENT
}

async fn crashes(State(controls): State<Controls>) -> Json<Crashes> {
    Json(Crashes {
        crashes: *controls.0.crashes.borrow(),
    })
}

async fn elect(State(controls): State<Controls>, Json(elections): Json<Elections>) -> StatusCode {
    controls.0.elects.send_replace(elections.held);
    StatusCode::NO_CONTENT
}

async fn arm_cut(State(controls): State<Controls>, Json(cut): Json<Cut>) -> StatusCode {
    *controls.0.cut.lock().unwrap_or_else(PoisonError::into_inner) = Some(cut);
    StatusCode::NO_CONTENT
}

async fn reconnect(State(controls): State<Controls>) -> StatusCode {
    *controls.0.cut.lock().unwrap_or_else(PoisonError::into_inner) = None;
    controls.0.off.send_replace(None);
    StatusCode::NO_CONTENT
}

async fn handovers(State(controls): State<Controls>) -> Json<Handovers> {
    let handovers = controls.leadership().handovers;
    Json(Handovers { handovers })
}

async fn removals(State(controls): State<Controls>, Json(removals): Json<Removals>) -> StatusCode {
    controls.0.removals_allowed.store(removals.allowed, Ordering::Relaxed);
    StatusCode::NO_CONTENT
}

/// A custodian that cannot reach its store.
struct Refusing {
    inner: Arc<dyn CheckpointCustodian>,
    controls: Controls,
}

impl CheckpointCustodian for Refusing {
    fn remove_all<'a>(&'a self, sandbox_uid: &'a str) -> BoxFuture<'a, Result<(), RemovalError>> {
        match self.controls.refusal() {
            Some(refusal) => std::future::ready(Err(refusal)).boxed(),
            None => self.inner.remove_all(sandbox_uid),
        }
    }

    fn remove_older_than<'a>(
        &'a self,
        sandbox_uid: &'a str,
        generation: u64,
    ) -> BoxFuture<'a, Result<(), RemovalError>> {
        match self.controls.refusal() {
            Some(refusal) => std::future::ready(Err(refusal)).boxed(),
            None => self.inner.remove_older_than(sandbox_uid, generation),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_is_cut_off_at_the_write_that_was_named_and_not_at_others() {
        let controls = Controls::new();
        *controls.0.cut.lock().expect("no panic") = Some(Cut {
            name: "mine".to_owned(),
            write: 1,
            verb: Some("delete".to_owned()),
        });
        controls.cut_off_at(0, "PATCH", |armed| armed == "mine");
        controls.cut_off_at(0, "DELETE", |armed| armed == "other");
        assert_eq!(*controls.off().borrow(), None);
        controls.cut_off_at(1, "DELETE", |armed| armed == "mine");
        assert_eq!(*controls.off().borrow(), Some(1));
    }

    #[test]
    fn a_handover_is_counted_when_another_leads_than_before() {
        let controls = Controls::new();
        for seat in [0, 0, 1, 1, 0] {
            controls.leads(seat);
        }
        assert_eq!(controls.leadership().handovers, 2);
    }

    #[test]
    fn the_crash_comes_at_the_write_that_was_named_and_only_once() {
        let controls = Controls::new();
        *controls.armed() = Some(Armed {
            name: "mine".to_owned(),
            write: 2,
            moment: Moment::After,
        });
        let write = |name: &str| controls.count(|armed| armed == name);
        assert_eq!(write("other"), None);
        assert_eq!(write("mine"), None);
        assert_eq!(write("other"), None);
        assert_eq!(write("mine"), Some(Moment::After));
        assert_eq!(write("mine"), None);
    }
}
