//! What is claimed of a restore that runs processes before their memory is there: by the CRIU engine alone.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::FutureExt;
use libtest_mimic::{Failed, Trial};
use rustix::process::{Pid, Signal, kill_process};
use torpor_runtime::{CheckpointKey, CheckpointStore, CriuConfig, CriuEngine, Engine, SandboxError, Step, Steps};

use crate::bench::{Bench, Subject, Verdict, hold};
use crate::{LIMIT, container, criu_config, run, unless};

/// Memory that differs from page to page, and takes a while to come.
const MEBIBYTES: usize = 96;

pub(crate) fn trials(unfit: Option<&str>) -> Vec<Trial> {
    let trial = |name: &str, check: fn() -> Verdict| unless(unfit, Trial::test(format!("criu::{name}"), check));
    vec![
        trial("memory_that_comes_later_is_the_same_memory", || run(comes_later())),
        trial("a_fork_before_the_memory_is_there_has_it_as_well", || run(forks())),
        trial(
            "memory_that_is_moved_given_back_or_new_meanwhile_is_as_it_would_be",
            || run(changes()),
        ),
        trial("memory_that_moves_while_it_comes_is_the_same_memory", || run(moves())),
        trial(
            "a_chunk_that_is_damaged_ends_the_restore_and_not_the_checkpoint",
            || run(damaged()),
        ),
        trial("a_sandbox_stopped_half_way_leaves_nothing", || run(stopped())),
        trial("a_restore_that_nobody_waits_for_any_more_leaves_nothing", || {
            run(unwanted())
        }),
        trial("a_sandbox_that_cannot_be_reached_leaves_nothing", || run(unreached())),
        trial("a_criu_that_is_killed_half_way_leaves_nothing", || run(half_way())),
    ]
}

/// A sealed checkpoint of a sandbox with a large memory, and an engine that restores it lazily.
struct Paused {
    bench: Bench,
    store: CheckpointStore,
    directory: tempfile::TempDir,
    engine: Arc<dyn Engine>,
    digest: String,
}

fn key() -> CheckpointKey {
    CheckpointKey {
        sandbox_uid: "lazy".to_owned(),
        generation: 1,
    }
}

fn lazy_engine(steps: Steps) -> Arc<dyn Engine> {
    Arc::new(CriuEngine::new(CriuConfig {
        lazy_from_bytes: 0,
        steps,
        ..criu_config()
    }))
}

/// Reads every page.
const DIGEST: &str = "import hashlib\nhashlib.sha256(heap).hexdigest()";

async fn paused() -> Result<Paused, Failed> {
    paused_with("").await
}

/// After some more code.
async fn paused_with(more: &str) -> Result<Paused, Failed> {
    let engine = lazy_engine(Steps::default());
    let bench = Bench::new(Arc::clone(&engine), LIMIT);
    let subject = bench.start(None).await?;
    let code = format!(
        "import hashlib\nheap = bytearray()\n\
         for n in range({MEBIBYTES}):\n    heap += hashlib.shake_128(b'%d' % n).digest(512 << 10) + bytes([n % 251]) * (512 << 10)"
    );
    subject.run(None, &code).await?;
    subject.run(None, more).await?;
    let digest = subject.value(DIGEST).await?;
    subject.freeze().await?;
    let directory = tempfile::tempdir()?;
    let store = CheckpointStore::open(&format!("file://{}", directory.path().display()))?;
    let payload = subject.sandbox.checkpoint().await?;
    store.seal(&key(), &engine.version(), payload).await?;
    subject.sandbox.stop().await;
    Ok(Paused {
        bench,
        store,
        directory,
        engine,
        digest,
    })
}

impl Paused {
    async fn resume(&self) -> Result<Subject, Failed> {
        let reader = self.store.reader(&key(), &self.engine.version()).await?;
        self.bench.restore(reader).await
    }

    /// What a resume gives of which `listener` is told every step.
    async fn resume_told(&self, listener: impl Fn(Step) + Send + Sync + 'static) -> Result<Subject, Failed> {
        let reader = self.store.reader(&key(), &self.engine.version()).await?;
        let bench = Bench::new(lazy_engine(Steps::told_to(listener)), LIMIT);
        bench.restore(reader).await
    }

