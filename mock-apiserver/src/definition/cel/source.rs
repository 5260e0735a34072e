//! The text of an expression: its tree, and where in the text each node stands.
//!
//! The parser keeps positions to itself, so they are found again: a walk of the tree in the order of the text meets the tokens
//! that its nodes were made of in the same order.

use ::kube_cel::cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, operators};
use ::kube_cel::cel::parser::{Expression, Parser};
use std::collections::BTreeMap;

/// A problem of a node, by its id.
pub(super) type Problem = (u64, String);

/// Parses an expression; the error shows what the parser could not read.
pub(super) fn parse(text: &str) -> Result<Expression, String> {
    Parser::new()
        .enable_optional_syntax(true)
        .parse(text)
        .map_err(|errors| {
            let shown = errors.errors.iter().map(|error| {
                let column = usize::try_from(error.pos.1).unwrap_or_default();
                let line = usize::try_from(error.pos.0).unwrap_or_default();
                // Where only the end can follow, other releases of the parser list what could go on.
                let message = match error.msg.split_once("expecting {<EOF>,") {
                    Some((begin, _)) => format!("{begin}expecting <EOF>"),
                    None => error.msg.clone(),
                };
                marked(text, line, column, &message)
            });
            shown.collect::<Vec<_>>().join("\n")
        })
}

/// Problems with the lines that they are in, in the order of the text.
pub(super) fn shown(text: &str, tree: &Expression, problems: Vec<Problem>) -> String {
    let places = Places::new(text, tree);
    let mut problems: Vec<(usize, String)> = problems
        .into_iter()
        .map(|(id, message)| (places.by_id.get(&id).copied().unwrap_or_default(), message))
        .collect();
    problems.sort_by_key(|(offset, _)| *offset);
    let shown = problems.into_iter().map(|(offset, message)| {
        let before = &text[..offset];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        marked(text, line, column, &message)
    });
    shown.collect::<Vec<_>>().join("\n")
}

/// A message with its line and a mark below the column, both counted from 1.
fn marked(text: &str, line: usize, column: usize, message: &str) -> String {
    let shown = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    let dots = ".".repeat(column.saturating_sub(1));
    format!("ERROR: <input>:{line}:{column}: {message}\n | {shown}\n | {dots}^")
}

/// A token and where it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Token<'a> {
    start: usize,
    text: &'a str,
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(letter) = text[at..].chars().next() {
        let length = token_length(&text[at..], letter);
        if !letter.is_whitespace() && !text[at..].starts_with("//") {
            tokens.push(Token {
                start: at,
                text: &text[at..at + length],
            });
        }
        at += length;
    }
    tokens
}

fn token_length(rest: &str, first: char) -> usize {
    let while_true = |is_part: fn(char) -> bool| rest.find(|letter| !is_part(letter)).unwrap_or(rest.len());
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if let Some(length) = text_literal(rest) {
        return length;
    }
    if first.is_alphabetic() || first == '_' {
        return while_true(|letter| letter.is_alphanumeric() || letter == '_');
    }
    if first.is_ascii_digit() {
        return while_true(|letter| letter.is_ascii_alphanumeric() || letter == '.');
    }
    let pairs = ["&&", "||", "==", "!=", "<=", ">="];
    if pairs.iter().any(|pair| rest.starts_with(pair)) {
        2
    } else {
        first.len_utf8()
    }
}

/// The length of the text or bytes in quotes that a rest begins with.
fn text_literal(rest: &str) -> Option<usize> {
    let body = rest.trim_start_matches(['r', 'R', 'b', 'B']);
    let prefix = rest.len() - body.len();
    let quote = ["\"\"\"", "'''", "\"", "'"]
        .into_iter()
        .find(|quote| body.starts_with(quote))?;
    let is_raw = rest[..prefix].contains(['r', 'R']);
    let mut at = quote.len();
    while at < body.len() && !body[at..].starts_with(quote) {
        let letter = body[at..].chars().next()?;
        at += letter.len_utf8();
        if letter == '\\' && !is_raw {
            at += body[at..].chars().next().map_or(0, char::len_utf8);
        }
    }
    Some(prefix + (at + quote.len()).min(body.len()))
}

/// Where the nodes of a tree stand.
struct Places<'a> {
    tokens: Vec<Token<'a>>,
    next: usize,
    by_id: BTreeMap<u64, usize>,
}

impl<'a> Places<'a> {
    fn new(text: &'a str, tree: &Expression) -> Self {
        let mut places = Self {
            tokens: tokens(text),
            next: 0,
            by_id: BTreeMap::new(),
        };
        places.walk(tree);
        places
    }

    /// Goes past the next token that fits, and gives its place to a node.
    fn take(&mut self, id: u64, fits: impl Fn(&str) -> bool) {
        if let Some(found) = self.tokens[self.next..].iter().position(|token| fits(token.text)) {
            self.next += found;
            self.by_id.insert(id, self.tokens[self.next].start);
            self.next += 1;
        }
    }

