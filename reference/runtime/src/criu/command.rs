//! The `criu` command line.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde::{Deserialize, Serialize};
use tokio::process::Command;

use super::error::CriuError;

/// Unlinked files up to this size are kept.
const GHOST_LIMIT: &str = "1G";
/// The oldest version with which memory that comes later was tried.
pub(super) const LAZY_NEEDED: Version = Version(4, 2, 0);
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
        let output = self.run(&["--version"], &[]).await?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = version(&printed).filter(|found| *found >= Version::NEEDED);
        let version = version.ok_or_else(|| CriuError::TooOld {
            found: printed.lines().next().unwrap_or_default().to_owned(),
            needed: Version::NEEDED.to_string(),
        })?;
        let check = self.run(&["check"], &[]).await?;
        if check.status.success() {
            return Ok(version);
        }
        let message = errors_of(&String::from_utf8_lossy(&check.stderr));
        Err(CriuError::Check { message })
    }

    /// Writes the tree below `pid` to `images`, or to who listens there, and leaves it stopped. If it fails the tree
    /// goes on.
    pub(super) async fn dump(&self, pid: u32, images: &Path, sink: Sink) -> Result<(), CriuError> {
        let pid = pid.to_string();
        let options = [
            "dump",
            "--tree",
            &pid,
            "--leave-stopped",
            "--tcp-close",
            "--file-locks",
            "--link-remap",
            "--ghost-limit",
            GHOST_LIMIT,
            "--manage-cgroups=ignore",
            "--log-file",
            "dump.log",
            "--display-stats",
            "--stream",
        ];
        let options = match sink {
            Sink::Files => &options[..options.len() - 1],
            Sink::Stream => &options,
        };
        let output = self.run(options, &[("--images-dir", images)]).await?;
        if output.status.success() {
            tracing::info!(stats = %String::from_utf8_lossy(&output.stdout).trim(), "dumped the sandbox");
            return Ok(());
        }
        let message = explain(&output, &images.join("dump.log"));
        Err(CriuError::Dump { message })
    }

    /// Brings the tree in `images` back, with the caller as its parent; `lazily`, without the memory that may come later,
    /// and with who puts it in listening there.
    pub(super) async fn restore(&self, images: &Path, lazily: bool) -> Result<(), CriuError> {
        let options = [
            "restore",
            "--restore-detached",
            "--restore-sibling",
            "--tcp-close",
            "--file-locks",
            "--link-remap",
            "--manage-cgroups=ignore",
            "--log-file",
            "restore.log",
            "--lazy-pages",
        ];
        let options = &options[..options.len() - usize::from(!lazily)];
        let output = self.run(options, &[("--images-dir", images)]).await?;
        if output.status.success() {
            return Ok(());
        }
        let message = explain(&output, &images.join("restore.log"));
        Err(CriuError::Restore { message })
    }

    /// Never killed half-way: that would leave processes with code of CRIU's in them.
    async fn run(&self, options: &[&str], paths: &[(&str, &Path)]) -> Result<Output, CriuError> {
        let mut command = Command::new(&self.program);
        command.args(options);
        for (option, path) in paths {
            command.arg(option).arg(path);
        }
        let output = command.stdin(Stdio::null()).output().await;
        output.map_err(|source| CriuError::NotInstalled {
            program: self.program.clone(),
            source,
        })
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

/// The last errors of a log in one line, or its last line if it has none.
fn errors_of(log: &str) -> String {
    let errors: Vec<&str> = log.lines().filter(|line| line.contains("Error (")).collect();
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
    }

    #[tokio::test]
    async fn a_program_that_is_missing_is_named() {
        let refused = Criu::new("/nowhere/criu".into()).probe().await.expect_err("refused");
        assert!(refused.to_string().starts_with("run /nowhere/criu; "), "{refused}");
    }
}
