//! The suite as a test of a vendor's own crate.

use crate::probe::Authorities;
use crate::profile::Profile;
use crate::report::{Form, Report, Verdict};
use crate::target::Target;

impl Target {
    /// A target of which nothing is known but its name and how it is asked and read: its claims
    /// are those of the profile. Set the fields for the addresses that there are.
    #[must_use]
    pub fn new(name: &str, profile: Profile) -> Self {
        Self {
            name: name.to_owned(),
            kubernetes: None,
            e2b: None,
            pod_metrics: None,
            controller_metrics: Vec::new(),
            storage: None,
            laboratory: None,
            capabilities: profile.capabilities.clone(),
            authorities: Authorities::default(),
            adapter: None,
            profile,
        }
    }
}

impl Report {
    /// For tests: does nothing when the report says conformant.
    ///
    /// # Panics
    /// When it says anything else, with everything that did not pass.
    pub fn assert_conformant(&self) {
        match self.verdict() {
            Verdict::Conformant => {}
            Verdict::AsExpected | Verdict::NotConformant | Verdict::HarnessError | Verdict::Usage => {
                let what = self.render(Form::Markdown).unwrap_or_default();
                let what = what.split("<details>").next().unwrap_or_default();
                panic!("{} is {}\n\n{what}", self.target, self.verdict().as_str());
            }
        }
    }
}
