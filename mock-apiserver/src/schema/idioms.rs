//! What rules say that the evaluator does not know, in words that it knows.
//!
//! - `type(x) == int` and `type(x) == string`, by which rules tell the two forms of an int-or-string apart, become questions
//!   about the text of the value. Other types are not told apart.
//! - `oldSelf` in a rule with `optionalOldSelf` is an optional value: there at updates, absent at creations.

/// The rule with the comparisons of types that can be said otherwise; `None` if there is none.
pub(super) fn without_types(rule: &str) -> Option<String> {
    let mut rewritten = String::new();
    let (mut rest, mut found) = (rule, false);
    while let Some(at) = find_word(rest, "type") {
        let (before, from) = rest.split_at(at);
        rewritten.push_str(before);
        if let Some((text, after)) = comparison(from) {
            rewritten.push_str(&text);
            (rest, found) = (after, true);
        } else {
            rewritten.push_str("type");
            rest = &from["type".len()..];
        }
    }
    rewritten.push_str(rest);
    found.then_some(rewritten)
}

/// `type(x) == int`, said otherwise, and what follows it.
fn comparison(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix("type")?.trim_start().strip_prefix('(')?;
    let end = closing(inner)?;
    let (subject, after) = (inner[..end].trim(), inner[end + 1..].trim_start());
    let negated = after.starts_with("!=");
    let after = after
        .strip_prefix("==")
        .or_else(|| after.strip_prefix("!="))?
        .trim_start();
    let length = after.find(|c: char| !is_word(c)).unwrap_or(after.len());
    let (name, after) = after.split_at(length);
    let is_text = format!("string({subject}) == {subject}");
    let holds = match name {
        "string" => is_text,
        "int" => format!("!({is_text}) && int({subject}) == {subject}"),
        _ => return None,
    };
    Some((format!("{}({holds})", if negated { "!" } else { "" }), after))
}

/// The rule with another expression in place of `oldSelf`.
pub(super) fn with_old(rule: &str, expression: &str) -> String {
    let mut rewritten = String::new();
    let mut rest = rule;
    while let Some(at) = find_word(rest, "oldSelf") {
        rewritten.push_str(&rest[..at]);
        rewritten.push_str(expression);
        rest = &rest[at + "oldSelf".len()..];
    }
    rewritten.push_str(rest);
    rewritten
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Where a word stands that is no part of another one, no member, and in no text.
fn find_word(expression: &str, word: &str) -> Option<usize> {
    let mut before = ' ';
    let mut places = outside_of_texts(expression);
    places
        .find(|(at, c)| {
            let starts = !is_word(before) && before != '.' && expression[*at..].starts_with(word);
            before = *c;
            starts && !expression[at + word.len()..].starts_with(is_word)
        })
        .map(|(at, _)| at)
}

/// Where the parenthesis is closed that was opened before the text.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 1;
    let mut places = outside_of_texts(text);
    let found = places.find(|(_, c)| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        depth == 0
    });
    found.map(|(at, _)| at)
}

/// The characters of an expression that are not in quotes.
pub(super) fn outside_of_texts(expression: &str) -> impl Iterator<Item = (usize, char)> {
    let (mut quote, mut escaped) = (None, false);
    expression.char_indices().filter(move |(_, c)| {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if *c == '\\' => escaped = true,
            Some(open) if open == *c => quote = None,
            Some(_) => {}
            None if matches!(c, '"' | '\'') => quote = Some(*c),
            None => return true,
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_compared_by_the_text_of_the_value() {
        let said = "(string(self.a) == self.a) ? 1 : 2";
        assert_eq!(without_types("type(self.a) == string ? 1 : 2").as_deref(), Some(said));
        let said = "x && !(!(string(f(a, ')')) == f(a, ')')) && int(f(a, ')')) == f(a, ')'))";
        assert_eq!(without_types("x && type( f(a, ')') )!=int").as_deref(), Some(said));
        for other in [
            "type(self) == list",
            "self.type == int",
            "'type(self) == int'",
            "mytype(a) == int",
        ] {
            assert_eq!(without_types(other), None, "{other}");
        }
    }

    #[test]
    fn the_old_value_is_replaced_where_it_is_a_name() {
        let rule = "oldSelf.hasValue() ? self.oldSelf == oldSelf.value() : self != 'oldSelf'";
        let said = "optional.none().hasValue() ? self.oldSelf == optional.none().value() : self != 'oldSelf'";
        assert_eq!(with_old(rule, "optional.none()"), said);
    }
}
