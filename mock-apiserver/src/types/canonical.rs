//! The one form in which the server keeps a quantity or a point in time, whatever form it was sent in.
//!
//! `1000m` becomes `1` and `1024Mi` becomes `1Gi`, as `k8s.io/apimachinery/pkg/api/resource` writes them: no fraction, no more
//! digits than needed, the unit of the family (decimal, binary or exponent) that allows this. Times are in UTC.

use super::special::Special;
use jiff::Timestamp;
use serde_json::Value;

/// How many nano units make one.
const NANO: i128 = 1_000_000_000;
/// The largest quantity that is put into another form; others stay as they are.
const LARGEST: i128 = i64::MAX as i128 * NANO;
const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// Puts a value into its canonical form; one that is not understood stays as it is.
pub(super) fn canonicalise(special: Special, value: &mut Value) {
    let text = match &*value {
        Value::String(text) => text.clone(),
        Value::Number(number) if special == Special::Quantity => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => return,
    };
    let canonical = match special {
        Special::Quantity => quantity(text.trim()),
        Special::Time => time(&text, "%Y-%m-%dT%H:%M:%SZ"),
        Special::MicroTime => time(&text, "%Y-%m-%dT%H:%M:%S.%6fZ"),
        Special::Duration | Special::IntOrString | Special::Any | Special::Strings | Special::OneOf => None,
    };
    if let Some(canonical) = canonical.filter(|canonical| *value != **canonical) {
        *value = canonical.into();
    }
}

fn time(text: &str, format: &str) -> Option<String> {
    let at: Timestamp = text.parse().ok()?;
    Some(at.strftime(format).to_string())
}

/// The families of units.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Decimal,
    Binary,
    /// `12e6`.
    Exponent,
}

/// The canonical form of a quantity; `None` if it is none, or one beyond what is put into another form.
fn quantity(text: &str) -> Option<String> {
    let (nanos, family) = parse(text)?;
    let below_1024 = nanos.abs() < 1024 * NANO;
    if family == Family::Binary && !below_1024 && nanos % NANO == 0 {
        let (mut number, mut unit) = (nanos / NANO, 0);
        while number % 1024 == 0 && unit + 1 < BINARY.len() {
            (number, unit) = (number / 1024, unit + 1);
        }
        return Some(format!("{number}{}", BINARY[unit]));
    }
    // Without zeros at the end, in steps of a thousand.
    let (mut number, mut unit) = (nanos, 0);
    while number != 0 && number % 1000 == 0 && unit + 1 < DECIMAL.len() {
        (number, unit) = (number / 1000, unit + 1);
    }
    if number == 0 {
        return Some("0".to_owned());
    }
    match (family, i32::try_from(unit).ok()? * 3 - 9) {
        (Family::Exponent, 0) => Some(number.to_string()),
        (Family::Exponent, power) => Some(format!("{number}e{power}")),
        (Family::Decimal | Family::Binary, _) => Some(format!("{number}{}", DECIMAL[unit])),
    }
}

/// How much a quantity is, to compare it with others of the same; `None` if it is none.
pub(crate) fn amount(quantity: &Value) -> Option<i128> {
    let text = quantity.as_str().map_or_else(|| quantity.to_string(), str::to_owned);
    parse(text.trim()).map(|(nanos, _)| nanos)
}

/// The amount in nano units, rounded away from zero, and the family of its unit.
fn parse(text: &str) -> Option<(i128, Family)> {
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (digits, suffix) = unsigned.split_at(end.unwrap_or(unsigned.len()));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.len() + fraction.len() == 0 || fraction.contains('.') {
        return None;
    }
    let mantissa: i128 = format!("{whole}{fraction}").parse().ok()?;
    let places = u32::try_from(fraction.len()).ok()?;
    let (numerator, denominator, family) = unit(suffix)?;
    let numerator = mantissa.checked_mul(numerator)?.checked_mul(NANO)?;
    let denominator = denominator.checked_mul(10_i128.checked_pow(places)?)?;
    let rest = i128::from(numerator % denominator != 0);
    let nanos = numerator / denominator + rest;
    let amount = if negative { -nanos } else { nanos };
    (nanos <= LARGEST).then_some((amount, family))
}

