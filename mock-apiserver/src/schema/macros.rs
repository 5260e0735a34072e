//! Macros that the evaluator does not know, spelt out with those that it knows.
//!
//! - The macros of two variables (`all`, `exists`, `existsOne`, `transformList`) go over the places of a list or the keys of a
//!   map, and name the value that is there. `transformMap` and `transformMapEntry` are not spelt out.
//! - `sortBy` puts together what has the same key, in the order of the keys.

use super::idioms::outside_of_texts;

/// Rules are short; one that does not come to an end by then is left as it is.
const MOST: usize = 64;

/// A macro where it stands: from `start` to `end`, with what it is about and what it is given.
struct Found<'a> {
    start: usize,
    end: usize,
    range: &'a str,
    name: &'a str,
    args: Vec<&'a str>,
}

/// The rule with its macros spelt out; `None` if it has none of these.
pub(super) fn spelt_out(rule: &str) -> Option<String> {
    let mut text = rule.to_owned();
    for turn in 0..MOST {
        let Some((start, end, said)) = find(&text).and_then(|found| Some((found.start, found.end, said(&found)?)))
        else {
            return (turn > 0).then_some(text);
        };
        text.replace_range(start..end, &said);
    }
    None
}

/// The first macro that can be spelt out.
fn find(text: &str) -> Option<Found<'_>> {
    let mut dots = outside_of_texts(text).filter(|(_, letter)| *letter == '.');
    dots.find_map(|(dot, _)| {
        let name = &text[dot + 1..];
        let (name, rest) = name.split_at(
            name.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                .unwrap_or(name.len()),
        );
        let (args, end) = arguments(rest.strip_prefix('(')?)?;
        let found = Found {
            start: range(text, dot)?,
            end: text.len() - rest.len() + 1 + end,
            range: "",
            name,
            args,
        };
        let found = Found {
            range: text[found.start..dot].trim(),
            ..found
        };
        said(&found).map(|_| found)
    })
}

fn said(found: &Found<'_>) -> Option<String> {
    let Found { range, name, .. } = found;
    let places = || {
        format!("({range} == {range}.map(each__, each__) ? lists.range(size({range})) : {range}.map(each__, each__))")
    };
    match (*name, found.args.as_slice()) {
        ("all" | "exists", [place, value, body]) => Some(format!(
            "{}.{name}({place}, [{range}[{place}]].{name}({value}, {body}))",
            places()
        )),
        ("existsOne" | "exists_one", [place, value, body]) => Some(format!(
            "({}.filter({place}, [{range}[{place}]].exists({value}, {body})).size() == 1)",
            places()
        )),
        ("transformList", [place, value, body]) => Some(format!(
            "{}.map({place}, [{range}[{place}]].map({value}, {body})[0])",
            places()
        )),
        ("transformList", [place, value, filter, body]) => Some(format!(
            "{}.filter({place}, [{range}[{place}]].exists({value}, {filter})).map({place}, [{range}[{place}]].map({value}, {body})[0])",
            places()
        )),
        ("sortBy", [value, key]) => Some(format!(
            "{range}.map({value}, {key}).distinct().sort().map(key__, {range}.filter({value}, ({key}) == key__)).flatten()"
        )),
        _ => None,
    }
}

