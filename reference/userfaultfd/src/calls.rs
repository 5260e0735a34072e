//! The calls as the kernel has them: all that is unsafe.

use std::ops::Range;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};

use crate::Refused;

const GROUP: u8 = 0xAA;

#[repr(C)]
struct Addresses {
    start: u64,
    bytes: u64,
}

/// `struct uffdio_copy`.
#[repr(C)]
struct Copy {
    to: u64,
    from: u64,
    bytes: u64,
    mode: u64,
    /// Bytes that were copied, or an error.
    done: i64,
}

/// `struct uffdio_zeropage`.
#[repr(C)]
struct Zero {
    addresses: Addresses,
    mode: u64,
    /// Bytes that were zeroed, or an error.
    done: i64,
}

const WAKE: Opcode = opcode::read::<Addresses>(GROUP, 0x02);
const COPY: Opcode = opcode::read_write::<Copy>(GROUP, 0x03);
const ZERO: Opcode = opcode::read_write::<Zero>(GROUP, 0x04);

pub(crate) fn copy(of: BorrowedFd<'_>, address: u64, pages: &[u8]) -> Result<u64, Refused> {
    let mut copy = Copy {
        to: address,
        from: pages.as_ptr().expose_provenance() as u64,
        bytes: pages.len() as u64,
        mode: 0,
        done: 0,
    };
    #[expect(unsafe_code, reason = "an ioctl")]
    // SAFETY: the argument is the structure of this call. The kernel reads `pages`, which is borrowed until it returns,
    // and writes to the memory that the descriptor is for, where nothing is, so nobody can have borrowed it.
    let called = unsafe { ioctl(of, Updater::<COPY, Copy>::new(&mut copy)) };
    put_in(called, copy.done)
}

pub(crate) fn zero(of: BorrowedFd<'_>, addresses: Range<u64>) -> Result<u64, Refused> {
    let mut zero = Zero {
        addresses: range(addresses),
        mode: 0,
        done: 0,
    };
    #[expect(unsafe_code, reason = "an ioctl")]
    // SAFETY: as for `copy`; nothing is read.
    let called = unsafe { ioctl(of, Updater::<ZERO, Zero>::new(&mut zero)) };
    put_in(called, zero.done)
}

pub(crate) fn wake(of: BorrowedFd<'_>, addresses: Range<u64>) -> Result<(), Refused> {
    let mut addresses = range(addresses);
    #[expect(unsafe_code, reason = "an ioctl")]
    // SAFETY: the argument is the structure of this call, which changes no memory.
    let called = unsafe { ioctl(of, Updater::<WAKE, Addresses>::new(&mut addresses)) };
    Ok(called?)
}

/// A descriptor that the kernel put into this process with a message.
pub(crate) fn received(descriptor: i32) -> OwnedFd {
    #[expect(unsafe_code, reason = "the kernel names new descriptors by number")]
    // SAFETY: it was made for the reader of the message, so nobody else has it.
    unsafe {
        OwnedFd::from_raw_fd(descriptor)
    }
}

fn range(addresses: Range<u64>) -> Addresses {
    Addresses {
        start: addresses.start,
        bytes: addresses.end.saturating_sub(addresses.start),
    }
}

/// What was put in before the first that could not be is told beside the error.
fn put_in(called: rustix::io::Result<()>, done: i64) -> Result<u64, Refused> {
    match (called, u64::try_from(done)) {
        (Ok(()), Ok(done)) => Ok(done),
        (Err(_), Ok(done)) if done > 0 => Ok(done),
        (Ok(()), Err(_)) => Err(Refused::Other(Errno::INVAL)),
        (Err(errno), _) => Err(errno.into()),
    }
}
