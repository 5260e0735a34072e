//! The product under its users' own clients: both generations of the E2B SDK, kubectl, the Kubernetes client for Python, and an operator.
//!
//! One test per script or sequence. A client that is not installed (see `fixtures/clients/install`)
//! makes its test *ignored*, with the reason in its name; it never passes.

#![expect(clippy::expect_used, reason = "a test ends where something it needs is missing")]

#[path = "support/mod.rs"]
#[expect(dead_code, reason = "shared with tests that use more of it")]
mod support;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};
use std::sync::{Arc, LazyLock, OnceLock};

use libtest_mimic::{Arguments, Failed, Trial};
use support::{Up, root, wait_until};

/// The image that sandboxes of real processes need.
const IMAGE: &str = "torpor/code-interpreter:latest";

/// The control plane that all clients use, on the ports that old SDKs expect; started when it is first needed.
#[derive(Clone, Default)]
struct Plane(Arc<OnceLock<(Up, tempfile::TempDir)>>);

impl Plane {
    fn up(&self) -> &Up {
        let (up, _) = self.0.get_or_init(|| {
            let data_dir = tempfile::tempdir().expect("a data directory");
            let mut command = Up::command(data_dir.path());
            command.args(["--code-interpreter-port", "49999", "--envd-port", "49983"]);
            (Up::start(command, data_dir.path()), data_dir)
        });
        up
    }
}

fn main() -> ExitCode {
    let args = Arguments::from_args();
    let mut trials = with_one_plane();
    trials.push(isolated());
    trials.push(real_processes());
    trials.extend(kernels());
    libtest_mimic::run(&args, trials).exit_code()
}

/// Those that share a control plane.
fn with_one_plane() -> Vec<Trial> {
    let plane = Plane::default();
    let mut trials = python_sdks(&plane);
    trials.extend(other_clients(&plane));
    trials
}

fn python_sdks(plane: &Plane) -> Vec<Trial> {
    let scripts = [
        ("the_seeds_script_runs_unmodified", "beta", "seed_beta.py", "env.beta"),
        (
            "the_seeds_script_runs_with_the_async_client",
            "beta",
            "seed_beta_async.py",
            "env.beta",
        ),
        ("the_current_sdk_pauses_lists_and_kills", "current", "current.py", "env"),
        (
            "the_current_async_sdk_connects_five_at_once",
            "current",
            "current_async.py",
            "env",
        ),
        ("a_timeout_pauses_with_the_context", "current", "auto_pause.py", "env"),
    ];
    let trial = |(name, env, script, file): (&'static str, &str, &str, &'static str)| {
        let interpreter = clients().join(env).join("bin/python");
        let script = root().join("fixtures/clients/python").join(script);
        let plane = plane.clone();
        client(name, interpreter, move |program| sdk(&plane, program, &script, file))
    };
    scripts.into_iter().map(trial).collect()
}

fn other_clients(plane: &Plane) -> Vec<Trial> {
    vec![
        client("the_javascript_sdk_pauses_and_resumes", javascript(), {
            let plane = plane.clone();
            move |_| javascript_sdk(&plane)
        }),
        client("kubectl_pauses_resumes_and_deletes", kubectl(), {
            let plane = plane.clone();
            move |program| kubectl_session(&Kubectl { program, plane: &plane })
        }),
        client(
            "the_kubernetes_client_for_python_pauses_and_resumes",
            clients().join("kubernetes/bin/python"),
            {
                let plane = plane.clone();
                move |program| kubernetes_for_python(&plane, program)
            },
        ),
        client(
            "kubectl_suspends_and_resumes_a_sandbox_of_the_second_front",
            kubectl(),
            {
                let plane = plane.clone();
                move |program| suspend_session(&Kubectl { program, plane: &plane })
            },
        ),
        client(
            "an_operator_finds_the_api_server_it_knows",
            clients().join("controller-runtime"),
            {
                let plane = plane.clone();
                move |program| operator(&plane, program)
            },
        ),
    ]
}

