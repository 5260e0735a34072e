//! Instances of an implementation that a case has for itself and may break.
//!
//! A controller that crashes or an API that refuses would disturb every case beside it. So
//! who can start the implementation anew offers a laboratory: each case that needs `faults`
//! gets an instance, with addresses to put faults in, and it is gone with the case.

use std::fmt;

use futures::future::BoxFuture;
use url::Url;

use crate::target::Target;

/// Starts instances.
pub trait Laboratory: fmt::Debug + Send + Sync {
    /// Starts one.
    ///
    /// # Errors
    /// Why it could not be started, for people.
    fn open(&self) -> BoxFuture<'_, Result<Bench, String>>;
}

/// An instance, until it is dropped.
pub struct Bench {
    /// Its addresses.
    pub target: Target,
    /// Where faults are put in.
    pub faults: FaultControls,
    /// Ends it when dropped.
    pub guard: Box<dyn Send + Sync>,
}

impl fmt::Debug for Bench {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Bench")
            .field("target", &self.target.name)
            .field("faults", &self.faults)
            .finish_non_exhaustive()
    }
}

/// Where faults are put in, over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultControls {
    /// Base of the API server's faults: `POST faults` makes a rule, `DELETE faults` ends all.
    pub api: Url,
    /// Base of the controller's faults: `POST crash` with `name`, `write` and `moment` arms a
    /// crash, `DELETE crash` disarms it, `GET crash` answers the number of `crashes`,
    /// `PUT election` with `held` runs two controllers of which one leads, `POST cut` with `name`, `write` and `verb` cuts
    /// the leader off at a write, `DELETE cut` connects it again, `GET cut` answers the number of `handovers`, and
    /// `PUT removals` with `allowed` lets the removal of checkpoint data fail or not.
    pub controller: Url,
}
