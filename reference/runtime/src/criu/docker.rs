//! How Docker's command line runs a container in which this engine works, for what measures and tests the engine.
//! Left out: the containers of Pods, which the Docker API makes.

use std::process::Command;

/// The image of a sandbox, as `fixtures/image/build` makes it.
pub const SANDBOX_IMAGE: &str = "torpor/code-interpreter:latest";

/// What CRIU needs; `docs/engines.md` says what for.
const OPTIONS: [&str; 10] = [
    "--rm",
    "--cap-add=SYS_ADMIN",
    "--cap-add=SYS_PTRACE",
    "--cap-add=NET_ADMIN",
    "--cap-add=SYS_TIME",
    "--security-opt=seccomp=unconfined",
    "--security-opt=systempaths=unconfined",
    "--tmpfs=/run",
    "--network=none",
    "--env=MIMALLOC_ARENA_EAGER_COMMIT=0",
];

/// `docker run`, up to further options, the image and the program. The container is removed when it ends.
#[must_use]
pub fn docker_run() -> Command {
    let mut command = Command::new("docker");
    command.arg("run").args(OPTIONS);
    command
}

/// Why there can be no such container on this machine, and what helps; `None` where there can.
#[must_use]
pub fn docker_lacks() -> Option<String> {
    let answers = |args: &[&str]| {
        let output = Command::new("docker").args(args).output();
        output.is_ok_and(|output| output.status.success())
    };
    if !answers(&["version"]) {
        return Some("Docker does not answer (`docker version` tells why)".to_owned());
    }
    let there = answers(&["image", "inspect", SANDBOX_IMAGE]);
    (!there).then(|| format!("there is no image {SANDBOX_IMAGE} in Docker; `fixtures/image/build` makes it"))
}