/// The current SDK on a control plane that gives each sandbox a process of its own.
fn isolated() -> Trial {
    let interpreter = clients().join("current/bin/python");
    client(
        "sandboxes_in_processes_of_their_own_pause_and_resume",
        interpreter,
        |program| {
            let data_dir = tempfile::tempdir()?;
            let mut command = Up::command(data_dir.path());
            command.arg("--isolate");
            let up = Up::start(command, data_dir.path());
            let script = root().join("fixtures/clients/python/current.py");
            checked(&mut sdk_command(program, &script, &up, "env")).map(drop)
        },
    )
}

/// Kernels under an IPython that the image of the CRIU engine does not have.
fn kernels() -> [Trial; 2] {
    [
        ("a_kernel_runs_under_a_newer_ipython", "ipython"),
        ("a_kernel_runs_under_an_older_ipython", "old-ipython"),
    ]
    .map(|(name, env)| {
        client_on_any_port(name, clients().join(env).join("bin/python"), |program| {
            let script = root().join("fixtures/clients/python/other_ipython.py");
            let kernel = root().join("reference/runtime/src/criu/kernel.py");
            checked(Command::new(program).arg(script).arg(kernel)).map(drop)
        })
    })
}

/// The current SDK on a control plane whose Pods are Docker containers; ignored, with the reason, where there can be none.
fn real_processes() -> Trial {
    let interpreter = clients().join("current/bin/python");
    let answers = |args: &[&str]| {
        let output = Command::new("docker").args(args).output();
        output.is_ok_and(|output| output.status.success())
    };
    let missing = if !interpreter.exists() {
        Some(format!(
            "{} is not installed, run fixtures/clients/install",
            short(&interpreter)
        ))
    } else if !answers(&["version"]) {
        Some("Docker does not answer".to_owned())
    } else if !answers(&["image", "inspect", IMAGE]) {
        Some(format!("there is no image {IMAGE}, run fixtures/image/build"))
    } else {
        None
    };
    let trial = Trial::test("real_processes_go_on_over_a_pause", move || {
        let data_dir = tempfile::tempdir()?;
        let mut command = Up::command(data_dir.path());
        command.args(["--engine", "criu"]);
        let up = Up::start(command, data_dir.path());
        let script = root().join("fixtures/clients/python/criu.py");
        let mut script = sdk_command(&interpreter, &script, &up, "env");
        print!("{}", String::from_utf8_lossy(&checked(&mut script)?.stdout));
        up.interrupt();
        let label = format!("label=torpor.dev/node={}", data_dir.path().canonicalize()?.display());
        let left = checked(Command::new("docker").args(["ps", "--all", "--quiet", "--filter", &label]))?;
        expect(
            left.stdout.is_empty(),
            "no container is left",
            &String::from_utf8_lossy(&left.stdout),
        )
    });
    match missing {
        Some(reason) => trial.with_kind(format!("skipped: {reason}")).with_ignored_flag(true),
        None => trial,
    }
}

fn javascript_sdk(plane: &Plane) -> Result<(), Failed> {
    // Node looks for packages beside the script.
    let script = clients().join("js/current.mjs");
    std::fs::copy(root().join("fixtures/clients/js/current.mjs"), &script)?;
    sdk(plane, &which("node").ok_or("node is not installed")?, &script, "env")
}

/// A test that needs `program`; ignored, with the reason, where it is missing.
fn client(name: &str, program: PathBuf, run: impl FnOnce(&Path) -> Result<(), Failed> + Send + 'static) -> Trial {
    let taken = port_taken().then(|| "skipped: port 49999 or 49983 is taken by another process".to_owned());
    let trial = client_on_any_port(name, program, run);
    match taken {
        Some(reason) => trial.with_kind(reason).with_ignored_flag(true),
        None => trial,
    }
}

/// As [`client`], for a control plane that does not need the ports of old SDKs.
fn client_on_any_port(
    name: &str,
    program: PathBuf,
    run: impl FnOnce(&Path) -> Result<(), Failed> + Send + 'static,
) -> Trial {
    let missing = (!program.exists()).then(|| {
        format!(
            "skipped: {} is not installed, run fixtures/clients/install",
            short(&program)
        )
    });
    let trial = Trial::test(name, move || run(&program));
    match missing {
        Some(reason) => trial.with_kind(reason).with_ignored_flag(true),
        None => trial,
    }
}

