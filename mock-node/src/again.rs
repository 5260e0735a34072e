//! When a write that the API did not take is tried again: an API server that fails for a moment, on purpose or not, does not
//! leave a Pod as it was for ever.

use std::time::Duration;

use tokio::time::Instant;

/// The first pause; each is twice as long as the one before.
const FIRST: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(5);

/// Whether a write is still to be made, and when.
#[derive(Debug, Default)]
pub(crate) struct Again {
    failures: u32,
    at: Option<Instant>,
}

impl Again {
    /// A write was tried now, and taken or not.
    pub(crate) fn tried(&mut self, taken: bool) {
        if taken {
            *self = Self::default();
        } else {
            self.at = Some(Instant::now() + pause(self.failures));
            self.failures = self.failures.saturating_add(1);
        }
    }

    /// Waits until it is to be tried again; for ever when the last one was taken.
    pub(crate) async fn due(&self) {
        match self.at {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }
}

/// Before the next try, after so many failures before the last one.
fn pause(failures: u32) -> Duration {
    FIRST.saturating_mul(1 << failures.min(10)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_not_taken_is_due_again_and_ever_later() {
        let mut again = Again::default();
        assert!(again.due().now_or_never().is_none(), "nothing is to be written");
        let mut waited = Vec::new();
        for _ in 0..8 {
            again.tried(false);
            let begun = Instant::now();
            again.due().await;
            waited.push(begun.elapsed().as_millis());
        }
        assert_eq!(waited, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        again.tried(true);
        assert!(again.due().now_or_never().is_none(), "it was taken");
        again.tried(false);
        let begun = Instant::now();
        again.due().await;
        assert_eq!(begun.elapsed(), FIRST);
    }
}
