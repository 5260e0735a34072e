//! What the watches of one place bring: objects that are kept, trimmed (`trim`), and Checkpoints, of which only their names are.

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::future::ready;
use futures::{Stream, StreamExt, TryStreamExt};
use kube::core::NamespaceResourceScope;
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::{self, Store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;
use torpor_api::{Checkpoint, label};

use crate::checkpoints::Checkpoints;
use crate::trim::Trim;

/// Where is watched: one namespace, or all of them.
pub(super) struct Place<'a> {
    client: &'a Client,
    namespace: Option<&'a str>,
    /// Told of each list that is complete.
    listed: UnboundedSender<()>,
    shutdown: &'a CancellationToken,
}

/// What a watch has brought.
pub(super) struct Brought<K: Resource<DynamicType = ()> + Clone + 'static> {
    pub(super) store: Store<K>,
    /// Cancelled once the first list is complete.
    pub(super) complete: CancellationToken,
}

impl<'a> Place<'a> {
    /// Also what tells of each list that is complete.
    pub(super) fn new(
        client: &'a Client,
        namespace: Option<&'a str>,
        shutdown: &'a CancellationToken,
    ) -> (Self, UnboundedReceiver<()>) {
        let (listed, all_again) = unbounded();
        let place = Self {
            client,
            namespace,
            listed,
            shutdown,
        };
        (place, all_again)
    }

    pub(super) fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned,
    {
        match self.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }

    /// A store, and the events of the watch that fills it, once they are in there.
    pub(super) fn reports<K>(
        &self,
        labels: Option<&str>,
    ) -> (
        Brought<K>,
        impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static + use<K>,
    )
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Trim,
        K: Clone + std::fmt::Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let config = watcher::Config {
            label_selector: labels.map(str::to_owned),
            ..watcher::Config::default()
        };
        let (store, writer) = reflector::store();
        let complete = CancellationToken::new();
        let (listed, completes) = (self.listed.clone(), complete.clone());
        let events = watcher(self.api::<K>(), config)
            .modify(Trim::trim)
            .reflect(writer)
            .inspect_ok(move |event| match event {
                Event::InitDone => {
                    completes.cancel();
                    tell(&listed);
                }
                Event::Init | Event::InitApply(_) | Event::Apply(_) | Event::Delete(_) => {}
            });
        (Brought { store, complete }, events)
    }

    /// The Checkpoints, and what follows them until the shutdown. It has delays of its own, as no sandbox waits for it.
    pub(super) fn checkpoints(&self) -> (Checkpoints, impl Future<Output = ()> + Send + use<>) {
        let config = watcher::Config::default().labels(label::SANDBOX_NAME);
        let events = watcher(self.api::<Checkpoint>(), config).default_backoff();
        let checkpoints = Checkpoints::default();
        let (followed, listed) = (checkpoints.clone(), self.listed.clone());
        let following = events
            .take_until(self.shutdown.clone().cancelled_owned())
            .for_each(move |event| {
                match event {
                    Ok(event) => {
                        let complete = matches!(event, Event::InitDone);
                        followed.follow(event);
                        if complete {
                            tell(&listed);
                        }
                    }
                    Err(error) => tracing::warn!(%error, "the watch of the Checkpoints failed and is tried again"),
                }
                ready(())
            });
        (checkpoints, following)
    }
}

/// Says that a list is complete. Nobody listens any more only at the end.
fn tell(listed: &UnboundedSender<()>) {
    drop(listed.unbounded_send(()));
}
