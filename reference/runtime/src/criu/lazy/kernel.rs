//! What the kernel does for a memory. Tests have one of their own.

use std::fmt::Debug;
use std::io;
use std::ops::Range;

use torpor_userfaultfd::{Event, Refused, Userfault};

/// Tells what happens to a memory, and puts pages in; as [`Userfault`] says.
pub(super) trait Kernel: Debug + From<Userfault> {
    fn read(&self, events: &mut Vec<Event>) -> io::Result<()>;
    fn copy(&self, address: u64, pages: &[u8]) -> Result<u64, Refused>;
    fn zero(&self, addresses: Range<u64>) -> Result<u64, Refused>;
    fn wake(&self, addresses: Range<u64>) -> Result<(), Refused>;
}

impl Kernel for Userfault {
    fn read(&self, events: &mut Vec<Event>) -> io::Result<()> {
        self.read(events)
    }

    fn copy(&self, address: u64, pages: &[u8]) -> Result<u64, Refused> {
        self.copy(address, pages)
    }

    fn zero(&self, addresses: Range<u64>) -> Result<u64, Refused> {
        self.zero(addresses)
    }

    fn wake(&self, addresses: Range<u64>) -> Result<(), Refused> {
        self.wake(addresses)
    }
}
