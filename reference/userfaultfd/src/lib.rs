//! A `userfaultfd` that another process was given for its memory: what happens to that memory is read from it, and
//! pages are put in by it.
//!
//! Source followed: `include/uapi/linux/userfaultfd.h` and `ioctl_userfaultfd(2)` of Linux 6.18. Left out: to make one and
//! to register memory with it, which CRIU does, and which page belongs where.
#![cfg(target_os = "linux")]

mod calls;

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

/// Bytes of a message.
const MESSAGE_BYTES: usize = 32;
/// Messages that are read at once.
const MESSAGES: usize = 16;

/// A `userfaultfd` of the memory of another process. As long as it is open, whoever touches a page that is not there
/// waits; when it is closed such pages read as zeroes.
#[derive(Debug)]
pub struct Userfault(OwnedFd);

/// What happened to the memory. Whoever caused it waits until it was read, but for a fault, which waits for its page.
#[derive(Debug)]
pub enum Event {
    /// A page that is not there was touched.
    Fault {
        /// The first address of the page.
        address: u64,
    },
    /// The process has forked; the child's memory has this one of its own.
    Fork(Userfault),
    /// Memory was moved.
    Remap {
        /// Its first address before.
        from: u64,
        /// Its first address now.
        to: u64,
        /// How much of it.
        bytes: u64,
    },
    /// Memory was given back: what was to come there comes no more.
    Remove(Range<u64>),
    /// Memory is mapped no more. Also said, at some time afterwards, of memory that was moved, as it was before.
    Unmap(Range<u64>),
}

/// Why pages were not put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Memory is just being changed: events have to be read first.
    Changing,
    /// There is a page at the first address already.
    Exists,
    /// Not all of it is in one area of registered memory.
    NotThere,
    /// The process has ended.
    Ended,
    /// The kernel says something else.
    Other(Errno),
}

impl From<OwnedFd> for Userfault {
    /// The descriptor has to be a `userfaultfd`; one that is not refuses every call.
    fn from(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }
}

impl AsFd for Userfault {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Userfault {
    /// Adds what happened since the last call to `events`. Does not wait when the descriptor is one that does not.
    ///
    /// # Errors
    /// It cannot be read, or says something unknown.
    pub fn read(&self, events: &mut Vec<Event>) -> io::Result<()> {
        let mut buffer = [0; MESSAGES * MESSAGE_BYTES];
        let read = match rustix::io::read(&self.0, &mut buffer) {
            Ok(read) => read,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        };
        for message in buffer[..read].chunks_exact(MESSAGE_BYTES) {
            events.push(event(message)?);
        }
        Ok(())
    }

    /// Puts in whole pages from `address` on, and wakes who waits for them. Gives the bytes that were put in: all, or
    /// fewer if the next page is there already or cannot be put in.
    ///
    /// # Errors
    /// Not even the first was.
    pub fn copy(&self, address: u64, pages: &[u8]) -> Result<u64, Refused> {
        calls::copy(self.as_fd(), address, pages)
    }

    /// Puts in pages of zeroes, as [`copy`](Self::copy).
    ///
    /// # Errors
    /// As for [`copy`](Self::copy).
    pub fn zero(&self, addresses: Range<u64>) -> Result<u64, Refused> {
        calls::zero(self.as_fd(), addresses)
    }

    /// Has whoever waits for a page there look again.
    ///
    /// # Errors
    /// The kernel refuses the addresses.
    pub fn wake(&self, addresses: Range<u64>) -> Result<(), Refused> {
        calls::wake(self.as_fd(), addresses)
    }
}

impl From<Errno> for Refused {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::AGAIN => Self::Changing,
            Errno::EXIST => Self::Exists,
            Errno::NOENT => Self::NotThere,
            // Kernels have said either.
            Errno::SRCH | Errno::NOSPC => Self::Ended,
            other => Self::Other(other),
        }
    }
}

fn event(message: &[u8]) -> io::Result<Event> {
    let number = |nth: usize| {
        let bytes = message.get(8 + nth * 8..16 + nth * 8);
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes.map(u64::from_ne_bytes).ok_or(io::ErrorKind::UnexpectedEof)
    };
    Ok(match message.first() {
        Some(0x12) => Event::Fault {
            address: number(1)? & !0xfff,
        },
        Some(0x13) => {
            let bytes = message.get(8..12).and_then(|bytes| bytes.try_into().ok());
            let descriptor = bytes.map(i32::from_ne_bytes).ok_or(io::ErrorKind::UnexpectedEof)?;
            Event::Fork(Userfault(calls::received(descriptor)))
        }
        Some(0x14) => Event::Remap {
            from: number(0)?,
            to: number(1)?,
            bytes: number(2)?,
        },
        Some(0x15) => Event::Remove(number(0)?..number(1)?),
        Some(0x16) => Event::Unmap(number(0)?..number(1)?),
        other => {
            return Err(io::Error::other(format!(
                "a userfaultfd tells of something unknown: {other:?}"
            )));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(event: u8, numbers: [u64; 3]) -> Vec<u8> {
        let mut message = vec![event, 0, 0, 0, 0, 0, 0, 0];
        message.extend(numbers.iter().flat_map(|number| number.to_ne_bytes()));
        message
    }

    #[test]
    fn messages_are_read_by_their_kind() {
        let read = |kind, numbers| event(&message(kind, numbers)).map_err(|error| error.to_string());
        assert!(matches!(
            read(0x12, [1, 0x5123, 0]),
            Ok(Event::Fault { address: 0x5000 })
        ));
        assert!(matches!(
            read(0x14, [1, 2, 3]),
            Ok(Event::Remap {
                from: 1,
                to: 2,
                bytes: 3
            })
        ));
        assert!(matches!(read(0x15, [4096, 8192, 0]), Ok(Event::Remove(range)) if range == (4096..8192)));
        assert!(matches!(read(0x16, [4096, 8192, 0]), Ok(Event::Unmap(range)) if range == (4096..8192)));
        assert!(read(0x17, [0; 3]).is_err());
        assert!(event(&[0x12; 9]).is_err(), "a message that is cut off");
    }

    #[test]
    fn a_descriptor_of_something_else_refuses_and_does_no_harm() {
        let (reader, _writer) = std::io::pipe().unwrap_or_else(|error| panic!("{error}"));
        let other = Userfault::from(OwnedFd::from(reader));
        let refused = |errno| Refused::Other(errno);
        assert_eq!(other.copy(0, &[0; 4096]), Err(refused(Errno::NOTTY)));
        assert_eq!(other.zero(0..4096), Err(refused(Errno::NOTTY)));
        assert_eq!(other.wake(0..4096), Err(refused(Errno::NOTTY)));
    }
}
