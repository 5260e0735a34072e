//! Text of others, as a terminal and the log of a CI system can take it.

/// What a target or a report of somebody else says, for a terminal or a log: nothing in it moves the cursor, and no line of
/// it is a command to GitHub's runner, which takes one also behind spaces (`::error::`) and in the middle (`##[error]`).
/// Lines after the first are indented by so many spaces.
#[must_use]
pub fn for_terminal(text: &str, indent: usize) -> String {
    let mut safe = String::with_capacity(text.len());
    for (place, line) in text.trim_end().split('\n').enumerate() {
        if place > 0 {
            safe.push('\n');
            safe.extend(std::iter::repeat_n(' ', indent));
        }
        if line.trim_start().starts_with("::") {
            safe.push_str("| ");
        }
        for letter in line.replace("##[", "##\\[").chars() {
            if letter.is_control() && letter != '\t' {
                safe.extend(letter.escape_default());
            } else {
                safe.push(letter);
            }
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_others_say_is_an_order_to_whoever_shows_it() {
        for (said, shown) in [
            ("a\tb", "a\tb"),
            ("a\u{1b}[2J\r\u{9b}1A", "a\\u{1b}[2J\\r\\u{9b}1A"),
            (
                "a\n::error::b\n  ::add-mask::c\n",
                "a\n  | ::error::b\n  |   ::add-mask::c",
            ),
            ("::error::b", "| ::error::b"),
            ("a ##[error]b", "a ##\\[error]b"),
            ("a::b\nc", "a::b\n  c"),
        ] {
            assert_eq!(for_terminal(said, 2), shown);
        }
    }
}
