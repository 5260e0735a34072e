//! Init as a whole: its table of processes, its socket, and the reaping of whatever ends.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use bytes::Bytes;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, set_child_subreaper, wait};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Sender;
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;

use super::process::{Output, ProcessTask, feed};
use super::protocol::{Refusal, Reply, Request, receive, send};
use super::spawn::{Streams, set_size, spawn};
use crate::engine::{Exit, ProcessInfo, ProcessSpec};

/// Events that may wait for one listener before its process is held up.
const QUEUE: usize = 16;

/// Why init ended.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The socket cannot be bound.
    #[error("listen on {path}")]
    Listen {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It cannot be the one that adopts orphans, or hear of their end.
    #[error("watch over processes")]
    Watch(#[source] io::Error),
}

/// Runs as the init of a sandbox, answering on `socket`, for ever.
///
/// # Errors
/// It cannot listen, or cannot adopt orphans.
pub fn run_init(socket: &Path) -> Result<(), InitError> {
    set_child_subreaper(Some(rustix::process::getpid())).map_err(|error| InitError::Watch(error.into()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(InitError::Watch)?;
    LocalSet::new().block_on(&runtime, async {
        let listener = UnixListener::bind(socket).map_err(|source| InitError::Listen {
            path: socket.to_owned(),
            source,
        })?;
        let table = Table::default();
        let mut children = signal(SignalKind::child()).map_err(InitError::Watch)?;
        loop {
            tokio::select! {
                _ = children.recv() => table.reap(),
                Ok((connection, _)) = listener.accept() => {
                    let table = table.clone();
                    tokio::task::spawn_local(async move {
                        // A client that hangs up in the middle of a message has no use for an answer.
                        let _ = table.serve(connection).await;
                    });
                }
            }
        }
    })
}

/// The processes that clients started and that still run.
#[derive(Clone, Default)]
struct Table {
    processes: Rc<RefCell<BTreeMap<u32, Entry>>>,
}

struct Entry {
    spec: ProcessSpec,
    input: Option<mpsc::UnboundedSender<Bytes>>,
    terminal: Option<OwnedFd>,
    joining: mpsc::UnboundedSender<mpsc::Sender<Reply>>,
    /// Taken when the process has ended; what is left of its output may still be under way.
    exit: Option<oneshot::Sender<Exit>>,
    /// Closed, with nothing sent, when the process has ended.
    awaiting_end: Vec<oneshot::Sender<Infallible>>,
}

impl Entry {
    const fn runs(&self) -> bool {
        self.exit.is_some()
    }
}

impl Table {
    /// Takes in every process that has ended, adopted ones as well.
    fn reap(&self) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let exit = match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Exit::Code(code),
                (None, Some(signal)) => Exit::Signal(signal),
                (None, None) => continue,
            };
            let pid = pid.as_raw_nonzero().get().unsigned_abs();
            if let Some(entry) = self.processes.borrow_mut().get_mut(&pid)
                && let Some(sender) = entry.exit.take()
            {
                let _ = sender.send(exit);
                entry.awaiting_end.clear();
            }
        }
    }

    async fn serve(&self, mut connection: UnixStream) -> io::Result<()> {
        let Some(request) = receive::<Request>(&mut connection).await? else {
            return Ok(());
        };
        let listened = match request {
            Request::Start(spec) => self.start(spec),
            Request::Connect { pid } => self.join(pid).map(|events| (pid, events)),
            Request::Signal { pid, signal } => {
                let reply = self
                    .signal(pid, signal)
                    .await
                    .map_or_else(Reply::Refused, |()| Reply::Done);
                return send(&mut connection, &reply).await;
            }
            other => {
                let reply = self.answer(other).unwrap_or_else(Reply::Refused);
                return send(&mut connection, &reply).await;
            }
        };
        match listened {
            Err(refusal) => send(&mut connection, &Reply::Refused(refusal)).await,
            Ok((pid, events)) => {
                send(&mut connection, &Reply::Started { pid }).await?;
                forward(connection, events).await
            }
        }
    }

    fn answer(&self, request: Request) -> Result<Reply, Refusal> {
        let mut processes = self.processes.borrow_mut();
        match request {
            Request::List => {
                let info = |(pid, entry): (&u32, &Entry)| ProcessInfo {
                    pid: *pid,
                    spec: entry.spec.clone(),
                };
                let running = processes.iter().filter(|(_, entry)| entry.runs());
                return Ok(Reply::Processes(running.map(info).collect()));
            }
            Request::Input { pid, data } => {
                let input = entry(&mut processes, pid)?.input.as_ref().ok_or(Refusal::NoStdin)?;
                input.send(data).map_err(|_| Refusal::NoStdin)?;
            }
            Request::CloseStdin { pid } => {
                let entry = entry(&mut processes, pid)?;
                if entry.terminal.is_some() {
                    return Err(Refusal::NoStdin);
                }
                entry.input = None;
            }
            Request::Resize { pid, size } => {
                let terminal = entry(&mut processes, pid)?
                    .terminal
                    .as_ref()
                    .ok_or(Refusal::NoTerminal)?;
                set_size(terminal, size).map_err(|error| Refusal::Failed(format!("resize the terminal: {error}")))?;
            }
            // These wait, or open a stream of events.
            Request::Start(_) | Request::Connect { .. } | Request::Signal { .. } => return Err(Refusal::NoProcess),
        }
        Ok(Reply::Done)
    }

    /// Sends a signal. One that cannot be caught has its answer when the process has ended: whoever asks what runs
    /// after it is not told of what is still being taken down.
    async fn signal(&self, pid: u32, number: i32) -> Result<(), Refusal> {
        let ended = {
            let mut processes = self.processes.borrow_mut();
            let entry = processes
                .get_mut(&pid)
                .filter(|entry| entry.runs())
                .ok_or(Refusal::NoProcess)?;
            let pid = i32::try_from(pid)
                .ok()
                .and_then(Pid::from_raw)
                .ok_or(Refusal::NoProcess)?;
            let signal = Signal::from_named_raw(number)
                .ok_or_else(|| Refusal::Failed(format!("there is no signal {number}")))?;
            kill_process(pid, signal).map_err(|error| Refusal::Failed(format!("send the signal: {error}")))?;
            if signal != Signal::KILL {
                return Ok(());
            }
            let (sender, ended) = oneshot::channel();
            entry.awaiting_end.push(sender);
            ended
        };
        match ended.await {
            Err(_) => Ok(()),
        }
    }

    fn join(&self, pid: u32) -> Result<mpsc::Receiver<Reply>, Refusal> {
        let processes = self.processes.borrow();
        let entry = processes.get(&pid).ok_or(Refusal::NoProcess)?;
        let (listener, events) = mpsc::channel(QUEUE);
        entry.joining.send(listener).map_err(|_| Refusal::NoProcess)?;
        Ok(events)
    }

    fn start(&self, spec: ProcessSpec) -> Result<(u32, mpsc::Receiver<Reply>), Refusal> {
        let (child, streams) =
            spawn(&spec).map_err(|error| Refusal::Failed(format!("start {}: {error}", spec.program)))?;
        let pid = child.id();
        let (listener, events) = mpsc::channel(QUEUE);
        let (joining, joins) = mpsc::unbounded_channel();
        let (exit, exited) = oneshot::channel();
        let (stdin, outputs, terminal) = split(streams);
        let input = stdin.map(|stdin| {
            let (input, queue) = mpsc::unbounded_channel();
            tokio::task::spawn_local(feed(stdin, queue));
            input
        });
        let task = ProcessTask {
            keep_output: spec.keep_output,
            outputs,
            listeners: vec![listener],
            joining: joins,
            exit: exited,
        };
        let entry = Entry {
            spec,
            input,
            terminal,
            joining,
            exit: Some(exit),
            awaiting_end: Vec::new(),
        };
        self.processes.borrow_mut().insert(pid, entry);
        let processes = Rc::clone(&self.processes);
        tokio::task::spawn_local(task.run(move || drop(processes.borrow_mut().remove(&pid))));
        Ok((pid, events))
    }
}