    fn skip(&mut self, text: &str) {
        if let Some(found) = self.tokens[self.next..].iter().position(|token| token.text == text) {
            self.next += found + 1;
        }
    }

    fn walk(&mut self, node: &Expression) {
        let is_literal = |text: &str| {
            text.starts_with(|first: char| first.is_ascii_digit())
                || text.ends_with(['"', '\''])
                || matches!(text, "true" | "false" | "null")
        };
        match &node.expr {
            Expr::Ident(name) if name.starts_with('@') => {}
            Expr::Ident(name) => self.take(node.id, |text| text == name),
            Expr::Literal(_) => self.take(node.id, is_literal),
            Expr::Select(select) if select.test => {
                self.skip("has");
                self.take(node.id, |text| text == "(");
                self.walk(&select.operand);
                self.skip(&select.field);
            }
            Expr::Select(select) => {
                self.walk(&select.operand);
                self.take(node.id, |text| text == ".");
                self.skip(&select.field);
            }
            Expr::Call(call) => self.walk_call(node.id, call),
            Expr::Comprehension(comprehension) => self.walk_comprehension(node.id, comprehension),
            Expr::List(list) => {
                self.take(node.id, |text| text == "[");
                list.elements.iter().for_each(|element| self.walk(element));
            }
            Expr::Map(map) => {
                self.take(node.id, |text| text == "{");
                map.entries.iter().for_each(|entry| self.walk_entry(&entry.expr));
            }
            Expr::Struct(message) => {
                self.take(node.id, |text| text == "{");
                message.entries.iter().for_each(|entry| self.walk_entry(&entry.expr));
            }
            Expr::Unspecified => {}
        }
    }

    fn walk_entry(&mut self, entry: &EntryExpr) {
        match entry {
            EntryExpr::StructField(field) => self.walk(&field.value),
            EntryExpr::MapEntry(entry) => {
                self.walk(&entry.key);
                self.walk(&entry.value);
            }
        }
    }

    fn walk_call(&mut self, id: u64, call: &CallExpr) {
        let CallExpr {
            func_name,
            target,
            args,
        } = call;
        match (func_name.as_str(), target, args.as_slice()) {
            (operators::CONDITIONAL, None, [condition, rest @ ..]) => {
                self.walk(condition);
                self.take(id, |text| text == "?");
                for branch in rest {
                    self.walk(branch);
                }
            }
            (operators::INDEX | operators::OPT_INDEX, None, [holder, index]) => {
                self.walk(holder);
                self.take(id, |text| text == "[");
                self.walk(index);
            }
            (operators::OPT_SELECT, None, [holder, _field]) => {
                self.walk(holder);
                self.take(id, |text| text == ".");
                self.skip("?");
            }
            (name, None, [left, right]) if operator(name).is_some() => {
                self.walk(left);
                self.take(id, |text| operator(name) == Some(text));
                self.walk(right);
            }
            (name, None, [operand]) if matches!(name, operators::LOGICAL_NOT | operators::NEGATE) => {
                self.take(id, |text| name.starts_with(text));
                self.walk(operand);
            }
            (name, target, args) => {
                if let Some(target) = target {
                    self.walk(target);
                }
                self.skip(name);
                self.take(id, |text| text == "(");
                for arg in args {
                    self.walk(arg);
                }
            }
        }
    }

    /// A macro: only what was written stands in the text.
    fn walk_comprehension(&mut self, id: u64, comprehension: &ComprehensionExpr) {
        self.walk(&comprehension.iter_range);
        self.take(id, |text| text == "(");
        self.skip(",");
        self.walk_step(&comprehension.loop_step, &comprehension.iter_var);
    }

    fn walk_step(&mut self, step: &Expression, variable: &str) {
        let Expr::Call(call) = &step.expr else { return };
        match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::LOGICAL_AND | operators::LOGICAL_OR, [_, body]) => self.walk(body),
            (operators::CONDITIONAL, [condition, then, _]) => {
                self.walk(condition);
                self.walk_step(then, variable);
            }
            (operators::ADD, [_, added]) => {
                if let Expr::List(list) = &added.expr {
                    let written = list
                        .elements
                        .iter()
                        .filter(|element| element.expr != Expr::Ident(variable.to_owned()));
                    written.for_each(|element| self.walk(element));
                }
            }
            _ => {}
        }
    }
}

/// The token of an operator between two operands.
fn operator(name: &str) -> Option<&str> {
    match name {
        operators::IN => Some("in"),
        operators::INDEX | operators::OPT_INDEX | operators::OPT_SELECT | operators::CONDITIONAL => None,
        _ => name.strip_prefix('_')?.strip_suffix('_'),
    }
}
