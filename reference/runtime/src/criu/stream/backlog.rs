//! Pages that CRIU has written and nobody has read yet. They stay in the memory of the processes, which stand: a pipe only
//! refers to them, and what is moved from pipe to pipe is not copied.
//!
//! ```text
//!  criu ──pipe──▶ one thread that moves ──pipe, pipe, pipe──▶ whoever reads, when a core has time for it
//!                        ▲────────────────read empty──────────────┘
//! ```
//!
//! A pipe holds a mebibyte, however many CRIU has to write. Without this CRIU waits for each mebibyte to be copied, cut and
//! named, with much to do that needs nobody else; the other core then has nothing to do.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, Sender, channel};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

use super::arriving::PIPE_BYTES;

/// Pipes of one image at most; each takes two descriptors.
const MOST_PIPES: usize = 48;

/// A pipe of our own.
struct Held {
    read: File,
    write: OwnedFd,
    /// What is in it.
    bytes: usize,
}

/// Moves what CRIU writes to where it can wait.
pub(super) struct Mover {
    source: File,
    ready: Sender<io::Result<Held>>,
    spare: Receiver<Held>,
    /// Made at first.
    first: Option<Held>,
    made: usize,
}

/// What waits, to be read in order.
pub(super) struct Backlog {
    ready: Receiver<io::Result<Held>>,
    spare: Sender<Held>,
    current: Option<Held>,
}

impl Held {
    fn new() -> io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        // A smaller one does as well, more slowly.
        let _ = fcntl_setpipe_size(&write, PIPE_BYTES);
        Ok(Self {
            read: read.into(),
            write,
            bytes: 0,
        })
    }
}

/// A backlog of what comes through the pipe `source`.
///
/// # Errors
/// The system has no pipe for it.
pub(super) fn backlog_of(source: &File) -> io::Result<(Mover, Backlog)> {
    let (ready, to_read) = channel();
    let (emptied, spare) = channel();
    let mover = Mover {
        source: source.try_clone()?,
        ready,
        spare,
        first: Some(Held::new()?),
        made: 1,
    };
    let backlog = Backlog {
        ready: to_read,
        spare: emptied,
        current: None,
    };
    Ok((mover, backlog))
}

impl Mover {
    /// Moves all that comes, up to its end. That it cannot is told to who reads. Blocks.
    pub(super) fn run(mut self) {
        while let Some(held) = self.pipe() {
            let filled = match self.fill(held) {
                Ok(Some(filled)) => Ok(filled),
                Ok(None) => return,
                Err(error) => Err(error),
            };
            let is_at_end = filled.is_err();
            if self.ready.send(filled).is_err() || is_at_end {
                return;
            }
        }
    }

    /// An empty pipe; `None` when nobody reads any more.
    fn pipe(&mut self) -> Option<Held> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        if let Ok(spare) = self.spare.try_recv() {
            return Some(spare);
        }
        if self.made < MOST_PIPES
            && let Ok(new) = Held::new()
        {
            self.made += 1;
            return Some(new);
        }
        self.spare.recv().ok()
    }

    /// Fills it as far as that goes; `None` at the end of what comes.
    fn fill(&self, mut held: Held) -> io::Result<Option<Held>> {
        while held.bytes < PIPE_BYTES {
            match poll(&mut [PollFd::new(&self.source, PollFlags::IN)], None) {
                Ok(_) => {}
                // A child of this process has ended.
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno.into()),
            }
            let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
            match splice(&self.source, None, &held.write, None, PIPE_BYTES - held.bytes, flags) {
                Ok(0) => break,
                Ok(moved) => held.bytes += moved,
                // There is something, so it is full: what it refers to need not be whole pages.
                Err(Errno::AGAIN) if held.bytes > 0 => break,
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok((held.bytes > 0).then_some(held))
    }
}

impl Read for Backlog {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let current = match &mut self.current {
            Some(current) => current,
            None => match self.ready.recv() {
                Ok(held) => self.current.insert(held?),
                // All was moved.
                Err(_) => return Ok(0),
            },
        };
        let most = buffer.len().min(current.bytes);
        let read = current.read.read(&mut buffer[..most])?;
        current.bytes -= read;
        if current.bytes == 0
            && let Some(emptied) = self.current.take()
        {
            // Nobody fills it again at the end.
            let _ = self.spare.send(emptied);
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::thread;

    use super::*;

    fn backlog() -> (io::PipeWriter, Mover, Backlog) {
        let (reader, writer) = io::pipe().expect("a pipe");
        let (mover, backlog) = backlog_of(&OwnedFd::from(reader).into()).expect("a backlog");
        (writer, mover, backlog)
    }

    #[test]
    fn whoever_writes_need_not_wait_for_who_reads() {
        let (mut writer, mover, mut backlog) = backlog();
        let moving = thread::spawn(move || mover.run());
        let all: Vec<u8> = (0..251_u8).cycle().take((5 << 20) + 5).collect();
        // Nobody reads: a pipe alone would keep this waiting for ever.
        writer.write_all(&all).expect("written");
        drop(writer);
        let mut read = Vec::new();
        backlog.read_to_end(&mut read).expect("read");
        assert!(read == all);
        moving.join().expect("moved");
    }

    #[test]
    fn pipes_are_used_again_and_more_than_they_hold_comes_through() {
        let (mut writer, mover, mut backlog) = backlog();
        let moving = thread::spawn(move || mover.run());
        let writing = thread::spawn(move || {
            for nth in 0..100_u8 {
                writer.write_all(&vec![nth; 1 << 20]).expect("written");
            }
        });
        let mut buffer = vec![0; 1 << 20];
        for nth in 0..100_u8 {
            backlog.read_exact(&mut buffer).expect("read");
            assert!(buffer.iter().all(|byte| *byte == nth));
        }
        assert_eq!(backlog.read(&mut buffer).expect("its end"), 0);
        writing.join().expect("written");
        moving.join().expect("moved");
    }

    #[test]
    fn whoever_writes_hears_that_nobody_reads() {
        let (mut writer, mover, backlog) = backlog();
        drop(backlog);
        let moving = thread::spawn(move || mover.run());
        let refused = loop {
            if let Err(error) = writer.write_all(&[0; 4096]) {
                break error;
            }
        };
        assert_eq!(refused.kind(), io::ErrorKind::BrokenPipe);
        moving.join().expect("ended");
    }
}
