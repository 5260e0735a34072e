//! CRIU for the dumps of one sandbox, begun ahead of a pause.
//!
//! ```text
//!          prepare              dump
//!  Nobody ─────────▶ Waiting ─────────▶ Nobody
//! ```
//!
//! Left out: when it is worth having one that waits.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::command::{Criu, Sink, WaitingDump};
use super::error::CriuError;

/// Dumps the tree of one sandbox.
#[derive(Debug)]
pub(super) struct Dumper {
    criu: Criu,
    waiting: Mutex<Option<WaitingDump>>,
}

impl Dumper {
    pub(super) fn new(criu: Criu) -> Self {
        Self {
            criu,
            waiting: Mutex::new(None),
        }
    }

    /// Begins a CRIU that waits for the next dump. A dump does without if there is none.
    pub(super) fn prepare(&self) {
        match self.criu.begin_dump() {
            Ok(waiting) => *self.waiting() = Some(waiting),
            Err(error) => tracing::debug!(
                error = &error as &dyn std::error::Error,
                "begin a CRIU ahead of a pause"
            ),
        }
    }

    /// Writes the tree below `pid` to `images`, or to who listens there, and leaves it stopped. If it fails the tree
    /// goes on.
    pub(super) async fn dump(&self, pid: u32, images: &Path, sink: Sink) -> Result<(), CriuError> {
        let prepared = self.waiting().take().and_then(WaitingDump::unless_ended);
        let criu = prepared.map_or_else(|| self.criu.begin_dump(), Ok)?;
        criu.dump(pid, images, sink).await
    }

    fn waiting(&self) -> MutexGuard<'_, Option<WaitingDump>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;

    const STAND_IN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/criu/dumper/stand-in");

    struct Bed {
        directory: tempfile::TempDir,
        dumper: Dumper,
    }

    impl Bed {
        fn new() -> Self {
            let directory = tempfile::tempdir().expect("a directory");
            let program = directory.path().join("criu");
            // A program that was just written may be refused, as long as a child that begins has it open.
            symlink(STAND_IN, &program).expect("a link");
            fs::create_dir(directory.path().join("ima \"#ges")).expect("a directory");
            let dumper = Dumper::new(Criu::new(program));
            Self { directory, dumper }
        }

        fn images(&self) -> PathBuf {
            self.directory.path().join("ima \"#ges")
        }

        fn lines(&self, name: &str) -> Vec<String> {
            let text = fs::read_to_string(self.directory.path().join(name)).unwrap_or_default();
            text.lines().map(str::to_owned).collect()
        }

        /// Waits until so many have written a line there.
        async fn until(&self, name: &str, lines: usize) -> Vec<String> {
            loop {
                let found = self.lines(name);
                if found.len() >= lines {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }

        async fn dump(&self) {
            let images = self.images();
            self.dumper.dump(7, &images, Sink::Stream).await.expect("dumped");
            assert!(
                images.join("image").exists(),
                "it finds the images whatever their path is"
            );
        }
    }

    #[tokio::test]
    async fn a_criu_that_has_begun_is_told_nothing_before_the_dump_that_it_then_makes() {
        let bed = Bed::new();
        bed.dumper.prepare();
        bed.until("begun", 1).await;
        assert!(bed.lines("told").is_empty());
        bed.dump().await;
        assert_eq!(bed.lines("begun").len(), 1, "and no other one is begun");
        let told = bed.lines("told");
        assert!(
            told[0].starts_with("dump --config /proc/self/fd/0 images-dir /proc/"),
            "{told:?}"
        );
        for option in ["tree 7", "leave-stopped", "stream", "tcp-close"] {
            assert!(told.iter().any(|line| line == option), "{option} in {told:?}");
        }
    }

    #[tokio::test]
    async fn a_dump_begins_another_when_none_waits_or_the_one_that_waited_was_ended() {
        let bed = Bed::new();
        bed.dump().await;
        bed.dumper.prepare();
        let begun = bed.until("begun", 2).await;
        let pid = begun[1].parse().ok().and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.expect("a pid"), rustix::process::Signal::KILL).expect("killed");
        while !fs::read_to_string(format!("/proc/{}/stat", begun[1])).is_ok_and(|stat| stat.contains(") Z ")) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        bed.dump().await;
        assert_eq!(bed.lines("begun").len(), 3);
    }

    #[tokio::test]
    async fn whoever_is_let_go_of_is_told_nothing() {
        let bed = Bed::new();
        bed.dumper.prepare();
        bed.until("begun", 1).await;
        let Bed { directory, dumper } = bed;
        drop(dumper);
        let told = loop {
            if let Ok(told) = fs::read_to_string(directory.path().join("told")) {
                break told;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        };
        assert_eq!(told.trim(), "dump --config /proc/self/fd/0");
    }
}
