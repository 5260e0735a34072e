//! A store that answers nothing of one sandbox.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path;
use torpor_runtime::{CheckpointKey, CheckpointStore};

use crate::watched::{Guard, Kind, Verdict, Watched};
use crate::world::{UID, engine, key, payload, sound};

const OTHER: &str = "0d3e1b77-4c55-4b1e-8b26-0c1f3a5d9e42";

#[derive(Debug)]
struct SilentOf(&'static str);

impl Guard for SilentOf {
    fn ask<'a>(&'a self, _: Kind, place: &'a Path) -> BoxFuture<'a, Verdict> {
        let is_silent = place.parts().next().is_some_and(|folder| folder.as_ref() == self.0);
        async move {
            if is_silent {
                std::future::pending::<()>().await;
            }
            Verdict::Proceed
        }
        .boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_done_to_one_sandbox_waits_for_the_store_about_no_other() {
    let objects = Arc::new(InMemory::new());
    let of_other = |generation| CheckpointKey {
        sandbox_uid: OTHER.to_owned(),
        generation,
    };
    for generation in [1, 2] {
        let store = sound(&objects);
        store.seal(&key(generation), &engine(), payload(1)).await.unwrap();
        store.seal(&of_other(generation), &engine(), payload(1)).await.unwrap();
    }
    let watched = Watched {
        objects: Arc::clone(&objects),
        guard: Arc::new(SilentOf(UID)),
    };
    let store = CheckpointStore::in_object_store(Arc::new(watched) as Arc<dyn ObjectStore>);
    let limit = Duration::from_secs(100);
    let hanging = tokio::time::timeout(limit, store.remove_older_than(UID, 2)).await;
    assert!(hanging.is_err(), "it waits, and goes on doing so");
    let removed = tokio::time::timeout(limit, store.remove_older_than(OTHER, 2)).await;
    assert_eq!(removed.expect("an answer").unwrap().generations, [1]);
    let sealed = tokio::time::timeout(limit, store.seal(&of_other(3), &engine(), payload(3))).await;
    assert_eq!(sealed.expect("an answer").unwrap().generation, 3);
    let all = tokio::time::timeout(limit, store.remove_all(OTHER)).await;
    all.expect("an answer").unwrap();
}
