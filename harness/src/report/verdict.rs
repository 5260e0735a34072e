//! What a run amounts to.
//!
//! ```text
//! fail, untestable, skipped or a stale expectation ─▶ not conformant
//! else: error, a claim without a case, or nothing executed ─▶ error of the harness
//! else: an expected failure ─▶ as expected
//! else ─▶ conformant
//! ```

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Summary;

/// What a run amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Everything that was tried held.
    Conformant,
    /// Nothing failed but what was expected to. Not the same as conformant, and no news.
    AsExpected,
    /// Something did not hold, a claim was left untested, or an expectation is stale.
    NotConformant,
    /// Nothing failed, but the suite could not find out everything, or tried nothing at all.
    HarnessError,
    /// The command made no sense. No run ends so.
    Usage,
}

impl Verdict {
    /// The exit code of the command.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Conformant | Self::AsExpected => 0,
            Self::NotConformant => 1,
            Self::HarnessError => 2,
            Self::Usage => 3,
        }
    }

    /// For people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Conformant => "conformant",
            Self::AsExpected => "conformant but for expected failures",
            Self::NotConformant => "not conformant",
            Self::HarnessError | Self::Usage => "undecided",
        }
    }

    /// What the counts of cases, of stale expectations and of claims without an executed
    /// case amount to.
    #[must_use]
    pub const fn of(cases: Summary, stale: usize, unexercised: usize) -> Self {
        if cases.fail > 0 || cases.untestable > 0 || cases.skipped > 0 || stale > 0 {
            Self::NotConformant
        } else if cases.error > 0 || unexercised > 0 || cases.pass + cases.expected_failure == 0 {
            Self::HarnessError
        } else if cases.expected_failure > 0 {
            Self::AsExpected
        } else {
            Self::Conformant
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Outcome;

    fn verdict(outcomes: &[Outcome], stale: usize, unexercised: usize) -> Verdict {
        Verdict::of(Summary::of(outcomes.iter().copied()), stale, unexercised)
    }

    #[test]
    fn one_pass_and_one_of_another_kind_amounts_to_what_that_kind_is() {
        let table = [
            (Outcome::Untested, Verdict::Conformant),
            (Outcome::NotClaimed, Verdict::Conformant),
            (Outcome::Pass, Verdict::Conformant),
            (Outcome::Skipped, Verdict::NotConformant),
            (Outcome::ExpectedFailure, Verdict::AsExpected),
            (Outcome::Untestable, Verdict::NotConformant),
            (Outcome::Error, Verdict::HarnessError),
            (Outcome::Fail, Verdict::NotConformant),
        ];
        for (outcome, expected) in table {
            assert_eq!(verdict(&[Outcome::Pass, outcome], 0, 0), expected, "{outcome:?}");
        }
    }

    #[test]
    fn a_stale_expectation_and_a_claim_without_a_case_are_no_success() {
        assert_eq!(verdict(&[Outcome::Pass], 1, 0), Verdict::NotConformant);
        assert_eq!(verdict(&[Outcome::Pass], 0, 1), Verdict::HarnessError);
        assert_eq!(verdict(&[Outcome::NotClaimed], 0, 0), Verdict::HarnessError);
        assert_eq!(verdict(&[Outcome::Fail, Outcome::Error], 0, 0), Verdict::NotConformant);
    }
}
