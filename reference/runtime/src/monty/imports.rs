//! Imports of `time`, which the interpreter cannot resolve: they are rewritten, line for line, to bind what the
//! host knows under marked names, and tracebacks are given back the lines as they were written.
//!
//! Left out: imports that are computed (`__import__`), which the interpreter does not have either.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use monty_types::{MontyException, StackFrame};
use serde::{Deserialize, Serialize};

use super::scanner::{Scanner, Statement};
use super::time_module::{FUNCTIONS, MODULE};

/// The lines of one context that were rewritten: as they are now, and as they were, both without indentation.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct RewrittenLines(BTreeMap<String, String>);

impl RewrittenLines {
    /// The code as the interpreter can run it; remembers what it changed.
    pub(crate) fn rewrite<'a>(&mut self, code: &'a str) -> Cow<'a, str> {
        if !code.contains("time") {
            return Cow::Borrowed(code);
        }
        let rewritten = rewrite(code);
        for (now, was) in rewritten.lines().zip(code.lines()) {
            let (now, was) = (now.trim_start(), was.trim_start());
            if now != was && !now.is_empty() {
                self.0.insert(now.to_owned(), was.to_owned());
            }
        }
        Cow::Owned(rewritten)
    }

    /// The same exception with a traceback that shows the code as it was written.
    pub(crate) fn restore(&self, exception: MontyException) -> MontyException {
        if self.0.is_empty() {
            return exception;
        }
        let frames = exception.traceback().iter().cloned();
        let frames = frames.map(|frame| self.restore_frame(frame)).collect();
        let message = exception.message().map(str::to_owned);
        MontyException::with_traceback(exception.exc_type(), message, frames).with_data(exception.data().clone())
    }

    fn restore_frame(&self, mut frame: StackFrame) -> StackFrame {
        let Some(shown) = frame.preview_line.take() else {
            return frame;
        };
        let lines: Vec<_> = shown.split('\n').map(|line| self.original(line)).collect();
        if let [Cow::Owned(original)] = lines.as_slice() {
            let edit = Edit::between(&shown, original);
            frame.hide_caret |= edit.covers(frame.start.column);
            frame.start.column = edit.column_before(frame.start.column);
            frame.end.column = edit.column_before(frame.end.column);
        }
        frame.preview_line = Some(Arc::from(lines.join("\n")));
        frame
    }

    fn original<'a>(&self, line: &'a str) -> Cow<'a, str> {
        let text = line.trim_start();
        match self.0.get(text) {
            Some(was) => Cow::Owned(format!("{}{was}", &line[..line.len() - text.len()])),
            None => Cow::Borrowed(line),
        }
    }
}

/// The one stretch in which two lines differ, in characters.
struct Edit {
    start: usize,
    now_end: usize,
    was_end: usize,
}

impl Edit {
    fn between(now: &str, was: &str) -> Self {
        let (now, was): (Vec<_>, Vec<_>) = (now.chars().collect(), was.chars().collect());
        let start = now.iter().zip(&was).take_while(|(a, b)| a == b).count();
        let tails = now[start..].iter().rev().zip(was[start..].iter().rev());
        let same = tails.take_while(|(a, b)| a == b).count();
        Self {
            start,
            now_end: now.len() - same,
            was_end: was.len() - same,
        }
    }

    /// Whether a column (from 1) points at something that was not written like this.
    fn covers(&self, column: u32) -> bool {
        (self.start..self.now_end).contains(&(column as usize).saturating_sub(1))
    }

    /// Where the same character stood.
    fn column_before(&self, column: u32) -> u32 {
        let at = (column as usize).saturating_sub(1);
        let was = if at <= self.start {
            at
        } else if at < self.now_end {
            self.start
        } else {
            at - self.now_end + self.was_end
        };
        u32::try_from(was + 1).unwrap_or(u32::MAX)
    }
}

fn rewrite(code: &str) -> String {
    let mut out = String::with_capacity(code.len() + 64);
    let mut scanner = Scanner::new(code);
    while !scanner.is_done() {
        let rewritten = scanner
            .statement()
            .and_then(|statement| Some((bindings(&statement)?, statement)));
        match rewritten {
            Some((bindings, statement)) => {
                out.push_str(&render(&bindings, statement.breaks));
                scanner.skip(statement.length);
            }
            None => out.push_str(scanner.token()),
        }
    }
    out
}

/// One clause of an import statement.
enum Binding<'a> {
    /// Another module, imported as ever.
    Other(String),
    /// A name that is bound to what the host knows under a marked name.
    Host { name: &'a str, marked: String },
}

/// What a statement binds, if it imports `time` or from it; what the host answers comes last.
fn bindings<'a>(statement: &Statement<'a>) -> Option<Vec<Binding<'a>>> {
    match statement.words.as_slice() {
        ["import", clauses @ ..] => {
            let clauses = clauses
                .split(|word| *word == ",")
                .map(clause)
                .collect::<Option<Vec<_>>>()?;
            let (ours, others): (Vec<_>, Vec<_>) = clauses.into_iter().partition(|(name, _)| *name == "time");
            let other = |(name, alias): (&str, Option<&str>)| match alias {
                Some(alias) => Binding::Other(format!("import {name} as {alias}")),
                None => Binding::Other(format!("import {name}")),
            };
            let host = |(name, alias): (&'a str, Option<&'a str>)| Binding::Host {
                name: alias.unwrap_or(name),
                marked: MODULE.to_owned(),
            };
            let any = !ours.is_empty();
            let bound = others.into_iter().map(other).chain(ours.into_iter().map(host));
            any.then(|| bound.collect())
        }
        ["from", "time", "import", "*"] => Some(FUNCTIONS.iter().map(|name| function(name, None)).collect()),
        ["from", "time", "import", "(", clauses @ .., ")"] => {
            functions(clauses.strip_suffix(&[","]).unwrap_or(clauses))
        }
        ["from", "time", "import", clauses @ ..] => functions(clauses),
        _ => None,
    }
}

fn functions<'a>(clauses: &[&'a str]) -> Option<Vec<Binding<'a>>> {
    let clauses = clauses.split(|word| *word == ",").map(clause);
    clauses
        .map(|bound| bound.map(|(name, alias)| function(name, alias)))
        .collect()
}

fn function<'a>(name: &'a str, alias: Option<&'a str>) -> Binding<'a> {
    Binding::Host {
        name: alias.unwrap_or(name),
        marked: format!("{MODULE}{name}"),
    }
}

/// `name`, or `name as alias`.
fn clause<'a>(words: &[&'a str]) -> Option<(&'a str, Option<&'a str>)> {
    let is_name = |word: &str| word.starts_with(|c: char| c.is_alphabetic() || c == '_');
    match words {
        [name] if is_name(name) => Some((name, None)),
        [name, "as", alias] if is_name(name) && is_name(alias) => Some((name, Some(alias))),
        _ => None,
    }
}

/// The statements that bind the same names, over as many lines.
fn render(bindings: &[Binding<'_>], breaks: usize) -> String {
    let last = bindings.len().saturating_sub(1);
    let statements: Vec<_> = bindings
        .iter()
        .enumerate()
        .map(|(index, binding)| match binding {
            Binding::Other(import) => import.clone(),
            Binding::Host { name, marked } if index == last && breaks > 0 => {
                format!("{name} = ({marked}{})", "\n".repeat(breaks))
            }
            Binding::Host { name, marked } => format!("{name} = {marked}"),
        })
        .collect();
    statements.join("; ")
}

#[cfg(test)]
mod tests;
