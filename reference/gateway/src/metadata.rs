//! The metadata filter of the list calls, which SDKs encode up to three times over.
//!
//! Each key and value is percent-encoded, the pairs are written as a query string, and that is the
//! value of one query parameter. Here the parameter is already decoded once, by whoever read the query.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use url::form_urlencoded;

use crate::refusal::Refusal;

/// Key-value pairs, all of which a sandbox has to have.
pub(crate) type MetadataFilter = BTreeMap<String, String>;

/// Reads the value of the `metadata` parameter.
///
/// # Errors
/// If a pair is not valid UTF-8 once decoded.
pub(crate) fn parse_filter(parameter: &str) -> Result<MetadataFilter, Refusal> {
    form_urlencoded::parse(parameter.as_bytes())
        .map(|(key, value)| Ok((decode(&key)?, decode(&value)?)))
        .collect()
}

fn decode(text: &str) -> Result<String, Refusal> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded
        .map(Into::into)
        .map_err(|_| Refusal::invalid("query parameter \"metadata\"", format!("{text:?} is not UTF-8")))
}

/// Whether `metadata` has every pair of `filter`.
pub(crate) fn matches(filter: &MetadataFilter, metadata: &BTreeMap<String, String>) -> bool {
    filter.iter().all(|(key, value)| metadata.get(key) == Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_of_the_sdks_is_undone() {
        // `metadata=a%3Db%252520c` on the wire; one layer is gone once the query is read.
        let expected = BTreeMap::from([("a".to_owned(), "b c".to_owned())]);
        assert_eq!(parse_filter("a=b%2520c"), Ok(expected));
    }

    #[test]
    fn all_pairs_have_to_be_there() {
        let filter = parse_filter("user=ann&app=x").unwrap();
        let with = |pairs: &[(&str, &str)]| {
            matches(
                &filter,
                &pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            )
        };
        assert!(with(&[("user", "ann"), ("app", "x"), ("more", "y")]));
        assert!(!with(&[("user", "ann")]));
        assert!(!with(&[("user", "ann"), ("app", "z")]));
    }

    #[test]
    fn what_is_no_text_is_refused() {
        assert_eq!(parse_filter("a=%25ff").unwrap_err().status(), 400);
    }
}
