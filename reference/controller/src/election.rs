//! Who leads: one controller at a time, by a Lease of `coordination.k8s.io/v1`.
//!
//! ```text
//!            free, or unchanged for its duration            not renewed in time, or taken by another
//!  Standby ─────────────────────────────────────▶ Leading ──────────────────────────────────────────▶ Lost
//!     ▲ │ held by another                            │ told to end: the passes under way are
//!     └─┘                                            └ finished, the lease is released ─────────────▶ Ended
//! ```
//!
//! Decides, from the lease as read and how long it has been unchanged, what a candidate does next
//! (`next_move`), and for how long a written lease makes it the leader. Follows client-go's
//! `leaderelection`: ages are measured by the candidate's own monotonic clock, times that others wrote
//! are never compared with it. Leaves out the requests (`campaign`) and what a leader does.

mod campaign;

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;

pub use campaign::{Election, Ended};

/// How long leadership lasts; names and defaults as in kube-controller-manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTerms {
    /// For how long others wait after the last change of the lease before they take it. Whole seconds.
    pub lease_duration: Duration,
    /// For how long a leader goes on without having renewed.
    pub renew_deadline: Duration,
    /// Time between two tries.
    pub retry_period: Duration,
}

impl Default for LeaseTerms {
    fn default() -> Self {
        Self {
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }
}

/// Why terms would not keep two leaders apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TermsError {
    /// A lease counts in whole seconds.
    #[error("the lease duration must be at least one second, without a fraction")]
    Duration,
    /// The old leader would still write while the new one begins.
    #[error("the renew deadline must be shorter than the lease duration")]
    Deadline,
    /// A single lost answer would end the leadership.
    #[error("the retry period must be positive, and shorter than the renew deadline")]
    Retry,
}

impl LeaseTerms {
    /// Makes sure that they keep two leaders apart.
    ///
    /// # Errors
    /// [`TermsError`] names the first that does not.
    pub fn check(self) -> Result<Self, TermsError> {
        if self.lease_duration.subsec_nanos() != 0 || self.seconds().is_none() {
            Err(TermsError::Duration)
        } else if self.renew_deadline >= self.lease_duration {
            Err(TermsError::Deadline)
        } else if self.retry_period.is_zero() || self.retry_period >= self.renew_deadline {
            Err(TermsError::Retry)
        } else {
            Ok(self)
        }
    }

    /// The duration as a lease writes it.
    fn seconds(self) -> Option<i32> {
        i32::try_from(self.lease_duration.as_secs())
            .ok()
            .filter(|seconds| *seconds > 0)
    }
}

/// What a candidate does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Move {
    /// Create the lease, as its holder.
    Create,
    /// Become the holder of a lease that is free or was left.
    Take,
    /// Stay its holder.
    Renew,
    /// Look again later.
    StandBy,
}

/// Decides the next move of the candidate `identity`, who has seen `lease` unchanged for `unchanged`.
fn next_move(lease: Option<&Lease>, identity: &str, unchanged: Duration) -> Move {
    let Some(lease) = lease else { return Move::Create };
    let spec = lease.spec.as_ref();
    let holder = spec
        .and_then(|spec| spec.holder_identity.as_deref())
        .unwrap_or_default();
    let duration = spec.and_then(|spec| spec.lease_duration_seconds).unwrap_or_default();
    let duration = Duration::from_secs(u64::try_from(duration).unwrap_or_default());
    if holder == identity {
        Move::Renew
    } else if holder.is_empty() || unchanged >= duration {
        Move::Take
    } else {
        Move::StandBy
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::coordination::v1::LeaseSpec;

    use super::*;

    fn held_by(holder: &str) -> Lease {
        Lease {
            spec: Some(LeaseSpec {
                holder_identity: Some(holder.to_owned()),
                lease_duration_seconds: Some(15),
                ..LeaseSpec::default()
            }),
            ..Lease::default()
        }
    }

    #[test]
    fn a_lease_is_taken_only_when_it_is_free_or_was_left_for_its_whole_duration() {
        let after = |lease: Option<Lease>, seconds| next_move(lease.as_ref(), "a", Duration::from_secs(seconds));
        assert_eq!(after(None, 0), Move::Create);
        assert_eq!(after(Some(held_by("a")), 100), Move::Renew);
        assert_eq!(after(Some(held_by("")), 0), Move::Take);
        assert_eq!(after(Some(held_by("b")), 14), Move::StandBy);
        assert_eq!(after(Some(held_by("b")), 15), Move::Take);
    }

    #[test]
    fn terms_that_would_let_two_lead_are_refused() {
        let terms = LeaseTerms::default();
        assert_eq!(terms.check(), Ok(terms));
        let with = |lease_duration, renew_deadline, retry_period| LeaseTerms {
            lease_duration: Duration::from_millis(lease_duration),
            renew_deadline: Duration::from_millis(renew_deadline),
            retry_period: Duration::from_millis(retry_period),
        };
        assert_eq!(with(1500, 1000, 100).check(), Err(TermsError::Duration));
        assert_eq!(with(0, 0, 0).check(), Err(TermsError::Duration));
        let too_long = with((1 << 31) * 1000, 1000, 100);
        assert_eq!(too_long.check(), Err(TermsError::Duration));
        assert_eq!(
            [terms, with(1000, 500, 100)].map(LeaseTerms::seconds),
            [Some(15), Some(1)]
        );
        assert_eq!(with(2000, 2000, 100).check(), Err(TermsError::Deadline));
        assert_eq!(with(2000, 1000, 1000).check(), Err(TermsError::Retry));
        assert_eq!(with(2000, 1000, 0).check(), Err(TermsError::Retry));
    }
}
