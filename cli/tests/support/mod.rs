//! A `torpor up` process for tests: its own data directory and, unless asked otherwise, any free ports.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up on it.
pub const LIMIT: Duration = Duration::from_mins(1);

/// A running `torpor up`; killed when dropped.
pub struct Up {
    child: Child,
    data_dir: PathBuf,
}

impl Up {
    /// The command, with every port free.
    pub fn command(data_dir: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_torpor"));
        command.arg("up").arg("--data-dir").arg(data_dir);
        for option in [
            "--api-port",
            "--e2b-port",
            "--metrics-port",
            "--code-interpreter-port",
            "--envd-port",
        ] {
            command.args([option, "0"]);
        }
        command
    }

    /// Starts `command` and waits until it wrote its connection files.
    ///
    /// # Panics
    /// When it ends or is not ready in time.
    pub fn start(mut command: Command, data_dir: &Path) -> Self {
        let ready = data_dir.join("env.beta");
        // One that was killed could not remove its own.
        let _ = fs::remove_file(&ready);
        let child = command.stdout(Stdio::null()).spawn().expect("torpor starts");
        let mut up = Self {
            child,
            data_dir: data_dir.to_owned(),
        };
        wait_until("torpor up is ready", || {
            if let Some(status) = up.child.try_wait().expect("the process can be asked") {
                panic!("torpor up ended early: {status}");
            }
            ready.exists()
        });
        up
    }

    /// The variables of a connection file, as a shell has them that is past no proxy yet.
    pub fn env(&self, file: &str) -> BTreeMap<String, String> {
        let text = fs::read_to_string(self.data_dir.join(file)).expect("a connection file");
        let exports = text
            .lines()
            .filter_map(|line| line.strip_prefix("export ")?.split_once('='));
        exports
            .map(|(name, value)| {
                (
                    name.to_owned(),
                    value.replace("${NO_PROXY:+$NO_PROXY,}", "").replace('"', ""),
                )
            })
            .collect()
    }

    /// The Prometheus page.
    pub fn metrics_url(&self) -> String {
        self.env("env")["TORPOR_METRICS_URL"].clone()
    }

    /// The kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.data_dir.join("kubeconfig")
    }

    /// Kills it without warning, as `kill -9` does.
    pub fn kill(mut self) {
        self.child.kill().expect("the process can be killed");
        self.child.wait().expect("the process ends");
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn wait(mut self) -> ExitStatus {
        let mut status = None;
        wait_until("torpor up ends", || {
            status = self.child.try_wait().expect("the process can be asked");
            status.is_some()
        });
        status.expect("it has ended")
    }

    /// Interrupts it, as Ctrl-C does, and waits for its end.
    pub fn interrupt(mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-INT", &pid]).status().expect("kill runs");
        assert!(sent.success(), "the process takes a signal");
        self.child.wait().expect("the process ends")
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // Ended already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until `condition` holds.
///
/// # Panics
/// When it does not hold in time.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not after {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate is in the repository")
        .to_owned()
}
