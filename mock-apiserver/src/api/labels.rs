//! The language of label selectors (`k8s.io/apimachinery/pkg/labels`), and its refusals.

use super::field::quoted;
use super::names::{label_value_problems, qualified_name_problems};

/// How a requirement compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
    GreaterThan,
    LessThan,
}

/// One term of a selector as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Term {
    pub(super) key: String,
    pub(super) operator: Operator,
    pub(super) values: Vec<String>,
}

/// A token: a symbol, a word, or the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Symbol(&'a str),
    Word(&'a str),
    End,
}

impl Token<'_> {
    fn text(&self) -> &str {
        match self {
            Self::Symbol(text) | Self::Word(text) => text,
            Self::End => "",
        }
    }
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let is_special = |letter: char| "=!(),><".contains(letter);
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if is_special(first) {
            let pair = ["==", "!="].iter().any(|pair| rest.starts_with(pair));
            if pair { 2 } else { 1 }
        } else {
            rest.find(|letter: char| is_special(letter) || letter.is_whitespace())
                .unwrap_or(rest.len())
        };
        let (token, after) = rest.split_at(length);
        tokens.push(if is_special(first) {
            Token::Symbol(token)
        } else {
            Token::Word(token)
        });
        rest = after.trim_start();
    }
    tokens
}

/// A selector under way.
struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    next: usize,
}

/// Parses a selector; the error is the server's.
pub(super) fn parse(text: &str) -> Result<Vec<Term>, String> {
    let mut parser = Parser {
        tokens: tokens(text),
        next: 0,
    };
    let mut terms = Vec::new();
    loop {
        match parser.peek() {
            Token::End => return Ok(terms),
            Token::Word(_) | Token::Symbol("!") => {}
            other @ Token::Symbol(_) => return Err(found(other, "!, identifier, or 'end of string'")),
        }
        let term = parser
            .term()
            .map_err(|why| format!("unable to parse requirement: {why}"))?;
        terms.push(term);
        match parser.take() {
            Token::End => return Ok(terms),
            Token::Symbol(",") => match parser.peek() {
                Token::Word(_) | Token::Symbol("!") => {}
                other => return Err(found(other, "identifier after ','")),
            },
            other => return Err(found(other, "',' or 'end of string'")),
        }
    }
}

fn found(token: Token<'_>, expected: &str) -> String {
    format!("found '{}', expected: {expected}", token.text())
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Token<'a> {
        self.tokens.get(self.next).copied().unwrap_or(Token::End)
    }

    fn take(&mut self) -> Token<'a> {
        let token = self.peek();
        self.next += 1;
        token
    }

    fn term(&mut self) -> Result<Term, String> {
        let mut token = self.take();
        let absent = token == Token::Symbol("!");
        if absent {
            token = self.take();
        }
        let Token::Word(key) = token else {
            return Err(found(token, "identifier"));
        };
        let problems = qualified_name_problems(key);
        if !problems.is_empty() {
            return Err(format!(
                "<nil>: Invalid value: {}: {}",
                quoted(key),
                problems.join("; ")
            ));
        }
        let is_alone = matches!(self.peek(), Token::End | Token::Symbol(","));
        if absent || is_alone {
            let operator = if absent {
                Operator::DoesNotExist
            } else {
                Operator::Exists
            };
            return Ok(Term {
                key: key.to_owned(),
                operator,
                values: Vec::new(),
            });
        }
        let token = self.take();
        let (operator, values) = match token {
            Token::Word("in") => (Operator::In, self.values()?),
            Token::Word("notin") => (Operator::NotIn, self.values()?),
            Token::Symbol("=" | "==") => (Operator::In, vec![self.value()?]),
            Token::Symbol("!=") => (Operator::NotIn, vec![self.value()?]),
            Token::Symbol(">") => (Operator::GreaterThan, vec![self.value()?]),
            Token::Symbol("<") => (Operator::LessThan, vec![self.value()?]),
            other => return Err(found(other, "in, notin, =, ==, !=, gt, lt")),
        };
        check(key, operator, &values)?;
        Ok(Term {
            key: key.to_owned(),
            operator,
            values,
        })
    }

    /// What is compared with; nothing is an empty value.
    fn value(&mut self) -> Result<String, String> {
        if matches!(self.peek(), Token::End | Token::Symbol(",")) {
            return Ok(String::new());
        }
        match self.take() {
            Token::Word(value) => Ok(value.to_owned()),
            other => Err(found(other, "identifier")),
        }
    }

    /// Values in parentheses; where one is missing it is empty.
    fn values(&mut self) -> Result<Vec<String>, String> {
        match self.take() {
            Token::Symbol("(") => {}
            other => return Err(format!("found '{}' expected: '('", other.text())),
        }
        let mut values = Vec::new();
        loop {
            match self.peek() {
                Token::Word(value) => {
                    values.push(value.to_owned());
                    self.take();
                }
                Token::Symbol("," | ")") => values.push(String::new()),
                other if values.is_empty() => return Err(found(other, "',', ')' or identifier")),
                other => return Err(found(other, "',', or identifier")),
            }
            match self.take() {
                Token::Symbol(",") => {}
                Token::Symbol(")") => return Ok(values),
                other => return Err(found(other, "',' or ')'")),
            }
        }
    }
}

fn check(key: &str, operator: Operator, values: &[String]) -> Result<(), String> {
    let is_number = |value: &String| value.parse::<i64>().is_ok();
    match operator {
        Operator::GreaterThan | Operator::LessThan if !values.iter().all(is_number) => {
            let value = values.first().map(String::as_str).unwrap_or_default();
            return Err(format!(
                "values[0]: Invalid value: {}: for 'Gt', 'Lt' operators, the value must be an integer",
                quoted(value)
            ));
        }
        Operator::In
        | Operator::NotIn
        | Operator::Exists
        | Operator::DoesNotExist
        | Operator::GreaterThan
        | Operator::LessThan => {}
    }
    for (index, value) in values.iter().enumerate() {
        let problems = label_value_problems(value);
        if !problems.is_empty() {
            let shown = quoted(value);
            return Err(format!(
                "values[{index}][{key}]: Invalid value: {shown}: {}",
                problems.join("; ")
            ));
        }
    }
    Ok(())
}