/// What a unit stands for, as a fraction.
fn unit(suffix: &str) -> Option<(i128, i128, Family)> {
    let thousands = |steps: usize| 1000_i128.pow(u32::try_from(steps).unwrap_or(0));
    if let Some(steps) = DECIMAL.iter().position(|known| *known == suffix) {
        return Some((thousands(steps), NANO, Family::Decimal));
    }
    if let Some(steps) = BINARY.iter().position(|known| *known == suffix) {
        return Some((1 << (10 * steps), 1, Family::Binary));
    }
    let power: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    let size = 10_i128.checked_pow(power.unsigned_abs())?;
    let (numerator, denominator) = if power < 0 { (1, size) } else { (size, 1) };
    Some((numerator, denominator, Family::Exponent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantities_are_written_as_the_real_server_writes_them() {
        for (sent, kept) in [
            ("1000m", "1"),
            ("0.5", "500m"),
            ("1.5", "1500m"),
            ("1024Mi", "1Gi"),
            ("1Gi", "1Gi"),
            ("1536Mi", "1536Mi"),
            ("0.5Gi", "512Mi"),
            ("512", "512"),
            ("1023Ki", "1023Ki"),
            ("0.5Ki", "512"),
            ("1.5Mi", "1536Ki"),
            ("0.1Mi", "104857600m"),
            ("1000", "1k"),
            ("1500", "1500"),
            ("1000000", "1M"),
            ("0", "0"),
            ("0Mi", "0"),
            ("-0.0", "0"),
            ("+3", "3"),
            ("-1000m", "-1"),
            ("1e3", "1e3"),
            ("12E6", "12e6"),
            ("1e-3", "1e-3"),
            ("100e-2", "1"),
            ("0.0000000001", "1n"),
            ("007", "7"),
            ("1000k", "1M"),
            (".5", "500m"),
            ("5.", "5"),
        ] {
            assert_eq!(quantity(sent).as_deref(), Some(kept), "{sent}");
        }
        for left in [
            "",
            "x",
            "1.2.3",
            "1GB",
            "--1",
            "99999999999999999999999999999999999999999",
            "1e400",
        ] {
            assert_eq!(quantity(left), None, "{left}");
        }
    }

    proptest! {
        /// The model: the amount itself.
        #[test]
        fn a_canonical_quantity_is_as_much_and_its_own_canonical_form(
            number in -100_000_i64..100_000, places in 0_usize..4, suffix in prop::sample::select(vec!["", "m", "k", "M", "G", "Ki", "Mi", "Gi", "e3", "e0"]),
        ) {
            let sign = if number < 0 { "-" } else { "" };
            let digits = format!("{:05}", number.abs());
            let (whole, fraction) = digits.split_at(digits.len() - places);
            let sent = format!("{sign}{whole}.{fraction}{suffix}");
            let kept = quantity(&sent).unwrap();
            prop_assert_eq!(parse(&kept).unwrap().0, parse(&sent).unwrap().0, "{} {}", sent, kept);
            prop_assert_eq!(quantity(&kept), Some(kept.clone()));
            prop_assert!(!kept.contains('.'));
        }
    }

    #[test]
    fn times_are_kept_in_utc() {
        for (special, sent, kept) in [
            (Special::Time, "2026-01-02T03:04:05+02:00", "2026-01-02T01:04:05Z"),
            (Special::Time, "2026-01-02T03:04:05.678Z", "2026-01-02T03:04:05Z"),
            (
                Special::MicroTime,
                "2026-01-02T03:04:05Z",
                "2026-01-02T03:04:05.000000Z",
            ),
        ] {
            let mut value = Value::from(sent);
            canonicalise(special, &mut value);
            assert_eq!(value, kept);
        }
    }
}