/// What stands between a parenthesis that was opened before the text and the one that closes it, parted by commas, and where
/// the latter ends.
fn arguments(text: &str) -> Option<(Vec<&str>, usize)> {
    let (mut depth, mut start, mut args) = (0_usize, 0, Vec::new());
    for (at, letter) in outside_of_texts(text) {
        match letter {
            '(' | '[' | '{' => depth += 1,
            ')' if depth == 0 => {
                args.push(text[start..at].trim());
                return Some((args, at + 1));
            }
            ')' | ']' | '}' => depth = depth.checked_sub(1)?,
            ',' if depth == 0 => {
                args.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    None
}

/// Where the expression begins that ends at `dot`: names, members, calls and what stands in brackets.
fn range(text: &str, dot: usize) -> Option<usize> {
    let before: Vec<(usize, char)> = outside_of_texts(text).take_while(|(at, _)| *at < dot).collect();
    let mut left = before.as_slice();
    while let [rest @ .., (_, ' ')] = left {
        left = rest;
    }
    // What ends in a text is no list.
    if left.last().is_some_and(|(at, _)| !text[at + 1..dot].trim().is_empty()) {
        return None;
    }
    loop {
        let end = left.len();
        while let Some((_, ')' | ']' | '}')) = left.last() {
            left = &left[..opening(left)?];
        }
        while let [rest @ .., (_, letter)] = left
            && (letter.is_ascii_alphanumeric() || *letter == '_')
        {
            left = rest;
        }
        if left.len() == end {
            return None;
        }
        match left {
            [rest @ .., (_, '.')] | [rest @ .., (_, '.'), (_, '?')] => left = rest,
            _ => return Some(before.get(left.len())?.0),
        }
    }
}

/// Which of the characters opens the bracket that the last one closes.
fn opening(letters: &[(usize, char)]) -> Option<usize> {
    let mut depth = 0_usize;
    letters.iter().rposition(|(_, letter)| {
        match letter {
            ')' | ']' | '}' => depth += 1,
            '(' | '[' | '{' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube_cel::{Validator, compile_schema};
    use serde_json::{Value, json};

    fn holds(rule: &str, value: &Value) -> bool {
        let rule = spelt_out(rule).unwrap_or_else(|| panic!("no macro: {rule}"));
        let schema = compile_schema(&json!({"x-kubernetes-validations": [{ "rule": rule }]}));
        let broken = Validator::new().validate_compiled(&schema, value, None).err();
        let told = broken.map(|broken| broken.to_string()).unwrap_or_default();
        assert!(told.is_empty() || told.contains("failed rule"), "{rule}: {told}");
        told.is_empty()
    }

    #[test]
    fn macros_of_two_variables_see_places_and_keys_with_their_values() {
        let value = json!({"l": [3, 1, 2], "m": {"a": 1, "b": 5}, "o": {"l": [1]}, "none": []});
        for (rule, expected) in [
            ("self.l.all(i, v, i + v >= 2)", true),
            ("self.l.all(i, v, v > i)", false),
            ("self.m.all(k, v, k == 'a' ? v == 1 : v == 5)", true),
            ("self.m.all(k, v, v == 1)", false),
            ("self.l.exists(i, v, i == 2 && v == 2)", true),
            ("self.l.exists(i, v, i == v + 1)", false),
            ("self.m.exists(k, v, k == 'b' && v > 4)", true),
            ("self.l.existsOne(i, v, v > 2)", true),
            ("self.m.exists_one(k, v, v > 0)", false),
            ("self.none.all(i, v, false) && !self.none.exists(i, v, true)", true),
            ("self.l.transformList(i, v, i * 10 + v) == [3, 11, 22]", true),
            ("self.l.transformList(i, v, v > 1, i) == [0, 2]", true),
            ("self.l.filter(x, x > 1).all(i, v, v == [3, 2][i])", true),
            ("self['l'].all(i, v, self.o.l.all(j, w, v >= w))", true),
            ("!(self.l.all(i, v, self.m.exists(k, w, w == v)))", true),
        ] {
            assert_eq!(holds(rule, &value), expected, "{rule}");
        }
    }

    #[test]
    fn lists_are_sorted_by_what_is_said_of_their_items() {
        let value = json!({"l": [3, 1, 2], "p": [{"k": 2, "v": "a"}, {"k": 1, "v": "b"}, {"k": 2, "v": "c"}]});
        for (rule, expected) in [
            ("self.l.sortBy(e, -e) == [3, 2, 1]", true),
            ("self.l.sortBy(e, e) == [3, 2, 1]", false),
            ("self.p.sortBy(e, e.k).map(e, e.v) == ['b', 'a', 'c']", true),
            ("self.p.sortBy(e, e.k)[0].v == 'b'", true),
        ] {
            assert_eq!(holds(rule, &value), expected, "{rule}");
        }
    }

    #[test]
    fn other_macros_and_texts_are_left_as_they_are() {
        for rule in [
            "self.l.all(x, x > 1)",
            "self.l.map(x, x > 1, x)",
            "self.s == '.all(a, b, c)'",
            "self.l.transformMap(i, v, v)",
            "'a,b'.all(i, v, true)",
            "self.l.all(i, v",
            "all(i, v, true)",
        ] {
            assert_eq!(spelt_out(rule), None, "{rule}");
        }
    }
}
