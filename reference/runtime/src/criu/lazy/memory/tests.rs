//! What becomes of pages while their memory changes.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{IntoRawFd as _, OwnedFd};

use super::super::pagemap::{Pagemap, Run};
use super::*;

#[test]
fn a_forked_child_is_kept_when_what_follows_cannot_be_understood() {
    let (reader, mut events) = std::io::pipe().expect("a pipe");
    let child = File::open("/dev/null").expect("a descriptor").into_raw_fd();
    let mut fork = [0_u8; 32];
    fork[0] = 0x13;
    fork[8..12].copy_from_slice(&child.to_ne_bytes());
    events.write_all(&[fork, [0xff; 32]].concat()).expect("written");

    let map = Pagemap {
        pages_id: 1,
        runs: Vec::new(),
    };
    let mut parent: Memory = Memory::new(0, None, OwnedFd::from(reader).into(), Missing::all(&map));
    let mut children = Vec::new();
    assert!(parent.learn(&mut children).is_err());
    assert_eq!(children.len(), 1);
}

/// A kernel that answers as it is told, and notes what it was asked for.
#[derive(Debug, Default)]
struct Told {
    events: RefCell<VecDeque<Event>>,
    /// What it answers when pages are copied to these addresses.
    copies: RefCell<VecDeque<(u64, Result<u64, Refused>)>>,
    woken: RefCell<Vec<Range<u64>>>,
}

impl From<Userfault> for Told {
    fn from(_: Userfault) -> Self {
        Self::default()
    }
}

impl Kernel for Told {
    fn read(&self, events: &mut Vec<Event>) -> io::Result<()> {
        events.extend(self.events.borrow_mut().drain(..));
        Ok(())
    }

    fn copy(&self, address: u64, _: &[u8]) -> Result<u64, Refused> {
        let (expected, answer) = self.copies.borrow_mut().pop_front().expect("no more than is told");
        assert_eq!(address, expected);
        answer
    }

    fn zero(&self, _: Range<u64>) -> Result<u64, Refused> {
        Err(Refused::Exists)
    }

    fn wake(&self, addresses: Range<u64>) -> Result<(), Refused> {
        self.woken.borrow_mut().push(addresses);
        Ok(())
    }
}

/// A memory that misses two pages from 0x5000 on.
fn memory(events: impl IntoIterator<Item = Event>, copies: &[(u64, Result<u64, Refused>)]) -> Memory<Told> {
    let map = Pagemap {
        pages_id: 1,
        runs: vec![Run {
            addresses: 0x5000..0x7000,
            offset: 0,
            lazy: true,
        }],
    };
    let told = Told {
        events: RefCell::new(events.into_iter().collect()),
        copies: RefCell::new(copies.iter().copied().collect()),
        woken: RefCell::default(),
    };
    Memory::new(0, None, told, Missing::all(&map))
}

fn put(memory: &mut Memory<Told>) {
    let bytes = [1; 0x2000];
    let read = Read {
        offset: 0,
        bytes: &bytes,
    };
    memory.put(read, true, &mut Vec::new()).expect("put in");
    assert!(memory.userfault.copies.borrow().is_empty(), "all that was told");
    assert_eq!(memory.missed_bytes(), 0);
}

#[test]
fn a_page_that_is_moved_away_while_it_is_put_in_follows() {
    let moved = Event::Remap {
        from: 0x5000,
        to: 0x9000,
        bytes: 0x2000,
    };
    let copies = [
        (0x5000, Err(Refused::NotThere)),
        (0x5000, Err(Refused::NotThere)),
        (0x5000, Err(Refused::Changing)),
        (0x9000, Ok(0x2000)),
    ];
    put(&mut memory([moved], &copies));
}

#[test]
fn a_page_that_is_not_mapped_any_more_is_not_waited_for() {
    let copies = [
        (0x5000, Err(Refused::NotThere)),
        (0x5000, Err(Refused::NotThere)),
        (0x5000, Err(Refused::NotThere)),
        (0x6000, Ok(PAGE_BYTES)),
    ];
    put(&mut memory([], &copies));
}

#[test]
fn whoever_waits_for_a_page_where_memory_has_changed_looks_again() {
    let events = [
        Event::Fault { address: 0x5000 },
        Event::Remove(0x5000..0x6000),
        Event::Remap {
            from: 0x6000,
            to: 0x9000,
            bytes: 0x1000,
        },
        Event::Unmap(0..0x1_0000),
        Event::Unmap(0..0x1_0000),
    ];
    let mut memory = memory(events, &[]);
    memory.learn(&mut Vec::new()).expect("learned");
    let woken = memory.userfault.woken.take();
    assert_eq!(woken, [0x5000..0x6000, 0x6000..0x7000, 0x9000..0xa000]);
    assert_eq!(memory.place(0x5000), None, "it is not woken for the same page");
}
