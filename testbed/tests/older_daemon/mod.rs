//! A socket in front of a Docker daemon that does not know the version of the API that testcontainers asks for. Names
//! of both versions are of one length, so that a request with the other stays the same request.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::thread;

/// What testcontainers asks for.
const ASKED: &[u8; 7] = b"/v1.53/";
/// Says that this process speaks through the socket already.
const MARK: &str = "TORPOR_TEST_OLDER_DAEMON";
/// Where Docker listens.
const DAEMON: &str = "/var/run/docker.sock";

/// Runs this program again behind the socket, if the daemon needs it; gives how that ended.
pub fn run_again_with_its_version() -> Option<ExitCode> {
    if std::env::var_os(MARK).is_some() || std::env::var_os("DOCKER_HOST").is_some() {
        return None;
    }
    let output = Command::new("docker")
        .args(["version", "--format", "{{.Server.APIVersion}}"])
        .output()
        .ok()?;
    let version = format!("/v{}/", String::from_utf8_lossy(&output.stdout).trim());
    let version: [u8; 7] = version.into_bytes().try_into().ok()?;
    if version >= *ASKED {
        return None;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("docker.sock");
    serve(&socket, version);
    let status = Command::new(std::env::current_exe().expect("this program"))
        .args(std::env::args_os().skip(1))
        .env(MARK, "1")
        .env("DOCKER_HOST", format!("unix://{}", socket.display()))
        .status();
    let code = status
        .expect("this program runs")
        .code()
        .and_then(|code| u8::try_from(code).ok());
    Some(ExitCode::from(code.unwrap_or(1)))
}

fn serve(socket: &Path, version: [u8; 7]) {
    let listener = UnixListener::bind(socket).expect("a socket");
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(daemon) = UnixStream::connect(DAEMON) else {
                continue;
            };
            let (Ok(from_client), Ok(from_daemon)) = (client.try_clone(), daemon.try_clone()) else {
                continue;
            };
            thread::spawn(move || pass(from_client, daemon, Some(version)));
            thread::spawn(move || pass(from_daemon, client, None));
        }
    });
}

/// Passes bytes on, with another version where one is asked for.
fn pass(mut from: UnixStream, mut to: UnixStream, version: Option<[u8; 7]>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let bytes = &mut buffer[..read];
        if let Some(version) = version {
            let mut at = 0;
            while let Some(found) = bytes[at..].windows(ASKED.len()).position(|window| window == ASKED) {
                bytes[at + found..at + found + version.len()].copy_from_slice(&version);
                at += found + version.len();
            }
        }
        if to.write_all(bytes).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
