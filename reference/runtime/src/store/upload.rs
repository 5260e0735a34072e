//! A pack that grows in an object store: what is written of it without a gap is sent, a part at a time, while more comes.
//!
//! ```text
//!  written, in any order ──a part without a gap──▶ sent, a few at a time ──complete──▶ in its place, at once
//!                                                           └──dropped, or one failed──▶ taken back
//! ```
//!
//! Whoever writes waits for what is on its way: the agent has no memory for a pack that may be as large as the memory of its
//! sandbox. A pack of one part is put at once when it is complete. What a killed program had sent is listed by nobody, and
//! goes by a rule of the bucket.

#[cfg(test)]
mod tests;
#[cfg(test)]
#[path = "../../tests/hazards/watched.rs"]
#[expect(dead_code, reason = "shared with tests that use more of it")]
mod watched;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::error::BackendError;

/// Bytes of a part: all but the last have as many, which some stores ask for. The most parts of one pack are 10,000, or 80 GB.
const PART_BYTES: u64 = 8 << 20;
/// With so many parts on their way whoever writes waits.
const MOST_PARTS: usize = 4;

/// A pack that several threads write.
#[derive(Debug)]
pub(super) struct Upload {
    store: Arc<dyn ObjectStore>,
    place: Path,
    runtime: Handle,
    growth: Mutex<Growth>,
    traffic: Arc<Traffic>,
}

/// What was written.
#[derive(Debug, Default)]
struct Growth {
    /// What is in no part yet, by where it begins.
    held: BTreeMap<u64, Bytes>,
    /// Bytes in parts.
    cut: u64,
    /// Up to here nothing is missing.
    end: u64,
    /// To the task that sends, from the first part on.
    orders: Option<mpsc::UnboundedSender<Order>>,
}

#[derive(Debug)]
enum Order {
    Part(PutPayload),
    Last {
        part: PutPayload,
        pack_bytes: u64,
        /// Is told when the pack has its place.
        done: oneshot::Sender<()>,
    },
}

/// What is known of the task that sends.
#[derive(Debug, Default)]
struct Traffic {
    state: Mutex<State>,
    changed: Condvar,
    ended: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    /// Parts that have not arrived.
    under_way: usize,
    has_begun: bool,
    has_ended: bool,
    failed: Option<BackendError>,
}

impl Upload {
    /// Of nothing yet, by this runtime.
    pub(super) fn new(store: Arc<dyn ObjectStore>, place: Path) -> Self {
        Self {
            store,
            place,
            runtime: Handle::current(),
            growth: Mutex::default(),
            traffic: Arc::default(),
        }
    }

    /// Where the pack is to be.
    pub(super) fn place(&self) -> &Path {
        &self.place
    }

