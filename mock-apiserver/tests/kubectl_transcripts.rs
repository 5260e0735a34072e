//! Sessions with the real kubectl: what each command of `fixtures/kubectl/*.txt` prints must be what is recorded there.
//!
//! `fixtures/kubectl/README.md` documents the form. `UPDATE_GOLDEN=1` records anew. All sessions share a server and run in
//! parallel, each in a namespace named after its file. Where kubectl is missing, or is of another generation than the
//! recordings, every session is reported as ignored.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use libtest_mimic::{Arguments, Failed, Trial};
use mock_apiserver::MockApiServer;
use regex::Regex;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, OnceLock};
use tokio_util::sync::CancellationToken;

/// The generation of kubectl whose texts are recorded.
const RECORDED_MINORS: [&str; 2] = ["32", "33"];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let unfit = unfit_kubectl();
    let suffix = unfit.as_ref().map_or(String::new(), |reason| format!(" ({reason})"));
    let world = Arc::new(OnceLock::new());
    let mut sessions: Vec<PathBuf> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    sessions.sort();
    let trials = sessions
        .into_iter()
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let world = world.clone();
            let run = move || world.get_or_init(World::new).replay(&path);
            Trial::test(format!("{name}{suffix}"), run).with_ignored_flag(unfit.is_some())
        })
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Why the kubectl of this machine cannot replay the sessions, if it cannot.
fn unfit_kubectl() -> Option<String> {
    let Ok(output) = Command::new("kubectl")
        .args(["version", "--client", "-o", "json"])
        .output()
    else {
        return Some("kubectl is not installed".to_owned());
    };
    let version: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let minor = version["clientVersion"]["minor"].as_str().unwrap_or_default();
    let minor = minor.trim_end_matches(|c: char| !c.is_ascii_digit());
    (!RECORDED_MINORS.contains(&minor)).then(|| format!("recorded with kubectl 1.33, this is 1.{minor}"))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/kubectl")
}

/// The server that all sessions share.
struct World {
    runtime: tokio::runtime::Runtime,
    stop: CancellationToken,
    home: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let mut threads = tokio::runtime::Builder::new_multi_thread();
        let runtime = threads.worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let server = MockApiServer::builder().build();
        let home = tempfile::tempdir().unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::fs::write(home.path().join("kubeconfig"), server.kubeconfig(&url)).unwrap();
        let stop = CancellationToken::new();
        let shutdown = stop.clone();
        runtime.spawn(async move { server.serve(listener, shutdown).await });
        let world = Self { runtime, stop, home };
        let kubeconfig = world.home.path().join("kubeconfig");
        world.must(
            &kubeconfig,
            "kubectl apply -f widgets.yaml && kubectl wait --for=condition=established crd/widgets.example.com --timeout=30s",
        );
        world
    }

    /// Runs every command of a session and compares, or records.
    fn replay(&self, path: &Path) -> Result<(), Failed> {
        let recorded = std::fs::read_to_string(path)?;
        let namespace = path.file_stem().unwrap().to_string_lossy().into_owned();
        let kubeconfig = self.home.path().join(format!("kubeconfig-{namespace}"));
        std::fs::copy(self.home.path().join("kubeconfig"), &kubeconfig)?;
        self.must(
            &kubeconfig,
            &format!(
                "kubectl create namespace {namespace} && kubectl config set-context --current --namespace={namespace}"
            ),
        );
        let mut actual = String::new();
        for step in steps(&recorded) {
            let (exit, output) = self.shell(&kubeconfig, &step.script);
            actual.push_str(&step.source);
            if exit != 0 {
                writeln!(actual, "[exit {exit}]")?;
            }
            actual.push_str(&normalise(&output));
        }
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, &actual)?;
        } else if actual != recorded {
            return Err(difference(&recorded, &actual).into());
        }
        Ok(())
    }

    /// Runs a shell command line; returns its exit code, and its output with its errors in the order of writing.
    fn shell(&self, kubeconfig: &Path, script: &str) -> (i32, String) {
        let output = Command::new("sh")
            .args(["-c", &format!("exec 2>&1\n{script}")])
            .current_dir(folder())
            .env("KUBECONFIG", kubeconfig)
            .env("KUBECACHEDIR", self.home.path().join("cache"))
            .env("HOME", self.home.path())
            .env("TMPDIR", self.home.path())
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code().unwrap_or(-1), text)
    }

    fn must(&self, kubeconfig: &Path, script: &str) {
        let (exit, output) = self.shell(kubeconfig, script);
        assert_eq!(exit, 0, "{script}: {output}");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        std::mem::replace(&mut self.runtime, runtime).shutdown_background();
    }
}

