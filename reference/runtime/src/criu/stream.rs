//! The images of a dump as CRIU writes them: each comes through a pipe, and none is ever a file.
//!
//! CRIU connects to a socket in the directory of its images, and says there of each image first its name and then the
//! end of a pipe to read it from. It may write several at once. What is large goes to the store while it comes.
//! Source followed: `criu/img-streamer.c` and `images/img-streamer.proto` of CRIU.
//!
//! ```text
//!  criu ──name, pipe──▶ one thread that looks again and again ──small──▶ memory
//!                                        └─pages, large──▶ one of its own ──▶ a draft in the store
//! ```
//!
//! Leaves out what the images mean. Where there is nobody to take them, CRIU writes files.

mod arriving;
mod backlog;

use std::io::{self, ErrorKind, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, Scope};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tokio::net::UnixListener;

use super::error::CriuError;
use crate::payload::Payload;
use crate::store::Draft;
use arriving::Image;

/// Where CRIU connects to, in the directory of its images.
const SOCKET: &str = "streamer-capture.sock";
/// What CRIU writes when it has written everything of the tree.
const LAST_IMAGE: &str = "inventory.img";
/// How often one looks for what CRIU wrote. Whoever waits for it instead is woken by each of its writes, where it runs and
/// in its stead: to begin and end 45 small images took it milliseconds.
const LOOK: Duration = Duration::from_micros(250);
/// A name is far shorter.
const LONGEST_REQUEST: usize = 4096;
/// The field of a request that has the name, and its type: a string.
const NAME_FIELD: u8 = 0x0a;

/// Images by their names, in the order in which CRIU began them.
pub(super) type Streamed = Vec<(String, Payload)>;

/// Listens for CRIU.
#[derive(Debug)]
pub(super) struct Streamer {
    listener: UnixListener,
    path: PathBuf,
}

impl Streamer {
    /// Listens in a directory for images.
    pub(super) fn listen(images: &Path) -> Result<Self, CriuError> {
        let path = images.join(SOCKET);
        let listener = UnixListener::bind(&path).map_err(CriuError::file("listen on", &path))?;
        Ok(Self { listener, path })
    }

    /// Takes what the dump that now begins writes, up to its end; none if it ends before it connects. `at_last` is called
    /// when its last image comes.
    pub(super) async fn receive(
        self,
        draft: impl Future<Output = Arc<Draft>>,
        dumped: impl Future<Output = ()>,
        at_last: impl FnOnce() + Send + 'static,
    ) -> Result<Streamed, CriuError> {
        let failed = CriuError::file("read what CRIU writes to", &self.path);
        let accepted = tokio::select! {
            biased;
            accepted = self.listener.accept() => Some(accepted),
            () = dumped => None,
        };
        let received = async {
            let Some(accepted) = accepted else {
                return Ok(Vec::new());
            };
            let connection = accepted?.0.into_std()?;
            connection.set_nonblocking(false)?;
            let draft = draft.await;
            let receive = move || receive_all(&connection, &draft, at_last);
            tokio::task::spawn_blocking(receive).await.map_err(io::Error::other)?
        };
        received.await.map_err(failed)
    }
}

