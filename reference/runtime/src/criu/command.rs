//! The `criu` command line.
//!
//! ```text
//!  begin ──▶ loaded, reads its options from a pipe ──told──▶ dumps or restores ──▶ ended
//! ```
//!
//! To load CRIU takes as long as a tenth of a dump of a small tree, so it is begun before it is needed, and its options
//! come by the file for them that its command line names: a pipe that it reads to the end.

use std::fs::File;
use std::io::{self, PipeWriter, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde::{Deserialize, Serialize};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::oneshot;

use super::beside::begin_beside;
use super::error::CriuError;

/// Unlinked files up to this size are kept.
const GHOST_LIMIT: &str = "1G";
/// Options of a dump and of a restore.
const ALWAYS: &str = "tcp-close\nfile-locks\nlink-remap\nmanage-cgroups=ignore\n";
const DUMP_LOG: &str = "dump.log";
const RESTORE_LOG: &str = "restore.log";
/// Where a CRIU that waits reads its options.
const TOLD: &str = "/proc/self/fd/0";
/// Where one that is told nothing finds nothing to restore.
const WITHOUT_IMAGES: &str = "/proc";
/// The oldest version with which memory that comes later was tried.
pub(super) const LAZY_NEEDED: Version = Version(4, 2, 0);
/// CRIU asks for more open files than it may have, calls it an error, and goes on.
const HARMLESS: &str = "Can't setup RLIMIT_NOFILE for self";
/// Lines of a log that an error repeats.
const ERROR_LINES: usize = 4;

/// A version of CRIU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Version(u32, u32, u32);

impl Version {
    /// The oldest that works on current kernels.
    pub(super) const NEEDED: Self = Self(4, 1, 1);
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// Where the images of a dump go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sink {
    /// To files in the directory for images.
    Files,
    /// To who listens in that directory.
    Stream,
}

/// Runs one CRIU program.
#[derive(Clone, Debug)]
pub(super) struct Criu {
    program: PathBuf,
}

impl Criu {
    pub(super) fn new(program: PathBuf) -> Self {
        Self { program }
    }

    /// The version, if it can do what is needed here.
    pub(super) async fn probe(&self) -> Result<Version, CriuError> {
        let output = self.run("--version").await?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = version(&printed).filter(|found| *found >= Version::NEEDED);
        let version = version.ok_or_else(|| CriuError::TooOld {
            found: printed.lines().next().unwrap_or_default().to_owned(),
            needed: Version::NEEDED.to_string(),
        })?;
        let check = self.run("check").await?;
        if check.status.success() {
            return Ok(version);
        }
        let message = errors_of(&String::from_utf8_lossy(&check.stderr));
        Err(CriuError::Check { message })
    }

    async fn run(&self, mode: &str) -> Result<Output, CriuError> {
        let output = Command::new(&self.program).arg(mode).stdin(Stdio::null()).output();
        output.await.map_err(self.not_run())
    }

    /// A CRIU that has begun, and waits to be told what to dump. Whoever lets go of it without a word ends it: it finds
    /// that it was not told what it needs.
    pub(super) fn begin_dump(&self) -> Result<WaitingDump, CriuError> {
        let process = self.waiting("dump").stdin(Stdio::piped()).spawn();
        Ok(WaitingDump {
            criu: self.clone(),
            process: process.map_err(self.not_run())?,
        })
    }

    /// A CRIU that begins beside whoever asks for it, and waits to be told what to restore. It is killed when it is let go of:
    /// over a tree that has been killed, which it may wait for.
    pub(super) fn begin_restore(&self) -> Result<WaitingRestore, CriuError> {
        let (told, input) = io::pipe().map_err(CriuError::init("make a pipe for"))?;
        let mut command = self.waiting("restore");
        command.stdin(told).kill_on_drop(true);
        Ok(WaitingRestore {
            criu: self.clone(),
            input,
            process: begin_beside(command).map_err(CriuError::init("begin"))?,
        })
    }

    /// Begins and waits to be told what to do.
    fn waiting(&self, mode: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args([mode, "--config", TOLD]).current_dir(WITHOUT_IMAGES);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Tells one that waits what is to be done, and waits until it is. Never killed half-way: that would leave processes with
    /// code of CRIU's in them.
    async fn go_on(
        &self,
        process: Child,
        input: Option<impl Write>,
        options: &str,
        images: &Path,
    ) -> Result<Output, CriuError> {
        let directory = File::open(images).map_err(CriuError::file("open", images))?;
        // A path of any characters and any length would not do.
        let path = format!("/proc/{}/fd/{}", std::process::id(), directory.as_raw_fd());
        let told = format!("images-dir {path}\n{options}{ALWAYS}");
        if let Some(mut input) = input {
            // The pipe has room for it, and the runtime would look first whether it has. One that does not hear it has
            // ended, and says why.
            let _ = input.write_all(told.as_bytes());
        }
        let output = process.wait_with_output().await;
        output.map_err(CriuError::file("wait for", &self.program))
    }

    fn not_run(&self) -> impl FnOnce(io::Error) -> CriuError {
        let program = self.program.clone();
        move |source| CriuError::NotInstalled { program, source }
    }
}

/// A CRIU that has been loaded, and waits to be told what to dump.
#[derive(Debug)]
pub(super) struct WaitingDump {
    criu: Criu,
    process: Child,
}

/// A CRIU that is being loaded, and waits to be told what to restore.
#[derive(Debug)]
pub(super) struct WaitingRestore {
    criu: Criu,
    input: PipeWriter,
    process: oneshot::Receiver<io::Result<Child>>,
}

impl WaitingDump {
    /// Itself if it still waits: in a sandbox anybody can end it.
    pub(super) fn unless_ended(mut self) -> Option<Self> {
        matches!(self.process.try_wait(), Ok(None)).then_some(self)
    }

    /// Writes the tree below `pid` to `images`, or to who listens there, and leaves it stopped. If it fails the tree
    /// goes on.
    pub(super) async fn dump(mut self, pid: u32, images: &Path, sink: Sink) -> Result<(), CriuError> {
        let mut options =
            format!("tree {pid}\nleave-stopped\nghost-limit {GHOST_LIMIT}\nlog-file {DUMP_LOG}\ndisplay-stats\n");
        options += match sink {
            Sink::Files => "",
            Sink::Stream => "stream\n",
        };
        let input = self.process.stdin.take().map(ChildStdin::into_owned_fd);
        let input = input.and_then(Result::ok).map(File::from);
        let output = self.criu.go_on(self.process, input, &options, images).await?;
        if output.status.success() {
            tracing::info!(stats = %String::from_utf8_lossy(&output.stdout).trim(), "dumped the sandbox");
            return Ok(());
        }
        let mut message = explain(&output, &images.join(DUMP_LOG));
        message += remedy(&message);
        Err(CriuError::Dump { message })
    }
}

impl WaitingRestore {
    /// Brings the tree in `images` back, with the caller as its parent; `lazily`, without the memory that may come later,
    /// and with who puts it in listening there.
    pub(super) async fn restore(self, images: &Path, lazily: bool) -> Result<(), CriuError> {
        let mut options = format!("restore-detached\nrestore-sibling\nlog-file {RESTORE_LOG}\n");
        options += if lazily { "lazy-pages\n" } else { "" };
        let gone = |_| Err(io::Error::other("the thread that begins it ended"));
        // It has all cores when it is there, and is told nothing before: what it makes has those that it has.
        let process = self.process.await.unwrap_or_else(gone).map_err(self.criu.not_run())?;
        let output = self.criu.go_on(process, Some(self.input), &options, images).await?;
        if output.status.success() {
            return Ok(());
        }
        let message = explain(&output, &images.join(RESTORE_LOG));
        Err(CriuError::Restore { message })
    }
}

/// What went wrong, from the log or from what was printed if there is none.
fn explain(output: &Output, log: &Path) -> String {
    let log = std::fs::read_to_string(log).unwrap_or_default();
    let found = errors_of(&log);
    if found.is_empty() {
        errors_of(&String::from_utf8_lossy(&output.stderr))
    } else {
        found
    }
}

/// What helps against what CRIU says, where that is known and it does not say so.
fn remedy(message: &str) -> &'static str {
    // CRIU makes no other name, and cannot make this one without the capability.
    if message.contains("@link_remap.") {
        "; a file is open by a name that was removed while another name of it (a hard link) is left: close it, or run the \
         container with CAP_DAC_READ_SEARCH, with which CRIU can name it"
    } else {
        ""
    }
}

/// The last errors of a log in one line, or its last line if it has none.
fn errors_of(log: &str) -> String {
    let is_error = |line: &&str| line.contains("Error (") && !line.contains(HARMLESS);
    let errors: Vec<&str> = log.lines().filter(is_error).collect();
    if errors.is_empty() {
        return log.lines().last().unwrap_or_default().trim().to_owned();
    }
    let first = errors.len().saturating_sub(ERROR_LINES);
    let texts: Vec<&str> = errors[first..].iter().map(|line| line.trim()).collect();
    texts.join("; ")
}

/// Reads `Version: 4.1.1`.
fn version(printed: &str) -> Option<Version> {
    let text = printed.lines().find_map(|line| line.strip_prefix("Version:"))?;
    let mut numbers = text.trim().split('.').map(|part| part.parse().ok());
    let major = numbers.next()??;
    let mut next = || numbers.next().flatten().unwrap_or(0);
    Some(Version(major, next(), next()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared() {
        assert_eq!(version("Version: 4.1.1\n"), Some(Version::NEEDED));
        assert_eq!(version("Version: 4.2\nGitID: v4.2\n"), Some(Version(4, 2, 0)));
        assert!(version("Version: 3.17.1\n").is_some_and(|found| found < Version::NEEDED));
        assert_eq!(version("criu"), None);
    }

    #[test]
    fn the_last_errors_of_a_log_are_told() {
        let log = "(00.1) fine\n(00.2) Error (a.c:1): one\n(00.3) Error (b.c:2): two\n\
                   (00.4) Error (c.c:3): three\n(00.5) Error (d.c:4): four\n(00.6) Error (e.c:5): five\n(00.7) Warn  (f.c:6): no\n";
        let told = "(00.3) Error (b.c:2): two; (00.4) Error (c.c:3): three; (00.5) Error (d.c:4): four; (00.6) Error (e.c:5): five";
        assert_eq!(errors_of(log), told);
        assert_eq!(errors_of("first\nlast\n"), "last");
        let harmless =
            "(00.1) Error (criu/util.c:1534): rlimit: Can't setup RLIMIT_NOFILE for self: Operation not permitted\n";
        assert_eq!(
            errors_of(&format!("{harmless}(00.2) Error (a.c:1): one\n")),
            "(00.2) Error (a.c:1): one"
        );
    }

    #[tokio::test]
    async fn a_program_that_is_missing_is_named() {
        let refused = Criu::new("/nowhere/criu".into()).probe().await.expect_err("refused");
        assert!(refused.to_string().starts_with("run /nowhere/criu; "), "{refused}");
    }
}
