//! Mistakes in which checkpoint is brought back, or in what one takes over from the one before. They show only where
//! commands are many and of many kinds, and what is there is compared with all that were acknowledged.

use std::fs;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use torpor_runtime::Sandbox;

use super::by_engine::restored;
use super::engine::{Past, Restored};
use super::{Culprit, Fault};

pub(super) const FAULTS: &[Fault] = &[
    Fault::new(
        "file-growth-lost-from-second-resume",
        Culprit::Store,
        "takes a file for unchanged that begins as the checkpoint before held it, and so loses what was added",
        || restored(Restored::Asked, Some(growth_lost)),
    )
    .breaks(
        &["CTX-02", "CTX-06"],
        &[
            "acknowledged-commands-survive@e2b",
            "acknowledged-commands-survive@kubernetes",
        ],
    )
    .spares(&[
        "file-overwritten-after-a-resume-wins@e2b",
        "every-write-of-five-cycles-survives@e2b",
    ]),
    Fault::new(
        "idle-pause-restores-an-older-one",
        Culprit::Store,
        "after a pause before which nothing was done, restores what was there before the work that was done last",
        || restored(Restored::EarlierIfIdle, None),
    )
    .breaks(
        &["CTX-01", "CTX-06"],
        &[
            "acknowledged-commands-survive@e2b",
            "acknowledged-commands-survive@kubernetes",
        ],
    )
    .spares(&["every-write-of-five-cycles-survives@e2b", "toggles-converge"]),
    Fault::new(
        "busy-pause-restores-the-one-before",
        Culprit::Engine,
        "restores the checkpoint before if code was under way at the pause",
        || restored(Restored::EarlierIfBusy, None),
    )
    .breaks(
        &["CTX-04", "CTX-06"],
        &["acknowledged-commands-survive-a-pause-among-them"],
    )
    .spares(&[
        "what-was-under-way-ends-once",
        "every-write-of-five-cycles-survives@e2b",
        "acknowledged-commands-survive@e2b",
    ]),
];

fn growth_lost(sandbox: Arc<dyn Sandbox>, past: Past) -> BoxFuture<'static, ()> {
    async move {
        for (path, earlier) in past.earlier_files {
            let file = sandbox.root().join(path);
            let grown = fs::read(&file).is_ok_and(|now| now.len() > earlier.len() && now.starts_with(&earlier));
            // An empty file says nothing of how one begins.
            if grown && !earlier.is_empty() {
                let _ = fs::write(file, earlier);
            }
        }
    }
    .boxed()
}
