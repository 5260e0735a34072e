//! The agent's side of init's socket, which can hang up: nothing may be connected to the tree when it is dumped.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
/// With the tree about to be dumped nobody waits longer for whoever listens to take one more event: a client that has stopped
/// reading would keep everybody from pausing, and loses its connection anyway.
const LAST_CALL: Duration = Duration::from_millis(100);
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

/// A process that is listened to until its end or a hang-up, which waits until this is dropped.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) stream: ProcessStream,
    _connected: Arc<OwnedRwLockReadGuard<()>>,
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
        let connected = Arc::clone(&self.connected).read_owned().await;
        self.exchange(connected, attempt, request).await
    }

    /// The same of what is of no use once `over` is cancelled. It is not asked for then, as may be known only when the
    /// sandbox goes on.
    pub(super) async fn ask_unless(
        &self,
        over: &CancellationToken,
        attempt: &'static str,
        request: Request,
    ) -> Result<(), SandboxError> {
        let connected = Arc::clone(&self.connected).read_owned().await;
        if over.is_cancelled() {
            return Ok(());
        }
        self.exchange(connected, attempt, request).await.map(drop)
    }

    async fn exchange(
        &self,
        _connected: OwnedRwLockReadGuard<()>,
        attempt: &'static str,
        request: Request,
    ) -> Result<Reply, SandboxError> {
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

    /// Starts or joins a process, and passes its events on until it ends or the client hangs up; then it gives up on
    /// whoever does not read them.
    pub(super) async fn listen(&self, attempt: &'static str, request: Request) -> Result<ProcessStream, SandboxError> {
        let followed = self.pass_on(attempt, request, Some(LAST_CALL)).await?;
        Ok(followed.stream)
    }

    /// The same for one who reads all of them, however long that takes.
    pub(super) async fn follow(&self, attempt: &'static str, request: Request) -> Result<Followed, SandboxError> {
        self.pass_on(attempt, request, None).await
    }

    async fn pass_on(
        &self,
        attempt: &'static str,
        request: Request,
        last_call: Option<Duration>,
    ) -> Result<Followed, SandboxError> {
        let connected = Arc::new(Arc::clone(&self.connected).read_owned().await);
        let hang_up = self.token().clone();
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
        let passing_on = PassingOn {
            events: Some(events),
            hang_up,
            last_call,
            _connected: Arc::clone(&connected),
        };
        tokio::spawn(passing_on.run(connection));
        Ok(Followed {
            stream: ProcessStream { pid, events: receiver },
            _connected: connected,
        })
    }

    /// Ends every connection, with all that init had sent on it passed on, and taken by those who [follow](Self::follow).
    pub(super) async fn hang_up(&self) -> HungUp {
        // Whoever connects from now on waits, and gets the next token, also when nobody waits here any more.
        let next = NextToken(self);
        self.token().cancel();
        let alone = Arc::clone(&self.connected).write_owned().await;
        drop(next);
        HungUp { _alone: alone }
    }

    fn token(&self) -> MutexGuard<'_, CancellationToken> {
        self.hang_up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self, attempt: &'static str) -> Result<UnixStream, CriuError> {
        UnixStream::connect(&self.socket)
            .await
            .map_err(CriuError::init(attempt))
    }
}

/// Puts a token that nobody has cancelled in the place of the one that is there.
struct NextToken<'a>(&'a InitClient);

impl Drop for NextToken<'_> {
    fn drop(&mut self) {
        *self.0.token() = CancellationToken::new();
    }
}

/// What passes the events of one process on.
struct PassingOn {
    /// Nobody when whoever listened was given up on.
    events: Option<mpsc::Sender<ProcessEvent>>,
    hang_up: CancellationToken,
    /// How long one that has hung up waits for an event to be taken.
    last_call: Option<Duration>,
    _connected: Arc<OwnedRwLockReadGuard<()>>,
}

impl PassingOn {
    async fn run(mut self, connection: UnixStream) {
        let (mut from, mut to) = connection.into_split();
        let mut open = true;
        loop {
            let reply = {
                // The same one over a hang-up: what it has read of a message would go with it.
                let mut reply = pin!(receive::<Reply>(&mut from));
                loop {
                    tokio::select! {
                        reply = &mut reply => break reply,
                        () = self.ended(), if open => {
                            open = false;
                            // Gone already is as good.
                            let _ = to.shutdown().await;
                        }
                    }
                }
            };
            let event = match reply {
                Ok(Some(Reply::Stdout(bytes))) => ProcessEvent::Stdout(bytes),
                Ok(Some(Reply::Stderr(bytes))) => ProcessEvent::Stderr(bytes),
                Ok(Some(Reply::Terminal(bytes))) => ProcessEvent::Terminal(bytes),
                Ok(Some(Reply::Exited(exit))) => ProcessEvent::Exited(exit),
                Ok(Some(Reply::Done | Reply::Processes(_) | Reply::Started { .. } | Reply::Refused(_)) | None)
                | Err(_) => return,
            };
            self.send(event).await;
        }
    }

    /// Returns when nobody wants more of it.
    async fn ended(&self) {
        let closed = async {
            if let Some(events) = &self.events {
                events.closed().await;
            }
        };
        tokio::select! {
            () = self.hang_up.cancelled() => {}
            () = closed => {}
        }
    }

    /// Whoever listened may have gone, or be given up on; what is under way is read to its end all the same.
    async fn send(&mut self, event: ProcessEvent) {
        let Some(events) = &self.events else { return };
        let given_up = async {
            match self.last_call {
                Some(last_call) => {
                    self.hang_up.cancelled().await;
                    tokio::time::sleep(last_call).await;
                }
                None => std::future::pending().await,
            }
        };
        let taken = tokio::select! {
            biased;
            _ = events.send(event) => true,
            () = given_up => false,
        };
        if !taken {
            self.events = None;
        }
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

#[cfg(test)]
mod tests;
