//! Makes a process from its specification, with pipes or a terminal.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::net::unix::pipe;
use torpor_api::env;

use super::INIT_ALLOCATOR;
use crate::engine::{ProcessSpec, TerminalSize};

/// Where a process starts unless it says otherwise.
const HOME: &str = "/home/user";

/// Our ends of a process's streams.
pub(super) enum Streams {
    Pipes {
        /// Absent when it begins without one.
        stdin: Option<pipe::Sender>,
        stdout: pipe::Receiver,
        stderr: pipe::Receiver,
    },
    Terminal {
        input: pipe::Sender,
        output: pipe::Receiver,
        terminal: OwnedFd,
    },
}

/// Starts a process. The caller reaps it.
pub(super) fn spawn(spec: &ProcessSpec) -> io::Result<(Child, Streams)> {
    match spec.terminal {
        None => with_pipes(spec),
        Some(size) => with_terminal(spec, size),
    }
}

fn command(spec: &ProcessSpec, program: &str) -> Command {
    let mut command = Command::new(program);
    // What is for init alone; a value of the sandbox's own goes on.
    if std::env::var(env::ALLOCATOR).is_ok_and(|value| value == INIT_ALLOCATOR) {
        command.env_remove(env::ALLOCATOR);
    }
    command.envs(&spec.env).current_dir(spec.cwd.as_deref().unwrap_or(HOME));
    command
}

fn with_pipes(spec: &ProcessSpec) -> io::Result<(Child, Streams)> {
    let mut child = command(spec, &spec.program)
        .args(&spec.args)
        .process_group(0)
        .stdin(if spec.no_input { Stdio::null() } else { Stdio::piped() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(io::Error::other("a pipe that was asked for is missing"));
    };
    let stdin = child.stdin.take();
    let streams = Streams::Pipes {
        stdin: stdin
            .map(|stdin| pipe::Sender::from_owned_fd(stdin.into()))
            .transpose()?,
        stdout: pipe::Receiver::from_owned_fd(stdout.into())?,
        stderr: pipe::Receiver::from_owned_fd(stderr.into())?,
    };
    Ok((child, streams))
}

/// `setsid` makes the terminal that is its standard input the controlling one, and becomes the program.
fn with_terminal(spec: &ProcessSpec, size: TerminalSize) -> io::Result<(Child, Streams)> {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&terminal)?;
    unlockpt(&terminal)?;
    set_size(&terminal, size)?;
    let name = ptsname(&terminal, Vec::new())?;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let inside = rustix::fs::open(name, flags, Mode::empty())?;
    let child = command(spec, "setsid")
        .arg("--ctty")
        .arg(&spec.program)
        .args(&spec.args)
        .stdin(inside.try_clone()?)
        .stdout(inside.try_clone()?)
        .stderr(inside)
        .spawn()?;
    rustix::io::ioctl_fionbio(&terminal, true)?;
    let streams = Streams::Terminal {
        input: pipe::Sender::from_owned_fd_unchecked(terminal.try_clone()?)?,
        output: pipe::Receiver::from_owned_fd_unchecked(terminal.try_clone()?)?,
        terminal,
    };
    Ok((child, streams))
}

pub(super) fn set_size(terminal: &OwnedFd, size: TerminalSize) -> io::Result<()> {
    let window = Winsize {
        ws_row: size.rows,
        ws_col: size.columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    Ok(tcsetwinsize(terminal, window)?)
}
