//! What is claimed of a pause whose images a store takes while CRIU writes them: by the CRIU engine alone.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use libtest_mimic::{Failed, Trial};
use torpor_runtime::{CheckpointKey, CheckpointStore, CriuConfig, CriuEngine, Engine, StoreError, chain};

use crate::bench::{Bench, Subject, Verdict, hold, until};
use crate::{LIMIT, container, criu_config, run, unless};

/// Where a small disk is mounted.
const SMALL_DISK: &str = "/small";
/// More than fits on it.
const TOO_LARGE: usize = 96;

pub(crate) fn trials(unfit: Option<&str>) -> Vec<Trial> {
    let trial = |name: &str, check: fn() -> Verdict| unless(unfit, Trial::test(format!("criu::{name}"), check));
    vec![
        trial("a_store_has_the_memory_when_everything_stands", || run(taken())),
        trial("a_pause_that_is_called_off_leaves_nothing_in_the_store", || {
            run(called_off())
        }),
        trial("a_dump_that_fails_half_way_leaves_nothing_in_the_store", || {
            run(fails_half_way())
        }),
        trial(
            "a_disk_that_is_full_half_way_fails_the_seal_and_the_sandbox_goes_on",
            || run(full()),
        ),
        trial(
            "what_could_not_be_sealed_is_written_down_once_more",
            || run(once_more()),
        ),
    ]
}

/// A sandbox whose store takes what is written down.
pub(crate) struct Streamed {
    pub(crate) store: CheckpointStore,
    folder: PathBuf,
    engine: Arc<dyn Engine>,
    bench: Bench,
    pub(crate) subject: Subject,
}

pub(crate) fn key(generation: u64) -> CheckpointKey {
    CheckpointKey {
        sandbox_uid: "streamed".to_owned(),
        generation,
    }
}

impl Streamed {
    /// With a heap of so many mebibytes, which differ.
    pub(crate) async fn start(disk: &str, mebibytes: usize, config: CriuConfig) -> Result<Self, Failed> {
        let folder = Path::new(disk).join("store");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        let store = CheckpointStore::open(&format!("file://{}", folder.display()))?;
        let engine: Arc<dyn Engine> = Arc::new(CriuEngine::new(config));
        let bench = Bench::new(Arc::clone(&engine), LIMIT).with_intake(store.intake("streamed"));
        let subject = bench.start(None).await?;
        let code = format!("import random\nheap = random.Random(7).randbytes({mebibytes} << 20)\nx = 1");
        subject.run(None, &code).await?;
        Ok(Self {
            store,
            folder,
            engine,
            bench,
            subject,
        })
    }

    pub(crate) async fn seal(&self, generation: u64) -> Result<torpor_api::CheckpointRecord, Failed> {
        let payload = self.subject.sandbox.checkpoint().await.map_err(|error| chain(&error))?;
        let sealed = self.store.seal(&key(generation), &self.engine.version(), payload).await;
        Ok(sealed.map_err(|error| chain(&error))?)
    }

    /// Ends what runs, and brings a checkpoint back.
    pub(crate) async fn resume(&mut self, generation: u64) -> Verdict {
        self.subject.sandbox.stop().await;
        let reader = self.store.reader(&key(generation), &self.engine.version()).await?;
        self.subject = self.bench.restore(reader).await?;
        let restored = self.subject.sandbox.restored().await;
        Ok(restored.map_err(|error| chain(&error))?)
    }

    pub(crate) async fn has(&self, expected: &str) -> Verdict {
        let code = "import random\n[x, heap == random.Random(7).randbytes(len(heap))]";
        let seen = self.subject.value(code).await?;
        hold(seen == expected, "the memory is as it was", seen)
    }

    /// The packs and notes of the store, finished or not.
    pub(crate) fn left(&self) -> Result<Vec<PathBuf>, Failed> {
        let mut left = Vec::new();
        for folder in ["packs", "attempts"] {
            let folder = self.folder.join("streamed").join(folder);
            if folder.exists() {
                for entry in fs::read_dir(folder)? {
                    left.push(entry?.path());
                }
            }
        }
        Ok(left)
    }

    pub(crate) fn has_left_nothing(&self) -> Verdict {
        let left = self.left()?;
        hold(left.is_empty(), "nothing is left in the store", left)
    }
}

async fn taken() -> Verdict {
    let mut streamed = Streamed::start(container::VOLUME, 24, criu_config()).await?;
    streamed.subject.freeze().await?;
    let packs = streamed.left()?;
    hold(packs.len() == 2, "a pack and a note are there before the seal", packs)?;
    let payload = streamed.subject.sandbox.checkpoint().await?;
    let read = payload.into_bytes().map(|bytes| bytes.len());
    hold(read.is_err(), "the memory is in the store and nowhere else", read)?;
    streamed.seal(1).await?;
    streamed.store.verify(&key(1)).await?;
    streamed.resume(1).await?;
    streamed.has("[1, True]").await?;
    streamed.subject.run(None, "x = 2").await?;
    streamed.subject.freeze().await?;
    let record = streamed.seal(2).await?;
    let shared = record.stored_bytes < record.size_bytes / 2;
    hold(shared, "a second pause shares with the first", record)?;
    streamed.resume(2).await?;
    streamed.has("[2, True]").await?;
    // Most of it changes: what is left of the first packs is not worth keeping them.
    streamed
        .subject
        .run(None, "x = 3\nheap = heap[:4 << 20]\nmore = random.randbytes(64 << 20)")
        .await?;
    streamed.subject.freeze().await?;
    streamed.seal(3).await?;
    streamed.store.remove_older_than("streamed", 3).await?;
    streamed.resume(3).await?;
    streamed.has("[3, True]").await?;
    streamed.subject.end().await
}

