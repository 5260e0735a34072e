//! JSON and YAML bodies, and the fields that they name more than once. Whole numbers are integers, however they are written.

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::{DuplicateKeyPolicy, Spanned};
use std::fmt;

/// Parses JSON; the last of several values of a field counts. Returns the paths of the fields that are repeated, too.
pub(crate) fn parse(body: &[u8]) -> serde_json::Result<(Value, Vec<String>)> {
    let mut reader = Reader::default();
    let mut text = serde_json::Deserializer::from_slice(body);
    let value = (&mut reader).deserialize(&mut text)?;
    text.end()?;
    Ok((value, reader.repeated))
}

/// Parses YAML in the same way; repeated fields are told in the words of the real server's parser.
pub(crate) fn parse_yaml(text: &str) -> Result<(Value, Vec<String>), serde_saphyr::Error> {
    let options = serde_saphyr::options! { duplicate_keys: DuplicateKeyPolicy::PassThrough };
    let mut reader = Reader {
        by_line: true,
        ..Reader::default()
    };
    let value =
        serde_saphyr::with_deserializer_from_str_with_options(text, options, |text| (&mut reader).deserialize(text))?;
    Ok((value, reader.repeated))
}

/// A number as Go writes it: whole ones without a fraction.
pub(crate) fn number(number: f64) -> Value {
    let whole = (number.fract() == 0.0).then(|| format!("{number:.0}").parse::<i64>().ok());
    let float = || Number::from_f64(number).map_or(Value::Null, Value::Number);
    whole.flatten().map_or_else(float, Value::from)
}

enum Step {
    Member(String),
    Index(usize),
}

/// Where the reader is, and what it has met.
#[derive(Default)]
struct Reader {
    path: Vec<Step>,
    repeated: Vec<String>,
    /// Repeated fields are told by their lines.
    by_line: bool,
}

impl Reader {
    /// The path of a member of the object that is being read.
    fn path_of(&self, member: &str) -> String {
        let mut path = String::new();
        for step in &self.path {
            match step {
                Step::Member(name) if path.is_empty() => path.push_str(name),
                Step::Member(name) => path = format!("{path}.{name}"),
                Step::Index(index) => path = format!("{path}[{index}]"),
            }
        }
        if path.is_empty() {
            member.to_owned()
        } else {
            format!("{path}.{member}")
        }
    }
}

impl Reader {
    /// The next key, with its line if that is known.
    fn key<'de, A: MapAccess<'de>>(&self, members: &mut A) -> Result<Option<(String, Option<u64>)>, A::Error> {
        if self.by_line {
            let key = members.next_key::<Spanned<String>>()?;
            return Ok(key.map(|key| (key.value, Some(key.referenced.line()))));
        }
        Ok(members.next_key()?.map(|name| (name, None)))
    }
}

impl<'de> DeserializeSeed<'de> for &mut Reader {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, set: bool) -> Result<Value, E> {
        Ok(set.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(self::number(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            self.path.push(Step::Index(list.len()));
            let item = items.next_element_seed(&mut *self)?;
            self.path.pop();
            match item {
                Some(item) => list.push(item),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((name, line)) = self.key(&mut members)? {
            if map.contains_key(&name) {
                let told = match line {
                    Some(line) => format!("line {line}: key {name:?} already set in map"),
                    None => self.path_of(&name),
                };
                if !self.repeated.contains(&told) {
                    self.repeated.push(told);
                }
            }
            self.path.push(Step::Member(name));
            let value = members.next_value_seed(&mut *self)?;
            if let Some(Step::Member(name)) = self.path.pop() {
                map.insert(name, value);
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn repeated_fields_are_named_once_and_the_last_value_counts() {
        let body = br#"{"a": 1, "b": {"c": [{"d": 1, "d": 2, "d": 3}]}, "a": 2}"#;
        let (value, repeated) = parse(body).unwrap();
        assert_eq!(value, serde_json::json!({"a": 2, "b": {"c": [{"d": 3}]}}));
        assert_eq!(repeated, ["b.c[0].d", "a"]);
    }

    #[test]
    fn repeated_fields_of_yaml_are_told_by_their_lines() {
        let (value, repeated) = parse_yaml("a: 1\nb: {c: [2.0, 2.5], 3: x}\na: 2\n").unwrap();
        assert_eq!(value, serde_json::json!({"a": 2, "b": {"c": [2, 2.5], "3": "x"}}));
        assert_eq!(repeated, ["line 3: key \"a\" already set in map"]);
    }

    /// Whole numbers as integers.
    fn whole(value: Value) -> Value {
        match value {
            Value::Number(number) if number.is_f64() => {
                let text = number.as_f64().map(|number| number.to_string()).unwrap_or_default();
                text.parse::<i64>().map_or(Value::Number(number), Value::from)
            }
            Value::Array(items) => items.into_iter().map(whole).collect(),
            Value::Object(map) => map.into_iter().map(|(name, value)| (name, whole(value))).collect(),
            other => other,
        }
    }

    proptest! {
        /// `serde_json` itself, which knows no repetitions, is the model.
        #[test]
        fn anything_else_is_read_as_usual(body in r#"[\[\]{}:,"a1.e -]{0,24}"#) {
            let usual = serde_json::from_slice::<Value>(body.as_bytes()).ok().map(whole);
            prop_assert_eq!(parse(body.as_bytes()).ok().map(|(value, _)| value), usual);
        }
    }
}
