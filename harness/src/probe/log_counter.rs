//! Logs of a program that counts: what they prove about the program's life.

/// The numbers that follow `prefix` at the start of lines.
fn numbers<'a>(log: &'a str, prefix: &'a str) -> impl Iterator<Item = u64> + 'a {
    log.lines()
        .filter_map(move |line| line.strip_prefix(prefix)?.trim().parse().ok())
}

/// The last number; 0 when there is none.
pub(crate) fn last_number(log: &str, prefix: &str) -> u64 {
    numbers(log, prefix).last().unwrap_or_default()
}

/// Whether the numbers go 1, 2, 3, … with none missing or twice: the program was neither
/// restarted nor set back, and no line was lost or doubled.
pub(crate) fn unbroken_count(log: &str, prefix: &str) -> Result<u64, String> {
    let mut last = 0;
    for number in numbers(log, prefix) {
        if number != last + 1 {
            return Err(format!("in the log `{prefix}{number}` follows `{prefix}{last}`"));
        }
        last = number;
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unbroken_count_starts_at_one_and_misses_and_repeats_nothing() {
        assert_eq!(unbroken_count("tick 1\nother\ntick 2\n", "tick "), Ok(2));
        assert_eq!(unbroken_count("", "tick "), Ok(0));
        assert!(unbroken_count("tick 2\n", "tick ").is_err(), "earlier lines are lost");
        assert!(
            unbroken_count("tick 1\ntick 1\n", "tick ").is_err(),
            "a line is doubled or the program restarted"
        );
        assert!(
            unbroken_count("tick 1\ntick 3\n", "tick ").is_err(),
            "a line is missing"
        );
    }
}
