//! What is claimed of the memory of a sandbox that is stored ahead of its pause: by the CRIU engine alone.

use std::fs;
use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use torpor_runtime::{CriuConfig, Step, Steps};

use crate::bench::{Verdict, hold, until};
use crate::streamed::{Streamed, key};
use crate::{LIMIT, container, criu_config, run, unless};

/// How long nothing is used until a sandbox is idle.
const SOON: Duration = Duration::from_millis(200);
/// No sandbox of these is idle for so long.
const NEVER: Duration = Duration::from_hours(1);
const MEBIBYTES: usize = 32;

pub(crate) fn trials(unfit: Option<&str>) -> Vec<Trial> {
    let trial = |name: &str, check: fn() -> Verdict| unless(unfit, Trial::test(format!("criu::{name}"), check));
    vec![
        trial("an_idle_sandbox_has_its_memory_in_the_store_before_its_pause", || {
            run(stored())
        }),
        trial(
            "a_new_sandbox_is_stored_when_it_has_loaded_and_one_that_is_resumed_is_not",
            || run(new()),
        ),
        trial("what_changed_since_is_stored_as_well_once_it_is_idle_again", || {
            run(stored_again())
        }),
        trial("memory_stored_ahead_goes_with_a_sandbox_that_is_never_paused", || {
            run(never_paused())
        }),
        trial("a_pause_does_not_wait_for_memory_that_is_being_stored", || {
            run(interrupted())
        }),
        trial(
            "a_pause_that_is_called_off_is_no_reason_not_to_store_ahead_of_the_next",
            || run(called_off()),
        ),
    ]
}

/// A sandbox with such a heap that is idle after so long, and what tells that its memory was stored.
async fn begin(mebibytes: usize, idle_after: Duration) -> Result<(Streamed, UnboundedReceiver<()>), Failed> {
    let (tell, told) = unbounded_channel();
    let steps = Steps::told_to(move |step| {
        if step == Step::StoredAhead {
            // Who listens may have gone.
            let _ = tell.send(());
        }
    });
    let config = CriuConfig {
        steps,
        store_ahead_after: Some(idle_after),
        ..criu_config()
    };
    Ok((Streamed::start(container::VOLUME, mebibytes, config).await?, told))
}

/// One that is idle, when its heap is stored.
async fn idle(mebibytes: usize) -> Result<(Streamed, UnboundedReceiver<()>), Failed> {
    let (streamed, mut told) = begin(mebibytes, SOON).await?;
    // It may have been stored before it had one.
    while pack_bytes(&streamed)? < (mebibytes as u64) << 20 {
        until_stored(&mut told).await?;
    }
    Ok((streamed, told))
}

async fn until_stored(told: &mut UnboundedReceiver<()>) -> Verdict {
    let stored = tokio::time::timeout(LIMIT, told.recv()).await;
    hold(matches!(stored, Ok(Some(()))), "memory is stored", stored)
}

/// The bytes of all packs.
fn pack_bytes(streamed: &Streamed) -> Result<u64, Failed> {
    let mut bytes = 0;
    for path in streamed.left()? {
        if path.parent().is_some_and(|folder| folder.ends_with("packs")) {
            bytes += fs::metadata(path)?.len();
        }
    }
    Ok(bytes)
}

/// A first pause, when all memory is stored.
async fn seal_what_changed(streamed: &Streamed) -> Verdict {
    let before = pack_bytes(streamed)?;
    streamed.subject.freeze().await?;
    let record = streamed.seal(1).await?;
    let added = pack_bytes(streamed)?.saturating_sub(before);
    hold(
        added < record.size_bytes / 2,
        "the pause writes what has changed",
        (added, &record),
    )
}