    /// It can be resumed, and has all of its memory.
    async fn is_whole(&self) -> Verdict {
        let subject = self.resume().await?;
        subject.sandbox.restored().await?;
        let digest = subject.value(DIGEST).await?;
        hold(digest == self.digest, "the memory is as it was", digest)?;
        subject.end().await
    }
}

async fn comes_later() -> Verdict {
    let paused = paused().await?;
    let subject = paused.resume().await?;
    hold(is_incomplete(&subject), "memory is still coming when it answers", ())?;
    let told = subject.sandbox.freeze(Duration::ZERO).await;
    let is_told = matches!(told, Err(SandboxError::Incomplete(_)));
    hold(is_told, "a pause that cannot wait for it says so", told)?;
    let digest = subject.value(DIGEST).await?;
    hold(digest == paused.digest, "every page is as it was", digest)?;
    subject.sandbox.restored().await?;
    let payload = paused.bench.pause(subject, &[]).await?;
    let again = paused.bench.restore(payload).await?;
    let digest = again.value(DIGEST).await?;
    hold(digest == paused.digest, "a second pause has it as well", digest)?;
    again.end().await
}

async fn forks() -> Verdict {
    let paused = paused().await?;
    let subject = paused.resume().await?;
    let code = "import os, warnings\nwarnings.simplefilter('ignore')\nr, w = os.pipe()\npid = os.fork()\nif pid == 0:\n    \
                os.write(w, hashlib.sha256(heap).hexdigest().encode())\n    os._exit(0)\n\
                os.waitpid(pid, 0)\nos.read(r, 64).decode()";
    let digest = subject.value(code).await?;
    hold(digest == paused.digest, "the child reads what its parent would", digest)?;
    subject.sandbox.restored().await?;
    subject.end().await
}

async fn changes() -> Verdict {
    let paused = paused_with(
        "import mmap, hashlib\n\
         def content(n):\n    return hashlib.shake_128(b'area %d' % n).digest(1 << 20)\n\
         area = mmap.mmap(-1, 64 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\n\
         for n in range(64):\n    area[n << 20:(n + 1) << 20] = content(n)",
    )
    .await?;
    let subject = paused.resume().await?;
    hold(is_incomplete(&subject), "memory is still coming", ())?;
    let code = "area.madvise(mmap.MADV_DONTNEED, 40 << 20, 8 << 20)\n\
                area.resize(80 << 20)\n\
                new = bytearray(32 << 20)\n\
                wrong = [n for n in range(64) if area[n << 20:(n + 1) << 20] != (bytes(1 << 20) if 40 <= n < 48 else content(n))]\n\
                (wrong, area[64 << 20:] == bytes(16 << 20), new == bytes(32 << 20))";
    let told = subject.value(code).await?;
    hold(told == "([], True, True)", "each page is what it would be", told)?;
    subject.sandbox.restored().await?;
    let digest = subject.value(DIGEST).await?;
    hold(digest == paused.digest, "all others are as they were", digest)?;
    subject.end().await
}

/// Areas, of which four threads move every part to and fro, and look at a page of it after each time.
const PARTS: &str = "import ctypes, hashlib, threading\n\
                     PAGE, PART, COUNT = 4096, 256 << 10, 256\n\
                     libc = ctypes.CDLL(None)\n\
                     P, N, I = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int\n\
                     libc.mmap.restype, libc.mmap.argtypes = P, [P, N, I, I, I, N]\n\
                     libc.mremap.restype, libc.mremap.argtypes = P, [P, N, N, I, P]\n\
                     def area():\n    return libc.mmap(None, PART * COUNT, 3, 0x22, -1, 0)\n\
                     def content(part, page, length=PAGE):\n    return hashlib.shake_128(b'%d.%d' % (part, page)).digest(length)\n\
                     one, other = area(), area()\n\
                     places = [(one + n * PART, other + n * PART) for n in range(COUNT)]\n\
                     for n in range(COUNT):\n    \
                     for k in range(PART // PAGE):\n        \
                     ctypes.memmove(places[n][0] + k * PAGE, content(n, k), PAGE)\n\
                     wrong = []\n\
                     def move(thread):\n    \
                     for turn in range(12):\n        \
                     for n in range(thread, COUNT, 4):\n            \
                     here, there = places[n]\n            \
                     moved = libc.mremap(here, PART, PART, 3, there)\n            \
                     k = (n * 7 + turn * 11) % (PART // PAGE)\n            \
                     if moved != there or ctypes.string_at(there + k * PAGE, 8) != content(n, k, 8):\n                \
                     wrong.append((n, k, turn))\n            \
                     places[n] = there, here";