/// Asked once, before this process listens there itself.
fn port_taken() -> bool {
    static TAKEN: LazyLock<bool> = LazyLock::new(|| {
        [49999, 49983]
            .into_iter()
            .any(|port| TcpListener::bind(("127.0.0.1", port)).is_err())
    });
    *TAKEN
}

fn clients() -> PathBuf {
    root().join(".clients")
}

fn short(program: &Path) -> String {
    program.strip_prefix(root()).unwrap_or(program).display().to_string()
}

fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|candidate| candidate.is_file())
}

fn kubectl() -> PathBuf {
    which("kubectl").unwrap_or_else(|| clients().join("kubectl"))
}

fn javascript() -> PathBuf {
    clients().join("js/node_modules/@e2b/code-interpreter/package.json")
}

/// Runs an SDK script with the variables of a connection file and shows what it printed.
fn sdk(plane: &Plane, program: &Path, script: &Path, env_file: &str) -> Result<(), Failed> {
    let output = checked(&mut sdk_command(program, script, plane.up(), env_file))?;
    print!("{}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}

fn sdk_command(program: &Path, script: &Path, up: &Up, env_file: &str) -> Command {
    let mut command = Command::new(program);
    command
        .arg(script)
        .envs(up.env(env_file))
        .env_remove("HTTP_PROXY")
        .env_remove("http_proxy");
    command
}

/// Runs the program made with controller-runtime, which checks the API server in a namespace of its own.
fn operator(plane: &Plane, program: &Path) -> Result<(), Failed> {
    let mut command = Command::new(program);
    command.arg("--kubeconfig").arg(plane.up().kubeconfig());
    command.args(["--namespace", "controller-runtime"]);
    let output = checked(command.env_remove("KUBECONFIG"))?;
    print!("{}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}

/// Runs the script of the official client, which works in a namespace of its own and pauses a sandbox.
fn kubernetes_for_python(plane: &Plane, program: &Path) -> Result<(), Failed> {
    let mut command = Command::new(program);
    command.arg(root().join("fixtures/clients/python/kubernetes_client.py"));
    command
        .arg(plane.up().kubeconfig())
        .arg(root().join("fixtures/sandbox-counter.yaml"));
    command.env_remove("HTTP_PROXY").env_remove("http_proxy");
    let output = checked(&mut command)?;
    print!("{}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}

/// Runs a command that has to succeed.
fn checked(command: &mut Command) -> Result<Output, Failed> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(output);
    }
    Err(format!(
        "{command:?} ended with {}\n--- stdout\n{}\n--- stderr\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
    .into())
}

/// kubectl on the control plane of this test.
struct Kubectl<'a> {
    program: &'a Path,
    plane: &'a Plane,
}

impl Kubectl<'_> {
    fn run(&self, args: &[&str]) -> Result<String, Failed> {
        let mut command = Command::new(self.program);
        command.arg("--kubeconfig").arg(self.plane.up().kubeconfig()).args(args);
        command
            .env(
                "KUBECACHEDIR",
                self.plane.up().kubeconfig().with_file_name("kubectl-cache"),
            )
            .env_remove("KUBECONFIG");
        Ok(String::from_utf8_lossy(&checked(&mut command)?.stdout).into_owned())
    }

    fn set_paused(&self, paused: bool) -> Result<(), Failed> {
        let patch = format!(r#"{{"spec":{{"paused":{paused}}}}}"#);
        self.run(&[
            "patch",
            "sandbox",
            "counter",
            "-n",
            "default",
            "--type=merge",
            "-p",
            &patch,
        ])?;
        let condition = if paused {
            "--for=condition=SandboxPaused"
        } else {
            "--for=condition=Ready"
        };
        self.run(&["wait", condition, "sandbox/counter", "--timeout=60s"])
            .map(drop)
    }

    /// What the sandbox's program has counted to, as its log tells.
    fn counted(&self, pod: &str) -> Result<Vec<u64>, Failed> {
        let log = self.run(&["logs", pod])?;
        Ok(log
            .lines()
            .filter_map(|line| line.strip_prefix("count ")?.parse().ok())
            .collect())
    }

    /// The program counts on, and its log shows every number once.
    fn counts_on(&self, pod: &str) -> Result<(), Failed> {
        let before = self.counted(pod)?.len();
        wait_until("the program counts on", || {
            self.counted(pod).is_ok_and(|counts| counts.len() > before + 1)
        });
        let counts = self.counted(pod)?;
        let expected: Vec<u64> = (1..=counts.len() as u64).collect();
        expect(
            counts == expected,
            "the log goes on without a gap or a repetition",
            &format!("{counts:?}"),
        )
    }
}

/// The kubectl lines of the pause and resume page, on a sandbox whose program counts.
fn kubectl_session(kubectl: &Kubectl<'_>) -> Result<(), Failed> {
    let manifest = root().join("fixtures/sandbox-counter.yaml").display().to_string();
    kubectl.run(&["apply", "-f", &manifest])?;
    kubectl.run(&["wait", "--for=condition=Ready", "sandbox/counter", "--timeout=60s"])?;
    wait_until("the program counts to three", || {
        kubectl.counted("counter").is_ok_and(|counts| counts.len() >= 3)
    });

    kubectl.set_paused(true)?;
    let listed = kubectl.run(&["get", "sbx", "-n", "default"])?;
    expect(listed.contains("Paused"), "the list shows the state", &listed)?;
    let pods = kubectl.run(&["get", "pods", "-o", "name"])?;
    expect(!lists(&pods, "counter"), "no Pod of a paused sandbox is left", &pods)?;

    kubectl.set_paused(false)?;
    let pods = kubectl.run(&["get", "pods", "counter"])?;
    expect(pods.contains("Running"), "the Pod runs again", &pods)?;
    kubectl.counts_on("counter")?;
    let described = kubectl.run(&["describe", "sandbox", "counter"])?;
    for event in ["SandboxPaused", "SandboxResumed"] {
        expect(
            described.contains(event),
            "describe shows the events of each step",
            &described,
        )?;
    }

    kubectl.set_paused(true)?;
    kubectl.run(&["-n", "default", "delete", "sandbox", "counter", "--timeout=60s"])?;
    let left = kubectl.run(&["get", "sandboxes", "-o", "name"])?;
    expect(!lists(&left, "counter"), "a deleted sandbox is gone", &left)
}

/// The same pause in the words of agent-sandbox.
fn suspend_session(kubectl: &Kubectl<'_>) -> Result<(), Failed> {
    const TALLY: &str = "sandboxes.agents.x-k8s.io/tally";
    let manifest = root().join("fixtures/sandbox-agent-sandbox.yaml").display().to_string();
    kubectl.run(&["apply", "-f", &manifest])?;
    let wait = |condition: &str| {
        let condition = format!("--for=condition={condition}");
        kubectl.run(&["wait", &condition, TALLY, "--timeout=60s"])
    };
    let set_mode = |mode: &str| {
        let patch = format!(r#"{{"spec":{{"operatingMode":"{mode}"}}}}"#);
        kubectl.run(&["patch", TALLY, "--type=merge", "-p", &patch])
    };
    wait("Ready")?;
    wait_until("the program counts to three", || {
        kubectl.counted("tally").is_ok_and(|counts| counts.len() >= 3)
    });
    set_mode("Suspended")?;
    wait("Suspended")?;
    let pods = kubectl.run(&["get", "pods", "-o", "name"])?;
    expect(!pods.contains("tally"), "no Pod of a suspended sandbox is left", &pods)?;
    let kept = kubectl.run(&["get", "checkpoints"])?;
    expect(kept.contains("tally"), "what is kept is listed", &kept)?;

    set_mode("Running")?;
    wait("Ready")?;
    kubectl.counts_on("tally")?;
    kubectl.run(&["delete", TALLY, "--timeout=60s"])?;
    let left = kubectl.run(&["get", "checkpoints,pods", "-o", "name"])?;
    expect(!left.contains("tally"), "nothing of a deleted sandbox is left", &left)
}

/// Whether the names that kubectl printed have this one. Other tests have sandboxes of their own meanwhile.
fn lists(names: &str, name: &str) -> bool {
    names.lines().any(|line| line.rsplit('/').next() == Some(name))
}

fn expect(holds: bool, claim: &str, seen: &str) -> Result<(), Failed> {
    if holds {
        Ok(())
    } else {
        Err(format!("not so: {claim}\n--- seen\n{seen}").into())
    }
}
