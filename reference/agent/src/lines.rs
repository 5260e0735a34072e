//! Puts the lines of a program together from the pieces in which it prints them.

/// A longer line is cut: a program that never ends a line does not grow the agent's memory.
const LINE_BYTES: usize = 256 << 10;

/// A line that is not ended yet.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    partial: String,
}

impl Lines {
    /// Begins in the middle of a line.
    pub(crate) fn begun_with(partial: String) -> Self {
        Self { partial }
    }

    /// What there is of the line that is not ended.
    pub(crate) fn partial(&self) -> &str {
        &self.partial
    }

    /// Takes a piece, and gives the lines that it ends, without their line breaks.
    pub(crate) fn push(&mut self, piece: &str) -> Vec<String> {
        let mut ended = Vec::new();
        self.partial.push_str(piece);
        let mut from = 0;
        while let Some((end, next)) = line_end(&self.partial[from..]) {
            ended.push(self.partial[from..from + end].to_owned());
            from += next;
        }
        // At once: to move the rest up after every line takes as long as there are lines, squared.
        self.partial.drain(..from);
        ended
    }
}

/// Where the first line of a text ends, and where the next one begins.
fn line_end(text: &str) -> Option<(usize, usize)> {
    let cut = text.floor_char_boundary(LINE_BYTES);
    match text.as_bytes()[..cut].iter().position(|byte| *byte == b'\n') {
        Some(end) => Some((end, end + 1)),
        None if text.len() > LINE_BYTES => Some((cut, cut)),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_put_together_from_pieces() {
        let mut lines = Lines::begun_with("a".to_owned());
        assert_eq!(lines.push("b"), [""; 0]);
        assert_eq!(lines.push("c\n\nd\ne"), ["abc", "", "d"]);
        assert_eq!(lines.partial(), "e");
    }

    #[test]
    fn a_line_without_end_is_cut_between_characters() {
        let mut lines = Lines::default();
        let text = "x".to_owned() + &"é".repeat(LINE_BYTES);
        let cut = lines.push(&text);
        assert!(
            cut.iter()
                .all(|line| line.len() == LINE_BYTES - 1 || line.len() == LINE_BYTES)
        );
        assert!(lines.partial().len() <= LINE_BYTES);
        assert_eq!(cut.concat() + lines.partial(), text);
    }

    #[test]
    fn lines_that_come_at_once_are_those_that_come_one_by_one() {
        let numbers: Vec<String> = (0..50_000).map(|n: u32| n.to_string()).collect();
        let text = numbers.join("\n") + "\n";
        let at_once = Lines::default().push(&format!("{text}rest"));
        let mut lines = Lines::default();
        let pieces = text.split_inclusive('\n');
        let one_by_one: Vec<String> = pieces.flat_map(|piece| lines.push(piece)).collect();
        assert_eq!(at_once, numbers);
        assert_eq!(one_by_one, numbers);
    }
}
