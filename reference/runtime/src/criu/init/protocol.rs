//! What agent and init say to each other: messages with their length in front.

use std::io;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::engine::{Exit, ProcessInfo, ProcessSpec, TerminalSize};

/// The longest message; code that is sent to a context is the longest there is.
const MESSAGE_LIMIT: u32 = 256 << 20;

/// Asked of init, once on a connection.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    List,
    Start(ProcessSpec),
    Connect { pid: u32 },
    Input { pid: u32, data: Bytes },
    CloseStdin { pid: u32 },
    Signal { pid: u32, signal: i32 },
    Resize { pid: u32, size: TerminalSize },
}

/// What init answers. `Started` is followed by events until the process ends or the client gives up.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    Done,
    Processes(Vec<ProcessInfo>),
    Started { pid: u32 },
    Stdout(Bytes),
    Stderr(Bytes),
    Terminal(Bytes),
    Exited(Exit),
    Refused(Refusal),
}

/// Why init did not do it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Refusal {
    NoProcess,
    NoStdin,
    NoTerminal,
    /// What was attempted, and what the system said.
    Failed(String),
}

pub(crate) async fn send(to: &mut (impl AsyncWrite + Unpin), message: &(impl Serialize + Sync)) -> io::Result<()> {
    let body = postcard::to_allocvec(message).map_err(io::Error::other)?;
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    to.write_all(&length.to_le_bytes()).await?;
    to.write_all(&body).await
}

/// The next message; `None` when the other side has hung up.
pub(crate) async fn receive<T: DeserializeOwned>(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<T>> {
    let length = match from.read_u32_le().await {
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    if length > MESSAGE_LIMIT {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the message is too long"));
    }
    let mut body = Vec::new();
    from.take(u64::from(length)).read_to_end(&mut body).await?;
    postcard::from_bytes(&body)
        .map(Some)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}