fn receive_all(connection: &UnixStream, draft: &Arc<Draft>, at_last: impl FnOnce()) -> io::Result<Streamed> {
    thread::scope(|scope| {
        let mut images = Vec::new();
        let received = receive_while_it_writes(connection, draft, scope, &mut images, at_last);
        if received.is_err() {
            // Otherwise CRIU would wait for somebody to read from its pipes.
            let _ = connection.shutdown(Shutdown::Both);
        }
        received?;
        let whole = |(name, image): (String, Image<'_>)| Ok((name, image.end()?));
        images.into_iter().map(whole).collect()
    })
}

/// Looks again and again for what CRIU has begun and written, until it has hung up and ended all.
fn receive_while_it_writes<'scope>(
    connection: &'scope UnixStream,
    draft: &'scope Arc<Draft>,
    scope: &'scope Scope<'scope, '_>,
    images: &mut Vec<(String, Image<'scope>)>,
    at_last: impl FnOnce(),
) -> io::Result<()> {
    let (mut is_connected, mut at_last) = (true, Some(at_last));
    loop {
        while is_connected && is_readable(connection)? {
            match receive_name(connection)? {
                Some(name) => {
                    if name == LAST_IMAGE
                        && let Some(at_last) = at_last.take()
                    {
                        at_last();
                    }
                    let image = Image::begun(&name, receive_pipe(connection)?, draft, scope)?;
                    images.push((name, image));
                }
                None => is_connected = false,
            }
        }
        let mut is_open = false;
        for (_, image) in &mut *images {
            is_open |= image.go_on(draft, scope)?;
        }
        if !is_connected && !is_open {
            return Ok(());
        }
        thread::sleep(LOOK);
    }
}

/// Whether there is something to read from `connection`, or nobody at its other end.
fn is_readable(connection: &UnixStream) -> io::Result<bool> {
    let mut asked = [PollFd::new(connection, PollFlags::IN)];
    Ok(poll(&mut asked, Some(&Timespec::default()))? > 0)
}

/// The name of the next image: the length of a request, and the request, which has one field.
fn receive_name(mut connection: &UnixStream) -> io::Result<Option<String>> {
    let mut length = Vec::new();
    connection.take(4).read_to_end(&mut length)?;
    if length.is_empty() {
        return Ok(None);
    }
    let length: [u8; 4] = length.try_into().map_err(|_| ErrorKind::UnexpectedEof)?;
    let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    if length > LONGEST_REQUEST {
        return Err(malformed("a request is too long"));
    }
    let mut request = vec![0; length];
    connection.read_exact(&mut request)?;
    name_in(&request).map(Some)
}

/// Reads a name of less than 128 bytes, whose length is one byte.
fn name_in(request: &[u8]) -> io::Result<String> {
    match request {
        [NAME_FIELD, length, name @ ..] if *length < 0x80 && name.len() == usize::from(*length) => {
            String::from_utf8(name.to_vec()).map_err(|_| malformed("a name is no text"))
        }
        _ => Err(malformed("a request is not the name of an image")),
    }
}

fn receive_pipe(connection: &UnixStream) -> io::Result<OwnedFd> {
    let (mut byte, mut space) = ([0], [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))]);
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut into = [IoSliceMut::new(&mut byte)];
    recvmsg(connection, &mut into, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(mut received) = message
            && let Some(pipe) = received.next()
        {
            return Ok(pipe);
        }
    }
    Err(malformed("a name comes without a pipe"))
}

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use std::io::{IoSlice, Write};
    use std::os::fd::AsFd;

    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

    use super::*;
    use crate::store::CheckpointStore;

    /// Begins an image as CRIU does; gives the end to write it to.
    fn begin(connection: &mut UnixStream, name: &str) -> io::PipeWriter {
        let mut request = vec![NAME_FIELD, u8::try_from(name.len()).expect("a short name")];
        request.extend_from_slice(name.as_bytes());
        send(connection, &request);
        let (reader, writer) = io::pipe().expect("a pipe");
        let (fds, mut space) = (
            [reader.as_fd()],
            [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))],
        );
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&fds)));
        sendmsg(&*connection, &[IoSlice::new(&[0])], &mut ancillary, SendFlags::empty()).expect("sent");
        writer
    }

    fn send(connection: &mut UnixStream, request: &[u8]) {
        let length = u32::try_from(request.len()).expect("a short request");
        connection.write_all(&length.to_le_bytes()).expect("sent");
        connection.write_all(request).expect("sent");
    }

    /// What is received of a CRIU that does `work` on its connection.
    async fn received(work: impl FnOnce(UnixStream) + Send + 'static) -> Result<Streamed, CriuError> {
        let directory = tempfile::tempdir().expect("a directory");
        let streamer = Streamer::listen(directory.path()).expect("a socket");
        let intake = CheckpointStore::open("memory://").expect("a store").intake("streamed");
        let connection = UnixStream::connect(directory.path().join(SOCKET)).expect("connected");
        let criu = tokio::task::spawn_blocking(move || work(connection));
        let received = streamer.receive(intake.begin(), std::future::pending(), || {}).await;
        criu.await.expect("CRIU has ended");
        received
    }

    #[tokio::test]
    async fn images_that_are_written_in_turns_are_read_whole_and_large_ones_by_the_store() {
        let images = received(|mut connection| {
            let mut small = begin(&mut connection, "core-1.img");
            let mut large = begin(&mut connection, "pages-1.img");
            // More than a pipe holds: each has to be read while the other is still open.
            for _ in 0..4 {
                large.write_all(&vec![7; 200 << 10]).expect("read");
                small.write_all(&vec![8; 50 << 10]).expect("read");
            }
        });
        let images = images.await.expect("read");
        let told: Vec<_> = images
            .iter()
            .map(|(name, image)| (name.as_str(), image.len(), image.is_taken()))
            .collect();
        assert_eq!(
            told,
            [("core-1.img", 200 << 10, false), ("pages-1.img", 800 << 10, true)]
        );
    }

    #[tokio::test]
    async fn the_last_image_is_told_once_and_when_it_begins() {
        let directory = tempfile::tempdir().expect("a directory");
        let streamer = Streamer::listen(directory.path()).expect("a socket");
        let intake = CheckpointStore::open("memory://").expect("a store").intake("streamed");
        let mut connection = UnixStream::connect(directory.path().join(SOCKET)).expect("connected");
        let (tell, told) = std::sync::mpsc::channel();
        let criu = tokio::task::spawn_blocking(move || {
            drop(begin(&mut connection, "core-1.img"));
            let last = begin(&mut connection, LAST_IMAGE);
            told.recv().expect("told before it ends");
            drop((last, begin(&mut connection, LAST_IMAGE)));
            drop(connection);
            assert!(told.recv().is_err(), "told again");
        });
        let at_last = move || tell.send(()).expect("somebody hears");
        let received = streamer.receive(intake.begin(), std::future::pending(), at_last);
        assert_eq!(received.await.expect("read").len(), 3);
        criu.await.expect("CRIU has ended");
    }

    #[tokio::test]
    async fn what_is_not_the_name_of_an_image_is_refused_and_criu_does_not_wait() {
        for request in [b"\x12\x01a".as_slice(), b"\x0a\x05a", b"\x0a\x01\xff", b""] {
            let refused = received(move |mut connection| {
                let mut open = begin(&mut connection, "core-1.img");
                open.write_all(b"first").expect("read");
                drop(open);
                send(&mut connection, request);
                assert_eq!(connection.read(&mut [0]).expect("hung up"), 0);
            });
            let error = refused.await.expect_err("refused");
            assert!(error.to_string().starts_with("read what CRIU writes to"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_name_without_a_pipe_is_refused() {
        let refused = received(|mut connection| {
            send(&mut connection, b"\x0a\x01a");
            connection.write_all(&[0]).expect("sent");
            assert_eq!(connection.read(&mut [0]).expect("hung up"), 0);
        });
        refused.await.expect_err("refused");
    }

    #[tokio::test]
    async fn a_dump_that_ends_before_it_connects_has_no_images() {
        let directory = tempfile::tempdir().expect("a directory");
        let streamer = Streamer::listen(directory.path()).expect("a socket");
        let nobody = std::future::pending();
        assert!(
            streamer
                .receive(nobody, std::future::ready(()), || {})
                .await
                .expect("none")
                .is_empty()
        );
    }
}
