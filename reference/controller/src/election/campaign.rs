//! Carries out an election: reads and writes the lease, opens and closes the fence.

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{LeaseTerms, Move, next_move};
use crate::controller::Clock;
use crate::fence::Fence;

/// How leadership ended that did not end in an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to end, before or while it led. A lease that it held is released.
    AsAsked,
    /// Another leads now, or may: the lease was not renewed in time. The work was broken off.
    Lost,
}

/// The lease was not read or written.
#[derive(Debug, thiserror::Error)]
#[error("{attempt} lease {namespace}/{name}")]
struct LeaseError {
    attempt: &'static str,
    namespace: String,
    name: String,
    #[source]
    source: kube::Error,
}

/// A candidate in the election of one leader.
pub struct Election {
    leases: Api<Lease>,
    namespace: String,
    name: String,
    identity: String,
    terms: LeaseTerms,
    clock: Clock,
    fence: Fence,
}

/// The lease as last read or written, and since when it has been so by our clock.
struct Seen {
    lease: Option<Lease>,
    since: Instant,
}

impl Election {
    /// The candidate `identity`, unique among all candidates at all times. The `clock` gives the times
    /// that the lease shows to people.
    #[must_use]
    pub fn new(client: &Client, lease: (&str, &str), identity: String, terms: LeaseTerms, clock: Clock) -> Self {
        let (namespace, name) = lease;
        Self {
            leases: Api::namespaced(client.clone(), namespace),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            identity,
            terms,
            clock,
            fence: Fence::closed(),
        }
    }

    /// Open while this candidate leads.
    #[must_use]
    pub fn fence(&self) -> Fence {
        self.fence.clone()
    }

    /// Waits to lead, then does `work` for as long as it leads. The work has to end by itself soon
    /// after `shutdown` is cancelled; when leadership is lost it is dropped where it stands.
    pub async fn lead(self, work: impl Future<Output = ()>, shutdown: CancellationToken) -> Ended {
        let Some(mut seen) = self.until_elected(&shutdown).await else {
            return Ended::AsAsked;
        };
        tracing::info!(lease = self.name, identity = self.identity, "leading");
        let ended = tokio::select! {
            () = self.until_lost(&mut seen) => Ended::Lost,
            () = work => Ended::AsAsked,
        };
        self.fence.close();
        match ended {
            Ended::Lost => tracing::error!(lease = self.name, identity = self.identity, "leadership is lost"),
            Ended::AsAsked => self.release(seen).await,
        }
        ended
    }

    /// Tries until this candidate leads. `None`: told to end. A try whose answer is lost is given up in the time that a
    /// leader would have to renew.
    async fn until_elected(&self, shutdown: &CancellationToken) -> Option<Seen> {
        let mut seen = Seen {
            lease: None,
            since: Instant::now(),
        };
        loop {
            let attempt = async {
                self.look(&mut seen).await?;
                self.advance(&mut seen).await
            };
            let elected = tokio::select! {
                elected = tokio::time::timeout(self.terms.renew_deadline, attempt) => elected,
                () = shutdown.cancelled() => return None,
            };
            match elected {
                Ok(Ok(true)) => return Some(seen),
                Ok(Ok(false)) => {}
                Ok(Err(error)) => log(&error),
                Err(_) => tracing::warn!(
                    lease = self.name,
                    "no answer about the lease in time: it is tried again"
                ),
            }
            tokio::select! {
                () = tokio::time::sleep(self.terms.retry_period) => {}
                () = shutdown.cancelled() => return None,
            }
        }
    }

    /// Renews until that fails for too long, or another holds the lease.
    async fn until_lost(&self, seen: &mut Seen) {
        let mut deadline = seen.since + self.terms.renew_deadline;
        loop {
            let renewed = async {
                tokio::time::sleep(self.terms.retry_period).await;
                match self.advance(seen).await {
                    // Somebody else wrote it, or our own last answer was lost.
                    Err(error) if error.is_conflict() => {
                        self.look(seen).await?;
                        self.advance(seen).await
                    }
                    other => other,
                }
            };
            match tokio::time::timeout_at(deadline, renewed).await {
                Ok(Ok(true)) => deadline = seen.since + self.terms.renew_deadline,
                Ok(Err(error)) => log(&error),
                Ok(Ok(false)) | Err(_) => return,
            }
        }
    }