async fn moves() -> Verdict {
    let paused = paused_with(PARTS).await?;
    let subject = paused.resume().await?;
    hold(is_incomplete(&subject), "memory is still coming", ())?;
    let code = "threads = [threading.Thread(target=move, args=(n,)) for n in range(4)]\n\
                for thread in threads: thread.start()\n\
                for thread in threads: thread.join()\n\
                wrong += [n for n in range(COUNT) for k in range(PART // PAGE)\n         \
                if ctypes.string_at(places[n][0] + k * PAGE, PAGE) != content(n, k)]\n\
                wrong";
    let told = subject.value(code).await?;
    hold(told == "[]", "each page is where it was moved to", told)?;
    subject.sandbox.restored().await?;
    let digest = subject.value(DIGEST).await?;
    hold(digest == paused.digest, "all others are as they were", digest)?;
    subject.end().await
}

async fn damaged() -> Verdict {
    let paused = paused().await?;
    let pack = only_pack(paused.directory.path())?;
    let file = OpenOptions::new().read(true).write(true).open(&pack)?;
    // Chunks lie in a pack in the order in which cores came to them: what is needed first is refused at once.
    for eighth in [6, 4, 7, 5, 3, 2] {
        let at = file.metadata()?.len() * eighth / 8;
        let mut byte = [0];
        file.read_exact_at(&mut byte, at)?;
        file.write_all_at(&[byte[0] ^ 1], at)?;
        let resumed = paused.resume().await;
        let came = resumed.is_ok();
        match resumed {
            Ok(subject) => ends_loudly(subject, "chunk").await?,
            Err(refused) => {
                let said = refused.message().unwrap_or_default();
                hold(said.contains("chunk"), "it says what failed", said)?;
                container::end_all_others()?;
            }
        }
        file.write_all_at(&byte, at)?;
        if came {
            return paused.is_whole().await;
        }
    }
    Err("no part of the pack is memory that comes later".into())
}

async fn stopped() -> Verdict {
    let paused = paused().await?;
    let subject = paused.resume().await?;
    hold(is_incomplete(&subject), "memory is still coming", ())?;
    subject.sandbox.stop().await;
    let told = subject.sandbox.restored().await;
    let is_ended = matches!(told, Err(SandboxError::Ended));
    hold(
        is_ended,
        "whoever waits for the rest is told that it is not wanted",
        told,
    )?;
    hold(others()?.is_empty(), "nothing runs any more", others()?)?;
    paused.is_whole().await
}

async fn unwanted() -> Verdict {
    // A CRIU that was let go of as the runtime before ended may never be taken in.
    let before = other_pids()?;
    let paused = Arc::new(paused().await?);
    for step in [Step::MemoryLaidOut, Step::Restored] {
        let (reached, mut reach) = tokio::sync::mpsc::unbounded_channel();
        let (go_on, held_up) = std::sync::mpsc::channel::<()>();
        let held_up = Mutex::new(held_up);
        let listener = move |done| {
            if done == step && reached.send(()).is_ok() {
                let _ = held_up.lock().map(|held_up| held_up.recv());
            }
        };
        let resuming = Arc::clone(&paused);
        let resume = tokio::spawn(async move { resuming.resume_told(listener).await.is_ok() });
        reach.recv().await.ok_or("the resume ends before")?;
        resume.abort();
        go_on.send(())?;
        hold(resume.await.is_err(), "nobody waits for it", step)?;
        nothing_runs_but(&before).await?;
    }
    paused.is_whole().await
}

