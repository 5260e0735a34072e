//! The sandbox's own program, and what it has printed of a line that has no end yet.

use bytes::Bytes;

use crate::criu::image::ProgramImage;
use crate::criu::kernel::Lines;

/// Of a program that ends no line so much is a line of its own: nobody holds all that it ever prints.
const LONGEST_LINE_BYTES: usize = 256 << 10;

/// The sandbox's own program.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) pid: u32,
    lines: Lines,
}

impl Program {
    /// With what it has printed of a line.
    pub(super) fn new(pid: u32, partial: &[u8]) -> Self {
        Self {
            pid,
            lines: Lines::begun_with(partial),
        }
    }

    /// The lines that a piece of its output completes, without their line breaks.
    pub(super) fn printed(&mut self, piece: &[u8]) -> Vec<Vec<u8>> {
        let mut lines = self.lines.push(piece);
        lines.extend(self.lines.cut(LONGEST_LINE_BYTES));
        lines
    }

    pub(super) fn image(&self) -> ProgramImage {
        ProgramImage {
            pid: self.pid,
            partial: Bytes::copy_from_slice(self.lines.partial()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_ends_no_line_is_not_held_without_end() {
        let mut program = Program::new(7, b"begun ");
        let piece = vec![b'x'; LONGEST_LINE_BYTES / 2];
        let told: Vec<usize> = (0..20)
            .flat_map(|_| program.printed(&piece))
            .map(|line| line.len())
            .collect();
        let held = program.image().partial.len();
        assert!(held <= LONGEST_LINE_BYTES, "{held}");
        assert_eq!(
            told.iter().sum::<usize>() + held,
            6 + 20 * piece.len(),
            "nothing is lost"
        );
        assert_eq!(program.printed(b"\n").concat().len(), held);
    }
}
