//! A controller that crashes at a write: it is dropped as it is, and another one starts that knows
//! only what the API server tells.

use std::future::pending;

use axum::http::{Method, Request};
use kube::Client;
use kube::client::Body;
use tokio_util::sync::CancellationToken;
use torpor_controller::{Controller, Fence};

use super::controls::{Controls, Moment};
use super::election::MakeController;

impl Controls {
    /// The same client, on which the controller may crash at a write.
    pub fn client(&self, client: Client) -> Client {
        let namespace = client.default_namespace().to_owned();
        let controls = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let (client, controls) = (client.clone(), controls.clone());
            async move { controls.send(&client, request).await }
        });
        Client::new(service, namespace)
    }

    async fn send(
        &self,
        client: &Client,
        request: Request<Body>,
    ) -> Result<axum::http::Response<Body>, tower::BoxError> {
        if matches!(*request.method(), Method::GET | Method::HEAD) {
            return Ok(client.send(request).await?);
        }
        let (head, body) = request.into_parts();
        let body = body.collect_bytes().await?;
        let text = String::from_utf8_lossy(&body).into_owned();
        let moment = self.count(|name| head.uri.path().contains(name) || text.contains(name));
        let request = Request::from_parts(head, Body::from(body));
        match moment {
            None => Ok(client.send(request).await?),
            Some(Moment::Before) => {
                self.crash();
                pending().await
            }
            Some(Moment::After) => {
                // What it answers, nobody hears.
                let _ = client.send(request).await;
                self.crash();
                pending().await
            }
        }
    }

    /// Runs a controller, and another one after each crash; two that stand for election once they are asked to.
    pub async fn supervise(&self, first: Controller, api: Client, make: MakeController, stop: CancellationToken) {
        let mut elects = self.elects();
        tokio::select! {
            () = self.alone(first, &make, stop.clone()) => return,
            elects = elects.wait_for(|elects| *elects) => if elects.is_err() { return },
        }
        self.candidates(&api, &make, stop).await;
    }

    async fn alone(&self, first: Controller, make: &MakeController, stop: CancellationToken) {
        let mut crashes = self.crashes();
        let mut controller = Some(first);
        let next = || make(&|client| self.client(client), Fence::open());
        loop {
            let running = controller.take().unwrap_or_else(next).run(stop.clone());
            tokio::select! {
                () = running => return,
                changed = crashes.changed() => if changed.is_err() { return },
            }
        }
    }
}