fn split(streams: Streams) -> (Option<Sender>, Vec<Output>, Option<OwnedFd>) {
    match streams {
        Streams::Pipes { stdin, stdout, stderr } => {
            let stdout = Output {
                pipe: stdout,
                label: Reply::Stdout,
            };
            let stderr = Output {
                pipe: stderr,
                label: Reply::Stderr,
            };
            (stdin, vec![stdout, stderr], None)
        }
        Streams::Terminal {
            input,
            output,
            terminal,
        } => {
            let output = Output {
                pipe: output,
                label: Reply::Terminal,
            };
            (Some(input), vec![output], Some(terminal))
        }
    }
}

fn entry(processes: &mut BTreeMap<u32, Entry>, pid: u32) -> Result<&mut Entry, Refusal> {
    processes.get_mut(&pid).ok_or(Refusal::NoProcess)
}

/// Sends events until the process ends or the client gives up; then what is under way.
async fn forward(connection: UnixStream, mut events: mpsc::Receiver<Reply>) -> io::Result<()> {
    let (mut from, mut to) = connection.into_split();
    let mut given_up = [0];
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(event) => send(&mut to, &event).await?,
                None => return Ok(()),
            },
            _ = from.read(&mut given_up) => break,
        }
    }
    events.close();
    while let Some(event) = events.recv().await {
        send(&mut to, &event).await?;
    }
    Ok(())
}
