//! Two controllers that stand for election, of which the one that leads can be cut off from the API server.
//!
//! ```text
//!  seat 0  leads ──write──╳ cut off: held back, and so is the renewal of the lease ──▶ loses, stands again
//!  seat 1  stands by ────────────────────▶ leads when the lease has run out
//!                                   reconnected: what seat 0 had sent arrives, late
//! ```

use std::sync::Arc;
use std::time::Duration;

use axum::http::{Method, Request};
use jiff::Timestamp;
use kube::Client;
use kube::client::Body;
use tokio_util::sync::CancellationToken;
use torpor_controller::{Controller, Election, Ended, Fence, LeaseTerms};

use super::controls::Controls;

/// Makes a controller that writes by the client as the function gives it back, and only while the fence is open.
pub type MakeController = Box<dyn Fn(&dyn Fn(Client) -> Client, Fence) -> Controller + Send + Sync>;

/// The shortest that a lease can last; a case waits for it to run out.
const TERMS: LeaseTerms = LeaseTerms {
    lease_duration: Duration::from_secs(1),
    renew_deadline: Duration::from_millis(800),
    retry_period: Duration::from_millis(100),
};

/// Namespace and name of the lease.
const LEASE: (&str, &str) = ("default", "torpor-controller");

impl Controls {
    /// Runs two candidates until told to end.
    pub(super) async fn candidates(&self, api: &Client, make: &MakeController, stop: CancellationToken) {
        let seats = [0, 1].map(|seat| self.stand(seat, api, make, stop.clone()));
        futures::future::join_all(seats).await;
    }

    /// Stands for election, leads, and stands again when leadership is lost.
    async fn stand(&self, seat: usize, api: &Client, make: &MakeController, stop: CancellationToken) {
        for time in 0_u64.. {
            let identity = format!("seat-{seat}-{time}");
            let link = |client| self.link(seat, client);
            let election = Election::new(&link(api.clone()), LEASE, identity, TERMS, Arc::new(Timestamp::now));
            let controller = make(&link, election.fence());
            let work = async {
                self.leads(seat);
                controller.run(stop.clone()).await;
            };
            match election.lead(work, stop.clone()).await {
                Ended::AsAsked => return,
                Ended::Lost => {}
            }
        }
    }

    /// The same client for a candidate, who may be cut off at a write.
    fn link(&self, seat: usize, client: Client) -> Client {
        let namespace = client.default_namespace().to_owned();
        let controls = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let (client, controls) = (client.clone(), controls.clone());
            async move { controls.pass(seat, client, request).await }
        });
        Client::new(service, namespace)
    }

    async fn pass(
        &self,
        seat: usize,
        client: Client,
        request: Request<Body>,
    ) -> Result<axum::http::Response<Body>, tower::BoxError> {
        let (head, body) = request.into_parts();
        let body = body.collect_bytes().await?;
        if !matches!(head.method, Method::GET | Method::HEAD) {
            let text = String::from_utf8_lossy(&body);
            self.cut_off_at(seat, head.method.as_str(), |name| {
                head.uri.path().contains(name) || text.contains(name)
            });
        }
        let request = Request::from_parts(head, Body::from(body));
        let mut off = self.off();
        // What was sent arrives, though whoever sent it may not wait for the answer any more.
        let on_its_way = tokio::spawn(async move {
            // An end of the controls ends the control plane.
            let _ = off.wait_for(|off| *off != Some(seat)).await;
            client.send(request).await
        });
        Ok(on_its_way.await??)
    }
}
