//! Runs of the suite whose output nobody takes any more, or whose terminal has gone: they end in good order, with a report.

#![expect(clippy::expect_used, reason = "a test ends where something it needs is missing")]

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A case that takes a moment.
const CASE: &str = "pause-and-resume-reach";

/// A run with a directory for what is temporary and one for its report.
struct Run {
    child: Child,
    temporary: TempDir,
    report: TempDir,
}

impl Run {
    /// Starts it as by a shell that leaves the end of a terminal `--default-signal` or has it `--ignore-signal`, whatever this
    /// test was started by.
    fn start(hangup: &str, stdout: Stdio, more: &[&str]) -> Self {
        let [temporary, report] = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
        let child = Command::new("env")
            .arg(format!("{hangup}=HUP"))
            .args([env!("CARGO_BIN_EXE_torpor"), "conformance", "--filter", CASE])
            .args(more)
            .arg("--report")
            .arg(report.path())
            .env("TMPDIR", temporary.path())
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .expect("torpor starts");
        Self {
            child,
            temporary,
            report,
        }
    }

    /// Waits until it has said that it runs cases.
    fn begun(&mut self) -> BufReader<ChildStdout> {
        let mut reader = BufReader::new(self.child.stdout.take().expect("its output"));
        let mut line = String::new();
        reader.read_line(&mut line).expect("a line");
        assert!(line.contains("cases against embedded"), "{line}");
        reader
    }

    fn complaints(&mut self) -> BufReader<ChildStderr> {
        BufReader::new(self.child.stderr.take().expect("its errors"))
    }

    fn hang_up(&self) {
        kill_process(Pid::from_child(&self.child), Signal::HUP).expect("a signal");
    }

    /// Waits for its end, after which nothing is left but the report.
    fn ended(mut self) -> ExitStatus {
        let status = self.child.wait().expect("its end");
        assert!(self.report.path().join("report.json").exists(), "{status}");
        let left: Vec<_> = fs::read_dir(self.temporary.path()).expect("a directory").collect();
        assert!(left.is_empty(), "{left:?}");
        status
    }
}

#[test]
fn a_reader_that_leaves_ends_no_run() {
    let mut run = Run::start("--default-signal", Stdio::piped(), &[]);
    drop(run.begun());
    let said: Vec<String> = run.complaints().lines().map_while(Result::ok).collect();
    assert_eq!(run.ended().code(), Some(0), "{said:?}");
    assert!(said.is_empty(), "{said:?}");
}

#[test]
fn a_full_disk_under_its_output_is_told_once_and_ends_no_run() {
    let full = File::options()
        .write(true)
        .open("/dev/full")
        .expect("it is always full");
    let mut run = Run::start("--default-signal", full.into(), &[]);
    let said: Vec<String> = run.complaints().lines().map_while(Result::ok).collect();
    assert_eq!(run.ended().code(), Some(0), "{said:?}");
    assert!(
        said.len() == 1 && said[0].contains("No space left on device"),
        "{said:?}"
    );
}

#[test]
fn the_end_of_its_terminal_ends_a_run_in_good_order_however_often_it_is_told() {
    let rounds = ["--repeat", "200", "--jobs", "1"];
    let mut run = Run::start("--default-signal", Stdio::piped(), &rounds);
    drop(run.begun());
    run.hang_up();
    let mut complaints = run.complaints();
    let mut said = String::new();
    complaints.read_line(&mut said).expect("a line");
    assert!(said.starts_with("stopping"), "{said}");
    run.hang_up();
    assert_eq!(run.ended().code(), Some(2));
}

#[test]
fn a_run_that_is_to_outlive_its_terminal_does() {
    let mut run = Run::start("--ignore-signal", Stdio::piped(), &[]);
    let reader = run.begun();
    run.hang_up();
    let said: Vec<String> = reader.lines().map_while(Result::ok).collect();
    assert_eq!(run.ended().code(), Some(0), "{said:?}");
}
