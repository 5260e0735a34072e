//! Against a real Docker: what a run does up to the start of a node, and what it leaves.
//!
//! A case that this machine cannot run is *ignored*, with the reason in its name. A daemon that is older than the client
//! of testcontainers is spoken to through a socket that asks for the version it has.

#![expect(clippy::expect_used, reason = "a test ends where something it needs is missing")]

mod older_daemon;

use std::process::{Command, ExitCode, Stdio};

use libtest_mimic::{Arguments, Failed, Trial};
use torpor_testbed::{BootError, ControlPlaneImage, Kind, RUN, reap, run_name};

type Case = fn() -> Result<(), Failed>;

fn main() -> ExitCode {
    if let Some(code) = older_daemon::run_again_with_its_version() {
        return code;
    }
    let program = std::env::var("TORPOR_BINARY").ok();
    let cases: [(&str, Case); 5] = [
        ("what_a_killed_run_left_is_removed_by_its_label", reaps),
        (
            "a_node_image_that_is_not_here_is_a_reason_and_no_cluster",
            without_image,
        ),
        (
            "a_node_that_this_machine_cannot_start_is_a_reason_and_leaves_nothing",
            cannot_start,
        ),
        (
            "a_control_plane_without_its_image_says_how_to_make_it",
            without_control_plane,
        ),
        (CONTROL_PLANE, control_plane),
    ];
    let answers = Command::new("docker")
        .arg("version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let answers = answers.is_ok_and(|status| status.success());
    let trials = cases.map(|(name, case)| {
        let trial = Trial::test(name, case);
        if answers && (name != CONTROL_PLANE || program.is_some()) {
            trial
        } else if answers {
            trial
                .with_kind("skipped: TORPOR_BINARY names no program")
                .with_ignored_flag(true)
        } else {
            trial
                .with_kind("skipped: Docker does not answer")
                .with_ignored_flag(true)
        }
    });
    let mut args = Arguments::from_args();
    // One removes what any run has left.
    args.test_threads = Some(1);
    libtest_mimic::run(&args, trials.into()).exit_code()
}

/// The case that takes a program to put into an image.
const CONTROL_PLANE: &str = "a_control_plane_serves_what_its_kubeconfig_and_addresses_say";

fn docker(args: &[&str]) -> String {
    let output = Command::new("docker").args(args).output().expect("docker runs");
    assert!(
        output.status.success(),
        "docker {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// An image with nothing that could run.
fn empty_image(tag: &str) -> String {
    let image = format!("torpor-test/node:{tag}");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("root.tar");
    // An archive of no files is two blocks of zeros.
    std::fs::write(&file, [0; 1024]).expect("written");
    docker(&[
        "import",
        "--change",
        "CMD [\"/nothing\"]",
        file.to_str().expect("a path"),
        &image,
    ]);
    image
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

fn left(run: &str) -> String {
    docker(&["ps", "-aq", "--filter", &format!("label={RUN}={run}")])
}

fn reaps() -> Result<(), Failed> {
    let image = empty_image("reaped");
    let (mine, other) = (run_name("kind"), run_name("kind"));
    for run in [&mine, &other] {
        docker(&["create", "--name", run, "--label", &format!("{RUN}={run}"), &image]);
        docker(&["volume", "create", run]);
    }
    let removed = wait(reap(Some(&mine)))?;
    assert_eq!(removed, [format!("container {mine}"), format!("volume {mine}")]);
    assert!(
        left(&mine).is_empty() && !left(&other).is_empty(),
        "only what was asked for"
    );
    let removed = wait(reap(None))?;
    assert!(
        removed.contains(&format!("container {other}")) && removed.contains(&format!("volume {other}")),
        "{removed:?}"
    );
    docker(&["rmi", &image]);
    Ok(())
}

fn boot(image: &str) -> BootError {
    let kind = Kind {
        image: image.to_owned(),
        load: Vec::new(),
        apply: Vec::new(),
    };
    wait(kind.boot(&run_name("kind"))).expect_err("no cluster comes of this")
}

fn without_image() -> Result<(), Failed> {
    let BootError::Impossible(reason) = boot("localhost:1/torpor-test/nowhere:v1.33.1") else {
        return Err("a reason was expected".into());
    };
    assert!(
        reason.contains("torpor-test/nowhere:v1.33.1 is not here") && reason.contains("docker load"),
        "{reason}"
    );
    Ok(())
}

fn cannot_start() -> Result<(), Failed> {
    let image = empty_image("unfit");
    let before = docker(&["ps", "-aq", "--filter", &format!("label={RUN}")]);
    let BootError::Impossible(reason) = boot(&image) else {
        return Err("a reason was expected".into());
    };
    assert!(reason.contains(&format!("Docker cannot start {image}")), "{reason}");
    assert_eq!(docker(&["ps", "-aq", "--filter", &format!("label={RUN}")]), before);
    docker(&["rmi", "--force", &image]);
    Ok(())
}

fn without_control_plane() -> Result<(), Failed> {
    let image = ControlPlaneImage {
        image: "torpor-test/no-plane:latest".to_owned(),
    };
    match wait(image.boot(&run_name("plane"))) {
        Err(BootError::Impossible(reason)) if reason.contains("deploy/image/build") => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}

/// Status line of the answer to a GET.
fn get(url: &str) -> String {
    use std::io::{Read as _, Write as _};
    let rest = url.strip_prefix("http://").expect("plain HTTP");
    let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = std::net::TcpStream::connect(address).expect("a connection");
    write!(
        stream,
        "GET /{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    .expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer.lines().next().unwrap_or_default().to_owned()
}

fn control_plane() -> Result<(), Failed> {
    let image = "torpor-test/control-plane:latest".to_owned();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/image/build");
    let program = std::env::var("TORPOR_BINARY")?;
    let built = Command::new(script)
        .args([&program, &image])
        .output()
        .expect("the script runs");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    wait(async {
        let plane = ControlPlaneImage { image: image.clone() }
            .boot(&run_name("plane"))
            .await?;
        let kubeconfig: serde_json::Value = serde_json::from_str(plane.kubeconfig())?;
        let server = kubeconfig["clusters"][0]["cluster"]["server"]
            .as_str()
            .expect("a server")
            .to_owned();
        for url in [
            format!("{server}/version"),
            plane.metrics().to_owned(),
            format!("{}/health", plane.e2b()),
        ] {
            let status = get(&url);
            assert!(status.contains(" 200 ") || status.contains(" 204 "), "{url}: {status}");
        }
        plane.stop().await?;
        Ok::<_, Failed>(())
    })?;
    assert!(
        docker(&["ps", "-aq", "--filter", &format!("ancestor={image}")]).is_empty(),
        "it is gone"
    );
    Ok(())
}
