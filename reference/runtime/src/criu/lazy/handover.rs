//! Where `criu restore --lazy-pages` hands over the memory of each process that it makes.
//!
//! Source followed: `criu/uffd.c` of CRIU 4.2. CRIU connects to a socket in the directory of the images. For each process
//! it sends a pid and then a descriptor with one byte, for one that is a zombie its pid as a negative number, and in the
//! end a word of four letters.
//!
//! It connects when it has read all images but those of memory, and before it makes a process. There it can be held up:
//! a socket with one connection too many keeps whoever connects waiting.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use torpor_userfaultfd::Userfault;

const SOCKET: &str = "lazy-pages.socket";
/// "RSTF": all processes are as they were, and run.
const FINISHED: i32 = 0x5253_5446;

/// The end that CRIU connects to.
#[derive(Debug)]
pub(super) enum Handover {
    /// CRIU waits, behind a connection of our own.
    HeldUp {
        listener: UnixListener,
        _first: UnixStream,
    },
    Listening(UnixListener),
    Connected(UnixStream),
    Finished,
}

/// What CRIU says.
#[derive(Debug)]
pub(super) enum Said {
    /// The memory of this process from now on.
    Memory { pid: u64, userfault: Userfault },
    /// Nothing that needs anything to be done.
    Nothing,
    /// Everything was handed over; what is registered stays as it is.
    Finished,
}

impl Handover {
    /// Listens in the directory of the images, and holds CRIU up.
    pub(super) fn listen(images: &Path) -> io::Result<Self> {
        let path = images.join(SOCKET);
        let listener = UnixListener::bind(&path)?;
        rustix::net::listen(&listener, 0)?;
        let first = UnixStream::connect(&path)?;
        Ok(Self::HeldUp {
            listener,
            _first: first,
        })
    }

    /// Lets CRIU go on.
    pub(super) fn admit(self) -> io::Result<Self> {
        match self {
            Self::HeldUp { listener, .. } => {
                // The first is our own.
                listener.accept()?;
                Ok(Self::Listening(listener))
            }
            Self::Listening(_) | Self::Connected(_) | Self::Finished => Ok(self),
        }
    }

    /// Readable when CRIU says something; `None` when it has said all.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Listening(listener) => Some(listener.as_fd()),
            Self::Connected(connection) => Some(connection.as_fd()),
            Self::HeldUp { .. } | Self::Finished => None,
        }
    }

    /// What it says next.
    ///
    /// # Errors
    /// It hangs up before everything was handed over, which it does when it fails.
    pub(super) fn next(&mut self) -> io::Result<Said> {
        let connection = match self {
            Self::HeldUp { .. } | Self::Finished => return Ok(Said::Nothing),
            Self::Listening(listener) => {
                let (connection, _) = listener.accept()?;
                *self = Self::Connected(connection);
                return Ok(Said::Nothing);
            }
            Self::Connected(connection) => connection,
        };
        let mut word = [0; 4];
        receive(connection, &mut word)?;
        match i32::from_ne_bytes(word) {
            FINISHED => {
                *self = Self::Finished;
                Ok(Said::Finished)
            }
            pid => match u64::try_from(pid) {
                Ok(pid) => {
                    let descriptor = receive(connection, &mut [0])?.ok_or(io::ErrorKind::InvalidData)?;
                    let userfault = Userfault::from(descriptor);
                    Ok(Said::Memory { pid, userfault })
                }
                Err(_) => Ok(Said::Nothing),
            },
        }
    }
}

/// Receives so many bytes, and the descriptor that comes with them.
fn receive(connection: &UnixStream, mut bytes: &mut [u8]) -> io::Result<Option<OwnedFd>> {
    let mut descriptor = None;
    while !bytes.is_empty() {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(
            connection,
            &mut [IoSliceMut::new(bytes)],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC,
        )?;
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                descriptor = descriptors.last().or(descriptor);
            }
        }
        if received.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes = &mut bytes[received.bytes..];
    }
    Ok(descriptor)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

    use super::*;

    fn send_descriptor(to: &UnixStream, descriptor: BorrowedFd<'_>) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let all = [descriptor];
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&all)));
        sendmsg(to, &[std::io::IoSlice::new(&[0])], &mut ancillary, SendFlags::empty()).expect("sent");
    }

    fn admitted(directory: &Path) -> (Handover, UnixStream) {
        let handover = Handover::listen(directory).expect("listens");
        let mut handover = handover.admit().expect("admits");
        let criu = UnixStream::connect(directory.join(SOCKET)).expect("connects");
        assert!(matches!(handover.next(), Ok(Said::Nothing)), "it is connected");
        (handover, criu)
    }

    #[test]
    fn criu_is_held_up_until_it_is_admitted() {
        let directory = tempfile::tempdir().expect("a directory");
        let handover = Handover::listen(directory.path()).expect("listens");
        let criu = rustix::net::socket_with(
            rustix::net::AddressFamily::UNIX,
            rustix::net::SocketType::STREAM,
            rustix::net::SocketFlags::NONBLOCK,
            None,
        )
        .expect("a socket");
        let address = rustix::net::SocketAddrUnix::new(directory.path().join(SOCKET)).expect("an address");
        let connect = || rustix::net::connect(&criu, &address);
        assert_eq!(connect(), Err(rustix::io::Errno::AGAIN), "it would wait");
        let _handover = handover.admit().expect("admits");
        assert_eq!(connect(), Ok(()));
    }

    #[test]
    fn memory_is_handed_over_by_process_until_criu_says_that_it_has_finished() {
        let directory = tempfile::tempdir().expect("a directory");
        let (mut handover, mut criu) = admitted(directory.path());
        criu.write_all(&10_001_i32.to_ne_bytes()).expect("sent");
        send_descriptor(&criu, criu.as_fd());
        criu.write_all(&(-7_i32).to_ne_bytes()).expect("sent");
        criu.write_all(b"FTSR").expect("sent");
        assert!(matches!(handover.next(), Ok(Said::Memory { pid: 10_001, .. })));
        assert!(matches!(handover.next(), Ok(Said::Nothing)), "a zombie has no memory");
        assert!(matches!(handover.next(), Ok(Said::Finished)));
        assert!(handover.descriptor().is_none());
    }

    #[test]
    fn a_criu_that_hangs_up_too_early_has_failed() {
        let directory = tempfile::tempdir().expect("a directory");
        let (mut handover, mut criu) = admitted(directory.path());
        criu.write_all(&[1, 2]).expect("sent");
        drop(criu);
        let failed = handover.next().err().map(|error| error.kind());
        assert_eq!(failed, Some(io::ErrorKind::UnexpectedEof));
    }
}
