//! A session in the interpreter's own written form, written piece by piece: `monty::dump` gives it as a whole, after it
//! was copied, and only then could any of it be stored.

use monty::{DUMP_VERSION, SessionRef};
use postcard::ser_flavors::Flavor;
use serde::Serialize;

use crate::payload::{PayloadWriter, Unwanted};

/// First bytes of each dump of the interpreter; its version follows. A test compares them with its own.
const MAGIC: &[u8; 6] = b"MONTY\0";
/// Name of the program in tracebacks.
pub(super) const SCRIPT_NAME: &str = "main.py";
/// Bytes that are collected before they are written.
const PORTION_BYTES: usize = 16 << 10;

/// Why something was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// It has no written form.
    #[error("give it its written form")]
    Form(#[from] postcard::Error),
    /// There is more of it than a checkpoint takes.
    #[error(
        "the files of the sandbox take {bytes} bytes of a checkpoint, and {} are the most; remove some",
        u32::MAX
    )]
    TooLarge {
        /// How many.
        bytes: usize,
    },
    /// Nobody wants it any more.
    #[error(transparent)]
    Unwanted(#[from] Unwanted),
}

/// What a dump is, as `monty::Dump` reads it.
#[derive(Serialize)]
struct Written<'a> {
    script_name: &'a str,
    type_check: Option<()>,
    state: SessionRef<'a>,
}

/// Writes what `monty::dump` would give; says how many bytes.
pub(super) fn write_dump(session: SessionRef<'_>, writer: &mut PayloadWriter) -> Result<u64, WriteError> {
    writer.write(MAGIC)?;
    writer.write(&DUMP_VERSION.to_le_bytes())?;
    let head = MAGIC.len() as u64 + 2;
    let written = Written {
        script_name: SCRIPT_NAME,
        type_check: None,
        state: session,
    };
    let portions = Portions {
        writer,
        portion: vec![0; PORTION_BYTES],
        filled: 0,
        bytes: 0,
    };
    Ok(head + postcard::serialize_with_flavor(&written, portions)?)
}

/// Hands bytes on in portions: nearly all of them come a few at a time.
struct Portions<'a> {
    writer: &'a mut PayloadWriter,
    portion: Vec<u8>,
    /// Bytes of the portion that are to be handed on.
    filled: usize,
    /// Bytes that were handed on.
    bytes: u64,
}

impl Portions<'_> {
    fn hand_on(&mut self) -> postcard::Result<()> {
        let filled = &self.portion[..self.filled];
        self.filled = 0;
        self.bytes += filled.len() as u64;
        self.writer.write(filled).map_err(unwanted)
    }

    /// Takes what has no room in the portion.
    #[cold]
    fn extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.hand_on()?;
        if let Some(room) = self.portion.get_mut(..bytes.len()) {
            room.copy_from_slice(bytes);
            self.filled = bytes.len();
            return Ok(());
        }
        self.bytes += bytes.len() as u64;
        self.writer.write(bytes).map_err(unwanted)
    }
}

/// Ends the whole. What it is called does not matter: nobody waits for it.
fn unwanted(_: Unwanted) -> postcard::Error {
    postcard::Error::SerializeBufferFull
}

impl Flavor for Portions<'_> {
    /// Bytes in all.
    type Output = u64;

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        let end = self.filled + bytes.len();
        let Some(room) = self.portion.get_mut(self.filled..end) else {
            return self.extend(bytes);
        };
        copy(bytes, room);
        self.filled = end;
        Ok(())
    }

    fn finalize(mut self) -> postcard::Result<u64> {
        self.hand_on()?;
        Ok(self.bytes)
    }
}

/// Copies to a slice of the same length. Numbers and names have a few bytes each, and to call the system's copy for
/// each takes as long as all else of a dump.
#[inline]
fn copy(from: &[u8], to: &mut [u8]) {
    match from.len() {
        0 => {}
        1 => copy_ends::<1>(from, to),
        2..4 => copy_ends::<2>(from, to),
        4..8 => copy_ends::<4>(from, to),
        8..=16 => copy_ends::<8>(from, to),
        _ => to.copy_from_slice(from),
    }
}

/// Copies the first and the last `N` bytes, which are all, and may overlap.
#[inline]
fn copy_ends<const N: usize>(from: &[u8], to: &mut [u8]) {
    if let (Some(from), Some(to)) = (from.first_chunk::<N>(), to.first_chunk_mut::<N>()) {
        *to = *from;
    }
    if let (Some(from), Some(to)) = (from.last_chunk::<N>(), to.last_chunk_mut::<N>()) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests {
    use monty::{Dump, MontyRepl, ReplProgress, Session, dump};
    use monty_types::{CompileOptions, PrintWriter, ResourceTracker};

    use super::*;
    use crate::monty::ExecutionLimits;
    use crate::payload::Payload;

    fn session(code: &str) -> MontyRepl {
        let limits = ResourceTracker::new(ExecutionLimits::default().of_a_session());
        let repl = MontyRepl::new(SCRIPT_NAME, limits, CompileOptions::default());
        match repl.feed_start(code, Vec::new(), PrintWriter::Disabled) {
            Ok(ReplProgress::Complete { repl, .. }) => repl,
            _ => panic!("{code} did not end"),
        }
    }

    #[test]
    fn a_session_is_written_as_the_interpreter_dumps_it() {
        let long = format!("x = '{}'", "long ".repeat(PORTION_BYTES));
        for code in ["x = 1", "x = {n: [n, str(n)] for n in range(3000)}", &long] {
            let repl = session(code);
            let expected = dump(SCRIPT_NAME, None, SessionRef::Idle(&repl)).unwrap();
            let (mut writer, payload) = Payload::growing();
            let bytes = write_dump(SessionRef::Idle(&repl), &mut writer).unwrap();
            writer.finish().unwrap();
            let written = payload.into_bytes().unwrap();
            assert_eq!(written.len() as u64, bytes);
            assert!(written == expected, "{} and {} bytes", written.len(), expected.len());
            assert!(matches!(Dump::load(&written).unwrap().state, Session::Idle(_)));
        }
    }

    #[test]
    fn all_bytes_are_copied_whatever_their_number() {
        let from: Vec<u8> = (1..=40).collect();
        for bytes in 0..from.len() {
            let mut to = vec![0; bytes];
            copy(&from[..bytes], &mut to);
            assert_eq!(to, from[..bytes]);
        }
    }

    #[test]
    fn a_dump_that_nobody_wants_ends() {
        let repl = session("x = {n: [n, str(n)] for n in range(30000)}");
        let (mut writer, payload) = Payload::growing();
        drop(payload);
        assert!(write_dump(SessionRef::Idle(&repl), &mut writer).is_err());
    }
}
