//! The agent's side of init's socket, which can hang up: nothing may be connected to the tree when it is dumped.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock, mpsc};
use tokio_util::sync::CancellationToken;

use super::error::CriuError;
use super::init::{Refusal, Reply, Request, receive, send};
use crate::engine::{ProcessEvent, ProcessStream, SandboxError};

/// Events of one process that may wait for whoever listens.
const QUEUE: usize = 64;
/// How often a starting init is looked for, and for how long in all.
const LOOK: Duration = Duration::from_millis(5);
const LOOK_LIMIT: Duration = Duration::from_secs(10);

/// Reaches init. Clones share their connections.
#[derive(Clone, Debug)]
pub(super) struct InitClient {
    socket: PathBuf,
    /// Held shared by every connection.
    connected: Arc<RwLock<()>>,
    hang_up: Arc<Mutex<CancellationToken>>,
}

/// While it is held there is no connection to init, and none is made.
#[derive(Debug)]
pub(super) struct HungUp {
    _alone: OwnedRwLockWriteGuard<()>,
}

impl InitClient {
    pub(super) fn new(socket: PathBuf) -> Self {
        Self {
            socket,
            connected: Arc::default(),
            hang_up: Arc::default(),
        }
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Waits until init answers.
    pub(super) async fn ready(&self) -> Result<(), CriuError> {
        let asked = async {
            loop {
                match self.ask("answer", Request::List).await {
                    Ok(_) => return,
                    Err(_) => tokio::time::sleep(LOOK).await,
                }
            }
        };
        tokio::time::timeout(LOOK_LIMIT, asked)
            .await
            .map_err(|_| CriuError::init("answer")(io::ErrorKind::TimedOut.into()))
    }

    /// Asks for something that is answered at once.
    pub(super) async fn ask(&self, attempt: &'static str, request: Request) -> Result<Reply, SandboxError> {
        let _connected = Arc::clone(&self.connected).read_owned().await;
        let mut connection = self.connect(attempt).await?;
        let failed = CriuError::init(attempt);
        let exchange = async {
            send(&mut connection, &request).await?;
            let reply = receive::<Reply>(&mut connection).await?;
            // Init has hung up when this ends; only then is the connection gone on both sides.
            while receive::<Reply>(&mut connection).await?.is_some() {}
            reply.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
        };
        let reply = exchange.await.map_err(failed)?;
        accepted(&request, reply)
    }

    /// Starts or joins a process, and passes its events on until it ends or the client hangs up.
    pub(super) async fn listen(&self, attempt: &'static str, request: Request) -> Result<ProcessStream, SandboxError> {
        let connected = Arc::clone(&self.connected).read_owned().await;
        let hang_up = self.hang_up.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut connection = self.connect(attempt).await?;
        let exchange = async {
            send(&mut connection, &request).await?;
            receive::<Reply>(&mut connection)
                .await?
                .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
        };
        let reply = exchange.await.map_err(CriuError::init(attempt))?;
        let Reply::Started { pid } = accepted(&request, reply)? else {
            return Err(CriuError::init(attempt)(io::ErrorKind::InvalidData.into()).into());
        };
        let (events, receiver) = mpsc::channel(QUEUE);
        tokio::spawn(pass_on(connection, events, hang_up, connected));
        Ok(ProcessStream { pid, events: receiver })
    }

    /// Ends every connection, with all that init had sent on it passed on.
    pub(super) async fn hang_up(&self) -> HungUp {
        let ended = std::mem::take(&mut *self.hang_up.lock().unwrap_or_else(PoisonError::into_inner));
        ended.cancel();
        HungUp {
            _alone: Arc::clone(&self.connected).write_owned().await,
        }
    }

    async fn connect(&self, attempt: &'static str) -> Result<UnixStream, CriuError> {
        UnixStream::connect(&self.socket)
            .await
            .map_err(CriuError::init(attempt))
    }
}

async fn pass_on(
    connection: UnixStream,
    events: mpsc::Sender<ProcessEvent>,
    hang_up: CancellationToken,
    _connected: OwnedRwLockReadGuard<()>,
) {
    let (mut from, mut to) = connection.into_split();
    let mut open = true;
    loop {
        let reply = tokio::select! {
            reply = receive::<Reply>(&mut from) => reply,
            () = hang_up.cancelled(), if open => {
                open = false;
                // Gone already is as good.
                let _ = to.shutdown().await;
                continue;
            }
            () = events.closed(), if open => {
                open = false;
                let _ = to.shutdown().await;
                continue;
            }
        };
        let event = match reply {
            Ok(Some(Reply::Stdout(bytes))) => ProcessEvent::Stdout(bytes),
            Ok(Some(Reply::Stderr(bytes))) => ProcessEvent::Stderr(bytes),
            Ok(Some(Reply::Terminal(bytes))) => ProcessEvent::Terminal(bytes),
            Ok(Some(Reply::Exited(exit))) => ProcessEvent::Exited(exit),
            Ok(Some(Reply::Done | Reply::Processes(_) | Reply::Started { .. } | Reply::Refused(_)) | None) | Err(_) => {
                return;
            }
        };
        // Whoever listened may have gone; what is under way is read to its end all the same.
        let _ = events.send(event).await;
    }
}

fn accepted(request: &Request, reply: Reply) -> Result<Reply, SandboxError> {
    let Reply::Refused(refusal) = reply else {
        return Ok(reply);
    };
    let pid = match request {
        Request::List | Request::Start(_) => 0,
        Request::Connect { pid }
        | Request::Input { pid, .. }
        | Request::CloseStdin { pid }
        | Request::Signal { pid, .. }
        | Request::Resize { pid, .. } => *pid,
    };
    Err(match refusal {
        Refusal::NoProcess => SandboxError::NoProcess(pid),
        Refusal::NoStdin => SandboxError::NoSuchStream {
            pid,
            what: "open standard input",
        },
        Refusal::NoTerminal => SandboxError::NoSuchStream { pid, what: "terminal" },
        Refusal::Failed(message) => CriuError::Refused(message).into(),
    })
}
