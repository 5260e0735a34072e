//! Mistakes of an engine, or of the store below it, in what is brought back.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use futures::FutureExt as _;
use futures::future::{BoxFuture, ready};
use jiff::SignedDuration;
use tokio::sync::mpsc::unbounded_channel;
use tokio_util::sync::CancellationToken;
use torpor_runtime::{Clock, Engine, ExecutionSink, MontyEngine, Sandbox};

use super::engine::{CalledOff, Mistaken, Past, Restored, Spoil};
use super::{Around, Culprit, Fault, Hooks};

const fn engine(name: &'static str, does: &'static str, install: fn() -> Hooks) -> Fault {
    Fault::new(name, Culprit::Engine, does, install)
}

pub(super) const FAULTS: &[Fault] = &[
    engine(
        "memory-lost-at-restore",
        "brings the files back, and an interpreter that knows nothing",
        || restored(Restored::Asked, Some(memory_lost)),
    )
    .breaks(
        &["CTX-01", "CTX-06"],
        &[
            "interpreter-state-survives@e2b",
            "every-write-of-five-cycles-survives@e2b",
            "values-survive-by-the-adapter",
            "acknowledged-writes-survive-by-the-adapter",
        ],
    )
    .touches(&["CTX-10", "CTX-12"])
    .spares(&["files-survive@e2b", "file-attributes-survive"]),
    engine(
        "files-lost-at-restore",
        "brings the interpreter back, and no files",
        || restored(Restored::Asked, Some(files_lost)),
    )
    .breaks(
        &["CTX-02", "CTX-06"],
        &[
            "files-survive@e2b",
            "files-survive@kubernetes",
            "every-write-of-five-cycles-survives@e2b",
        ],
    )
    .spares(&["interpreter-state-survives@e2b", "open-contexts-survive"]),
    engine("extra-contexts-lost", "brings back the default context only", || {
        restored(Restored::Asked, Some(extra_contexts_lost))
    })
    .breaks(&["CTX-01"], &["open-contexts-survive"])
    .spares(&["interpreter-state-survives@e2b", "files-survive@e2b"]),
    engine(
        "mtimes-reset-at-restore",
        "brings files back as if they had been written just now",
        || restored(Restored::Asked, Some(mtimes_reset)),
    )
    .breaks(&["CTX-02"], &["file-attributes-survive"])
    .spares(&["files-survive@e2b"]),
    engine("empty-files-dropped", "writes down no empty files", || {
        restored(Restored::Asked, Some(empty_files_dropped))
    })
    .breaks(&["CTX-02"], &["files-survive@e2b"])
    .spares(&["file-attributes-survive"]),
    engine(
        "deleted-files-return",
        "brings back files that were deleted since an earlier checkpoint",
        || restored(Restored::Asked, Some(deleted_files_return)),
    )
    .breaks(&["CTX-02", "CTX-06"], &["a-file-deleted-after-a-resume-stays-deleted"])
    .spares(&["files-survive@e2b", "interpreter-state-survives@e2b"]),
    engine(
        "files-return-as-they-first-were",
        "brings files back as the first checkpoint held them",
        || restored(Restored::Asked, Some(first_files_return)),
    )
    .breaks(
        &["CTX-02", "CTX-06"],
        &[
            "file-overwritten-after-a-resume-wins@e2b",
            "file-overwritten-after-a-resume-wins@kubernetes",
            "files-survive-by-the-adapter",
            "acknowledged-writes-survive-by-the-adapter",
        ],
    )
    .spares(&["files-survive@e2b", "a-file-deleted-after-a-resume-stays-deleted"]),
    engine(
        "wall-clock-behind-after-restore",
        "brings a sandbox back whose wall clock is a minute behind",
        || Hooks {
            engine: Some(Arc::new(|inner| {
                let behind = MontyEngine::new(late_clock());
                Arc::new(Mistaken::new(inner, Restored::Asked, None).restoring_by(Arc::new(behind)))
            })),
            ..Hooks::default()
        },
    )
    .breaks(&["CTX-04"], &["clocks-go-on"])
    .spares(&["interpreter-state-survives@e2b", "what-was-under-way-ends-once"]),
    engine(
        "called-off-pause-loses-memory",
        "lets a sandbox run on with an empty memory when its pause is called off",
        || Hooks {
            engine: Some(Arc::new(|inner| {
                Arc::new(Mistaken::new(inner, Restored::Asked, None).calling_off(CalledOff {
                    delay: Duration::from_millis(500),
                    spoil: memory_lost,
                }))
            })),
            ..Hooks::default()
        },
    )
    .breaks(&["FSM-03", "CTX-01"], &["racing-toggles-converge"])
    .touches(&["FSM-06"])
    .spares(&["interpreter-state-survives@e2b", "toggles-converge"]),
    engine(
        "last-call-replayed",
        "executes the latest code again at every restore",
        || restored(Restored::Asked, Some(last_call_replayed)),
    )
    .breaks(
        &["CTX-04", "CTX-06"],
        &["what-was-under-way-ends-once", "acknowledged-commands-survive@e2b"],
    )
    .touches(&["CTX"])
    .spares(&["files-survive@e2b"]),
    engine(
        "program-starts-over",
        "starts the sandbox's own program again at every restore",
        || restored(Restored::ProgramAnew, None),
    )
    .breaks(&["CTX-03", "CTX-08"], &["program-goes-on"])
    .spares(&["interpreter-state-survives@e2b", "files-survive@e2b"]),
    Fault::new(
        "writes-lost-from-second-resume",
        Culprit::Store,
        "restores what the first checkpoint held, from the second resume on",
        || restored(Restored::First, None),
    )
    .breaks(&["CTX-06"], &["every-write-of-five-cycles-survives@e2b"])
    .spares(&["interpreter-state-survives@e2b", "files-survive@e2b"]),
    Fault::new(
        "checkpoints-mixed-up",
        Culprit::Store,
        "restores the checkpoint that was written last, whoever's it is",
        || restored(Restored::LastOfAnybody, None),
    )
    .breaks(
        &["CTX-12"],
        &[
            "neighbours-keep-their-own-context",
            "two-sandboxes-are-apart@e2b",
            "two-sandboxes-are-apart@kubernetes",
        ],
    )
    .spreads(),
];