async fn called_off() -> Verdict {
    let mut streamed = Streamed::start(container::VOLUME, 8, criu_config()).await?;
    for _ in 0..2 {
        streamed.subject.freeze().await?;
        streamed.subject.sandbox.thaw().await?;
        streamed.has_left_nothing()?;
    }
    streamed.has("[1, True]").await?;
    streamed.subject.freeze().await?;
    streamed.seal(1).await?;
    streamed.resume(1).await?;
    streamed.has("[1, True]").await?;
    streamed.subject.freeze().await?;
    streamed.subject.sandbox.stop().await;
    let left = streamed.left()?;
    hold(left.len() == 1, "the pack of the checkpoint alone is left", left)
}

/// A CRIU that fails when all is written, as long as a file is there.
fn failing(folder: &Path) -> Result<(CriuConfig, PathBuf), Failed> {
    let (fails, program, hook) = (folder.join("fails"), folder.join("criu"), folder.join("hook"));
    let hook_text = format!(
        "#!/bin/sh\n[ \"$CRTOOLS_SCRIPT_ACTION\" != post-dump ] || [ ! -e {} ]\n",
        fails.display()
    );
    let program_text = format!(
        "#!/bin/sh\n[ \"$1\" != dump ] || exec criu \"$@\" --action-script {}\nexec criu \"$@\"\n",
        hook.display()
    );
    for (path, text) in [(&program, program_text), (&hook, hook_text)] {
        fs::write(path, text)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    }
    let config = CriuConfig {
        criu: program,
        ..criu_config()
    };
    Ok((config, fails))
}

async fn fails_half_way() -> Verdict {
    let folder = tempfile::tempdir()?;
    let (config, fails) = failing(folder.path())?;
    let mut streamed = Streamed::start(container::VOLUME, 8, config).await?;
    fs::write(&fails, "")?;
    let refused = streamed.subject.sandbox.freeze(LIMIT).await;
    let said = refused.as_ref().err().map(|error| chain(error)).unwrap_or_default();
    hold(
        said.contains("criu dump"),
        "the freeze fails with what CRIU says",
        &said,
    )?;
    streamed.has_left_nothing()?;
    streamed.has("[1, True]").await?;
    fs::remove_file(&fails)?;
    streamed.subject.freeze().await?;
    streamed.seal(1).await?;
    streamed.resume(1).await?;
    streamed.has("[1, True]").await?;
    streamed.subject.end().await
}

async fn full() -> Verdict {
    let mut streamed = Streamed::start(SMALL_DISK, TOO_LARGE, criu_config()).await?;
    // Now, since a file system that is there when a sandbox starts is the sandbox's.
    let disk = streamed.folder.display().to_string();
    system("mount", &["-t", "tmpfs", "-o", "size=64m", "small", &disk])?;
    streamed.subject.freeze().await?;
    let refused = streamed.seal(1).await.err();
    let said = refused
        .and_then(|failed| failed.message().map(str::to_owned))
        .unwrap_or_default();
    hold(
        said.contains("write the chunks"),
        "the seal says that nothing could be written",
        &said,
    )?;
    streamed.subject.sandbox.thaw().await?;
    streamed.has_left_nothing()?;
    streamed.has("[1, True]").await?;
    streamed.subject.run(None, "heap = heap[:1 << 20]").await?;
    streamed.subject.freeze().await?;
    streamed.seal(1).await?;
    streamed.resume(1).await?;
    streamed.has("[1, True]").await?;
    streamed.subject.sandbox.stop().await;
    // Whoever read or stored for the sandbox closes its files in its own time.
    until(|| Ok(system("umount", &[&disk]).is_ok())).await
}

fn system(program: &str, arguments: &[&str]) -> Verdict {
    let output = Command::new(program).args(arguments).output()?;
    hold(
        output.status.success(),
        "the system does it",
        String::from_utf8_lossy(&output.stderr),
    )
}

async fn once_more() -> Verdict {
    let mut streamed = Streamed::start(container::VOLUME, 8, criu_config()).await?;
    streamed.subject.freeze().await?;
    let payload = streamed.subject.sandbox.checkpoint().await?;
    let other = CheckpointStore::open("memory://")?;
    let refused = other.seal(&key(1), &streamed.engine.version(), payload).await;
    let spent = matches!(refused, Err(StoreError::Spent { .. }));
    hold(spent, "what one store took is of no use to another", refused)?;
    streamed.has_left_nothing()?;
    streamed.seal(1).await?;
    streamed.resume(1).await?;
    streamed.has("[1, True]").await?;
    streamed.subject.end().await
}
