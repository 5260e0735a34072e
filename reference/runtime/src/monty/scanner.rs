//! Walks over Python source so that strings, comments and brackets are not mistaken for statements.

/// Source that is still to be read.
pub(crate) struct Scanner<'a> {
    rest: &'a str,
    /// Brackets that are open.
    depth: usize,
    /// Whether a statement may begin here.
    at_start: bool,
}

/// The words of a simple statement.
pub(crate) struct Statement<'a> {
    /// Names (dotted ones whole), commas, stars and parentheses.
    pub(crate) words: Vec<&'a str>,
    /// Bytes up to the end of its last word.
    pub(crate) length: usize,
    /// Line breaks within it.
    pub(crate) breaks: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(source: &'a str) -> Self {
        Self {
            rest: source,
            depth: 0,
            at_start: true,
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    /// The statement that begins here, if one does and it has the form of an import.
    pub(crate) fn statement(&self) -> Option<Statement<'a>> {
        let imports = self.rest.starts_with("import") || self.rest.starts_with("from");
        (self.at_start && imports).then(|| words(self.rest)).flatten()
    }

    /// Passes over a statement.
    pub(crate) fn skip(&mut self, length: usize) {
        self.rest = &self.rest[length..];
        self.at_start = false;
    }

    /// The next string, comment, word or character.
    pub(crate) fn token(&mut self) -> &'a str {
        let first = self.rest.chars().next();
        let length = match first {
            None => 0,
            Some(quote @ ('"' | '\'')) => string_length(self.rest, quote),
            Some('#') => self.rest.find('\n').unwrap_or(self.rest.len()),
            // Its break begins no statement, or each such line is read to the end of all of them.
            Some('\\') if self.rest.starts_with("\\\r\n") => 3,
            Some('\\') => 1 + self.rest[1..].chars().next().map_or(0, char::len_utf8),
            Some(c) if is_word(c) => word_length(self.rest),
            Some(c) => c.len_utf8(),
        };
        match first {
            Some('(' | '[' | '{') => self.depth += 1,
            Some(')' | ']' | '}') => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self.at_start = match first {
            Some('\n' | ';' | ':') => self.depth == 0,
            Some(' ' | '\t' | '\x0c' | '\r') => self.at_start,
            _ => false,
        };
        let (token, rest) = self.rest.split_at(length);
        self.rest = rest;
        token
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '.'
}

fn word_length(rest: &str) -> usize {
    rest.find(|c| !is_word(c)).unwrap_or(rest.len())
}

/// The words from here to the end of the statement; `None` if there is anything else in it.
fn words(source: &str) -> Option<Statement<'_>> {
    let mut statement = Statement {
        words: Vec::new(),
        length: 0,
        breaks: 0,
    };
    let (mut at, mut breaks, mut inside) = (0, 0, false);
    while let Some(first) = source[at..].chars().next() {
        let rest = &source[at..];
        let length = match first {
            '\n' | '#' | ';' if !inside => break,
            '#' => rest.find('\n').unwrap_or(rest.len()),
            // A break after a backslash does not end the statement.
            '\\' if rest.starts_with("\\\n") => 2,
            '\\' if rest.starts_with("\\\r\n") => 3,
            '\n' | '\r' | ' ' | '\t' => 1,
            c if is_word(c) => word_length(rest),
            ',' | '*' | '(' | ')' => 1,
            _ => return None,
        };
        breaks += rest[..length].matches('\n').count();
        at += length;
        match first {
            '(' => inside = true,
            ')' => inside = false,
            _ => {}
        }
        if is_word(first) || ",*()".contains(first) {
            statement.words.push(&rest[..length]);
            (statement.length, statement.breaks) = (at, breaks);
        }
    }
    (!inside).then_some(statement)
}

/// Length of the string literal that `rest` begins with; to the end of its line or text if it is not closed.
fn string_length(rest: &str, quote: char) -> usize {
    let triple = quote.to_string().repeat(3);
    let close = if rest.starts_with(&triple) {
        triple.as_str()
    } else {
        &triple[..1]
    };
    let mut at = close.len();
    while let Some(next) = rest[at..].chars().next() {
        if rest[at..].starts_with(close) {
            return at + close.len();
        }
        if next == '\n' && close.len() == 1 {
            return at;
        }
        at += next.len_utf8();
        if next == '\\' {
            at += rest[at..].chars().next().map_or(0, char::len_utf8);
        }
    }
    rest.len()
}