pub(super) fn restored(payload: Restored, spoil: Option<Spoil>) -> Hooks {
    Hooks {
        engine: Some(Arc::new(move |inner| Arc::new(Mistaken::new(inner, payload, spoil)))),
        ..Hooks::default()
    }
}

/// An engine that spoils as `spoil` does, and marks the checkpoint that follows when `mark` is set.
pub(super) fn marking(mark: Arc<AtomicBool>, spoil: Spoil) -> Around<dyn Engine> {
    Arc::new(move |inner| Arc::new(Mistaken::new(inner, Restored::Asked, Some(spoil)).marking(Arc::clone(&mark))))
}

/// Every regular file below a directory, with its path from there.
pub(super) fn each_file(root: &Path, visit: &mut dyn FnMut(String, &Path)) {
    each_entry(root, root, &mut |path, file| {
        if fs::symlink_metadata(file).is_ok_and(|found| found.is_file()) {
            visit(path, file);
        }
    });
}

/// Everything below a directory, children before parents.
fn each_entry(root: &Path, folder: &Path, visit: &mut dyn FnMut(String, &Path)) {
    // What cannot be read is left as it is: the mistake is elsewhere.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            each_entry(root, &path, visit);
        }
        if let Ok(relative) = path.strip_prefix(root) {
            visit(relative.display().to_string(), &path);
        }
    }
}

fn memory_lost(sandbox: Arc<dyn Sandbox>, _: Past) -> BoxFuture<'static, ()> {
    async move {
        for context in sandbox.interpreter().contexts().await.unwrap_or_default() {
            // One that cannot be emptied is kept by mistake of the mistake; the case then says so.
            let _ = sandbox.interpreter().restart_context(context.id).await;
        }
    }
    .boxed()
}

pub(super) fn memory_lost_if_marked(sandbox: Arc<dyn Sandbox>, past: Past) -> BoxFuture<'static, ()> {
    if past.marked {
        memory_lost(sandbox, past)
    } else {
        ready(()).boxed()
    }
}

fn extra_contexts_lost(sandbox: Arc<dyn Sandbox>, _: Past) -> BoxFuture<'static, ()> {
    async move {
        for context in sandbox
            .interpreter()
            .contexts()
            .await
            .unwrap_or_default()
            .into_iter()
            .skip(1)
        {
            let _ = sandbox.interpreter().remove_context(context.id).await;
        }
    }
    .boxed()
}

fn files_lost(sandbox: Arc<dyn Sandbox>, _: Past) -> BoxFuture<'static, ()> {
    async move {
        each_file(sandbox.root(), &mut |_, file| {
            let _ = fs::remove_file(file);
        });
    }
    .boxed()
}

fn empty_files_dropped(sandbox: Arc<dyn Sandbox>, _: Past) -> BoxFuture<'static, ()> {
    async move {
        each_file(sandbox.root(), &mut |_, file| {
            if fs::metadata(file).is_ok_and(|found| found.len() == 0) {
                let _ = fs::remove_file(file);
            }
        });
    }
    .boxed()
}

fn mtimes_reset(sandbox: Arc<dyn Sandbox>, _: Past) -> BoxFuture<'static, ()> {
    async move {
        let root = sandbox.root();
        each_entry(root, root, &mut |_, path| {
            let _ = File::open(path).and_then(|file| file.set_modified(SystemTime::now()));
        });
    }
    .boxed()
}

fn first_files_return(sandbox: Arc<dyn Sandbox>, past: Past) -> BoxFuture<'static, ()> {
    async move {
        for (path, content) in past.first_files {
            let file = sandbox.root().join(path);
            if file.exists() {
                let _ = fs::write(file, content);
            }
        }
    }
    .boxed()
}

/// The clocks of this machine, of which one is wrong.
fn late_clock() -> Clock {
    let right = Clock::system();
    let monotonic = right.clone();
    Clock::new(
        move || right.now() - SignedDuration::from_mins(1),
        move || monotonic.monotonic(),
    )
}

fn deleted_files_return(sandbox: Arc<dyn Sandbox>, past: Past) -> BoxFuture<'static, ()> {
    async move {
        for (path, content) in past.files {
            let file = sandbox.root().join(path);
            if !file.exists() {
                let _ = file.parent().map(fs::create_dir_all);
                let _ = fs::write(file, content);
            }
        }
    }
    .boxed()
}

fn last_call_replayed(sandbox: Arc<dyn Sandbox>, past: Past) -> BoxFuture<'static, ()> {
    async move {
        let Some((context, code)) = past.last_call else { return };
        let (events, _) = unbounded_channel();
        let nobody = ExecutionSink {
            events,
            interrupt: CancellationToken::new(),
        };
        let _ = sandbox
            .interpreter()
            .execute(context, code, BTreeMap::new(), nobody)
            .await;
    }
    .boxed()
}
