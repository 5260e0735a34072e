//! Whether a text is base64, as Go's decoder has it: line breaks count for nothing, padding is needed, bits that are left over may be any.

/// How many characters stand for three bytes.
const GROUP: usize = 4;

/// The place at which a text stops being base64, if it does.
pub(super) fn illegal_byte(text: &str) -> Option<usize> {
    let mut rest = text.bytes().enumerate().filter(|(_, byte)| !is_line_break(*byte));
    let mut in_group = 0;
    loop {
        match rest.next() {
            // Where it ends within a group, the group is what is wrong.
            None => return (in_group > 0).then(|| text.len() - in_group),
            Some((_, byte)) if is_digit(byte) => in_group = (in_group + 1) % GROUP,
            Some((_, b'=')) if in_group >= 2 => return after_padding(text, GROUP - 1 - in_group, rest),
            Some((at, _)) => return Some(at),
        }
    }
}

/// Behind the first character of the padding is the rest of it and nothing else.
fn after_padding(text: &str, missing: usize, mut rest: impl Iterator<Item = (usize, u8)>) -> Option<usize> {
    if missing > 0 {
        match rest.next() {
            None => return Some(text.len()),
            Some((_, b'=')) => {}
            // The decoder has then passed over line breaks, and names the byte before.
            Some((at, _)) => return Some(at - 1),
        }
    }
    rest.next().map(|(at, _)| at)
}

fn is_line_break(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

fn is_digit(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use proptest::prelude::*;

    #[test]
    fn what_is_wrong_is_named_by_the_byte_that_go_names() {
        for (text, byte) in [
            ("", None),
            ("\r\n", None),
            ("YQ==", None),
            ("YQ=\n=\r\n", None),
            ("Y\nW\nJ\nj", None),
            // Bits that no byte takes are left alone.
            ("YR==", None),
            ("!", Some(0)),
            ("not base64", Some(3)),
            ("YQ", Some(0)),
            ("YWJjYQ", Some(4)),
            ("YWJjYWI", Some(4)),
            ("Y", Some(0)),
            ("YQ=", Some(3)),
            ("YQ\n", Some(1)),
            ("YQ=\n", Some(4)),
            ("YQ=x", Some(2)),
            ("YQ=\nx", Some(3)),
            ("YQ==\nx", Some(5)),
            ("YQ==x", Some(4)),
            ("YQ==YQ==", Some(4)),
            ("YWI=x", Some(4)),
            ("=", Some(0)),
            ("Y===", Some(1)),
            ("YW-j", Some(2)),
        ] {
            assert_eq!(illegal_byte(text), byte, "{text:?}");
        }
    }

    proptest! {
        /// The model: what the standard engine writes, and what it cannot read.
        #[test]
        fn every_encoding_is_legal_and_what_cannot_be_read_is_not(
            bytes in prop::collection::vec(any::<u8>(), 0..20), other in "[A-Za-d=+/!-]{0,9}",
        ) {
            let engine = base64::engine::general_purpose::STANDARD;
            prop_assert_eq!(illegal_byte(&engine.encode(bytes)), None);
            let lenient = base64::engine::GeneralPurpose::new(
                &base64::alphabet::STANDARD,
                base64::engine::GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
            );
            prop_assert_eq!(illegal_byte(&other).is_none(), lenient.decode(&other).is_ok(), "{}", other);
        }
    }
}
