//! The page server: answers `criu lazy-pages` on one connection until it says that it has everything.
//!
//! Source followed: `criu/page-xfer.c` of CRIU 4.2. A request and the head of an answer are four numbers of the
//! machine's byte order: command, number of pages, address, process.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::pagemap::PAGE_BYTES;
use super::source::{Source, SourceError};

/// Bytes of a head: the command and a gap of four bytes, and three numbers of eight.
const HEAD_BYTES: usize = 32;
/// The low bits of a command say what it is, the others are flags.
const COMMAND_MASK: u32 = 0xffff;
const COMMAND_BITS: u32 = 16;
const PAGES_WITH_FLAGS: u32 = 6;
const GET: u32 = 7;
const CLOSE: u32 = 0x1023;
const FORCE_CLOSE: u32 = 0x1024;
/// In the flags of an answer: the pages follow.
const PRESENT: u32 = 1 << 2;
/// More than this is no request that CRIU makes.
const MOST_PAGES: u64 = 1 << 22;

/// Why no more pages are served.
#[derive(Debug, thiserror::Error)]
pub(super) enum ServeError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("talk to criu lazy-pages")]
    Connection(#[from] std::io::Error),
    #[error("criu lazy-pages asks for something unknown: command {command:#x}, {pages} pages")]
    Unknown { command: u32, pages: u64 },
}

struct Request {
    command: u32,
    pages: u64,
    address: u64,
    pid: u64,
}

impl Request {
    fn parse(head: &[u8; HEAD_BYTES]) -> Self {
        let number = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&head[at..at + 8]);
            u64::from_ne_bytes(bytes)
        };
        Self {
            command: u32::from_ne_bytes([head[0], head[1], head[2], head[3]]),
            pages: number(8),
            address: number(16),
            pid: number(24),
        }
    }

    fn answer(&self) -> [u8; HEAD_BYTES] {
        let mut head = [0; HEAD_BYTES];
        let command = PAGES_WITH_FLAGS | PRESENT << COMMAND_BITS;
        head[0..4].copy_from_slice(&command.to_ne_bytes());
        head[8..16].copy_from_slice(&self.pages.to_ne_bytes());
        head[16..24].copy_from_slice(&self.address.to_ne_bytes());
        head[24..32].copy_from_slice(&self.pid.to_ne_bytes());
        head
    }
}

/// Serves pages until the other side has all that it wants.
pub(super) async fn serve(mut connection: UnixStream, mut source: Source) -> Result<(), ServeError> {
    let mut head = [0; HEAD_BYTES];
    loop {
        connection.read_exact(&mut head).await?;
        let request = Request::parse(&head);
        match request.command & COMMAND_MASK {
            GET if request.pages <= MOST_PAGES => {
                let addresses = request.address..request.address.saturating_add(request.pages * PAGE_BYTES);
                let pages = source.pages(request.pid, addresses).await?;
                connection.write_all(&request.answer()).await?;
                connection.write_all(&pages).await?;
            }
            CLOSE | FORCE_CLOSE => {
                // It may not wait for the answer.
                let _ = connection.write_all(&0_i32.to_ne_bytes()).await;
                return Ok(());
            }
            command => {
                return Err(ServeError::Unknown {
                    command,
                    pages: request.pages,
                });
            }
        }
    }
}