async fn stored() -> Verdict {
    let (mut streamed, mut told) = idle(MEBIBYTES).await?;
    let before = pack_bytes(&streamed)?;
    hold(before >= (MEBIBYTES as u64) << 20, "all of its memory is there", before)?;
    streamed.subject.run(None, "x = 2").await?;
    seal_what_changed(&streamed).await?;
    streamed.store.verify(&key(1)).await?;
    let left = streamed.left()?;
    hold(left.len() == 1, "there is one pack, and no note", left)?;
    streamed.resume(1).await?;
    streamed.has("[2, True]").await?;
    until_stored(&mut told).await?;
    streamed.subject.freeze().await?;
    let record = streamed.seal(2).await?;
    let shared = record.stored_bytes < record.size_bytes / 2;
    hold(shared, "a second pause shares with the first", record)?;
    streamed.store.remove_older_than("streamed", 2).await?;
    streamed.resume(2).await?;
    streamed.has("[2, True]").await?;
    streamed.subject.end().await
}

async fn new() -> Verdict {
    let (mut streamed, mut told) = begin(1, NEVER).await?;
    until_stored(&mut told).await?;
    seal_what_changed(&streamed).await?;
    streamed.store.verify(&key(1)).await?;
    streamed.resume(1).await?;
    streamed.has("[1, True]").await?;
    streamed.subject.freeze().await?;
    streamed.seal(2).await?;
    hold(told.try_recv().is_err(), "one that was resumed is in the store", ())?;
    streamed.resume(2).await?;
    streamed.has("[1, True]").await?;
    streamed.subject.end().await
}

async fn stored_again() -> Verdict {
    let (mut streamed, mut told) = idle(MEBIBYTES).await?;
    let before = pack_bytes(&streamed)?;
    streamed
        .subject
        .run(None, "x = 2\nmore = random.randbytes(16 << 20)")
        .await?;
    until_stored(&mut told).await?;
    let added = pack_bytes(&streamed)? - before;
    hold(added >= 16 << 20, "what is new is there", added)?;
    hold(
        added < (MEBIBYTES as u64) << 20,
        "and what was there is not written again",
        added,
    )?;
    streamed.subject.freeze().await?;
    streamed.seal(1).await?;
    streamed.resume(1).await?;
    streamed.has("[2, True]").await?;
    streamed.subject.end().await
}

async fn never_paused() -> Verdict {
    let (streamed, mut told) = begin(1, NEVER).await?;
    until_stored(&mut told).await?;
    let left = streamed.left()?;
    hold(left.len() == 2, "a pack and a note are there", left)?;
    streamed.subject.sandbox.stop().await;
    streamed.has_left_nothing()
}

async fn interrupted() -> Verdict {
    let (mut streamed, mut told) = idle(1).await?;
    let before = pack_bytes(&streamed)?;
    streamed
        .subject
        .run(None, "heap = random.Random(7).randbytes(96 << 20)")
        .await?;
    until(|| Ok(pack_bytes(&streamed)? > before)).await?;
    streamed.subject.freeze().await?;
    hold(told.try_recv().is_err(), "it was not all stored", ())?;
    streamed.seal(1).await?;
    until(|| Ok(streamed.left()?.len() == 1)).await?;
    streamed.store.verify(&key(1)).await?;
    streamed.resume(1).await?;
    streamed.has("[1, True]").await?;
    streamed.subject.end().await
}

async fn called_off() -> Verdict {
    let (mut streamed, mut told) = idle(MEBIBYTES).await?;
    streamed.subject.freeze().await?;
    streamed.subject.sandbox.thaw().await?;
    let left = streamed.left()?;
    hold(left.is_empty(), "what the pause took is gone", left)?;
    until_stored(&mut told).await?;
    let before = pack_bytes(&streamed)?;
    hold(
        before >= (MEBIBYTES as u64) << 20,
        "all of its memory is there again",
        before,
    )?;
    seal_what_changed(&streamed).await?;
    streamed.resume(1).await?;
    streamed.has("[1, True]").await?;
    streamed.subject.end().await
}