async fn unreached() -> Verdict {
    let paused = paused().await?;
    let socket = criu_config().socket;
    let resumed = paused.resume_told(move |done| {
        if done == Step::Restored {
            // Without it nobody reaches a sandbox that runs.
            let _ = fs::remove_file(&socket);
        }
    });
    hold(resumed.await.is_err(), "the resume fails", ())?;
    hold(others()?.is_empty(), "nothing runs any more", others()?)?;
    paused.is_whole().await
}

async fn half_way() -> Verdict {
    let paused = paused().await?;
    // It is a matter of milliseconds.
    for _ in 0..10 {
        let criu = AtomicI32::new(0);
        let resumed = paused.resume_told(move |done| {
            if done == Step::FilesLaidOut {
                criu.store(only_criu(), Ordering::Relaxed);
            } else if done == Step::MemoryLaidOut {
                kill_when_it_has_made_a_process(criu.load(Ordering::Relaxed));
            }
        });
        let Ok(subject) = resumed.await else {
            hold(others()?.is_empty(), "nothing runs any more", others()?)?;
            return paused.is_whole().await;
        };
        subject.end().await?;
    }
    Err("CRIU has always ended before".into())
}

/// What CRIU makes is called as it is at first.
fn pids_of_criu() -> Vec<i32> {
    let others = others().unwrap_or_default().into_iter();
    let criu = others.filter(|(_, command)| command.starts_with("criu"));
    criu.map(|(pid, _)| pid).collect()
}

/// The pid of a CRIU that is held up before it makes anything; 0 if it does not come.
fn only_criu() -> i32 {
    let begun = Instant::now();
    let mut looks = std::iter::repeat_with(pids_of_criu).take_while(|_| begun.elapsed() < LIMIT);
    looks.find_map(|pids| pids.first().copied()).unwrap_or_default()
}

fn kill_when_it_has_made_a_process(criu: i32) {
    let mut looks = std::iter::repeat_with(pids_of_criu).take_while(|pids| pids.contains(&criu));
    if looks.any(|pids| pids.len() > 1) {
        let _ = Pid::from_raw(criu).map(|criu| kill_process(criu, Signal::KILL));
    }
}

/// Everything of a sandbox that nobody waits for ends after a while, and its pids are free again.
async fn nothing_runs_but(before: &[i32]) -> Verdict {
    let begun = Instant::now();
    loop {
        let mut left = other_pids()?;
        left.retain(|pid| !before.contains(pid));
        if left.is_empty() || begun.elapsed() > LIMIT {
            return hold(left.is_empty(), "nothing runs any more", left);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The sandbox has ended with its processes, and says why.
async fn ends_loudly(subject: Subject, says: &str) -> Verdict {
    let told = subject.sandbox.restored().await;
    let reason = told.err().ok_or("it does not tell that its memory is lost")?;
    let reason = format!("{}", DisplayChain(&reason));
    hold(reason.contains(says), "it says what failed", &reason)?;
    hold(others()?.is_empty(), "nothing runs any more", others()?)?;
    subject.end().await
}

struct DisplayChain<'a>(&'a dyn std::error::Error);

impl std::fmt::Display for DisplayChain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        self.0
            .source()
            .map_or(Ok(()), |source| write!(f, ": {}", DisplayChain(source)))
    }
}

fn only_pack(store: &Path) -> Result<PathBuf, Failed> {
    let mut packs = fs::read_dir(store.join("lazy/packs"))?;
    Ok(packs.next().ok_or("there is no pack")??.path())
}

/// All other processes, those that have ended and were not taken in yet among them.
fn other_pids() -> Result<Vec<i32>, Failed> {
    let entries = fs::read_dir("/proc")?.flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(pids.filter(|pid| *pid != 1).collect())
}

/// The commands of all other processes that have not ended.
fn others() -> Result<Vec<(i32, String)>, Failed> {
    let command = |pid: i32| {
        let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        (!command.is_empty()).then(|| (pid, command.replace('\0', " ")))
    };
    Ok(other_pids()?.into_iter().filter_map(command).collect())
}

/// Whether memory is still coming.
fn is_incomplete(subject: &Subject) -> bool {
    subject.sandbox.restored().now_or_never().is_none()
}