    /// Reads the lease. Its age counts from the first time that it was seen as it is.
    async fn look(&self, seen: &mut Seen) -> Result<(), LeaseError> {
        let lease = self
            .leases
            .get_opt(&self.name)
            .await
            .map_err(|source| self.error("read", source))?;
        let version = |lease: &Option<Lease>| lease.as_ref().and_then(|lease| lease.metadata.resource_version.clone());
        if version(&lease) != version(&seen.lease) {
            seen.since = Instant::now();
        }
        seen.lease = lease;
        Ok(())
    }

    /// Makes the next move; whether this candidate leads now.
    async fn advance(&self, seen: &mut Seen) -> Result<bool, LeaseError> {
        // Leadership counts from before the request: others count from when they see it, which is later.
        let began = Instant::now();
        let unchanged = began.duration_since(seen.since);
        let post = PostParams::default();
        let written = match next_move(seen.lease.as_ref(), &self.identity, unchanged) {
            Move::StandBy => return Ok(false),
            Move::Create => self.leases.create(&post, &self.claim(None)).await,
            Move::Take | Move::Renew => {
                self.leases
                    .replace(&self.name, &post, &self.claim(seen.lease.as_ref()))
                    .await
            }
        };
        let lease = written.map_err(|source| self.error("hold", source))?;
        *seen = Seen {
            lease: Some(lease),
            since: began,
        };
        self.fence.open_until(began + self.terms.renew_deadline);
        Ok(true)
    }

    /// The lease, held by this candidate. The version of the one that was seen is kept: the API server
    /// refuses it when another wrote since.
    fn claim(&self, seen: Option<&Lease>) -> Lease {
        let now = MicroTime((self.clock)());
        let mut lease = seen.cloned().unwrap_or_else(|| Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                ..ObjectMeta::default()
            },
            spec: None,
        });
        let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
        if spec.holder_identity.as_deref() != Some(&self.identity) {
            spec.acquire_time = Some(now.clone());
            spec.lease_transitions = Some(spec.lease_transitions.map_or(0, |number| number.saturating_add(1)));
            spec.holder_identity = Some(self.identity.clone());
        }
        spec.lease_duration_seconds = self.terms.seconds();
        spec.renew_time = Some(now);
        lease
    }

    /// Leaves the lease to whoever comes next, who need not wait then.
    async fn release(&self, seen: Seen) {
        let Some(mut lease) = seen.lease else { return };
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
        }
        let post = PostParams::default();
        let release = self.leases.replace(&self.name, &post, &lease);
        match tokio::time::timeout(self.terms.retry_period, release).await {
            Ok(Ok(_)) => tracing::info!(lease = self.name, "the lease is released"),
            Ok(Err(source)) => log(&self.error("release", source)),
            Err(_) => tracing::warn!(lease = self.name, "the lease was not released in time"),
        }
    }

    fn error(&self, attempt: &'static str, source: kube::Error) -> LeaseError {
        LeaseError {
            attempt,
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            source,
        }
    }
}

impl LeaseError {
    fn is_conflict(&self) -> bool {
        matches!(&self.source, kube::Error::Api(status) if status.is_conflict() || status.is_not_found())
    }
}

fn log(error: &LeaseError) {
    tracing::warn!(source = %error.source, "{error}: it is tried again");
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use http::{Method, Request, Response};
    use jiff::Timestamp;
    use kube::client::Body;

    use super::*;

    /// Swallows the first request; there is no lease, and whoever wants to may hold it.
    fn forgetful() -> Client {
        let asked = Arc::new(AtomicUsize::new(0));
        let server = tower::service_fn(move |request: Request<Body>| {
            let first = asked.fetch_add(1, Ordering::Relaxed) == 0;
            async move {
                if first {
                    std::future::pending::<()>().await;
                }
                let missing = br#"{"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound"}"#;
                let (code, body) = match *request.method() {
                    Method::GET => (404, Body::from(missing.to_vec())),
                    _ => (200, request.into_body()),
                };
                let mut response = Response::new(body);
                *response.status_mut() = http::StatusCode::from_u16(code).expect("a status code");
                Ok::<_, Infallible>(response)
            }
        });
        Client::new(server, "default")
    }

    #[tokio::test(start_paused = true)]
    async fn a_candidate_whose_request_is_swallowed_asks_again() {
        let clock: Clock = Arc::new(|| Timestamp::UNIX_EPOCH);
        let lease = ("default", "torpor-controller");
        let election = Election::new(&forgetful(), lease, "a".to_owned(), LeaseTerms::default(), clock);
        let led = election.lead(async {}, CancellationToken::new());
        let ended = tokio::time::timeout(Duration::from_hours(100), led).await;
        assert_eq!(ended.expect("it is elected"), Ended::AsAsked);
    }
}