    /// Returns when little enough is on its way. Whoever waits must not have begun a gap, for what is behind it is held.
    /// Blocks.
    pub(super) fn wait_for_room(&self) {
        let mut state = self.traffic.lock();
        while state.under_way >= MOST_PARTS && state.failed.is_none() && !state.has_ended {
            state = self.traffic.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes `bytes` that begin where nobody else's do.
    pub(super) fn write_at(&self, bytes: Bytes, at: u64) -> io::Result<()> {
        self.traffic.check()?;
        let mut growth = self.growth.lock().unwrap_or_else(PoisonError::into_inner);
        growth.add(bytes, at);
        // A whole pack of so many bytes is put at once.
        while growth.end - growth.cut > PART_BYTES {
            let part = growth.cut(PART_BYTES);
            self.traffic.lock().under_way += 1;
            let orders = growth.orders.get_or_insert_with(|| self.begin());
            // One that has ended has failed, and says so to whoever writes next.
            let _ = orders.send(Order::Part(part));
        }
        Ok(())
    }

    fn begin(&self) -> mpsc::UnboundedSender<Order> {
        let (orders, ordered) = mpsc::unbounded_channel();
        self.traffic.lock().has_begun = true;
        let sending = Sending {
            store: Arc::clone(&self.store),
            place: self.place.clone(),
            traffic: Arc::clone(&self.traffic),
        };
        self.runtime.spawn(sending.run(ordered));
        orders
    }

    /// Puts the pack in its place; nobody writes any more.
    pub(super) async fn complete(&self) -> Result<(), BackendError> {
        let (rest, pack_bytes, orders) = {
            let mut growth = self.growth.lock().unwrap_or_else(PoisonError::into_inner);
            (growth.rest()?, growth.end, growth.orders.take())
        };
        let Some(orders) = orders else {
            self.store.put(&self.place, rest).await?;
            return Ok(());
        };
        let (done, told) = oneshot::channel();
        let part = rest;
        // One that has ended has failed.
        let _ = orders.send(Order::Last { part, pack_bytes, done });
        if told.await.is_err() {
            self.traffic.ended.cancelled().await;
            return Err(self.traffic.failure());
        }
        Ok(())
    }

    /// Returns when nothing is sent or taken back any more of a pack that was completed or dropped.
    pub(super) fn when_ended(&self) -> impl Future<Output = ()> + Send + use<> {
        let traffic = Arc::clone(&self.traffic);
        async move {
            let has_begun = traffic.lock().has_begun;
            if has_begun {
                traffic.ended.cancelled().await;
            }
        }
    }
}

impl Growth {
    fn add(&mut self, bytes: Bytes, at: u64) {
        self.held.insert(at, bytes);
        while let Some(next) = self.held.get(&self.end) {
            self.end += next.len() as u64;
        }
    }

    /// The next `bytes`, of which none is missing.
    fn cut(&mut self, bytes: u64) -> PutPayload {
        let end = self.cut + bytes;
        let mut part = Vec::new();
        while self.cut < end
            && let Some((_, mut next)) = self.held.pop_first()
        {
            let left = usize::try_from(end - self.cut).unwrap_or(usize::MAX);
            let rest = next.split_off(next.len().min(left));
            self.cut += next.len() as u64;
            if !rest.is_empty() {
                self.held.insert(self.cut, rest);
            }
            part.push(next);
        }
        part.into_iter().collect()
    }

    /// All that is in no part.
    fn rest(&mut self) -> Result<PutPayload, BackendError> {
        let rest = self.cut(self.end - self.cut);
        if self.held.is_empty() {
            return Ok(rest);
        }
        Err(broken(format!("what begins at {} was never written", self.end)))
    }
}

impl Traffic {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arrived(&self) {
        self.lock().under_way -= 1;
        self.changed.notify_all();
    }

    fn fail(&self, error: BackendError) {
        self.lock().failed.get_or_insert(error);
        self.changed.notify_all();
    }

    fn check(&self) -> io::Result<()> {
        let state = self.lock();
        match &state.failed {
            Some(error) => Err(io::Error::other(error.to_string())),
            None if state.has_ended => Err(io::Error::other(ended())),
            None => Ok(()),
        }
    }

    /// Why there is no pack.
    fn failure(&self) -> BackendError {
        self.lock().failed.take().unwrap_or_else(ended)
    }
}

/// The task that sends.
struct Sending {
    store: Arc<dyn ObjectStore>,
    place: Path,
    traffic: Arc<Traffic>,
}

impl Sending {
    async fn run(self, ordered: mpsc::UnboundedReceiver<Order>) {
        let mut upload = match self.store.put_multipart(&self.place).await {
            Ok(upload) => upload,
            Err(error) => return self.traffic.fail(error.into()),
        };
        match self.send(&mut *upload, ordered).await {
            Ok(true) => return,
            // Nobody wants it any more.
            Ok(false) => {}
            // Now: whoever writes waits for nothing that comes of it.
            Err(error) => self.traffic.fail(error.into()),
        }
        if let Err(error) = upload.abort().await {
            let error: &dyn std::error::Error = &BackendError::from(error);
            tracing::warn!(error, place = %self.place, "take back what was sent of a pack");
        }
    }

    /// Sends what is ordered, up to the last of it, if that ever comes: whether the pack has its place then.
    async fn send(
        &self,
        upload: &mut dyn MultipartUpload,
        mut ordered: mpsc::UnboundedReceiver<Order>,
    ) -> object_store::Result<bool> {
        let mut under_way = FuturesUnordered::new();
        let (pack_bytes, done) = loop {
            tokio::select! {
                Some(arrived) = under_way.next() => {
                    arrived?;
                    self.traffic.arrived();
                }
                order = ordered.recv() => match order {
                    None => return Ok(false),
                    Some(Order::Part(part)) => under_way.push(upload.put_part(part)),
                    Some(Order::Last { part, pack_bytes, done }) => {
                        under_way.push(upload.put_part(part));
                        break (pack_bytes, done);
                    }
                },
            }
        };
        while let Some(arrived) = under_way.next().await {
            arrived?;
        }
        if let Err(error) = upload.complete().await
            && !self.is_there(pack_bytes).await
        {
            return Err(error);
        }
        // Who waited may have gone.
        let _ = done.send(());
        Ok(true)
    }

    /// The answer may be lost, not the pack: what was asked for a second time finds no upload any more.
    async fn is_there(&self, pack_bytes: u64) -> bool {
        let found = self.store.head(&self.place).await;
        found.is_ok_and(|found| found.size == pack_bytes)
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.traffic.lock().has_ended = true;
        self.traffic.changed.notify_all();
        self.traffic.ended.cancel();
    }
}

/// Of a runtime that is no more.
fn ended() -> BackendError {
    broken("it was broken off".to_owned())
}

fn broken(why: String) -> BackendError {
    let (store, source) = ("upload", why.into());
    object_store::Error::Generic { store, source }.into()
}
