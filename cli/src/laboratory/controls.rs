//! The faults of one control plane, as they are armed and ended over HTTP.
//!
//! ```text
//! POST   crash     {"name": …, "write": 3, "moment": "before" | "after"}
//! GET    crash     {"crashes": 2}
//! DELETE crash
//! PUT    removals  {"allowed": false}
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
        }))
    }

    /// Where the faults are armed and ended.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/crash", get(crashes).post(arm).delete(disarm))
            .route("/removals", put(removals))
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