/// A command of a session as it stands there, and as the shell gets it.
struct Step {
    /// The comments above it, and the command with its continuation lines.
    source: String,
    script: String,
}

/// The commands of a session; what else stands there is recorded output.
fn steps(session: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut comments = String::new();
    let mut continues = false;
    for line in session.split_inclusive('\n') {
        if line.starts_with('#') {
            comments.push_str(line);
            continues = false;
        } else if let Some(command) = line.strip_prefix("$ ") {
            let source = std::mem::take(&mut comments) + line;
            let script = command.to_owned();
            steps.push(Step { source, script });
            continues = true;
        } else if continues
            && let Some(more) = line.strip_prefix("> ")
            && let Some(step) = steps.last_mut()
        {
            step.source.push_str(line);
            step.script.push_str(more);
        } else {
            continues = false;
        }
    }
    steps
}

/// What differs from run to run, as `fixtures/kubectl/README.md` lists it.
fn normalise(output: &str) -> String {
    static PATTERNS: OnceLock<Vec<(Regex, &str)>> = OnceLock::new();
    let patterns = PATTERNS.get_or_init(|| {
        [
            (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<uid>"),
            (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z| \+0000)", "<time>"),
            (r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d \+0000", "<time>"),
            (r#"([rR]esource ?Version"?: *"?)\d+"#, "${1}<rv>"),
            (r"http://127\.0\.0\.1:\d+", "<server>"),
            (r"127\.0\.0\.1:\d+", "<address>"),
            (r"\b10\.\d+\.\d+\.\d+\b *", "<ip>   "),
            (r"[/\w.-]+/(LIVE|MERGED)-\d+", "<tmp>/$1"),
            (r"[/\w.-]+/kubectl-edit-\d+\.yaml", "<tmp>/kubectl-edit.yaml"),
            (r"(?m)([ \t])(?:\d[sm] {4}|\d\d[sm] {3}|\d{1,3}[sm]$)", "${1}<age> "),
            (r"(Client Version|Kustomize Version): v[\w.-]+", "$1: <client>"),
            (r"(?m)[ \t]+$", ""),
        ]
        .into_iter()
        .map(|(pattern, replacement)| (Regex::new(pattern).unwrap(), replacement))
        .collect()
    });
    let mut text = output.to_owned();
    for (pattern, replacement) in patterns {
        text = pattern.replace_all(&text, *replacement).into_owned();
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// The first line where the two part, with what led there.
fn difference(recorded: &str, actual: &str) -> String {
    let recorded: Vec<&str> = recorded.lines().collect();
    let actual: Vec<&str> = actual.lines().collect();
    let at = recorded
        .iter()
        .zip(&actual)
        .take_while(|(one, other)| one == other)
        .count();
    let command = actual[..at.min(actual.len())]
        .iter()
        .rfind(|line| line.starts_with("$ "));
    let part = |lines: &[&str]| lines.iter().skip(at).take(8).copied().collect::<Vec<_>>().join("\n");
    format!(
        "line {}, after {}\nrecorded:\n{}\nprinted:\n{}",
        at + 1,
        command.unwrap_or(&"the beginning"),
        part(&recorded),
        part(&actual)
    )
}
